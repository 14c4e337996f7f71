//! A way to a site that takes its time: every byte arrives so much later, none is lost.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pieces under way in one direction at most; more wait at the sender.
const PIECES_MAX: usize = 4_096;

/// Listens on loopback and passes every connection on to `to`, both ways `after` late.
pub async fn proxy(
    to: SocketAddr,
    after: Duration,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let (stop, all) = (stop.clone(), tasks.clone());
    tasks.spawn(async move {
        while let Some(Ok((near, _))) = stop.run_until_cancelled(listener.accept()).await {
            let Ok(far) = TcpStream::connect(to).await else { continue };
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            for (from, to) in [(near_read, far_write), (far_read, near_write)] {
                all.spawn(stop.clone().run_until_cancelled_owned(pass(from, to, after)));
            }
        }
    });
    Ok(address)
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, after: Duration) {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let read = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if sender.send((Instant::now() + after, buffer[..length].to_vec())).await.is_err() {
                break;
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = pieces.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(read, write);
}

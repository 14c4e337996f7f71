//! Accepts connections and speaks HTTP/1.1 on them, within limits.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::catalog::Caller;
use super::handler::Handler;
use super::socket::{Reset, Socket};

/// Wait after a failed accept (too many open files), so that the loop does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Bytes one connection buffers of what is to be sent; one chunk may come on top.
const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// One listener with what its connections need.
pub(crate) struct Accepting {
    pub(crate) listener: TcpListener,
    pub(crate) caller: Caller,
    pub(crate) handler: Arc<Handler>,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) tracker: TaskTracker,
    pub(crate) cancel: CancellationToken,
}

impl Accepting {
    /// Accepts until cancelled. Above the limit of connections, new ones wait in the kernel's queue.
    pub(crate) async fn run(self) {
        loop {
            let accepted = tokio::select! {
                () = self.cancel.cancelled() => return,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok((stream, permit)) => {
                    let (handler, caller, cancel) =
                        (Arc::clone(&self.handler), self.caller, self.cancel.clone());
                    self.tracker.spawn(async move {
                        handler.stats.connections.fetch_add(1, Ordering::Relaxed);
                        serve(stream, Arc::clone(&handler), caller, cancel).await;
                        handler.stats.connections.fetch_sub(1, Ordering::Relaxed);
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(target: "smsdpprov", %error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    async fn accept(&self) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.connections).acquire_owned().await.map_err(std::io::Error::other)?;
        let (stream, _peer) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, permit))
    }
}

async fn serve(stream: TcpStream, handler: Arc<Handler>, caller: Caller, cancel: CancellationToken) {
    let limits = handler.limits.clone();
    let reset = Reset::default();
    let socket = Socket::new(stream, reset.clone(), limits.stall_max);
    let service = service_fn(move |request| {
        let (handler, reset) = (Arc::clone(&handler), reset.clone());
        async move { Ok::<_, Infallible>(handler.answer(request, caller, reset).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.header_bytes_max)
        .max_buf_size(SEND_BUFFER_BYTES.max(limits.header_bytes_max))
        .half_close(false)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(limits.drain_max, connection).await {
                Ok(ended) => ended,
                Err(_elapsed) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(target: "smsdpprov", %error, "connection ended early");
    }
}

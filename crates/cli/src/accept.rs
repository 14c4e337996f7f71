//! The accept loop of the listeners that this crate has itself: the control socket and metrics.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Until the next attempt when no connection can be taken.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(200);

/// A bound listener.
pub(crate) trait Accepts: Send + Sync {
    type Stream: Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accepts for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        Self::accept(self).await.map(|(stream, _)| stream)
    }
}

impl Accepts for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        Self::accept(self).await.map(|(stream, _)| stream)
    }
}

/// Takes connections until `shutdown` and gives each to `converse`, at most `connections_max` at once;
/// further ones wait in the kernel's queue. `shutdown` ends those that run.
pub(crate) async fn serve_each<A, F>(
    listener: &A,
    connections_max: usize,
    tracker: &TaskTracker,
    shutdown: &CancellationToken,
    converse: impl Fn(A::Stream) -> F,
) where
    A: Accepts,
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(connections_max));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = accept_one(listener, &places) => accepted,
        };
        let Ok((stream, place)) = accepted else {
            // Out of descriptors, most likely: others must give theirs back first.
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            continue;
        };
        let conversation = shutdown.clone().run_until_cancelled_owned(converse(stream));
        tracker.spawn(async move {
            let _place = place;
            conversation.await;
        });
    }
}

async fn accept_one<A: Accepts>(
    listener: &A,
    places: &Arc<Semaphore>,
) -> io::Result<(A::Stream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
    Ok((listener.accept().await?, place))
}

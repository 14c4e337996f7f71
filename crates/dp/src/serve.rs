//! Serves the content of a library over HTTP/1.1, read-only.
//!
//! [`ContentServer::start`] binds the listeners; each request is one lookup in the catalog of
//! packages the caller may read. A download goes on with the version it began with, whatever
//! becomes active meanwhile. Every chunk is checked against its digest when it is read; if the
//! check fails after the head of an answer was sent, the connection is reset.
//!
//! Not here: TLS, content tokens, writing of any kind, caching of bytes.
//! Source: docs/formats/serving.md; RFC 9110, RFC 4918 (class 1, reading).

mod address;
mod answer;
mod body;
mod catalog;
mod damage;
mod file_reader;
mod follow;
mod handler;
mod listen;
mod listing;
mod multistatus;
mod propfind;
mod range;
mod socket;
mod validator;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use restock_content::library::Library;
use restock_names::Clock;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use damage::Damage;

use crate::packages::Packages;
use body::ReadAhead;
use catalog::{Caller, Catalog};
use damage::Damages;
use handler::Handler;
use listen::Accepting;

/// Where to listen and within which limits.
#[derive(Debug, Clone, Default)]
pub struct ServeConfig {
    /// At least one in practice; none serves nothing.
    pub listeners: Vec<ListenerConfig>,
    /// The limits of all of them together.
    pub limits: ServeLimits,
}

/// One listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Serves every package without a right, not only public ones. Only on a loopback address.
    pub serves_everything: bool,
}

/// Limits of the content listeners.
#[derive(Debug, Clone)]
pub struct ServeLimits {
    /// Connections at once; further ones wait in the kernel's queue.
    pub connections_max: usize,
    /// Request line and headers, in bytes; more is 431.
    pub header_bytes_max: usize,
    /// For a request's head to arrive, counted from the connection or the end of the last answer;
    /// so a connection without requests is closed after this time too.
    pub header_timeout: Duration,
    /// For the body of a PROPFIND to arrive.
    pub body_timeout: Duration,
    /// A client that takes no byte for this long is cut off.
    pub stall_max: Duration,
    /// Memory for reading ahead, all downloads together, in bytes. Beyond it each download holds
    /// one chunk.
    pub read_ahead_bytes: usize,
    /// Listings written at once; others wait.
    pub listings_max: usize,
    /// How long running answers may go on at shutdown.
    pub drain_max: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            header_bytes_max: 32 * 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            stall_max: Duration::from_secs(60),
            read_ahead_bytes: 64 << 20,
            listings_max: 16,
            drain_max: Duration::from_secs(10),
        }
    }
}

/// Counters since the start.
#[derive(Debug, Default)]
pub struct ServeStats {
    /// Connections open now.
    pub connections: AtomicU64,
    /// Files and parts of files answered.
    pub files: AtomicU64,
    /// Bytes of those answers.
    pub bytes: AtomicU64,
    /// Requests refused.
    pub refusals: AtomicU64,
}

/// Why content cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Only a loopback listener may serve every package.
    #[error(
        "LISTENER_NOT_LOOPBACK: {0} cannot serve every package without a right; listen on 127.0.0.1 or mark packages public"
    )]
    NotLoopback(SocketAddr),
    /// The address is taken, or not of this machine.
    #[error("failed to listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
}

/// The running listeners.
#[derive(Debug)]
pub struct ContentServer {
    addresses: Vec<SocketAddr>,
    stats: Arc<ServeStats>,
}

impl ContentServer {
    /// Binds the listeners and serves until `cancel`; then running answers get
    /// [`ServeLimits::drain_max`] to end.
    ///
    /// `damage` is told of stored bytes that fail their check.
    pub async fn start(
        config: ServeConfig,
        library: Arc<Library>,
        packages: Arc<Packages>,
        damage: mpsc::Sender<Damage>,
        clock: &dyn Clock,
        tracker: &TaskTracker,
        cancel: &CancellationToken,
    ) -> Result<Self, ServeError> {
        let limits = config.limits;
        let stats = Arc::new(ServeStats::default());
        let handler = Arc::new(Handler {
            catalog: Arc::new(Catalog::new(library, packages)),
            read_ahead: ReadAhead::new(limits.read_ahead_bytes),
            listings: Arc::new(Semaphore::new(limits.listings_max)),
            damages: Damages::new(damage),
            stats: Arc::clone(&stats),
            // The low bits tell the requests of two runs apart.
            request_prefix: clock.now().0 as u32,
            request_count: AtomicU64::new(0),
            limits,
        });
        let connections = Arc::new(Semaphore::new(handler.limits.connections_max));
        let mut addresses = Vec::new();
        let mut accepting = Vec::new();
        for ListenerConfig { address, serves_everything } in config.listeners {
            if serves_everything && !address.ip().is_loopback() {
                return Err(ServeError::NotLoopback(address));
            }
            let failed = |source| ServeError::Listen { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            addresses.push(listener.local_addr().map_err(failed)?);
            accepting.push(Accepting {
                listener,
                caller: if serves_everything { Caller::Trusted } else { Caller::Anonymous },
                handler: Arc::clone(&handler),
                connections: Arc::clone(&connections),
                tracker: tracker.clone(),
                cancel: cancel.clone(),
            });
        }
        for listener in accepting {
            tracker.spawn(listener.run());
        }
        Ok(Self { addresses, stats })
    }

    /// The addresses bound, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The counters.
    pub fn stats(&self) -> &Arc<ServeStats> {
        &self.stats
    }
}

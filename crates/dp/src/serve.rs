//! Serves the content of a library over HTTP/1.1, read-only, by a server of its own.
//!
//! [`ContentServer::start`] binds the listeners and starts the threads: one that accepts, a few that
//! each serve many connections and never wait for a disk, and a bounded pool that does. Each request
//! is one lookup in the catalog of packages the caller may read. A download goes on with the version
//! it began with, whatever becomes active meanwhile.
//!
//! A frame is checked against its digest when it is first read; from then on, until its pack changes,
//! the process ends or [`ServeLimits::check_period`] is over, its bytes go from the file to the socket
//! unread. If a check fails after the head of an answer was sent, the connection is reset.
//!
//! Not here: writing of any kind, HTTP/2, compression, caching of bytes (the kernel does that).
//! Source: docs/formats/serving.md; RFC 9110, RFC 9112, RFC 4918 (class 1, reading).

mod accept;
mod address;
mod answer;
mod catalog;
mod connection;
mod damage;
mod follow;
mod framing;
mod handler;
mod head;
mod host;
mod listing;
mod mailbox;
mod multistatus;
mod piece;
mod pool;
mod propfind;
mod range;
mod reactor;
mod rights;
mod shelf;
mod source;
mod tls_files;
mod transport;
mod validator;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use restock_content::library::Library;
use restock_names::Clock;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use damage::Damage;
#[doc(hidden)]
pub use head::fuzz_one as fuzz_heads;
pub use rights::ContentKeys;
pub use tls_files::{TlsFiles, TlsFilesError};

use crate::packages::Packages;
use accept::{Acceptor, Door, Gate};
use catalog::Catalog;
use connection::Shared;
use damage::Damages;
use handler::Handler;
use host::Hosts;
use mailbox::{Mail, Mailbox};
use piece::ReadAhead;
use pool::Pool;
use reactor::Reactor;
use rights::{Caller, Rights};
use tls_files::TlsKeeper;

/// Where to listen and within which limits.
#[derive(Debug, Clone, Default)]
pub struct ServeConfig {
    /// Plain listeners. None at all, here and below, serves nothing.
    pub listeners: Vec<ListenerConfig>,
    /// Listeners that speak TLS.
    pub tls_listeners: Vec<TlsListenerConfig>,
    /// Names by which clients may ask, beside the address they connected to and `localhost` on
    /// loopback; `*` stands for any.
    pub hosts: Vec<String>,
    /// The limits of all listeners together.
    pub limits: ServeLimits,
}

/// A plain listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Serves every package without a right, not only public ones. Only on a loopback address.
    pub serves_everything: bool,
}

/// A listener that speaks TLS. Rights count on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsListenerConfig {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Its certificate.
    pub files: TlsFiles,
}

/// Limits of the content listeners.
#[derive(Debug, Clone)]
pub struct ServeLimits {
    /// Connections at once; further ones wait in the kernel's queue.
    pub connections_max: usize,
    /// Connections at once from one address (one /64 network in IPv6); further ones are closed.
    pub connections_per_address_max: usize,
    /// Request line and headers, in bytes; more is 431.
    pub header_bytes_max: usize,
    /// For a request's head to arrive, counted from the connection or from the head's first byte.
    /// A TLS handshake is part of it.
    pub header_timeout: Duration,
    /// For a further request to begin on an open connection.
    pub idle_timeout: Duration,
    /// For the body of a PROPFIND to arrive.
    pub body_timeout: Duration,
    /// A client that takes fewer bytes than [`Self::write_rate_min`] over this long is cut off.
    pub stall_max: Duration,
    /// Bytes a second that a client must take on the average; none at all is always too few.
    pub write_rate_min: u64,
    /// Memory for reading ahead what has to be checked, all downloads together, in bytes. Beyond it
    /// each download holds one chunk.
    pub read_ahead_bytes: usize,
    /// Listings written at once; others wait.
    pub listings_max: usize,
    /// Threads that may wait for a disk.
    pub disk_threads_max: usize,
    /// How long a check of a frame counts.
    pub check_period: Duration,
    /// How long running answers may go on at shutdown.
    pub drain_max: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            connections_per_address_max: 256,
            header_bytes_max: 32 * 1024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(10),
            stall_max: Duration::from_secs(60),
            write_rate_min: 1_024,
            read_ahead_bytes: 64 << 20,
            listings_max: 16,
            disk_threads_max: 16,
            check_period: Duration::from_secs(7 * 86_400),
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
    /// A TLS listener has no usable certificate.
    #[error("no certificate for the listener {address}")]
    Certificate { address: SocketAddr, source: TlsFilesError },
    /// The threads cannot be started.
    #[error("failed to start the threads of the content server")]
    Threads(#[source] io::Error),
}

/// What a content server serves, and what it asks.
#[derive(Debug)]
pub struct ServeParts {
    /// Where the content is.
    pub library: Arc<Library>,
    /// Which packages are public.
    pub packages: Arc<Packages>,
    /// Who signs content tokens, and whose certificates name holders.
    pub keys: ContentKeys,
    /// Is told of stored bytes that fail their check.
    pub damage: mpsc::Sender<Damage>,
    /// Where time is read.
    pub clock: Arc<dyn Clock>,
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
    pub async fn start(
        config: ServeConfig,
        parts: ServeParts,
        tracker: &TaskTracker,
        cancel: &CancellationToken,
    ) -> Result<Self, ServeError> {
        let ServeParts { library, packages, keys, damage, clock } = parts;
        let stats = Arc::new(ServeStats::default());
        let limits = config.limits.clone();
        let handler = Handler {
            catalog: Catalog::new(Arc::clone(&library), packages),
            read_ahead: ReadAhead::new(limits.read_ahead_bytes),
            listings: Pool::new("restock-list", limits.listings_max),
            damages: Damages::new(damage),
            stats: Arc::clone(&stats),
        };
        let listeners = bind(&config, &keys, &*clock).await?;
        let addresses = listeners
            .iter()
            .map(|(listener, _)| listener.local_addr())
            .collect::<Result<_, _>>()
            .map_err(ServeError::Threads)?;
        let shared = Arc::new(Shared {
            handler: Arc::new(handler),
            pool: Pool::new("restock-disk", limits.disk_threads_max),
            rights: Rights::new(keys, Arc::clone(&clock)),
            hosts: Hosts::new(&config.hosts),
            // The low bits tell the requests of two runs apart.
            request_prefix: clock.now().0 as u32,
            request_count: AtomicU64::new(0),
            limits: limits.clone(),
        });
        let threads = Threads::start(listeners, &shared, &clock).map_err(ServeError::Threads)?;
        let cancel = cancel.clone();
        tracker.spawn(async move {
            loop {
                tokio::select! {
                    () = cancel.cancelled() => break,
                    () = tokio::time::sleep(limits.check_period) => library.forget_checks(),
                }
            }
            let ended = tokio::task::spawn_blocking(move || threads.end(limits.drain_max)).await;
            if let Err(error) = ended {
                tracing::error!(target: "smsdpprov", %error, "the content server did not end in order");
            }
        });
        Ok(Self { addresses, stats })
    }

    /// The addresses bound: the plain listeners in the order of the configuration, then those of TLS.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The counters.
    pub fn stats(&self) -> &Arc<ServeStats> {
        &self.stats
    }
}

async fn bind(
    config: &ServeConfig,
    keys: &ContentKeys,
    clock: &dyn Clock,
) -> Result<Vec<(TcpListener, Arc<Door>)>, ServeError> {
    let mut listeners = Vec::new();
    for &ListenerConfig { address, serves_everything } in &config.listeners {
        if serves_everything && !address.ip().is_loopback() {
            return Err(ServeError::NotLoopback(address));
        }
        let caller = if serves_everything { Caller::Trusted } else { Caller::Anonymous };
        let door = Door { caller, takes_rights: address.ip().is_loopback(), tls: None };
        listeners.push((listen(address).await?, Arc::new(door)));
    }
    for TlsListenerConfig { address, files } in &config.tls_listeners {
        let identity = match keys {
            ContentKeys::Enrolled(identity) => Some(Arc::clone(identity)),
            ContentKeys::Listed(_) => None,
        };
        let keeper = TlsKeeper::open(files.clone(), identity, clock.monotonic())
            .map_err(|source| ServeError::Certificate { address: *address, source })?;
        let door = Door { caller: Caller::Anonymous, takes_rights: true, tls: Some(keeper) };
        listeners.push((listen(*address).await?, Arc::new(door)));
    }
    Ok(listeners)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let failed = |source| ServeError::Listen { address, source };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?;
    listener.into_std().map_err(failed)
}

/// The threads of a server. Dropped without [`Threads::end`] they are told to end at once.
struct Threads {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    acceptor: Arc<Mailbox>,
    is_stopped: Arc<AtomicBool>,
    mailboxes: Vec<Arc<Mailbox>>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    fn start(
        listeners: Vec<(TcpListener, Arc<Door>)>,
        shared: &Arc<Shared>,
        clock: &Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(2, NonZeroUsize::get).clamp(1, 8);
        let mailboxes: Vec<Arc<Mailbox>> =
            (0..count).map(|_| Mailbox::new().map(Arc::new)).collect::<Result<_, _>>()?;
        let limits = &shared.limits;
        let acceptor = Acceptor {
            listeners,
            gate: Arc::new(Gate::new(limits.connections_max, limits.connections_per_address_max)),
            own: Arc::new(Mailbox::new()?),
            threads: mailboxes.clone(),
            is_stopped: Arc::default(),
            clock: Arc::clone(clock),
        };
        let mut threads = Self {
            shared: Arc::clone(shared),
            clock: Arc::clone(clock),
            acceptor: Arc::clone(&acceptor.own),
            is_stopped: Arc::clone(&acceptor.is_stopped),
            mailboxes: mailboxes.clone(),
            handles: Vec::new(),
        };
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        for mailbox in mailboxes {
            let reactor = Reactor::new(mailbox, Arc::clone(shared), Arc::clone(clock))?;
            threads.handles.push(named("restock-serve").spawn(move || reactor.run())?);
        }
        threads.handles.push(named("restock-accept").spawn(move || acceptor.run())?);
        Ok(threads)
    }

    fn stop(&self, drain: Duration) {
        self.is_stopped.store(true, Ordering::Release);
        let until = self.clock.monotonic() + drain;
        self.acceptor.post(Mail::Stop(until));
        self.mailboxes.iter().for_each(|mailbox| mailbox.post(Mail::Stop(until)));
    }

    /// Lets running answers go on for `drain` and waits for the threads.
    fn end(mut self, drain: Duration) {
        self.stop(drain);
        for handle in std::mem::take(&mut self.handles) {
            if handle.join().is_err() {
                tracing::error!(target: "smsdpprov", "a thread of the content server ended unexpectedly");
            }
        }
        self.shared.pool.close();
        self.shared.handler.listings.close();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

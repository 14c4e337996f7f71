//! Fetching a content version into a library, over several connections.
//!
//! Each connection is a task that reads the link and a thread that decodes, verifies and stores.
//! What is asked for is decided by [`Receiver`]; a connection that is lost is made again, and what
//! it owed is asked for on whichever connection is free.
//!
//! Source: docs/formats/link.md, "Fetching a version".

mod connection;
mod follow;
mod inventory;
mod patience;
mod places;
mod source;
mod store;

pub use follow::follow;
pub use source::PullSource;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock};
use std::time::Duration;

use restock_content::library::{Library, LibraryError, Writer};
use restock_content::manifest::ManifestRoot;
use restock_content::plan::Missing;
use restock_content::transfer::{
    AcceptedStatement, ConnectionId, FrameError, Item, ReceiveError, Receiver, locate,
};
use restock_names::{ContentVersion, Digest};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Backoff, LinkError, Run};

use follow::Following;
use inventory::LibraryInventory;
use places::Places;

/// How a version is fetched.
#[derive(Debug, Clone, Copy)]
pub struct PullOptions {
    /// Connections at once, at least 1. A further one is opened for each [`Self::bytes_per_connection`].
    pub connections: usize,
    /// Raw bytes that are worth a connection of their own.
    pub bytes_per_connection: u64,
    /// Delays between attempts of one connection.
    pub retry: Backoff,
    /// Failures of one connection in a row, without a frame stored between them, before it is given up.
    pub attempts_max: u32,
    /// A holder that sends nothing it owes for this long is given up.
    pub idle: Duration,
    /// Bytes a second that a connection must carry while the holder owes items, over each
    /// [`Self::rate_window`]; below it the connection is made again, and the pull fails with
    /// `LINK_RATE` when that was so [`Self::attempts_max`] times, whatever was stored between. 0 is no
    /// limit.
    pub rate_min: u64,
    /// Over how long the rate is measured.
    pub rate_window: Duration,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            connections: 2,
            bytes_per_connection: 2 << 20,
            retry: Backoff { first: Duration::from_millis(250), most: Duration::from_secs(15) },
            attempts_max: 8,
            idle: Duration::from_secs(60),
            // An eighth of what the slowest leased lines carry.
            rate_min: 1_024,
            rate_window: Duration::from_secs(60),
        }
    }
}

/// Hears how a pull is getting on; called from several threads, must not wait.
pub trait PullProgress: Send + Sync {
    /// What is lacking is known: chunks and their raw bytes.
    fn planned(&self, _chunks: u64, _bytes: u64) {}
    /// Frames were stored: raw bytes of chunks.
    fn stored(&self, _raw_bytes: u64) {}
    /// Bytes were received on the link.
    fn received(&self, _wire_bytes: u64) {}
    /// A connection failed; it is tried again unless the pull fails.
    fn connection_failed(&self, _cause: &PullError) {}
}

/// What a pull moved. Wire bytes are those of frames on all connections, below them TLS adds some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PullReport {
    /// Bytes received.
    pub wire_received: u64,
    /// Bytes sent.
    pub wire_sent: u64,
    /// Manifest pages fetched.
    pub pages: u64,
    /// Chunks fetched.
    pub chunks: u64,
    /// Raw bytes of the chunks.
    pub raw_bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// Connections that failed and were made again.
    pub connections_failed: u32,
}

/// Why a version was not fetched. The text begins with the stable code where there is one.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// No connection, or it broke while nothing was owed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The holder ended the stream while it owed items.
    #[error("CONTENT_TRUNCATED: the stream ended with {owed} items owed")]
    Truncated { owed: usize, source: LinkError },
    /// The holder sent something else than the manifest lists.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The holder sent what was not asked for, or the version's manifest is not usable.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// This point's own library failed.
    #[error("{source}", source = .0)]
    Library(#[source] LibraryError),
    /// An item that is to be repaired cannot be found in the manifest.
    #[error("CONTENT_DAMAGED: {item} cannot be found in the manifest")]
    Unresolved { item: Item, source: restock_content::manifest::ManifestError },
    /// The site gave up the draft that was followed.
    #[error("DRAFT_DROPPED: the site gave the version in the making up")]
    DraftDropped,
    /// The pull was cancelled.
    #[error("CANCELLED: the transfer was cancelled")]
    Cancelled,
    /// A thread of the pull panicked.
    #[error("INTERNAL: a thread of the transfer failed")]
    Panicked,
}

impl PullError {
    /// The stable code.
    pub fn code(&self) -> String {
        match self {
            Self::Link(error) => error.code().to_owned(),
            Self::Receive(ReceiveError::Walk(error)) => error.code(),
            other => {
                let text = other.to_string();
                let code = text.split_once(':').map_or("", |(code, _)| code);
                let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
                if is_code { code.to_owned() } else { "LIBRARY_FAILED".to_owned() }
            }
        }
    }

    /// May another attempt, later, succeed without anybody doing something?
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Link(error) => error.is_transient(),
            Self::Truncated { .. } | Self::Frame(_) | Self::Panicked | Self::Unresolved { .. } => true,
            Self::Receive(ReceiveError::Walk(_) | ReceiveError::Unexpected { .. }) => false,
            Self::DraftDropped | Self::Cancelled => false,
            Self::Receive(ReceiveError::Library(_)) | Self::Library(_) => true,
        }
    }

    /// Is it worth making the connection again, at once?
    fn is_worth_reconnecting(&self) -> bool {
        match self {
            Self::Link(error) => error.is_transient(),
            Self::Truncated { .. } => true,
            Self::Frame(error) => error.is_of_base(),
            _ => false,
        }
    }
}

/// What all connections of a pull share.
struct Pull {
    library: Arc<Library>,
    source: PullSource,
    content: ContentVersion,
    options: PullOptions,
    progress: Arc<dyn PullProgress>,
    inventory: LibraryInventory,
    /// The base of delta frames turned out to be of no use: objects are asked for whole.
    is_base_lost: AtomicBool,
    receiver: Mutex<Receiver>,
    /// Rises whenever the receiver may have work, or be done.
    changed: watch::Sender<u64>,
    /// Where pages go, and in a repair chunks too.
    pages: RwLock<Option<Writer>>,
    /// Where chunks go, once they are planned.
    chunks: OnceLock<Places>,
    /// Of a draft: how far it was announced.
    following: Option<Following>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    wire_received: AtomicU64,
    wire_sent: AtomicU64,
    pages: AtomicU64,
    chunks: AtomicU64,
    raw_bytes: AtomicU64,
    connections_failed: AtomicU32,
}

/// Fetches everything `statement`'s version needs from `source` into `library` and makes it durable.
///
/// The statement is not stored and the version not activated: that is the caller's next step. After
/// an error or a kill another call goes on: what was recorded is not asked for again, nor what was
/// recorded for another version of the package. A version is pulled by one call at a time.
/// Cancelling the run ends the pull with [`PullError::Cancelled`].
///
/// Errors: [`PullError`], the first that cannot be helped by another connection.
pub async fn pull(
    source: impl Into<PullSource>,
    library: &Arc<Library>,
    statement: &AcceptedStatement,
    options: &PullOptions,
    progress: &Arc<dyn PullProgress>,
    run: &Run,
) -> Result<PullReport, PullError> {
    let (source, begun) = (source.into(), run.clock.monotonic());
    let (at, wanted) = (Arc::clone(library), statement.clone());
    let (inventory, receiver) = blocking(run, move || {
        settle_older(&at, &wanted.version).map_err(PullError::Library)?;
        let inventory = LibraryInventory::new(at, &wanted.version);
        let receiver = Receiver::new(&wanted, &inventory)?;
        Ok((inventory, receiver))
    })
    .await?;
    let writer = library.begin();
    let version = &statement.version;
    let pull = Pull::new(&source, library, version, options, progress, inventory, receiver, writer);
    let (pull, ended) = pull.drive(run, true).await;
    let mut report = pull.report();
    let sealed = blocking(run, move || pull.seal()).await;
    ended?;
    sealed?;
    report.elapsed = run.clock.monotonic().saturating_duration_since(begun);
    Ok(report)
}

/// Fetches exactly the `damaged` items of a version again, whatever the library holds, into a newer
/// pack, which wins.
///
/// Items beneath a damaged page are found once that page is repaired. Errors: [`PullError`]; what
/// was fetched before is kept.
pub async fn pull_repair(
    source: impl Into<PullSource>,
    library: &Arc<Library>,
    statement: &AcceptedStatement,
    damaged: &[Item],
    options: &PullOptions,
    progress: &Arc<dyn PullProgress>,
    run: &Run,
) -> Result<PullReport, PullError> {
    let (source, begun) = (source.into(), run.clock.monotonic());
    let mut report = PullReport::default();
    let mut rest: Vec<Item> = damaged.to_vec();
    rest.sort_unstable();
    rest.dedup();
    while !rest.is_empty() {
        let (at, root) = (Arc::clone(library), statement.root);
        let (found, hidden, inventory) = blocking(run, move || {
            let mut found: Vec<(Item, Digest, u32)> = Vec::new();
            let mut hidden = Vec::new();
            for item in rest {
                match locate(&*at, &root, item) {
                    Ok(Some((digest, length))) => found.push((item, digest, length)),
                    Ok(None) => {}
                    Err(source) => hidden.push((item, source)),
                }
            }
            Ok((found, hidden, LibraryInventory::empty(at)))
        })
        .await?;
        if found.is_empty() {
            return match hidden.into_iter().next() {
                Some((item, source)) => Err(PullError::Unresolved { item, source }),
                None => break,
            };
        }
        rest = hidden.into_iter().map(|(item, _)| item).collect();
        let receiver = Receiver::repair(&found);
        let writer = library.begin_repair();
        let version = &statement.version;
        let pull = Pull::new(&source, library, version, options, progress, inventory, receiver, writer);
        let (pull, ended) = pull.drive(run, false).await;
        report.add(&pull.report());
        let sealed = blocking(run, move || pull.seal()).await;
        ended?;
        sealed?;
    }
    report.elapsed = run.clock.monotonic().saturating_duration_since(begun);
    Ok(report)
}

/// Keeps what was received for other versions of the package: much of it is in this one too.
fn settle_older(library: &Library, wanted: &ContentVersion) -> Result<(), LibraryError> {
    for draft in library.drafts() {
        if draft.package == wanted.package && draft != *wanted {
            library.settle(&draft)?;
        }
    }
    Ok(())
}

impl PullReport {
    fn add(&mut self, other: &Self) {
        self.wire_received += other.wire_received;
        self.wire_sent += other.wire_sent;
        self.pages += other.pages;
        self.chunks += other.chunks;
        self.raw_bytes += other.raw_bytes;
        self.connections_failed += other.connections_failed;
    }
}

impl Pull {
    #[expect(clippy::too_many_arguments, reason = "one place puts the parts of a pull together")]
    fn new(
        source: &PullSource,
        library: &Arc<Library>,
        content: &ContentVersion,
        options: &PullOptions,
        progress: &Arc<dyn PullProgress>,
        inventory: LibraryInventory,
        receiver: Receiver,
        writer: Writer,
    ) -> Self {
        Self {
            library: Arc::clone(library),
            source: source.clone(),
            content: *content,
            options: *options,
            progress: Arc::clone(progress),
            inventory,
            is_base_lost: AtomicBool::new(false),
            receiver: Mutex::new(receiver),
            changed: watch::Sender::new(0),
            pages: RwLock::new(Some(writer)),
            chunks: OnceLock::new(),
            following: None,
            counts: Counts::default(),
        }
    }

    /// The version held complete that delta frames are decoded with.
    fn base(&self) -> Option<(ContentVersion, ManifestRoot)> {
        if self.is_base_lost.load(Ordering::Relaxed) { None } else { self.inventory.base() }
    }

    fn receiver(&self) -> MutexGuard<'_, Receiver> {
        self.receiver.lock().expect("no code panics while holding this lock")
    }

    /// Tells every connection to look at the receiver again.
    fn announce(&self) {
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// Runs connections until everything is stored or the pull fails. When this returns nobody else
    /// uses the pull.
    async fn drive(self, run: &Run, is_planned: bool) -> (Self, Result<(), PullError>) {
        let pull = Arc::new(self);
        let run = run.child();
        let stop = run.cancel.clone().drop_guard();
        let mut tasks: Vec<JoinHandle<Result<(), PullError>>> = Vec::new();
        let ended = pull.steer(&run, is_planned, &mut tasks).await;
        drop(stop);
        let mut ended = ended;
        for task in tasks {
            let result = task.await.unwrap_or(Err(PullError::Panicked));
            // The first failure ends the others as cancelled; it is the one to tell.
            if let (Ok(()) | Err(PullError::Cancelled), Err(error)) = (&ended, result)
                && !matches!(error, PullError::Cancelled)
            {
                ended = Err(error);
            }
        }
        let pull = Arc::into_inner(pull).expect("the connections have ended");
        (pull, ended)
    }

    /// Opens connections as they are worth it and plans when the walk has ended.
    async fn steer(
        self: &Arc<Self>,
        run: &Run,
        is_planned: bool,
        tasks: &mut Vec<JoinHandle<Result<(), PullError>>>,
    ) -> Result<(), PullError> {
        let mut changed = self.changed.subscribe();
        let mut open = |count: usize| {
            while tasks.len() < count {
                let id = ConnectionId(u32::try_from(tasks.len()).expect("connections are few"));
                tasks.push(connection::start(self, id, run));
            }
        };
        loop {
            let planned = {
                let receiver = self.receiver();
                if receiver.is_done() {
                    return Ok(());
                }
                receiver.planned().filter(|_| is_planned)
            };
            match planned {
                Some(planned) => {
                    let this = Arc::clone(self);
                    let bytes = blocking(run, move || this.plan(&planned.missing)).await?;
                    self.announce();
                    if bytes > 0 {
                        let worth = 1 + bytes / self.options.bytes_per_connection.max(1);
                        let most = self.options.connections.max(1);
                        open(usize::try_from(worth).unwrap_or(most).min(most));
                    }
                    // Chunks are on their way meanwhile.
                    let this = Arc::clone(self);
                    blocking(run, move || this.seal_pages()).await?;
                }
                None => {
                    open(1);
                    tokio::select! {
                        () = run.cancel.cancelled() => return Err(PullError::Cancelled),
                        _ = changed.changed() => {}
                    }
                }
            }
        }
    }

    /// Makes room for the chunks and lets them be asked for. Returns the bytes that are to be fetched.
    fn plan(&self, missing: &[Missing]) -> Result<u64, PullError> {
        let writer = self.library.begin_receive(&self.content, missing).map_err(PullError::Library)?;
        // Before anything is asked for: a chunk may arrive at once.
        self.chunks.set(Places::Planned(writer)).expect("a version is planned once");
        let writer = self.chunks.get().expect("set just now");
        let recorded: Vec<bool> = missing.iter().map(|chunk| writer.is_recorded(&chunk.digest)).collect();
        let lacking = missing.iter().zip(&recorded).filter(|(_, is_recorded)| !**is_recorded);
        let bytes = lacking.map(|(chunk, _)| u64::from(chunk.length)).sum();
        let mut receiver = self.receiver();
        receiver.fetch(|index| recorded[index]);
        self.progress.planned(receiver.chunks_open(), bytes);
        Ok(bytes)
    }

    fn seal_pages(&self) -> Result<(), PullError> {
        let writer = self.pages.write().expect("no code panics while holding this lock").take();
        match writer {
            Some(writer) => writer.seal().map(drop).map_err(PullError::Library),
            None => Ok(()),
        }
    }

    /// Makes what was stored durable. Of a pull that did not end well only the pages: chunks stay
    /// recorded and are taken up by the next pull.
    fn seal(mut self) -> Result<(), PullError> {
        self.seal_pages()?;
        match self.chunks.take() {
            Some(writer) if self.receiver().is_done() => writer.seal(),
            _ => Ok(()),
        }
    }

    fn report(&self) -> PullReport {
        let Counts { wire_received, wire_sent, pages, chunks, raw_bytes, connections_failed } = &self.counts;
        PullReport {
            wire_received: wire_received.load(Ordering::Relaxed),
            wire_sent: wire_sent.load(Ordering::Relaxed),
            pages: pages.load(Ordering::Relaxed),
            chunks: chunks.load(Ordering::Relaxed),
            raw_bytes: raw_bytes.load(Ordering::Relaxed),
            elapsed: Duration::ZERO,
            connections_failed: connections_failed.load(Ordering::Relaxed),
        }
    }
}

/// Runs blocking work on a thread of its own.
async fn blocking<T: Send + 'static>(
    run: &Run,
    work: impl FnOnce() -> Result<T, PullError> + Send + 'static,
) -> Result<T, PullError> {
    run.tracker.spawn_blocking(work).await.unwrap_or(Err(PullError::Panicked))
}

/// Ends a token's run with [`PullError::Cancelled`].
async fn until_cancelled<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, PullError>>,
) -> Result<T, PullError> {
    cancel.run_until_cancelled(work).await.unwrap_or(Err(PullError::Cancelled))
}

//! A pull connection: the sending holder's half.
//!
//! A thread of the connection's own turns requests into batches of about a mebibyte of stored
//! frames; the connection's task writes them. Two batches are ahead at most, so memory is bounded
//! however much is asked for.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use restock_content::delta::{DeltaCursor, DeltaSender};
use restock_content::library::{Library, LibraryError};
use restock_content::manifest::ManifestRoot;
use restock_content::transfer::{FrameHeader, Item, Request, SendError, Sender};
use restock_names::{ContentVersion, Digest};
use tokio::sync::{Semaphore, mpsc};

use crate::deltas::Deltas;
use crate::error::chain;
use crate::frame::{TYPE_DELTA, TYPE_REQUEST, put_frame, put_item_head};
use crate::message::Message;
use crate::site_link::{Puller, SiteSide, refuse};
use crate::stream::{Reader, Writer};
use crate::{LinkError, Refusal, Run};

/// A batch is handed over when it has this many bytes.
pub(crate) const BATCH_BYTES: usize = 1 << 20;
/// Batches read ahead of the one being written.
pub(crate) const BATCHES_AHEAD: usize = 2;
/// Requests that wait; a receiver keeps to a window and never has as many.
pub(crate) const REQUESTS_MAX: usize = 16;

/// Whole frames, or why there are no more.
pub(crate) type Batch = Result<Vec<u8>, Refusal>;

/// Buffers of batches that were written, to be filled again: fresh memory for each would cost more than
/// what is copied into it. Memory: as many batches as are under way at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpareBatches(Arc<Mutex<Vec<Vec<u8>>>>);

impl SpareBatches {
    /// Takes back the buffer of a batch that was written.
    pub(crate) fn give(&self, mut batch: Vec<u8>) {
        batch.clear();
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that became long for a single frame is not kept.
        if batch.capacity() <= 2 * BATCH_BYTES && spare.len() <= BATCHES_AHEAD {
            spare.push(batch);
        }
    }

    /// An empty buffer with room for a batch.
    pub(crate) fn take(&self) -> Vec<u8> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Vec::with_capacity(BATCH_BYTES + (BATCH_BYTES >> 2)))
    }
}

/// What serving takes.
#[derive(Debug)]
pub(crate) struct Serving<'a, S> {
    pub(crate) side: &'a Arc<S>,
    pub(crate) library: &'a Arc<Library>,
    pub(crate) run: &'a Run,
    /// A puller that asks for nothing for this long is given up.
    pub(crate) idle: Duration,
    /// Pulls that may run at once.
    pub(crate) pulls: &'a Arc<Semaphore>,
    /// Delta frames made so far.
    pub(crate) deltas: &'a Arc<Deltas>,
}

/// What a puller asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// The version.
    pub(crate) content: ContentVersion,
    /// What it holds complete, if it wants delta frames.
    pub(crate) base: Option<ContentVersion>,
}

/// Serves one version to one puller until it closes the connection.
pub(crate) async fn serve_pull<S: SiteSide>(
    shared: Serving<'_, S>,
    puller: &Puller,
    wish: Wish,
    mut reader: Reader,
    mut writer: Writer,
) -> Result<(), LinkError> {
    let content = &wish.content;
    // What is being sent stays until it is sent.
    let _hold = shared.library.hold();
    let root = match authorise(&shared, puller, content).await {
        Ok(root) => root,
        Err(refusal) => return refuse(writer, refusal.into()).await,
    };
    let Ok(_permit) = shared.pulls.try_acquire() else {
        return refuse(writer, busy().into()).await;
    };
    let parts = Parts { library: shared.library, run: shared.run, idle: shared.idle, deltas: shared.deltas };
    let ended = serve_version(parts, root, wish, &mut reader, &mut writer).await;
    let (sent, received) = (writer.sent(), reader.received());
    match puller {
        Puller::Point(name) => shared.side.pull_ended(name, content, sent, received),
        Puller::Site(site) => shared.side.site_pull_ended(*site, content, sent, received),
    }
    end(ended, writer).await
}

/// What it takes to send a version to somebody who may have it.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) library: &'a Arc<Library>,
    pub(crate) run: &'a Run,
    pub(crate) idle: Duration,
    pub(crate) deltas: &'a Arc<Deltas>,
}

/// A point serves a version to its site, which wants it: whatever the point has is the site's.
pub(crate) async fn serve_site(
    parts: Parts<'_>,
    wish: Wish,
    mut reader: Reader,
    mut writer: Writer,
) -> Result<(), LinkError> {
    let _hold = parts.library.hold();
    let root = match held(parts.library, parts.run, wish.content).await {
        Ok(root) => root,
        Err(refusal) => return refuse(writer, refusal.into()).await,
    };
    let ended = serve_version(parts, root, wish, &mut reader, &mut writer).await;
    end(ended, writer).await
}

async fn end(ended: Result<Infallible, LinkError>, writer: Writer) -> Result<(), LinkError> {
    match ended {
        Err(LinkError::Closed) => Ok(()),
        Err(error) => refuse(writer, error).await,
        Ok(never) => match never {},
    }
}

/// Says that the version may be asked for and answers requests until the connection ends.
async fn serve_version(
    parts: Parts<'_>,
    root: ManifestRoot,
    wish: Wish,
    reader: &mut Reader,
    writer: &mut Writer,
) -> Result<Infallible, LinkError> {
    writer.message(&Message::PullReady).await?;
    let (requests, asked) = mpsc::channel(REQUESTS_MAX);
    let (answers, mut batches) = mpsc::channel(BATCHES_AHEAD);
    let (library, deltas) = (Arc::clone(parts.library), Arc::clone(parts.deltas));
    let spare = SpareBatches::default();
    let given_back = spare.clone();
    parts.run.tracker.spawn_blocking(move || {
        let deltas = base_of(&library, &wish).and_then(|base| deltas.of(&library, &root, &base));
        read_frames(&library, root, deltas.as_deref(), &spare, asked, &answers);
    });
    exchange(parts.idle, reader, writer, (&requests, &mut batches, &given_back)).await
}

/// The version's root, if the puller may have it.
async fn authorise<S: SiteSide>(
    shared: &Serving<'_, S>,
    puller: &Puller,
    content: &ContentVersion,
) -> Result<ManifestRoot, Refusal> {
    match puller {
        Puller::Point(name) => shared.side.authorise_pull(name, content).await?,
        Puller::Site(site) => shared.side.authorise_site_pull(*site, content).await?,
    }
    held(shared.library, shared.run, *content).await
}

/// The version's root, if it is here.
async fn held(library: &Arc<Library>, run: &Run, content: ContentVersion) -> Result<ManifestRoot, Refusal> {
    let library = Arc::clone(library);
    let found = run.tracker.spawn_blocking(move || library.statement(&content)).await;
    match found {
        Ok(Ok(Some(statement))) => Ok(statement.root),
        Ok(Ok(None)) => {
            Err(Refusal::transient("CONTENT_MISSING", format!("{content} is not in the library")))
        }
        Ok(Err(error)) => Err(damaged(&error)),
        Err(_panicked) => Err(Refusal::transient("LIBRARY_FAILED", "the library cannot be read")),
    }
}

pub(crate) fn busy() -> Refusal {
    Refusal::transient("LINK_BUSY", "as many pull connections are open as are allowed")
}

/// What the peer hears of trouble in this holder's library; paths stay here.
pub(crate) fn damaged(error: &LibraryError) -> Refusal {
    tracing::error!(cause = chain(error), "content cannot be sent");
    Refusal::transient("CONTENT_DAMAGED", "this holder cannot read the content; it must be repaired here")
}

async fn exchange(
    idle: Duration,
    reader: &mut Reader,
    writer: &mut Writer,
    (requests, batches, spare): (&mpsc::Sender<Request>, &mut mpsc::Receiver<Batch>, &SpareBatches),
) -> Result<Infallible, LinkError> {
    loop {
        tokio::select! {
            biased;
            batch = batches.recv() => match batch {
                Some(Ok(batch)) => {
                    writer.write(&batch).await?;
                    spare.give(batch);
                }
                Some(Err(refusal)) => return Err(refusal.into()),
                None => return Err(LinkError::Stopped),
            },
            frame = tokio::time::timeout(idle, reader.next()) => {
                let frame =
                    frame.map_err(|_idle| LinkError::Timeout { what: "ask for anything", after: idle })??;
                if frame.kind != TYPE_REQUEST {
                    return Err(LinkError::Unexpected("a frame that is no request"));
                }
                let request =
                    Request::decode(&frame.body).map_err(|error| LinkError::Format(error.to_string()))?;
                requests.try_send(request).map_err(|_full| LinkError::Unexpected("more requests than answers"))?;
            }
        }
    }
}

/// The root of the puller's base, if this holder knows the version too: it is of the same package, and
/// what is signed under its number is one content.
fn base_of(library: &Library, wish: &Wish) -> Option<ManifestRoot> {
    let base = wish.base.filter(|base| base.package == wish.content.package)?;
    library.statement(&base).ok().flatten().map(|statement| statement.root)
}

/// Where the frames of a version come from.
struct Source<'a> {
    library: &'a Library,
    sender: Sender<'a>,
    deltas: Option<(&'a DeltaSender, DeltaCursor<'a>)>,
}

/// Answers requests until the connection is gone.
fn read_frames(
    library: &Library,
    root: ManifestRoot,
    deltas: Option<&DeltaSender>,
    spare: &SpareBatches,
    mut requests: mpsc::Receiver<Request>,
    answers: &mpsc::Sender<Batch>,
) {
    let deltas = deltas.map(|deltas| (deltas, deltas.cursor(library)));
    let mut source = Source { library, sender: Sender::new(library, root), deltas };
    let mut batch = spare.take();
    while let Some(request) = requests.blocking_recv() {
        let answered = answer(&mut source, &request, &mut batch, |batch| {
            // The connection may be gone: that ends the thread.
            match answers.blocking_send(Ok(std::mem::replace(batch, spare.take()))) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_gone) => ControlFlow::Break(()),
            }
        });
        if has_ended(answered, &mut batch, answers) {
            return;
        }
    }
}

/// What comes of an answer: true when no further request is to be answered.
pub(crate) fn has_ended(
    answered: Result<ControlFlow<()>, Refusal>,
    batch: &mut Vec<u8>,
    answers: &mpsc::Sender<Batch>,
) -> bool {
    match answered {
        Ok(flow) => flow.is_break(),
        Err(refusal) => {
            // Whole frames that were read before the trouble are right and of use.
            let kept = batch.is_empty() || answers.blocking_send(Ok(std::mem::take(batch))).is_ok();
            let told = kept && answers.blocking_send(Err(refusal)).is_ok();
            tracing::debug!(told, "pull connection gave up");
            true
        }
    }
}

fn answer(
    source: &mut Source<'_>,
    request: &Request,
    batch: &mut Vec<u8>,
    mut flush: impl FnMut(&mut Vec<u8>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Refusal> {
    let Source { library, sender, deltas } = source;
    for range in &request.ranges {
        for outgoing in sender.resolve(range) {
            let outgoing = outgoing.map_err(|error| match error {
                SendError::Range(_) => {
                    Refusal::new("LINK_RANGE", error.to_string().replace("LINK_RANGE: ", ""))
                }
                SendError::Manifest(error) => damaged(&LibraryError::from(error)),
            })?;
            let delta = match deltas {
                Some((deltas, base)) if deltas.has_prefix(library, outgoing.item) => {
                    let stored = library.stored_length(&outgoing.digest).map_err(|error| damaged(&error))?;
                    let stored = stored.ok_or_else(|| damaged(&LibraryError::Missing(outgoing.digest)))?;
                    deltas
                        .frame(library, base, &outgoing, stored as usize)
                        .map_err(|error| damaged(&error))?
                }
                _ => None,
            };
            match delta {
                Some(delta) => put_frame(batch, TYPE_DELTA, &[&delta]),
                None => put_stored(library, outgoing.item, &outgoing.digest, batch)?,
            }
            if batch.len() >= BATCH_BYTES && flush(batch).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    // The receiver may wait for the last of these before it asks again.
    if batch.is_empty() { Ok(ControlFlow::Continue(())) } else { Ok(flush(batch)) }
}

/// Appends an item as it is stored.
pub(crate) fn put_stored(
    library: &Library,
    item: Item,
    digest: &Digest,
    batch: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let put = library.append_stored(digest, batch, |batch, encoding, raw_length, stored_length| {
        put_item_head(batch, &FrameHeader { item, encoding, raw_length }, stored_length);
    });
    put.map_err(|error| damaged(&error))
}

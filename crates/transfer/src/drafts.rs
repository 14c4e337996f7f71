//! Drafts that may be fetched while they are made: the registry, and the holder's half of a connection
//! that follows one.
//!
//! A snapshot's [`Feed`] is announced as it grows; what of it is asked for is answered like items of a
//! version. Rights are not decided here: see [`SiteSide::authorise_draft`].
//!
//! Source: docs/formats/link.md, "Following a draft".

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use restock_content::library::Library;
use restock_content::transfer::{FEED_PART_MAX, Feed, FeedEnd, FeedPart, FeedRates, Item, ItemKind, Request};
use restock_names::{ContentVersion, DistributionPointName, PackageId};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::frame::{TYPE_FEED, TYPE_REQUEST, put_frame};
use crate::message::Message;
use crate::serve::{self, Batch, Serving, SpareBatches};
use crate::site_link::{SiteSide, refuse};
use crate::stream::{Reader, Writer};
use crate::{LinkError, Refusal};

/// For so long a link is taken to be as fast as it was.
const MEASURED_FOR: Duration = Duration::from_secs(3_600);
/// Packages whose links are remembered; beyond it those measured first are forgotten.
const MEASURED_MAX: usize = 1_024;

/// How often a follower for whom there is nothing hears a sign of life.
const PING_EVERY: Duration = Duration::from_secs(20);

/// A version in the making.
#[derive(Debug)]
pub struct Draft {
    content: ContentVersion,
    feed: Feed,
    grown: watch::Receiver<()>,
}

/// The drafts of a site, one for each package at most. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Drafts {
    open: Arc<Mutex<BTreeMap<PackageId, Arc<Draft>>>>,
    /// How fast the links of a package's followers were lately.
    measured: Arc<Mutex<BTreeMap<PackageId, (Instant, FeedRates)>>>,
}

/// A draft that its maker has open. Dropped before its feed was closed as kept it is given up.
#[derive(Debug)]
pub struct OpenDraft {
    drafts: Drafts,
    draft: Arc<Draft>,
}

impl Drafts {
    /// Begins the draft that is to become `content`; one of the same package before it is at its end.
    /// `grown` is called, from any thread, whenever there is more in it, with the raw bytes of all.
    pub fn begin(&self, content: ContentVersion, grown: impl Fn(u64) + Send + Sync + 'static) -> OpenDraft {
        let (tell, told) = watch::channel(());
        let feed = Feed::new(move |bytes| {
            tell.send_replace(());
            grown(bytes);
        });
        let feed = match self.measured(&content.package) {
            Some(rates) => feed.starting_with(rates),
            None => feed,
        };
        let draft = Arc::new(Draft { content, feed, grown: told });
        self.lock().insert(content.package, Arc::clone(&draft));
        OpenDraft { drafts: self.clone(), draft }
    }

    /// The draft that is to become `content`.
    pub fn find(&self, content: &ContentVersion) -> Option<Arc<Draft>> {
        self.lock().get(&content.package).filter(|draft| draft.content == *content).cloned()
    }

    /// All drafts.
    pub fn all(&self) -> Vec<Arc<Draft>> {
        self.lock().values().cloned().collect()
    }

    fn measured(&self, package: &PackageId) -> Option<FeedRates> {
        let measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.get(package).filter(|(at, _)| at.elapsed() < MEASURED_FOR).map(|(_, rates)| *rates)
    }

    fn remember(&self, package: PackageId, rates: FeedRates) {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.insert(package, (Instant::now(), rates));
        if measured.len() > MEASURED_MAX
            && let Some(oldest) = measured.iter().min_by_key(|(_, (at, _))| *at).map(|(package, _)| *package)
        {
            measured.remove(&oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PackageId, Arc<Draft>>> {
        // The map is whole at every moment.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Draft {
    /// The version it is to become.
    pub fn content(&self) -> ContentVersion {
        self.content
    }

    /// What is stored of it.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }
}

impl OpenDraft {
    /// The draft.
    pub fn draft(&self) -> &Arc<Draft> {
        &self.draft
    }
}

impl Drop for OpenDraft {
    fn drop(&mut self) {
        // The first end counts.
        self.draft.feed.close(FeedEnd::Dropped);
        if let Some(rates) = self.draft.feed.measured() {
            self.drafts.remember(self.draft.content.package, rates);
        }
        let mut open = self.drafts.lock();
        if open.get(&self.draft.content.package).is_some_and(|draft| Arc::ptr_eq(draft, &self.draft)) {
            open.remove(&self.draft.content.package);
        }
    }
}

/// Lets one distribution point follow a draft until it closes the connection.
pub(crate) async fn serve_draft<S: SiteSide>(
    shared: Serving<'_, S>,
    name: &DistributionPointName,
    (content, from): (ContentVersion, u64),
    mut reader: Reader,
    mut writer: Writer,
) -> Result<(), LinkError> {
    let draft = match shared.side.authorise_draft(name, &content).await {
        Ok(draft) => draft,
        Err(refusal) => return refuse(writer, refusal.into()).await,
    };
    let Ok(_permit) = shared.pulls.try_acquire() else { return refuse(writer, serve::busy().into()).await };
    writer.message(&Message::PullReady).await?;
    let (requests, asked) = mpsc::channel(serve::REQUESTS_MAX);
    let (answers, mut batches) = mpsc::channel(serve::BATCHES_AHEAD);
    let (library, at) = (Arc::clone(shared.library), Arc::clone(&draft));
    let spare = SpareBatches::default();
    let given_back = spare.clone();
    shared.run.tracker.spawn_blocking(move || read_frames(&library, &at, &spare, asked, &answers));
    let channels = (&requests, &mut batches, &given_back);
    let ended = converse(shared.idle, &draft, from, &mut reader, &mut writer, channels).await;
    shared.side.pull_ended(name, &content, writer.sent(), reader.received());
    match ended {
        Err(LinkError::Closed) => Ok(()),
        Err(error) => refuse(writer, error).await,
        Ok(never) => match never {},
    }
}

async fn converse(
    idle: Duration,
    draft: &Draft,
    from: u64,
    reader: &mut Reader,
    writer: &mut Writer,
    (requests, batches, spare): (&mpsc::Sender<Request>, &mut mpsc::Receiver<Batch>, &SpareBatches),
) -> Result<std::convert::Infallible, LinkError> {
    let mut grown = draft.grown.clone();
    let (mut announced, mut has_ended) = (from, false);
    let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        while !has_ended {
            grown.mark_unchanged();
            let (chunks, end) = draft.feed.after(announced, FEED_PART_MAX);
            let count = chunks.len();
            if count > 0 {
                let part = FeedPart { first: announced, chunks };
                let mut out = Vec::new();
                put_frame(&mut out, TYPE_FEED, &[&part.encode()]);
                writer.write(&out).await?;
                announced += count as u64;
            }
            if let Some(end) = end {
                writer.message(&Message::DraftEnded { is_kept: end == FeedEnd::Kept }).await?;
                has_ended = true;
            }
            if count < FEED_PART_MAX {
                break;
            }
        }
        tokio::select! {
            biased;
            batch = batches.recv() => match batch {
                Some(Ok(batch)) => {
                    let begun = Instant::now();
                    writer.write(&batch).await?;
                    draft.feed.note_sent(writer.sent(), batch.len() as u64, begun.elapsed());
                    spare.give(batch);
                }
                Some(Err(refusal)) => return Err(refusal.into()),
                None => return Err(LinkError::Stopped),
            },
            // The feed lives as long as the draft.
            _ = grown.changed(), if !has_ended => {}
            frame = reader.next() => {
                let frame = frame?;
                if frame.kind != TYPE_REQUEST {
                    return Err(LinkError::Unexpected("a frame that is no request"));
                }
                let request =
                    Request::decode(&frame.body).map_err(|error| LinkError::Format(error.to_string()))?;
                requests.try_send(request).map_err(|_full| LinkError::Unexpected("more requests than answers"))?;
            }
            () = tokio::time::sleep(idle), if has_ended => {
                return Err(LinkError::Timeout { what: "ask for anything", after: idle });
            }
            _ = ping.tick(), if !has_ended => writer.message(&Message::Ping).await?,
        }
    }
}

/// Answers requests until the connection is gone.
fn read_frames(
    library: &Library,
    draft: &Draft,
    spare: &SpareBatches,
    mut requests: mpsc::Receiver<Request>,
    answers: &mpsc::Sender<Batch>,
) {
    let mut batch = spare.take();
    while let Some(request) = requests.blocking_recv() {
        let answered = answer(library, draft, &request, &mut batch, |batch| {
            // The connection may be gone: that ends the thread.
            match answers.blocking_send(Ok(std::mem::replace(batch, spare.take()))) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_gone) => ControlFlow::Break(()),
            }
        });
        if serve::has_ended(answered, &mut batch, answers) {
            return;
        }
    }
}

fn answer(
    library: &Library,
    draft: &Draft,
    request: &Request,
    batch: &mut Vec<u8>,
    mut flush: impl FnMut(&mut Vec<u8>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Refusal> {
    for range in &request.ranges {
        for number in range.first..range.first.saturating_add(range.count) {
            let chunk = draft.feed.chunk(number).filter(|_| range.kind == ItemKind::Chunk);
            let chunk = chunk
                .ok_or_else(|| Refusal::new("LINK_RANGE", format!("chunk {number} was not announced")))?;
            let item = Item { kind: ItemKind::Chunk, ordinal: number };
            serve::put_stored(library, item, &chunk.digest, batch)?;
            if batch.len() >= serve::BATCH_BYTES && flush(batch).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    if batch.is_empty() { Ok(ControlFlow::Continue(())) } else { Ok(flush(batch)) }
}

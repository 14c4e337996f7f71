//! Following a draft: chunks are fetched as the site announces them, before the version is published.
//!
//! It is a pull whose plan grows. Nothing is walked and no statement is there yet: what arrives is
//! checked against the digest it was announced under, and counts for nothing until a version that was
//! accepted lists it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use restock_content::library::Library;
use restock_content::plan::Missing;
use restock_content::transfer::{FeedPart, Receiver};
use restock_names::ContentVersion;

use super::inventory::LibraryInventory;
use super::{Places, Pull, PullError, PullOptions, PullProgress, PullReport, PullSource, blocking};
use crate::{LinkError, Run};

/// How far a draft was announced.
#[derive(Debug, Default)]
pub(super) struct Following {
    /// The number of the next chunk.
    next: AtomicU64,
}

impl Following {
    /// From where a connection is to announce.
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }
}

/// Fetches what `library` lacks of the draft that is to become `content`, until the site ends it.
///
/// What was received is durable and held when this returns, also after an error, unless the site gave
/// the draft up ([`PullError::DraftDropped`]). Errors: [`PullError`]; none is worth more than a line in
/// a log, since the published version is fetched whole.
pub async fn follow(
    source: impl Into<PullSource>,
    library: &Arc<Library>,
    content: &ContentVersion,
    options: &PullOptions,
    progress: &Arc<dyn PullProgress>,
    run: &Run,
) -> Result<PullReport, PullError> {
    let (source, begun) = (source.into(), run.clock.monotonic());
    let inventory = LibraryInventory::empty(Arc::clone(library));
    let mut pull = Pull::new(
        &source,
        library,
        content,
        options,
        progress,
        inventory,
        Receiver::follow(),
        library.begin(),
    );
    pull.following = Some(Following::default());
    let places = Places::Followed(library.begin_follow());
    pull.chunks.set(places).expect("a pull that was just made has no places");
    let (mut pull, ended) = pull.drive(run, false).await;
    let mut report = pull.report();
    if matches!(ended, Err(PullError::DraftDropped)) {
        return Err(PullError::DraftDropped);
    }
    let places = pull.chunks.take();
    let sealed = blocking(run, move || match places {
        Some(places) => places.seal(),
        None => Ok(()),
    });
    let sealed = sealed.await;
    ended?;
    sealed?;
    report.elapsed = run.clock.monotonic().saturating_duration_since(begun);
    Ok(report)
}

/// Takes in announced chunks: those that are lacking get their places and are asked for.
///
/// Errors: chunks that do not follow those announced before; I/O.
pub(super) fn announced(pull: &Pull, body: &[u8]) -> Result<(), PullError> {
    let (Some(following), Some(Places::Followed(places))) = (&pull.following, pull.chunks.get()) else {
        return Err(LinkError::Unexpected("chunks of a draft where none is followed").into());
    };
    let part = FeedPart::decode(body).map_err(|error| LinkError::Format(error.to_string()))?;
    if part.first != following.next() {
        return Err(LinkError::Unexpected("chunks of a draft that do not follow the last ones").into());
    }
    let count = part.chunks.len() as u64;
    let mut lacking = Vec::with_capacity(part.chunks.len());
    for (ordinal, chunk) in (part.first..).zip(part.chunks) {
        let missing =
            Missing { ordinal, digest: chunk.digest, length: chunk.length, is_aligned: chunk.is_aligned };
        if places.place(&missing).map_err(PullError::Library)? {
            lacking.push(missing);
        }
    }
    following.next.fetch_add(count, Ordering::Relaxed);
    pull.receiver().announce(&lacking);
    pull.announce();
    Ok(())
}

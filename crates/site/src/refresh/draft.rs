//! A run's draft: distribution points fetch a version while it is made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use restock_content::snapshot::Progress;
use restock_content::transfer::Feed;
use restock_sitedb::Wake;
use restock_transfer::{Draft, OpenDraft};

use super::{Claim, RefreshLoop};
use crate::message::{chain, distmgr};
use crate::progress::Run;

/// With so many raw bytes of new files a draft is worth a connection.
pub(crate) const FOLLOWED_BYTES_MIN: u64 = 4 << 20;

/// A run's progress, with the draft that its snapshot announces new chunks to.
pub(super) struct Announcing {
    pub(super) run: Arc<Run>,
    pub(super) draft: Option<Arc<Draft>>,
}

impl Progress for Announcing {
    fn add(&self, entries: u64, bytes_read: u64, bytes_new: u64) {
        self.run.add(entries, bytes_read, bytes_new);
    }

    fn is_cancelled(&self) -> bool {
        self.run.is_cancelled()
    }

    fn feed(&self) -> Option<&Feed> {
        self.draft.as_ref().map(|draft| draft.feed())
    }
}

impl RefreshLoop {
    /// Opens the draft of the version that the run would publish; `None` when it has lost its lease or
    /// the site the package, or when that cannot be asked: a draft only saves time.
    pub(super) async fn begin_draft(&self, claim: &Claim) -> Option<OpenDraft> {
        let content = match self.next_version(claim).await {
            Ok(content) => content?,
            Err(error) => {
                distmgr!(warn, package.id = %claim.package.id, "no draft is opened: {}", chain(&error));
                return None;
            }
        };
        let (database, was_told) = (self.database.clone(), AtomicBool::new(false));
        let grown = move |bytes| {
            if bytes >= FOLLOWED_BYTES_MIN && !was_told.swap(true, Ordering::Relaxed) {
                database.wake(Wake::Distribute);
            }
        };
        Some(self.board.drafts.begin(content, grown))
    }
}

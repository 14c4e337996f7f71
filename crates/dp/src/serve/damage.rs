//! Where damage that a reader meets is told: to the log, and to whoever fetches the right bytes.

use std::error::Error;

use restock_content::library::LibraryError;
use restock_names::{ContentVersion, Digest};
use tokio::sync::mpsc;

/// Stored bytes of a version that cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The version in which it was met.
    pub content: ContentVersion,
    /// The chunk or page.
    pub digest: Digest,
    /// True when it is not there at all.
    pub is_missing: bool,
}

/// The place to tell it.
#[derive(Debug, Clone)]
pub(crate) struct Damages(mpsc::Sender<Damage>);

impl Damages {
    pub(crate) fn new(queue: mpsc::Sender<Damage>) -> Self {
        Self(queue)
    }

    /// Logs that the object `digest` of `content` could not be read, and passes it on.
    pub(crate) fn note(&self, content: &ContentVersion, digest: &Digest, cause: &dyn Error) {
        let mut chain = cause.to_string();
        let mut next = cause.source();
        let mut is_missing = false;
        while let Some(source) = next {
            is_missing |= matches!(source.downcast_ref(), Some(LibraryError::Missing(_)));
            chain = format!("{chain}: {source}");
            next = source.source();
        }
        tracing::error!(
            target: "smsdpprov",
            object = %digest,
            package.id = %content.package,
            package.version = %content.version,
            cause = %chain,
            "CONTENT_DAMAGED: stored content does not pass its check and is not served"
        );
        if self.0.try_send(Damage { content: *content, digest: *digest, is_missing }).is_err() {
            tracing::debug!(target: "smsdpprov", "the queue of damage is full");
        }
    }
}

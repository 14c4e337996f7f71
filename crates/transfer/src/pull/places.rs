//! Where the chunks of a pull go: to planned places, or behind each other as they are announced.

use restock_content::library::{FollowWriter, PlacedWriter};
use restock_names::Digest;

use super::PullError;

#[derive(Debug)]
pub(super) enum Places {
    Planned(PlacedWriter),
    Followed(FollowWriter),
}

impl Places {
    /// True when a planned chunk needs no fetching any more.
    pub(super) fn is_recorded(&self, digest: &Digest) -> bool {
        match self {
            Self::Planned(writer) => writer.is_recorded(digest),
            Self::Followed(_) => false,
        }
    }

    /// Writes and records chunks that were verified.
    pub(super) fn put_checked(&self, chunks: &[(Digest, &[u8])]) -> Result<(), PullError> {
        match self {
            Self::Planned(writer) => writer.put_checked(chunks).map_err(PullError::Library),
            Self::Followed(writer) => writer.put_checked(chunks).map_err(PullError::Library),
        }
    }

    /// Makes what was received durable.
    pub(super) fn seal(self) -> Result<(), PullError> {
        let sealed = match self {
            Self::Planned(writer) => writer.seal(),
            Self::Followed(writer) => writer.seal(),
        };
        sealed.map(drop).map_err(PullError::Library)
    }
}

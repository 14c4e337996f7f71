//! Versions, their differences, their frames and plans as the control protocol carries them.

use restock_names::{ContentVersion, Digest, PackageId, SourceVersion};
use restock_provider::rows::RefreshAccepted;
use restock_site::{Plan, PlanRoot, PointCost};
use serde::{Deserialize, Serialize};

use super::protocol::FileLine;

/// Frames one request may name.
pub(crate) const FRAMES_MAX: usize = 64;

/// A version of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionRef {
    pub(crate) package: PackageId,
    /// None: the one that is served.
    pub(crate) version: Option<SourceVersion>,
}

/// A version that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContentRoot {
    pub(crate) version: ContentVersion,
    pub(crate) root: PlanRoot,
}

/// One frame: a chunk or a page of a manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FrameLine {
    pub(crate) digest: Digest,
    /// Its bytes after decoding, in Base64.
    pub(crate) bytes: String,
}

/// How an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// It comes.
    Added,
    /// It goes.
    Removed,
    /// Its content, its target or its kind.
    Changed,
    /// Its mode or its time alone.
    Touched,
}

/// One entry that differs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DiffLine {
    pub(crate) change: Change,
    /// As it is afterwards; a removed one as it was.
    #[serde(flatten)]
    pub(crate) entry: FileLine,
    /// Bytes the file had before, where it is there before and afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size_before: Option<u64>,
}

/// The end of a comparison.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DiffEnd {
    pub(crate) before: ContentRoot,
    pub(crate) after: ContentRoot,
    pub(crate) differs: restock_site::PlanTotals,
    /// Chunks of the second that the first has not, and their bytes.
    pub(crate) chunks: u64,
    pub(crate) chunk_bytes: u64,
}

/// How far a plan is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanProgress {
    pub(crate) entries: u64,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_new: u64,
}

/// An event of making or carrying out a plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PlanEvent {
    /// The source is being read.
    Progress(PlanProgress),
    /// Entries that differ, at most 500.
    Entries(Vec<DiffLine>),
}

/// A plan that is kept, and what it costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanMade {
    #[serde(flatten)]
    pub(crate) plan: Plan,
    /// What each distribution point would fetch and store.
    pub(crate) points: Vec<PointCost>,
    /// Bytes of disk that are free where the site's library lies.
    pub(crate) free_bytes: u64,
}

/// A plan that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanApplied {
    pub(crate) plan: String,
    pub(crate) version: ContentVersion,
    /// The request it ended, as a refresh would have.
    pub(crate) refresh: RefreshAccepted,
}

//! The tree of sites as the control protocol carries it, and as `--json` prints it.

use restock_names::{SiteCode, Timestamp};
use restock_provider::Why;
use restock_sitedb::hierarchy::SiteType;
use serde::{Deserialize, Serialize};

/// The hierarchy as one site sees it: its own state and that of its neighbours at first hand, that of
/// the others as it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SiteTree {
    /// The site that answers.
    pub(crate) site_code: SiteCode,
    /// Each site once, by code.
    pub(crate) sites: Vec<TreeRow>,
}

/// One site of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TreeRow {
    pub(crate) site_code: SiteCode,
    /// The site above it; none at the top.
    pub(crate) parent: Option<SiteCode>,
    pub(crate) site_type: SiteType,
    pub(crate) name: String,
    /// Where its link listens.
    pub(crate) url: String,
    /// Name and version of its program; empty before it was heard of.
    pub(crate) software: String,
    /// `SMS_Site.Status` as a word: `active`, `deleted`, `recovering`.
    pub(crate) status: String,
    /// The link to it; none for the site that answers and for sites that are no neighbours of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<LinkNow>,
    /// Versions that are meant for this site and not stored there.
    pub(crate) packages_behind: u64,
    /// Why something waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<Why>,
}

/// A link as the site at this end sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkNow {
    /// The site at the other end is the parent.
    pub(crate) is_above: bool,
    pub(crate) is_connected: bool,
    pub(crate) is_revoked: bool,
    /// When the link came up or went down last.
    pub(crate) last_seen_at: Option<Timestamp>,
    /// Objects that the other end has not acknowledged.
    pub(crate) backlog: u64,
    /// How long the oldest of them waits; 0 when none does.
    pub(crate) lag_seconds: u64,
}

/// A site that was removed from the hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SiteRemoved {
    pub(crate) site_code: SiteCode,
    /// The sites below it, which went with it.
    #[serde(default)]
    pub(crate) with: Vec<SiteCode>,
}

/// A backup that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackedUp {
    pub(crate) site_code: SiteCode,
    pub(crate) file: String,
    pub(crate) bytes: u64,
}

/// A site whose epoch was raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Promoted {
    pub(crate) site_code: SiteCode,
    pub(crate) epoch: u32,
}

/// A site that was brought back from a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restored {
    pub(crate) site_code: SiteCode,
    pub(crate) epoch: u32,
    /// When the backup was made.
    pub(crate) made_at: Timestamp,
    pub(crate) data_dir: String,
    /// Packages whose stored version the library does not hold.
    pub(crate) packages_missing: u64,
    /// Where what was there before is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaced: Option<String>,
}

/// A change of a site's certificate authority that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthorityChange {
    pub(crate) site_code: SiteCode,
    pub(crate) begun_at: Timestamp,
    /// When the older one counts no more, whoever has not moved by then.
    pub(crate) ends_at: Timestamp,
    /// SHA-256 of the certificates, in hex.
    pub(crate) oldest: String,
    pub(crate) newest: String,
    /// Who has shown a certificate of the newer one.
    pub(crate) moved: Vec<String>,
}

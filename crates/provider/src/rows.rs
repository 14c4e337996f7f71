//! What answers consist of. Sizes are bytes, times UTC microseconds, versions numbers.

use restock_names::{
    Digest, DistributionPointName, Epoch, ExcludeRules, LinkPolicy, NamesPolicy, PackageId, SiteCode,
    SourceVersion, Timestamp,
};
use restock_sitedb::Why;
use restock_sitedb::hierarchy::SiteType;
use restock_sitedb::message::Severity;
use restock_sitedb::state::{Counters, TargetState};
use serde::{Deserialize, Serialize};

/// `PkgSourceFlag`: where a package's content comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceFlag {
    /// 0.
    Unspecified,
    /// 1: the documented default.
    NoSource,
    /// 2: read from the source path.
    Direct,
    /// 3: obsolete; read like `Direct`.
    Compress,
    /// 4: read like `Direct`.
    Local,
}

impl SourceFlag {
    const ALL: [Self; 5] = [Self::Unspecified, Self::NoSource, Self::Direct, Self::Compress, Self::Local];

    /// The documented number.
    pub fn number(self) -> u32 {
        match self {
            Self::Unspecified => 0,
            Self::NoSource => 1,
            Self::Direct => 2,
            Self::Compress => 3,
            Self::Local => 4,
        }
    }

    /// The flag with this number.
    pub fn of_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|flag| flag.number() == number)
    }
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageRow {
    /// Its ID.
    pub package: PackageId,
    /// Its name.
    pub name: String,
    /// The version of the software in it.
    pub version: String,
    /// Who made the software.
    pub manufacturer: String,
    /// The language of the software.
    pub language: String,
    /// Free text.
    pub description: String,
    /// Where the source lies; empty for none.
    pub source_path: String,
    /// Where content comes from.
    pub source_flag: SourceFlag,
    /// 1 high, 2 normal, 3 low.
    pub priority: u32,
    /// Whether distribution points serve it to anybody.
    pub is_public: bool,
    /// Whether an empty source is a version.
    pub allow_empty: bool,
    /// What becomes of symbolic links in the source.
    #[serde(default)]
    pub link_policy: LinkPolicy,
    /// What becomes of names that other systems cannot hold. Only where one package is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names_policy: Option<NamesPolicy>,
    /// What is left out of the source. Only where one package is shown.
    #[serde(default, skip_serializing_if = "ExcludeRules::is_empty")]
    pub excludes: ExcludeRules,
    /// The folder in which distribution points keep its files too. Only where one package is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
    /// What its last refresh warned of. Only where one package is shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Why>,
    /// The site that owns it.
    pub source_site: SiteCode,
    /// `SourceVersion`.
    pub source_version: SourceVersion,
    /// `StoredPkgVersion`: 0 until the first snapshot is stored.
    pub stored_version: SourceVersion,
    /// `ActionInProgress`: 0 none, 1 update, 2 add, 3 delete.
    pub action_in_progress: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// When a version was last stored.
    pub last_refresh_at: Option<Timestamp>,
    /// Entries of the stored version.
    pub entries: u64,
    /// Bytes of the stored version.
    pub bytes: u64,
    /// Refresh requests there ever were. Request n has ended when `requests_done` is n or more.
    pub requests: u64,
    /// The newest request that has ended.
    pub requests_done: u64,
    /// The newest request that ended without a version because attempts failed; 0 for none.
    pub requests_failed: u64,
    /// A request that has not ended, or the failure of the last one.
    pub refresh: Option<RefreshState>,
    /// Whether the site that owns it is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_orphaned: bool,
    /// When it is refreshed by itself. Only where one package is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleRow>,
}

/// The schedule of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRow {
    /// Its tokens, 16 hexadecimal digits each.
    pub text: String,
    /// What each token means, with the clock it means.
    pub meanings: Vec<String>,
    /// The zone of tokens that are not in UTC.
    pub zone: String,
    /// The next run; none when there is none any more.
    pub next_at: Option<Timestamp>,
}

/// Where a refresh request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshPhase {
    /// Waits for the refresh loop.
    Waiting,
    /// The source is being read.
    Running,
    /// An attempt failed; another follows.
    Retrying,
    /// Ended without a version.
    Failed,
}

/// A refresh that has not ended, or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshState {
    /// Where it stands.
    pub state: RefreshPhase,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Failed attempts.
    pub attempts: u32,
    /// When the next attempt is due.
    pub next_attempt: Option<Timestamp>,
    /// Why it waits or failed.
    pub why: Option<Why>,
}

/// A package after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageChanged {
    /// The package.
    pub package: PackageRow,
    /// The refresh that a changed source path is.
    pub refresh: Option<RefreshAccepted>,
}

/// A package that is being deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageDeleted {
    /// The package.
    pub package: PackageId,
    /// Distribution points that are still to remove it.
    pub points_waiting: u32,
}

/// A refresh request that is durable and visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshAccepted {
    /// The package.
    pub package: PackageId,
    /// The request's number; see [`PackageRow::requests_done`].
    pub request: u64,
    /// `SourceVersion` before.
    pub source_version: SourceVersion,
    /// Distribution points that will get the new version.
    pub targeted: u32,
    /// Whether it joins a request that still waits: both are one run and one version.
    pub joined: bool,
}

/// What a cancellation found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshCancelled {
    /// The package.
    pub package: PackageId,
    /// False when there was nothing to cancel.
    pub was_pending: bool,
}

/// Who owns a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerChanged {
    /// The package.
    pub package: PackageId,
    /// The site that owns it.
    pub source_site: SiteCode,
    /// The one that owned it before; the same when nothing changed.
    pub before: SiteCode,
}

/// What became of the distribution points that were named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetsChanged {
    /// The package.
    pub package: PackageId,
    /// In the order they were named, each once.
    pub points: Vec<PointChanged>,
}

/// One distribution point of [`TargetsChanged`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointChanged {
    /// Its name.
    pub point: DistributionPointName,
    /// False when it was already as asked.
    pub changed: bool,
}

/// A package with its distribution points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageStatus {
    /// The package.
    pub package: PackageRow,
    /// Distribution points by where they stand.
    #[serde(flatten)]
    pub counters: Counters,
    /// Each of them by name.
    pub targets: Vec<TargetRow>,
    /// What other sites, and this one of a package that is sent to it, hold of it. Empty where it
    /// never left its site.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<CopyRow>,
}

/// Where a site stands with the content of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyState {
    /// Asked for.
    Asked,
    /// On its way.
    Sending,
    /// Stored.
    Stored,
    /// An attempt failed; another follows.
    Retrying,
    /// Given up.
    Failed,
}

/// What a site holds of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRow {
    /// The site.
    pub site: SiteCode,
    /// Where it stands.
    pub state: CopyState,
    /// The version that is asked for or stored.
    pub version: SourceVersion,
    /// Why it is not stored.
    pub why: Option<Why>,
    /// When it became so.
    pub at: Timestamp,
}

/// One package on one distribution point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRow {
    /// The distribution point.
    pub point: DistributionPointName,
    /// Its site.
    pub site: SiteCode,
    /// Its NAL path.
    pub nal_path: String,
    /// The one state all other columns are views of.
    pub state: TargetState,
    /// `SMS_PackageStatusDistPointsSummarizer.State`.
    pub summarizer_state: u32,
    /// `SMS_PackageStatus.Status`.
    pub package_status: u32,
    /// `MessageState`.
    pub message_state: u32,
    /// `MessageID`.
    pub message_id: Option<u32>,
    /// `SMS_DistributionPoint.Status`.
    pub point_status: u32,
    /// The version the last job was for.
    pub wanted_version: SourceVersion,
    /// The version it serves at present; 0 before the first.
    pub serving_version: SourceVersion,
    /// The last activation or redistribution.
    pub last_copied_at: Option<Timestamp>,
    /// Failed attempts.
    pub attempts: u32,
    /// When the next attempt is due.
    pub next_attempt: Option<Timestamp>,
    /// Why it is not installed.
    pub why: Option<Why>,
    /// Bytes the last ended job received.
    pub bytes_received: u64,
    /// Whether the distribution point is connected to its site.
    pub is_connected: bool,
}

/// A published version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRow {
    /// The package.
    pub package: PackageId,
    /// The site's epoch.
    pub epoch: Epoch,
    /// The version.
    pub version: SourceVersion,
    /// The digest of its manifest's root; equal roots are equal trees.
    pub root: Digest,
    /// Length of the root page in bytes.
    pub root_length: u32,
    /// Pages of the manifest.
    pub pages: u64,
    /// Chunk references.
    pub chunks: u64,
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Files alone.
    pub files: u64,
    /// Bytes read from the source for it.
    pub bytes_read: u64,
    /// Bytes that were not in the library before.
    pub bytes_new: u64,
    /// Chunks that were not in the library before.
    pub chunks_new: u64,
    /// When it was published.
    pub published_at: Timestamp,
    /// How long the run took.
    pub duration_ms: u64,
    /// Whether it is the stored version.
    pub is_current: bool,
}

/// A status message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRow {
    /// Rises with each message.
    pub record: i64,
    /// When.
    pub time: Timestamp,
    /// Its number.
    pub message_id: u32,
    /// How bad it is.
    pub severity: Severity,
    /// Who said it.
    pub component: String,
    /// The sentence.
    pub text: String,
    /// The package it is about.
    pub package: Option<PackageId>,
    /// The site that raised it; none for one from before it was made.
    pub site: Option<SiteCode>,
    /// Insertion strings from 1 on.
    pub insertion_strings: Vec<String>,
    /// Attributes by number.
    pub attributes: Vec<(u32, String)>,
}

/// An enrolled distribution point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointRow {
    /// Its name.
    pub point: DistributionPointName,
    /// Its site.
    pub site: SiteCode,
    /// Its NAL path.
    pub nal_path: String,
    /// Whether it is connected to its site.
    pub is_connected: bool,
    /// When it connected or disconnected last.
    pub last_seen_at: Option<Timestamp>,
    /// When it joined.
    pub enrolled_at: Timestamp,
    /// When its certificate ends.
    pub certificate_expires: Timestamp,
    /// Where it serves content.
    pub serve_urls: Vec<String>,
    /// The id of its library.
    pub library_id: Option<String>,
    /// What program it runs.
    pub software: Option<String>,
    /// Packages distributed to it.
    pub packages: u32,
    /// Of these, installed.
    pub installed: u32,
}

/// A registered source folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRootRow {
    /// Its name.
    pub name: String,
    /// The folder.
    pub folder: String,
    /// Other forms that name it.
    pub aliases: Vec<String>,
    /// The IDs of its security scopes.
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// A loop of the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopRow {
    /// Its name.
    pub name: String,
    /// When it last looked for work.
    pub last_run_at: Timestamp,
    /// What came of it.
    pub result: String,
    /// How much waits.
    pub queue: u64,
}

/// The site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteRow {
    /// Its code.
    pub site: SiteCode,
    /// `secondary`, `primary` or `central`.
    pub site_type: SiteType,
    /// The site above; none for the top.
    pub parent: Option<SiteCode>,
    /// Its epoch.
    pub epoch: Epoch,
    /// When it was made.
    pub created_at: Timestamp,
    /// SHA-256 of its CA's certificate, in hex.
    pub ca_fingerprint: String,
    /// Its root public key, in hex.
    pub root_public_key: String,
}

//! The lines of the control protocol. Source: docs/formats/control.md.

use std::path::PathBuf;

use restock_names::{ContentVersion, Digest, PackageId, SiteCode, SourceVersion, Timestamp};
use restock_provider::Operation;
use restock_provider::admin::AdminOperation;
use restock_provider::audit::Head;
use restock_provider::rows::PackageStatus;
use restock_site::Progress;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::content_rows::VersionRef;
use super::site_rows::SiteTree;
use crate::config::Role;
use crate::failure::Failure;

/// The version of the protocol that this program speaks.
pub(crate) const VERSION: u32 = 1;
/// The longest request line in bytes, with its line break.
pub(crate) const REQUEST_BYTES_MAX: usize = 1 << 20;
/// The longest answer line in bytes that a command reads.
pub(crate) const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// Entries of a package in one event of [`Ask::Files`].
pub(crate) const FILES_PER_EVENT: usize = 500;

/// One request line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// [`VERSION`].
    pub(crate) restock: u32,
    /// Chosen by the caller, repeated in every line that answers.
    pub(crate) id: u64,
    /// Makes a change happen once however often it is sent; 1-64 printable ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<String>,
    pub(crate) ask: Ask,
}

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Who answers: [`Hello`].
    Hello,
    /// One operation of the provider: its answer. Site only.
    Perform(Operation),
    /// One operation on accounts, roles, scopes or tokens: its answer. Site only.
    Administer(AdminOperation),
    /// Walks the audit trail, which must hold the heads `known`: `restock_provider::audit::Verified`.
    /// Site only.
    VerifyAudit { known: Vec<Head> },
    /// The audit trail: events are arrays of [`super::admin_desk::RecordLine`], the answer is their
    /// number. Site only.
    ExportAudit,
    /// Objects of the classes, with the rights of an account of the site or with all. Site only.
    Objects(ObjectAsk),
    /// A new enrolment token: [`TokenGiven`]. Site only.
    CreateToken { kind: TokenFor, name: String, valid_ms: u64 },
    /// A new content token, for these packages or all: `restock_site::ContentTokenMade`. Site only.
    CreateContentToken { packages: Option<Vec<PackageId>>, valid_ms: u64 },
    /// The entries of a version: events are arrays of [`FileLine`], the answer is [`FilesEnd`]. Site only.
    Files { package: PackageId, version: Option<SourceVersion> },
    /// The manifest of a version in the library: [`super::ContentRoot`].
    ContentRoot(VersionRef),
    /// Chunks and pages by digest: events are [`super::FrameLine`]s, the answer is their number.
    Frames { digests: Vec<Digest> },
    /// What differs between two versions: events are arrays of [`super::DiffLine`]s, the answer is
    /// [`super::DiffEnd`].
    Diff { before: VersionRef, after: VersionRef },
    /// Makes a plan of a refresh: events are [`super::PlanEvent`]s, the answer is [`super::PlanMade`].
    /// Site only.
    Plan { package: PackageId, keep_ms: u64 },
    /// Carries a plan out: events are [`super::PlanEvent`]s, the answer is [`super::PlanApplied`]. Site
    /// only.
    ApplyPlan { plan: String },
    /// The plans that are kept: an array of `restock_site::Plan`. Site only.
    ListPlans,
    /// Forgets a plan, and answers it. Site only.
    DiscardPlan { plan: String },
    /// Live bytes: `restock_site::Progress`. Site only.
    Progress,
    /// Status and live bytes, first at once, then at each change and at least once a second: events
    /// are [`Watched`]. It ends when the caller closes the connection. Site only.
    Watch { package: Option<PackageId> },
    /// The hierarchy as this site sees it: [`SiteTree`]. Site only.
    SiteTree,
    /// Takes this site out from below the one above it: `restock_site::Left`. Site only.
    LeaveSite,
    /// Removes and revokes a site directly below: [`super::SiteRemoved`]. Site only.
    RemoveSite { site: SiteCode },
    /// Saves the site in a file that is not there yet: [`super::BackedUp`]. Site only.
    BackUp { file: String },
    /// How far a change of the site's certificate authority is: [`super::AuthorityChange`], or null.
    /// Site only.
    AuthorityChange,
    /// Begins to change the site's certificate authority, or tells how far a change is:
    /// [`super::AuthorityChange`]. Site only.
    RotateAuthority { within_ms: Option<u64> },
    /// Re-hashes every frame: events are [`CheckProgress`], the answer is [`LibraryChecked`].
    CheckLibrary,
    /// Counts and sizes: [`LibraryMeasured`].
    StatLibrary,
    /// Deletes what no kept version refers to: [`super::LibraryTidied`].
    CleanLibrary { grace_ms: Option<u64> },
    /// Brings back what is missing or damaged: [`super::LibraryRepaired`].
    RepairLibrary,
    /// Publishes an older version's content again: `restock_site::RolledBack`. Site only.
    RollBack { package: PackageId, version: SourceVersion },
}

/// What is asked about objects, and with whose rights.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectAsk {
    /// An account of the site; none: all rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) r#as: Option<String>,
    pub(crate) verb: ObjectVerb,
}

/// What is asked about objects. Values are JSON and get their types from the declarations.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ObjectVerb {
    /// Rows: events are arrays of objects, the answer is [`QueryEnd`].
    Query { wql: String },
    /// One object, whole.
    Get { path: String },
    /// Properties of an object, or of a new one when the path is a class: the object afterwards.
    Put { path: String, values: Map<String, Value> },
    /// Removes an object: its path.
    Delete { path: String },
    /// Calls a method: `ReturnValue` and the out-parameters.
    Invoke { path: String, method: String, arguments: Map<String, Value> },
}

/// The end of [`ObjectVerb::Query`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct QueryEnd {
    /// The class of the rows.
    pub(crate) class: String,
    pub(crate) rows: u64,
}

/// Whom a token lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TokenFor {
    /// A distribution point.
    Dp,
    /// Another site.
    Site,
}

/// One line that answers a request: any number of events, then an answer or a failure.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) id: u64,
    #[serde(flatten)]
    pub(crate) body: Body,
}

/// What a reply carries.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Body {
    Event(Value),
    Answer(Value),
    Failure(Failure),
}

/// Who answers on a control socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) role: Role,
    pub(crate) software: String,
    pub(crate) pid: u32,
    pub(crate) data_dir: PathBuf,
    pub(crate) site_code: SiteCode,
    /// The name of a distribution point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Where a site's DPs connect, or where a DP serves content.
    pub(crate) url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) metrics: Option<String>,
    /// Of a site: where management requests go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) admin_service: Option<AdminServiceAt>,
    /// Of a DP: its control connection to the site is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) is_connected: Option<bool>,
    /// Of a DP: since when its site has not vouched for what it tells (`STALE_METADATA`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stale_since: Option<Timestamp>,
}

/// Where a site's doors for management requests are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct AdminServiceAt {
    /// Its base, with HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// The same without TLS, on loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http_url: Option<String>,
    /// WS-Management, with HTTPS and without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wsman: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wsman_http: Option<String>,
    /// The same for bodies sealed with NTLM alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wsman_sealed: Option<String>,
    /// CIM-XML, with HTTPS and without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cimom: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cimom_http: Option<String>,
    /// The certificate of the site's CA, in PEM: what clients must trust.
    pub(crate) ca_file: PathBuf,
}

/// An enrolment token; shown once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TokenGiven {
    pub(crate) token: String,
    pub(crate) kind: TokenFor,
    pub(crate) name: String,
    pub(crate) expires_at: Timestamp,
}

/// One event of [`Ask::Watch`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub(crate) at: Timestamp,
    /// Absent when it is the same as in the event before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) packages: Option<Vec<PackageStatus>>,
    /// The hierarchy. Absent when it is the same as in the event before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sites: Option<SiteTree>,
    pub(crate) progress: Progress,
}

/// One entry of a package.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FileLine {
    /// The path; bytes that are not UTF-8 are replaced, and `path_hex` has them all.
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path_hex: Option<String>,
    pub(crate) kind: FileKind,
    /// Bytes of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    /// Permission bits, as `0644`.
    pub(crate) mode: String,
    /// Nanoseconds since 1970 in UTC.
    pub(crate) mtime_ns: i64,
    /// Target of a symlink; bytes that are not UTF-8 are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
}

/// The kinds of entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileKind {
    File,
    Folder,
    Symlink,
}

/// The end of [`Ask::Files`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FilesEnd {
    pub(crate) version: ContentVersion,
    pub(crate) root: Digest,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

/// One event of [`Ask::CheckLibrary`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct CheckProgress {
    /// Stored bytes that were read.
    pub(crate) bytes: u64,
    /// Stored bytes there were when the check began.
    pub(crate) bytes_total: u64,
}

/// The result of `library check`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LibraryChecked {
    pub(crate) packs: u64,
    pub(crate) frames: u64,
    /// Stored bytes that were read.
    pub(crate) bytes: u64,
    pub(crate) duration_ms: u64,
    /// One sentence for each thing that is wrong.
    pub(crate) problems: Vec<String>,
    /// Damaged frames in whose place a right copy in another pack is read.
    #[serde(default)]
    pub(crate) replaced: u64,
}

/// The result of `library stat`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LibraryMeasured {
    pub(crate) library_id: String,
    pub(crate) packs: u64,
    /// Frames in them; a digest that lies in two packs counts twice.
    pub(crate) frames: u64,
    /// Bytes of pack data on disk.
    pub(crate) stored_bytes: u64,
    /// Bytes of all frames before compression.
    pub(crate) decoded_bytes: u64,
    /// Chunks that are stored raw, and their bytes. Cleaning compresses those of a site that shrink.
    pub(crate) raw_chunks: u64,
    pub(crate) raw_bytes: u64,
    /// Frames in the index file, and frames that are found through memory.
    pub(crate) frames_in_index: u64,
    pub(crate) frames_in_memory: u64,
    /// Stored versions of all packages.
    pub(crate) versions: u64,
    /// What is active.
    pub(crate) packages: Vec<PackageHeld>,
}

/// The version of a package that a library serves from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PackageHeld {
    pub(crate) package: PackageId,
    pub(crate) version: SourceVersion,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    /// Digest of the manifest's root page.
    pub(crate) root: Digest,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Ask, Body, Reply, Request};

    /// Lines as version 1 has them for ever.
    const REQUESTS: [&str; 25] = [
        r#"{"restock":1,"id":1,"ask":"hello"}"#,
        r#"{"restock":1,"id":2,"request_id":"a-1","ask":{"perform":{"operation":"refresh_pkg_source","package":"xyz00001"}}}"#,
        r#"{"restock":1,"id":3,"ask":{"perform":{"operation":"add_distribution_points","package":"XYZ00001","points":["DP01"]}}}"#,
        r#"{"restock":1,"id":4,"ask":{"perform":{"operation":"create_package","name":"n","source_path":"/s","source_flag":"direct","is_public":true}}}"#,
        r#"{"restock":1,"id":5,"ask":{"perform":{"operation":"status","package":null}}}"#,
        r#"{"restock":1,"id":6,"ask":{"create_token":{"kind":"dp","name":"DP01","valid_ms":3600000}}}"#,
        r#"{"restock":1,"id":7,"ask":{"files":{"package":"XYZ00001","version":2}}}"#,
        r#"{"restock":1,"id":8,"ask":"progress"}"#,
        r#"{"restock":1,"id":9,"ask":{"watch":{"package":null}}}"#,
        r#"{"restock":1,"id":10,"ask":"check_library"}"#,
        r#"{"restock":1,"id":11,"ask":"stat_library"}"#,
        r#"{"restock":1,"id":12,"ask":{"objects":{"as":"auditor","verb":{"query":{"wql":"SELECT * FROM SMS_Site"}}}}}"#,
        r#"{"restock":1,"id":13,"ask":{"objects":{"verb":{"put":{"path":"SMS_Package","values":{"Name":"n"}}}}}}"#,
        r#"{"restock":1,"id":14,"ask":{"objects":{"verb":{"invoke":{"path":"SMS_Site","method":"M","arguments":{}}}}}}"#,
        r#"{"restock":1,"id":15,"ask":"site_tree"}"#,
        r#"{"restock":1,"id":16,"ask":"leave_site"}"#,
        r#"{"restock":1,"id":17,"ask":{"remove_site":{"site":"DEF"}}}"#,
        r#"{"restock":1,"id":18,"ask":{"back_up":{"file":"/backup/abc"}}}"#,
        r#"{"restock":1,"id":19,"ask":{"rotate_authority":{"within_ms":null}}}"#,
        r#"{"restock":1,"id":20,"ask":{"plan":{"package":"XYZ00001","keep_ms":3600000}}}"#,
        r#"{"restock":1,"id":21,"ask":{"diff":{"before":{"package":"XYZ00001","version":1},"after":{"package":"XYZ00001","version":null}}}}"#,
        r#"{"restock":1,"id":22,"ask":{"apply_plan":{"plan":"XYZ00001-0f1e2d3c"}}}"#,
        r#"{"restock":1,"id":23,"ask":{"clean_library":{"grace_ms":null}}}"#,
        r#"{"restock":1,"id":24,"ask":"repair_library"}"#,
        r#"{"restock":1,"id":25,"ask":{"roll_back":{"package":"XYZ00001","version":2}}}"#,
    ];

    #[test]
    fn lines_of_version_1_are_understood() {
        for (n, line) in REQUESTS.iter().enumerate() {
            let request: Request = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
            assert_eq!((request.restock, request.id), (1, n as u64 + 1));
            let again: Request = serde_json::from_str(&serde_json::to_string(&request).unwrap()).unwrap();
            assert_eq!(format!("{request:?}"), format!("{again:?}"));
        }
        let failure = r#"{"id":7,"failure":{"kind":"not_found","code":"NOT_FOUND","message":"NOT_FOUND: x","try":["y"]}}"#;
        let reply: Reply = serde_json::from_str(failure).unwrap();
        let Body::Failure(failure) = reply.body else { panic!("{reply:?}") };
        assert_eq!((failure.kind.exit_code(), failure.hints.as_slice()), (4, &["y".to_owned()][..]));
        for line in [r#"{"id":1,"event":[1]}"#, r#"{"id":1,"answer":null}"#] {
            assert!(serde_json::from_str::<Reply>(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn the_examples_of_the_documentation_are_lines() {
        let document = include_str!("../../../../docs/formats/control.md");
        let mut seen = 0;
        for line in document.lines().filter_map(|l| l.strip_prefix("    {")) {
            let line = format!("{{{line}");
            if line.contains('\u{2026}') {
                continue;
            }
            let value: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
            let is_line = match value.get("restock") {
                Some(_) => serde_json::from_value::<Request>(value).is_ok(),
                None => serde_json::from_value::<Reply>(value).is_ok(),
            };
            assert!(is_line, "{line}");
            seen += 1;
        }
        let asks = document.lines().filter_map(|l| l.strip_prefix("| `")?.split_once("` | "));
        for (ask, rest) in asks.filter(|(_, rest)| rest.starts_with("both |") || rest.starts_with("site |")) {
            let ask = ask.replace("{\"operation\": \u{2026}}", "{\"operation\":\"list_points\"}");
            assert!(serde_json::from_str::<Ask>(&ask).is_ok(), "{ask} {rest}");
            seen += 1;
        }
        assert_eq!(seen, 30, "all examples were found");
    }
}

//! Status messages: numbered, with insertion strings and attributes that scripts read.
//!
//! [`Message`] is one message; the functions beside it make those this site raises, so that the
//! order of strings and attributes stands in one place. Source: docs/status-messages.md.

mod store;

use restock_names::{NalPath, PackageId, SiteCode, SourceVersion, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Why;

/// Attribute: package ID.
pub const ATTRIBUTE_PACKAGE: u32 = 400;
/// Attribute: user.
pub const ATTRIBUTE_USER: u32 = 403;
/// Attribute: distribution point, as a NAL path.
pub const ATTRIBUTE_POINT: u32 = 404;
/// Attribute: package version.
pub const ATTRIBUTE_VERSION: u32 = 410;

/// Attribute: site code.
pub const ATTRIBUTE_SITE: u32 = 409;
/// The component that takes content of other sites.
pub const DESPOOLER: &str = "SMS_DESPOOLER";

/// The component that reads sources and hands jobs over.
pub const DISTRIBUTION_MANAGER: &str = "SMS_DISTRIBUTION_MANAGER";
/// The component that watches transfers.
pub const TRANSFER_MANAGER: &str = "SMS_PACKAGE_TRANSFER_MANAGER";

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Information or success.
    Info,
    /// Something failed and is tried again.
    Warning,
    /// Something failed for good.
    Error,
}

impl Severity {
    /// The number `SMS_StatusMessage.Severity` shows.
    pub fn number(self) -> u32 {
        match self {
            Self::Info => 0x4000_0000,
            Self::Warning => 0x8000_0000,
            Self::Error => 0xC000_0000,
        }
    }

    fn of_number(number: u32) -> Self {
        match number {
            0x8000_0000 => Self::Warning,
            0xC000_0000 => Self::Error,
            _ => Self::Info,
        }
    }
}

/// A status message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its number.
    pub id: u32,
    /// How bad it is.
    pub severity: Severity,
    /// Who says it.
    pub component: &'static str,
    /// The package it is about.
    pub package: PackageId,
    /// Strings 1 to n.
    pub strings: Vec<String>,
    /// Attributes by number, beside the package.
    pub attributes: Vec<(u32, String)>,
}

/// A message as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Rises with each message.
    pub record: i64,
    /// Its number.
    pub id: u32,
    /// How bad it is.
    pub severity: Severity,
    /// Who said it.
    pub component: String,
    /// When.
    pub time: Timestamp,
    /// The package it is about.
    pub package: Option<PackageId>,
    /// Strings 1 to n.
    pub strings: Vec<String>,
    /// Attributes by number.
    pub attributes: Vec<(u32, String)>,
    /// The site that raised it.
    pub site: Option<SiteCode>,
}

/// Runs of a schedule that did not start in time. Shown as one phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissedRuns {
    /// When the first of them was due.
    pub first: Timestamp,
    /// How many there were.
    pub count: u32,
    /// Whether they were counted to the end.
    pub is_all: bool,
}

impl std::fmt::Display for MissedRuns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { first, count, is_all } = self;
        let least = if *is_all { "" } else { "at least " };
        let runs = if *count == 1 { "run" } else { "runs" };
        write!(f, "{least}{count} {runs} missed since {first}")
    }
}

fn manager(id: u32, package: PackageId, strings: Vec<String>) -> Message {
    Message {
        id,
        severity: Severity::Info,
        component: DISTRIBUTION_MANAGER,
        package,
        strings,
        attributes: Vec::new(),
    }
}

fn about_point(id: u32, component: &'static str, package: PackageId, nal: &NalPath) -> Message {
    Message {
        id,
        severity: Severity::Info,
        component,
        package,
        strings: vec![package.to_string(), nal.to_string()],
        attributes: vec![(ATTRIBUTE_POINT, nal.to_string())],
    }
}

fn transfer(id: u32, package: PackageId, version: SourceVersion, point: &str, nal: &NalPath) -> Message {
    Message {
        id,
        severity: Severity::Info,
        component: TRANSFER_MANAGER,
        package,
        strings: vec![package.to_string(), version.to_string(), point.to_owned()],
        attributes: vec![(ATTRIBUTE_VERSION, version.to_string()), (ATTRIBUTE_POINT, nal.to_string())],
    }
}

/// 2300: begins to process a package.
pub fn processing(package: PackageId, name: &str) -> Message {
    manager(2300, package, vec![name.to_owned(), package.to_string()])
}

/// 2376: the source's snapshot is taken.
pub fn snapshot_taken(package: PackageId, version: SourceVersion) -> Message {
    let mut message = manager(2376, package, vec![package.to_string()]);
    message.attributes.push((ATTRIBUTE_VERSION, version.to_string()));
    message
}

/// 2311: the package is created or updated at this site.
pub fn updated(package: PackageId, version: SourceVersion) -> Message {
    let mut message = manager(2311, package, vec![package.to_string()]);
    message.attributes.push((ATTRIBUTE_VERSION, version.to_string()));
    message
}

/// 2301: the package was processed.
pub fn processed(package: PackageId, name: &str) -> Message {
    manager(2301, package, vec![name.to_owned(), package.to_string()])
}

/// 2306: the source could not be read; it is tried again.
pub fn source_failed(package: PackageId, name: &str, path: &str, why: &Why) -> Message {
    let strings =
        vec![package.to_string(), name.to_owned(), path.to_owned(), why.rule.clone(), why.text.clone()];
    Message { severity: Severity::Warning, ..manager(2306, package, strings) }
}

/// 2302: processing failed. `is_last` when it is not tried again.
pub fn processing_failed(package: PackageId, name: &str, attempts: u32, why: &Why, is_last: bool) -> Message {
    let strings =
        vec![package.to_string(), name.to_owned(), attempts.to_string(), why.rule.clone(), why.text.clone()];
    let severity = if is_last { Severity::Error } else { Severity::Warning };
    Message { severity, ..manager(2302, package, strings) }
}

/// 2361: a version waits for room on the disk of the site's library.
pub fn waits_for_space(package: PackageId, name: &str, why: &Why) -> Message {
    let strings = vec![package.to_string(), name.to_owned(), why.rule.clone(), why.text.clone()];
    Message { severity: Severity::Warning, ..manager(2361, package, strings) }
}

/// 2361: a version waits for room at a distribution point.
pub fn point_waits_for_space(package: PackageId, nal: &NalPath, why: &Why) -> Message {
    let mut message = about_point(2361, DISTRIBUTION_MANAGER, package, nal);
    message.severity = Severity::Warning;
    message.strings.extend([why.rule.clone(), why.text.clone()]);
    message
}

/// 2342: begins to distribute to a distribution point.
pub fn distributing(package: PackageId, nal: &NalPath) -> Message {
    about_point(2342, DISTRIBUTION_MANAGER, package, nal)
}

/// 2357: the job was handed to the transfer manager.
pub fn job_handed_over(package: PackageId, nal: &NalPath) -> Message {
    about_point(2357, DISTRIBUTION_MANAGER, package, nal)
}

/// 2330: the distribution point serves the version.
pub fn distributed(package: PackageId, nal: &NalPath) -> Message {
    about_point(2330, DISTRIBUTION_MANAGER, package, nal)
}

/// 2328: an attempt to distribute, or to remove, failed; it is tried again.
pub fn attempt_failed(package: PackageId, nal: &NalPath, why: &Why) -> Message {
    let mut message = about_point(2328, DISTRIBUTION_MANAGER, package, nal);
    message.severity = Severity::Warning;
    message.strings.extend([why.rule.clone(), why.text.clone()]);
    message
}

/// 2382 or 2385: the distribution point found served content that is wrong or missing.
pub fn damaged(id: u32, package: PackageId, nal: &NalPath, why: &Why) -> Message {
    let mut message = about_point(id, DISTRIBUTION_MANAGER, package, nal);
    message.severity = Severity::Error;
    message.strings.extend([why.rule.clone(), why.text.clone()]);
    message
}

/// 2384: the content the distribution point serves is right again.
pub fn healed(package: PackageId, nal: &NalPath) -> Message {
    about_point(2384, DISTRIBUTION_MANAGER, package, nal)
}

/// 8203: distribution to a distribution point was given up or cancelled.
pub fn gave_up(package: PackageId, version: SourceVersion, point: &str, nal: &NalPath, why: &Why) -> Message {
    let mut message = transfer(8203, package, version, point, nal);
    message.severity = Severity::Error;
    message.strings.extend([why.rule.clone(), why.text.clone()]);
    message
}

/// 8204: content is on its way.
pub fn sending(package: PackageId, version: SourceVersion, point: &str, nal: &NalPath) -> Message {
    transfer(8204, package, version, point, nal)
}

/// 8200: all content has arrived.
pub fn sent(package: PackageId, version: SourceVersion, point: &str, nal: &NalPath) -> Message {
    transfer(8200, package, version, point, nal)
}

/// 8210: the distribution point's status was reported.
pub fn reported(package: PackageId, version: SourceVersion, point: &str, nal: &NalPath) -> Message {
    transfer(8210, package, version, point, nal)
}

fn about_site(id: u32, package: PackageId, version: SourceVersion, site: SiteCode) -> Message {
    let mut message = manager(id, package, vec![package.to_string(), site.to_string()]);
    message.attributes.push((ATTRIBUTE_SITE, site.to_string()));
    message.attributes.push((ATTRIBUTE_VERSION, version.to_string()));
    message
}

/// 2333: a site whose distribution points get the version is told of it.
pub fn sending_to_site(package: PackageId, version: SourceVersion, site: SiteCode) -> Message {
    about_site(2333, package, version, site)
}

/// 4400: content that came from `site` is stored.
pub fn received(package: PackageId, version: SourceVersion, site: SiteCode) -> Message {
    Message { component: DESPOOLER, ..about_site(4400, package, version, site) }
}

/// 60010: the schedule asked for a refresh.
pub fn schedule_ran(package: PackageId, name: &str, due: Timestamp) -> Message {
    manager(60010, package, vec![package.to_string(), name.to_owned(), due.to_string()])
}

/// 60011: one refresh was asked for in place of the runs that were missed.
pub fn schedule_missed(package: PackageId, name: &str, missed: &MissedRuns) -> Message {
    let strings = vec![
        package.to_string(),
        name.to_owned(),
        missed.count.to_string(),
        missed.first.to_string(),
        missed.to_string(),
    ];
    Message { severity: Severity::Warning, ..manager(60011, package, strings) }
}

/// 60030: a version holds names that other systems cannot hold.
pub fn names_warned(package: PackageId, version: SourceVersion, name: &str, why: &Why) -> Message {
    let strings =
        vec![package.to_string(), name.to_owned(), version.to_string(), why.rule.clone(), why.text.clone()];
    let attributes = vec![(ATTRIBUTE_VERSION, version.to_string())];
    Message { severity: Severity::Warning, attributes, ..manager(60030, package, strings) }
}

/// 60020: an object that a neighbouring site sent was refused.
pub fn object_refused(package: PackageId, from: SiteCode, kind: &str, key: &str, why: &Why) -> Message {
    let strings = vec![
        package.to_string(),
        from.to_string(),
        kind.to_owned(),
        key.to_owned(),
        why.rule.clone(),
        why.text.clone(),
    ];
    let attributes = vec![(ATTRIBUTE_SITE, from.to_string())];
    Message { severity: Severity::Warning, attributes, ..manager(60020, package, strings) }
}

/// 60021: two contents were published under one version.
pub fn version_conflict(package: PackageId, version: SourceVersion, signer: SiteCode, why: &Why) -> Message {
    let strings = vec![package.to_string(), version.to_string(), signer.to_string(), why.text.clone()];
    let attributes = vec![(ATTRIBUTE_SITE, signer.to_string()), (ATTRIBUTE_VERSION, version.to_string())];
    Message { severity: Severity::Error, attributes, ..manager(60021, package, strings) }
}

/// The sentence people read for a kept message.
pub fn text(id: u32, strings: &[String]) -> String {
    let s = |position: usize| strings.get(position - 1).map_or("", String::as_str);
    match id {
        2300 => format!("Began to process package {} ({}).", s(2), s(1)),
        2301 => format!("Processed package {} ({}).", s(2), s(1)),
        2302 => format!("Processing package {} ({}) failed at attempt {}: {}", s(1), s(2), s(3), s(5)),
        2306 => format!("The source {} of package {} ({}) could not be read: {}", s(3), s(1), s(2), s(5)),
        2311 => format!("Package {} was created or updated at this site.", s(1)),
        2328 => format!("Package {} could not be brought to {}: {}", s(1), s(2), s(4)),
        2330 => format!("Package {} was distributed to {}.", s(1), s(2)),
        2333 => format!("Began to send package {} to site {}.", s(1), s(2)),
        4400 => format!("Package {} was received from site {} and stored.", s(1), s(2)),
        2342 => format!("Began to distribute package {} to {}.", s(1), s(2)),
        2357 => {
            format!("The job that brings package {} to {} was handed to the transfer manager.", s(1), s(2))
        }
        2361 => format!("Package {} waits for room on the disk of {}: {}", s(1), s(2), s(4)),
        2376 => format!("The snapshot of the source of package {} was taken.", s(1)),
        2382 => format!("Content of package {} at {} does not have its digest: {}", s(1), s(2), s(4)),
        2384 => format!("The content of package {} at {} is right.", s(1), s(2)),
        2385 => format!("Content of package {} is missing at {}: {}", s(1), s(2), s(4)),
        8200 => format!("All content of package {} version {} has arrived at {}.", s(1), s(2), s(3)),
        8203 => format!("Distribution of package {} version {} to {} ended: {}", s(1), s(2), s(3), s(5)),
        8204 => format!("Package {} version {} is being sent to {}.", s(1), s(2), s(3)),
        60010 => format!("The schedule of package {} ({}) asked for the refresh of {}.", s(1), s(2), s(3)),
        60011 => {
            format!("One refresh of package {} ({}) catches up with its schedule: {}.", s(1), s(2), s(5))
        }
        60020 => format!("What site {} said about package {} was refused ({}): {}", s(2), s(1), s(5), s(6)),
        60021 => format!("Package {} has two contents under version {}: {}", s(1), s(2), s(4)),
        60030 => format!("Package {} ({}) version {}: {}", s(1), s(2), s(3), s(5)),
        8210 => format!("{} reported package {} version {}.", s(3), s(1), s(2)),
        _ => format!("Message {id}: {}", strings.join(", ")),
    }
}

/// The NAL path of a distribution point of the site.
pub(crate) fn nal(site: SiteCode, point: &restock_names::DistributionPointName) -> NalPath {
    NalPath::new(site, point)
}

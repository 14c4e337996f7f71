//! The table behind docs/errors.md: codes, statuses and the parts of `ErrorCode`.
//!
//! Layout of `ErrorCode`: bits 31-30 severity, 27-22 facility, 21-16 action, 15-8 object,
//! 7-0 reason. Source: the SDK's page on SMS_ExtendedStatus; its header of numbers is not public,
//! so the numbers in the fields are Restock's own.

use std::fmt::Write as _;

use restock_cim::Status;

/// How grave a refusal is: bits 31-30.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    /// The request cannot be done as it is.
    Functional = 1,
    /// The site could not do it; the same call may succeed later.
    Minor = 2,
    /// The client should stop.
    Major = 3,
}

/// Where it was refused: bits 27-22.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Facility {
    /// The provider's own rules.
    Provider = 1,
    /// Files and folders.
    File = 2,
    /// The site database.
    Database = 3,
    /// Rights.
    Security = 4,
}

/// What was being done: bits 21-16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// One object was read.
    Get = 1,
    /// A query ran.
    Query = 2,
    /// An object was written.
    Put = 3,
    /// An object was deleted.
    Delete = 4,
    /// A method was called.
    Method = 8,
}

impl Action {
    /// The operation's name in `Operation`.
    pub(crate) fn operation(self) -> &'static str {
        match self {
            Self::Get => "GetObject",
            Self::Query => "ExecQuery",
            Self::Put => "PutInstance",
            Self::Delete => "DeleteInstance",
            Self::Method => "ExecMethod",
        }
    }
}

const ACTIONS: [Action; 5] = [Action::Get, Action::Query, Action::Put, Action::Delete, Action::Method];

/// The classes that have a number of their own in bits 15-8; every other has 1.
const OBJECTS: [(u32, &str); 21] = [
    (2, "SMS_Package"),
    (3, "SMS_Program"),
    (4, "SMS_DistributionPoint"),
    (5, "SMS_DistributionPointGroup"),
    (6, "SMS_Site"),
    (7, "SMS_DistributionPointInfo"),
    (8, "SMS_NAL_Methods"),
    (9, "SMS_Identification"),
    (10, "SMS_ScheduleMethods"),
    (11, "SMS_StatusMessage"),
    (12, "SMS_Role"),
    (13, "SMS_Admin"),
    (14, "SMS_SecuredCategory"),
    (15, "SMS_SecuredCategoryMembership"),
    (16, "SMS_RbacSecuredObject"),
    (17, "SMS_ProviderLocation"),
    (18, "SMS_SystemResourceList"),
    (19, "SMS_PackageBaseclass"),
    (20, "SMS_DPGroupMembers"),
    (21, "SMS_DPGroupPackages"),
    (22, "SMS_DPGroupCollections"),
];

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Reason {
    /// Bits 7-0.
    number: u8,
    /// The stable code.
    pub(crate) code: &'static str,
    /// The WBEM status.
    pub(crate) status: Status,
    severity: Severity,
    facility: Facility,
    /// What it means and what helps.
    text: &'static str,
}

macro_rules! reasons {
    ($($number:literal $code:literal $status:ident $severity:ident $facility:ident $text:literal;)*) => {
        /// All reasons, by number.
        static REASONS: &[Reason] = &[$(Reason {
            number: $number,
            code: $code,
            status: Status::$status,
            severity: Severity::$severity,
            facility: Facility::$facility,
            text: $text,
        }),*];
    };
}

reasons! {
    1 "FAILED" Failed Minor Provider "The site could not do it; its log says why.";
    2 "NOT_FOUND" NotFound Functional Provider "The object does not exist, or the caller may not know that it does.";
    3 "SCOPE" AccessDenied Functional Security "The caller may read the object and lacks the right that is named.";
    4 "NOT_SUPPORTED" ProviderNotCapable Functional Provider "The class or method is declared and does nothing at this site.";
    5 "INVALID_OPERATION" Conflict Functional Provider "The object is not in a state in which this makes sense; the text names the remedy.";
    6 "READ_ONLY_PROPERTY" ReadOnly Functional Provider "A partial body sets a property that only the site writes.";
    7 "STALE_OBJECT" Conflict Functional Provider "Another Put changed the object since it was read: read it again.";
    8 "RANGE" InvalidParameter Functional Provider "A value lies outside what the property or parameter may hold.";
    9 "REQUIRED" InvalidParameter Functional Provider "A value that is needed is missing.";
    10 "ALREADY_EXISTS" AlreadyExists Functional Provider "An object of this name or key exists.";
    11 "NAME_INVALID" InvalidParameter Functional Provider "A text is too long, empty, or holds control characters.";
    12 "PRIORITY_INVALID" InvalidParameter Functional Provider "Priorities are 1 (high), 2 (normal) and 3 (low).";
    13 "SOURCE_PATH_INVALID" InvalidParameter Functional File "A source path is absolute: UNC, drive letter, or POSIX.";
    14 "POINT_UNKNOWN" NotFound Functional Provider "No distribution point of that name is known, or not at the site that is named.";
    15 "POINT_NOT_TARGETED" NotFound Functional Provider "The package is not distributed to the distribution point.";
    16 "POINT_BEING_REMOVED" Conflict Functional Provider "The package is being removed from the distribution point: distribute it anew.";
    17 "NOTHING_TO_CANCEL" Conflict Functional Provider "Nothing is under way at the distribution point.";
    18 "POINTS_COUNT" InvalidParameter Functional Provider "One call names 1 to 10,000 distribution points.";
    19 "PAIRS" InvalidParameter Functional Provider "SiteCode and NALPath have the same length, slot by slot.";
    20 "SITE_UNKNOWN" NotFound Functional Provider "The site is not part of this hierarchy.";
    21 "SCHEDULE_INVALID" InvalidParameter Functional Provider "A schedule has at most 15 tokens, each of one of the five kinds and within its ranges.";
    22 "PACKAGE_IDS_EXHAUSTED" Failed Major Provider "All package numbers of the site are used.";
    23 "SITE_INCOMPLETE" Failed Major Provider "The site was not initialised to its end.";
    24 "NAL_PATH_INVALID" InvalidParameter Functional Provider "The text has not the form of a NAL path.";
    25 "GRANT" AccessDenied Functional Security "Nobody gives more than they hold.";
    26 "BUILT_IN" Conflict Functional Security "Built-in roles and scopes are not changed.";
    27 "IN_USE" Conflict Functional Provider "Other objects depend on it.";
    28 "QUERY_DEADLINE" Timeout Minor Database "The query ran into its deadline and was cancelled: ask for less.";
    29 "QUERY_PRODUCT" InvalidQuery Functional Database "A join without a condition spans too many pairs.";
    30 "DATABASE_FAILED" Failed Minor Database "A statement failed; the log says why.";
    31 "DATABASE_BUSY" Failed Minor Database "Other changes were in the way: call again.";
    32 "DATABASE_COMMIT" Failed Minor Database "The change could not be committed and is not in force: call again.";
    33 "DATABASE_OPEN" Failed Minor Database "The database could not be opened.";
    34 "DATABASE_STOPPED" Failed Major Database "A write failed and the site must be started again.";
    35 "DATABASE_CLOSED" Failed Major Database "The site is stopping.";
    36 "DATABASE_VALUE" Failed Major Database "A stored value is not what its column holds.";
    37 "REQUEST_ID_INVALID" InvalidParameter Functional Provider "A request id has 1-64 printable ASCII characters.";
    38 "REQUEST_ID_REUSED" InvalidParameter Functional Provider "The request id was used for another call.";
    40 "QUERY_SLOW_READER" Timeout Minor Database "The rows were not taken in time.";
    41 "QUERY_VALUE" Failed Major Database "A view gave what its class does not declare.";
    42 "DATABASE_VIEW" Failed Major Database "A view could not be made.";
    43 "ANSWER_BROKEN" Failed Minor Provider "A kept answer cannot be read.";
    44 "OPERATION" InvalidParameter Functional Provider "The operation changes something where only looking is allowed.";
    45 "SOURCE_ALIASES" InvalidParameter Functional File "A source root has at most 16 other names.";
    46 "SOURCE_ROOT_EXISTS" AlreadyExists Functional File "A source root of that name or path exists.";
    47 "SOURCE_ROOT_FORBIDDEN" InvalidParameter Functional File "The folder cannot be a source root.";
    48 "SOURCE_ROOT_UNKNOWN" NotFound Functional File "No source root has that name.";
    49 "SOURCE_SCOPE" AccessDenied Functional Security "The source path lies under a source root; a role on packages within one of its scopes is needed to set it.";
    50 "ORPHANED" Conflict Functional Provider "The site that owns the package is gone, so no site reads its source: `Unlock` at a site, or `restock package adopt`, makes that site the owner.";
    51 "SITE_TYPE" Conflict Functional Provider "Sites of that type do not do it: a secondary site owns no packages, a central one has no distribution points.";
    52 "DB_CORRUPT" Failed Major Database "A page of the site database is damaged: the site stops, and a backup is restored.";
    64 "INVALID_NAMESPACE" InvalidNamespace Functional Provider "The path names another server or namespace.";
    65 "INVALID_CLASS" InvalidClass Functional Provider "No class of that name is declared.";
    66 "INVALID_PATH" InvalidObjectPath Functional Provider "The path is not well formed, or its keys are not those of the class.";
    67 "INVALID_METHOD" InvalidMethod Functional Provider "The class has no method of that name.";
    68 "INVALID_PARAMETER" InvalidParameter Functional Provider "A parameter is unknown, missing, or given twice.";
    69 "UNKNOWN_PROPERTY" InvalidProperty Functional Provider "The class has no property of that name.";
    70 "TYPE" TypeMismatch Functional Provider "A value is not of the declared type.";
    71 "WQL_SYNTAX" InvalidQuery Functional Provider "The query is not well formed at the column named.";
    72 "FILTER_SYNTAX" InvalidQuery Functional Provider "The OData expression is not well formed at the column named.";
    73 "FILTER_DEPTH" InvalidQuery Functional Provider "The OData expression is nested too deep.";
    74 "QUERY_LIMIT" InvalidQuery Functional Provider "The query passes a limit.";
    75 "QUERY_UNSUPPORTED" InvalidQuery Functional Provider "The language allows it, and this provider refuses it by name.";
    76 "IDENTITY" InvalidParameter Functional Security "A certificate of a site or a distribution point is no certificate of a person.";
    77 "CERTIFICATE_EXPIRED" InvalidParameter Functional Security "The certificate is out of its time already.";
    78 "CERTIFICATE_FORMAT" InvalidParameter Functional Security "The file holds no certificate in PEM.";
    79 "NTLM_FULL_ADMINISTRATOR" AccessDenied Functional Security "A full administrator gets an NTLM secret only when that is forced.";
    80 "SHARE_NAME_TAKEN" AlreadyExists Functional Provider "Another package has the name of the share.";
    81 "SHARE_NAME_INVALID" InvalidParameter Functional Provider "The name of the share cannot be that of a folder.";
}

/// The line of `code`; `FAILED` when the table has none.
pub(crate) fn reason(code: &str) -> &'static Reason {
    // Every code in the sources is in the table, which a test sees to.
    REASONS.iter().find(|reason| reason.code == code).unwrap_or(&REASONS[0])
}

/// `ErrorCode` of a refusal for `reason`. What is not known yet is 0.
pub(crate) fn error_code(reason: &Reason, action: Option<Action>, class: Option<&str>) -> u32 {
    let object = class.map_or(0, |class| {
        OBJECTS.iter().find(|(_, name)| name.eq_ignore_ascii_case(class)).map_or(1, |(number, _)| *number)
    });
    ((reason.severity as u32) << 30)
        | ((reason.facility as u32) << 22)
        | (action.map_or(0, |action| action as u32) << 16)
        | (object << 8)
        | u32::from(reason.number)
}

/// The text of docs/errors.md.
pub fn document() -> String {
    let mut text = String::from(
        "# Errors of the SMS Provider

Made from `crates/provider/src/errors/table.rs`: `UPDATE_EXPECT=1 cargo test -p restock-provider docs_errors_md` writes it.

A refused call changes nothing. What the object core refuses shows as `__ExtendedStatus`, what
classes and methods refuse as `SMS_ExtendedStatus`. `CauseInfo` of the latter holds the code below;
`ErrorCode` is put together from five fields, and a failed method shows it as `ReturnValue` (SInt32).

| bits | 31-30 | 27-22 | 21-16 | 15-8 | 7-0 |
|---|---|---|---|---|---|
| field | severity | facility | action | object | reason |

",
    );
    let mut list = |title: &str, entries: &mut dyn Iterator<Item = (u32, String)>| {
        let entries: Vec<String> = entries.map(|(number, name)| format!("{number} {name}")).collect();
        writeln!(text, "{title}: {}.\n", entries.join(", ")).expect("a String takes all text");
    };
    let severities = [Severity::Functional, Severity::Minor, Severity::Major];
    list("Severities", &mut severities.iter().map(|s| (*s as u32, format!("{s:?}").to_lowercase())));
    let facilities = [Facility::Provider, Facility::File, Facility::Database, Facility::Security];
    list("Facilities", &mut facilities.iter().map(|f| (*f as u32, format!("{f:?}").to_lowercase())));
    list("Actions", &mut ACTIONS.iter().map(|a| (*a as u32, format!("`{}`", a.operation()))));
    let others = std::iter::once((1, "any other class".to_owned()));
    list("Objects", &mut others.chain(OBJECTS.iter().map(|(n, class)| (*n, format!("`{class}`")))));
    text.push_str(
        "| reason | code | WBEM status | severity | facility | meaning |\n|---|---|---|---|---|---|\n",
    );
    for r in REASONS {
        writeln!(
            text,
            "| {} | `{}` | {} 0x{:08X} | {} | {} | {} |",
            r.number,
            r.code,
            r.status.name(),
            r.status.wbem(),
            format!("{:?}", r.severity).to_lowercase(),
            format!("{:?}", r.facility).to_lowercase(),
            r.text
        )
        .expect("a String takes all text");
    }
    text.push_str(
        "
Example: `RefreshPkgSource` of a package without a source is refused with `INVALID_OPERATION`:
severity 1, facility 1, action 8, object 2, reason 5, together 0x40480205 (1078460933).
",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::{ACTIONS, Action, OBJECTS, REASONS, error_code, reason};

    #[test]
    fn the_layout_is_the_documented_one() {
        let code = error_code(reason("INVALID_OPERATION"), Some(Action::Method), Some("sms_package"));
        assert_eq!(code, 0x4048_0205);
        let fields = [code >> 30, (code >> 22) & 0x3f, (code >> 16) & 0x3f, (code >> 8) & 0xff, code & 0xff];
        assert_eq!(fields, [1, 1, 8, 2, 5]);
    }

    #[test]
    fn no_two_refusals_share_a_number_and_none_is_zero() {
        let mut seen = std::collections::HashSet::new();
        for r in REASONS {
            for action in ACTIONS {
                for (_, class) in OBJECTS {
                    let code = error_code(r, Some(action), Some(class));
                    assert_ne!(code, 0);
                    assert!(seen.insert(code), "{} {action:?} {class}", r.code);
                }
            }
        }
        let codes: std::collections::HashSet<&str> = REASONS.iter().map(|r| r.code).collect();
        assert_eq!(codes.len(), REASONS.len());
    }

    /// The codes that a text of the program gives to refusals.
    fn codes(text: &str) -> Vec<&str> {
        let makers = [
            "Refusal::provider(",
            "Refusal::core(",
            "::refused(",
            "::invalid(",
            "::not_found(",
            "ErrorKind::Failed,",
        ];
        let mut codes = Vec::new();
        for maker in makers {
            for (at, _) in text.match_indices(maker) {
                let first = text[at + maker.len()..].trim_start().strip_prefix('"');
                codes.extend(first.and_then(|rest| rest.split('"').next()));
            }
        }
        codes.retain(|code| code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
        codes
    }

    fn check_folder(folder: &std::path::Path, checked: &mut usize) {
        for entry in std::fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("the sources can be read").path();
            if path.is_dir() {
                check_folder(&path, checked);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
                for code in codes(&text) {
                    *checked += 1;
                    assert!(
                        REASONS.iter().any(|r| r.code == code),
                        "{code} of {} is not in the table",
                        path.display()
                    );
                }
            }
        }
    }

    #[test]
    fn every_code_of_the_sources_is_in_the_table() {
        let mut checked = 0;
        check_folder(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut checked);
        assert!(checked > 60, "only {checked} codes were found");
    }

    #[test]
    fn docs_errors_md_is_what_the_table_says() {
        expect_test::expect_file!["../../../../docs/errors.md"].assert_eq(&super::document());
    }
}

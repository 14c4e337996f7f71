//! The status message of each audit record. Source: docs/status-messages.md, "Audit".

use restock_names::{PackageId, SiteCode};
use restock_sitedb::audit::{AuditMessage, Record};
use restock_sitedb::message::Severity;

/// Messages by class, operation and method; the first line that fits.
const NUMBERS: [(u32, &str, &str, &str); 15] = [
    (30001, "SMS_Package", "PutInstance", ""),
    (30002, "SMS_Package", "DeleteInstance", ""),
    (30004, "SMS_Program", "PutInstance", ""),
    (30005, "SMS_Program", "DeleteInstance", ""),
    (30009, "SMS_Package", "ExecMethod", "AddDistributionPoints"),
    (30010, "SMS_DistributionPoint", "PutInstance", ""),
    (30011, "SMS_DistributionPoint", "DeleteInstance", ""),
    (30068, "SMS_Package", "ExecMethod", "RefreshPkgSource"),
    (30210, "SMS_Admin", "", ""),
    (30211, "SMS_Role", "", ""),
    (30212, "SMS_SecuredCategory", "", ""),
    (30213, "SMS_SecuredCategoryMembership", "", ""),
    (30901, "", "PutInstance", ""),
    (30902, "", "DeleteInstance", ""),
    (30903, "", "", ""),
];
/// Any action that was refused.
const REFUSED: u32 = 30900;

/// The message of `record`.
pub(super) fn of(record: &Record, site: SiteCode, package: Option<PackageId>) -> AuditMessage {
    let class = record.path.split(['.', '=', ':']).next().unwrap_or_default();
    let fits = |(_, of, operation, method): &&(u32, &str, &str, &str)| {
        (of.is_empty() || of.eq_ignore_ascii_case(class))
            && (operation.is_empty() || *operation == record.operation)
            && (method.is_empty() || method.eq_ignore_ascii_case(&record.method))
    };
    let id = match record.result {
        0 => NUMBERS.iter().find(fits).map_or(30903, |(id, ..)| *id),
        _ => REFUSED,
    };
    let what = if record.method.is_empty() { &record.operation } else { &record.method };
    AuditMessage {
        id,
        severity: if record.result == 0 { Severity::Info } else { Severity::Warning },
        package,
        user: record.account.clone(),
        strings: [
            record.account.clone(),
            record.path.clone(),
            what.clone(),
            record.address.clone(),
            record.door.clone(),
            format!("0x{:08X}", record.result),
            record.correlation.clone(),
            site.to_string(),
        ],
    }
}

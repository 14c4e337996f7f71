//! Digests of an object before and after a change.

use restock_cim::{KeyValue, ObjectPath};
use restock_names::{Digest, DistributionPointName, PackageId};
use restock_sitedb::audit::Subject;
use restock_sitedb::{DatabaseError, Tx};
use ring::digest::{SHA256, digest};

/// SHA-256 of the rows of the object that `path` names; `None` when there is no such object, or none
/// that has rows of its own.
pub(crate) async fn digest_of(tx: &mut Tx, path: &str) -> Result<Option<Digest>, DatabaseError> {
    let Some(subject) = subject(path) else { return Ok(None) };
    let state = tx.state_of(&subject).await?;
    Ok(state.map(|bytes| {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &bytes).as_ref());
        Digest(hash)
    }))
}

fn subject(path: &str) -> Option<Subject> {
    let path: ObjectPath = path.parse().ok()?;
    let text = |name: &str| match path.key(name)? {
        KeyValue::String(text) => Some(text.clone()),
        KeyValue::Integer(number) => Some(number.to_string()),
        _ => None,
    };
    let package = || text("PackageID")?.parse::<PackageId>().ok();
    match path.class.as_str().to_ascii_lowercase().as_str() {
        "sms_package" => package().map(Subject::Package),
        "sms_program" => Some(Subject::Program(package()?, text("ProgramName")?)),
        "sms_distributionpoint" => Some(Subject::Target(package()?, point(&text("ServerNALPath")?)?)),
        "sms_distributionpointgroup" => text("GroupID").map(Subject::Group),
        "sms_admin" => match text("LogonName") {
            Some(name) => Some(Subject::Account(name)),
            None => text("AdminID")?.parse().ok().map(Subject::AccountNumber),
        },
        "sms_role" => text("RoleID").map(Subject::Role),
        "sms_securedcategory" => text("CategoryID").map(Subject::Scope),
        _ => None,
    }
}

/// The name at the end of a NAL path.
fn point(nal_path: &str) -> Option<DistributionPointName> {
    nal_path.strip_suffix('\\')?.rsplit_once(r"\\")?.1.parse().ok()
}

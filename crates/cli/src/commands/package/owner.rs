//! What `package adopt` and `package set-source-site` share: a method of `SMS_Package`, and the
//! package afterwards.

use restock_names::PackageId;
use restock_provider::rows::PackageRow;
use restock_provider::{Answer, Operation};
use serde_json::{Map, Value};

use crate::commands::Session;
use crate::control::{Ask, Door, ObjectAsk, ObjectVerb, unexpected};
use crate::failure::Failure;

/// Calls `method` of the package and shows what it is then.
///
/// Errors: what the method refuses; a site set to answer failures as values has not done it either.
pub(super) fn change(
    session: &Session,
    command: &str,
    package: PackageId,
    method: &str,
    arguments: Map<String, Value>,
) -> Result<PackageRow, Failure> {
    let mut door = Door::open(&session.folder()?, command)?;
    let path = format!("SMS_Package.PackageID=\"{package}\"");
    let verb = ObjectVerb::Invoke { path, method: method.to_owned(), arguments };
    let answer: Value = door.ask(Ask::Objects(ObjectAsk { r#as: None, verb }))?;
    if let Some(value) = answer["ReturnValue"].as_i64().filter(|value| *value != 0) {
        return Err(Failure::refused(format!("{package}: {method} answered {value}"))
            .hint(format!("restock package show {package}")));
    }
    match door.perform(Operation::ShowPackage { package })? {
        Answer::Package(row) => Ok(row),
        other => Err(unexpected(&other)),
    }
}

//! How accounts, roles and answers are shown.

use restock_provider::admin::{AccountRow, AdminAnswer, AdminOperation, PermissionRow};

use crate::commands::Session;
use crate::control::{Ask, Door};
use crate::failure::Failure;
use crate::output::shown;

/// Asks the site for one operation.
pub(super) fn ask(
    session: &Session,
    command: &str,
    operation: AdminOperation,
) -> Result<AdminAnswer, Failure> {
    Door::open(&session.folder()?, command)?.ask(Ask::Administer(operation))
}

/// The failure when an answer is of another kind than its operation promises.
pub(super) fn unexpected(answer: &AdminAnswer) -> Failure {
    let kind = serde_json::to_value(answer).ok().and_then(|v| v["answer"].as_str().map(str::to_owned));
    Failure::failed(format!("the answer is not understood: {}", kind.unwrap_or_default()))
}

/// Reads `ROLE@SCOPE`; without a scope all objects are meant.
///
/// Errors: no role.
pub(super) fn permission(text: &str) -> Result<PermissionRow, String> {
    let (role, scope) = text.rsplit_once('@').unwrap_or((text, "SMS00ALL"));
    if role.is_empty() || scope.is_empty() {
        return Err(format!("{text:?} is no ROLE@SCOPE"));
    }
    Ok(PermissionRow { role: role.to_owned(), scope: scope.to_owned() })
}

/// Roles within scopes, joined by commas.
pub(super) fn permissions(account: &AccountRow) -> String {
    let each = account.permissions.iter().map(|p| format!("{}@{}", shown(&p.role), shown(&p.scope)));
    each.collect::<Vec<String>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::permission;

    #[test]
    fn a_role_without_a_scope_is_meant_for_all_objects() {
        let read = |text| permission(text).map(|p| (p.role, p.scope));
        assert_eq!(read("SMS0009R"), Ok(("SMS0009R".to_owned(), "SMS00ALL".to_owned())));
        assert_eq!(read("Package team@North"), Ok(("Package team".to_owned(), "North".to_owned())));
        assert!(read("@North").is_err() && read("x@").is_err());
    }
}

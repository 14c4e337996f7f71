//! Managing accounts, roles, scopes, tokens, certificates, principals and NTLM secrets.
//!
//! [`crate::Provider::administer`] is what `restock admin` asks; the classes SMS_Admin, SMS_Role,
//! SMS_SecuredCategory and SMS_SecuredCategoryMembership call the same functions. Nobody gives more
//! than they hold, whoever asks.
//!
//! What it does not do: it signs nobody in (`account`).

pub(crate) mod accounts;
pub(crate) mod certificates;
mod ntlm;
mod operation;
mod perform;
mod principals;
pub(crate) mod role_xml;
pub(crate) mod roles;
pub(crate) mod scopes;
pub(crate) mod tokens;

use restock_names::{Escaped, SiteCode, Timestamp};
use restock_sitedb::admin::Stamp;

pub use operation::{
    AccountRow, AdminAnswer, AdminOperation, CertificateRow, MemberRow, NtlmMade, PermissionRow,
    PrincipalRow, RoleRow, ScopeRow, TokenMade, TokenRow,
};

use crate::OperationError;
use crate::rights::Rights;

/// Who gives, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Giver<'a> {
    pub(crate) rights: &'a Rights,
    /// The logon name.
    pub(crate) by: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) site: SiteCode,
}

impl Giver<'_> {
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { by: self.by.to_owned(), at: self.now }
    }
}

/// The longest name of a role or scope in characters.
const NAME_CHARS_MAX: usize = 256;
/// The longest description in characters.
const DESCRIPTION_CHARS_MAX: usize = 512;

/// Checks the name and the description of a role or scope.
pub(crate) fn check_texts(what: &str, name: &str, description: &str) -> Result<(), OperationError> {
    let has_control = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
    let is_name = (1..=NAME_CHARS_MAX).contains(&name.chars().count())
        && !has_control(name)
        && !name.contains('\n')
        && name.trim() == name;
    if !is_name {
        let shown: String = name.chars().take(80).collect();
        let text = format!(
            "{} cannot be the name of a {what}: 1-{NAME_CHARS_MAX} characters without control characters are wanted",
            if shown.is_empty() { "an empty text".to_owned() } else { Escaped(shown.as_bytes()).to_string() }
        );
        return Err(OperationError::invalid("NAME_INVALID", text));
    }
    if description.chars().count() > DESCRIPTION_CHARS_MAX || has_control(description) {
        let text = format!(
            "the description of a {what} has at most {DESCRIPTION_CHARS_MAX} characters without control characters"
        );
        return Err(OperationError::invalid("NAME_INVALID", text));
    }
    Ok(())
}

/// An object of `what` that is not there.
pub(crate) fn unknown(what: &str, name: &str) -> OperationError {
    let shown: String = name.chars().take(80).collect();
    OperationError::not_found("NOT_FOUND", format!("{what} {} does not exist", Escaped(shown.as_bytes())))
}

fn taken(what: &str, name: &str) -> OperationError {
    OperationError::refused("ALREADY_EXISTS", format!("a {what} named {} exists", Escaped(name.as_bytes())))
}

fn built_in(what: &str, name: &str) -> OperationError {
    let text = format!("{what} {name} came with the program and is not changed");
    OperationError::refused("BUILT_IN", text)
}

/// The ID of the `number`th role or scope of a site.
fn id_of(site: SiteCode, number: u64) -> String {
    format!("{site}{number:05X}")
}

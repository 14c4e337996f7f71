//! Principals of Kerberos that people and programs sign in as.

use restock_names::Escaped;
use restock_sitedb::Tx;
use restock_sitedb::admin::{Account, AdminPrincipal};

use super::operation::PrincipalRow;
use super::{Giver, unknown};
use crate::OperationError;
use crate::rights::object_types::ADMIN;
use crate::rights::operations::MODIFY;
use crate::rights::{Securable, require, require_cover_of_account};

/// The longest principal, in bytes.
const PRINCIPAL_BYTES_MAX: usize = 512;
/// Parts of a name that stand for nobody in particular (RFC 6111).
const WELL_KNOWN: &str = "WELLKNOWN/";

/// The principals of one account, or of all.
pub(crate) async fn list(tx: &mut Tx, account: Option<u32>) -> Result<Vec<PrincipalRow>, OperationError> {
    let mut rows = Vec::new();
    for principal in tx.admin_principals(account).await? {
        let of = tx.account(principal.account).await?;
        rows.push(row(principal, of.map(|account| account.logon_name).unwrap_or_default()));
    }
    Ok(rows)
}

/// Registers a principal: whoever has a ticket of it for this service signs in as the account.
///
/// Asks for Modify on accounts, and for everything the account holds.
pub(crate) async fn add(
    tx: &mut Tx,
    giver: &Giver<'_>,
    account: &Account,
    name: &str,
) -> Result<PrincipalRow, OperationError> {
    require(tx, giver.rights, Securable::Type(ADMIN), MODIFY).await?;
    require_cover_of_account(tx, giver.rights, account.id).await?;
    if !is_principal(name) {
        let text = format!(
            "{} is no principal: NAME@REALM, as klist shows it, is wanted, of somebody in particular",
            Escaped(name.chars().take(80).collect::<String>().as_bytes())
        );
        return Err(OperationError::invalid("NAME_INVALID", text));
    }
    let principal =
        AdminPrincipal { principal: name.to_owned(), account: account.id, created: giver.stamp() };
    if !tx.insert_admin_principal(&principal).await? {
        let text = "this principal is registered already; one principal signs in one account";
        return Err(OperationError::refused("ALREADY_EXISTS", text).hint("restock admin kerberos list"));
    }
    Ok(row(principal, account.logon_name.clone()))
}

/// Removes a principal. Asks for Modify on accounts.
pub(crate) async fn remove(
    tx: &mut Tx,
    giver: &Giver<'_>,
    account: &Account,
    name: &str,
) -> Result<PrincipalRow, OperationError> {
    require(tx, giver.rights, Securable::Type(ADMIN), MODIFY).await?;
    let missing = || unknown("principal", name).hint("restock admin kerberos list");
    let found = tx.admin_principal(name).await?.filter(|found| found.account == account.id);
    let found = found.ok_or_else(missing)?;
    tx.delete_admin_principal(account.id, name).await?;
    Ok(row(found, account.logon_name.clone()))
}

/// True for `NAME@REALM` with both, as the library writes it: `\\` stands before an `@` that is part
/// of a name.
fn is_principal(name: &str) -> bool {
    let mut realms = 0;
    let mut is_escaped = false;
    for c in name.chars() {
        realms += usize::from(c == '@' && !is_escaped);
        is_escaped = c == '\\' && !is_escaped;
    }
    let (who, realm) = name.rsplit_once('@').unwrap_or_default();
    realms == 1
        && !who.is_empty()
        && !realm.is_empty()
        && !who.starts_with(WELL_KNOWN)
        && name.len() <= PRINCIPAL_BYTES_MAX
        && !name.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn row(principal: AdminPrincipal, account: String) -> PrincipalRow {
    PrincipalRow {
        account,
        principal: principal.principal,
        created_by: principal.created.by,
        created_at: principal.created.at,
    }
}

#[cfg(test)]
mod tests {
    use super::is_principal;

    #[test]
    fn a_principal_has_one_name_and_one_realm() {
        for name in ["anna@EXAMPLE.COM", "host/a.example@EXAMPLE.COM", "a\\@b@EXAMPLE.COM", "DP01$@X"] {
            assert!(is_principal(name), "{name}");
        }
        let long = format!("{}@X", "a".repeat(511));
        for name in [
            "",
            "anna",
            "anna@",
            "@EXAMPLE.COM",
            "a@b@EXAMPLE.COM",
            "an na@X",
            "anna@X\n",
            "anna\\@X",
            "WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS",
            &long,
        ] {
            assert!(!is_principal(name), "{name}");
        }
    }
}

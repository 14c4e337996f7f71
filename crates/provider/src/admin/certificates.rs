//! Certificates that people sign in with.

use restock_names::Escaped;
use restock_sitedb::Tx;
use restock_sitedb::admin::{Account, AdminCertificate};

use super::operation::CertificateRow;
use super::{Giver, taken, unknown};
use crate::OperationError;
use crate::account::PersonCertificate;
use crate::rights::object_types::ADMIN;
use crate::rights::operations::MODIFY;
use crate::rights::{Securable, require, require_cover_of_account};

/// The longest name in characters.
const NAME_CHARS_MAX: usize = 64;
/// The longest file that is read, in bytes.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// The certificates of one account, or of all.
pub(crate) async fn list(tx: &mut Tx, account: Option<u32>) -> Result<Vec<CertificateRow>, OperationError> {
    let mut rows = Vec::new();
    for certificate in tx.admin_certificates(account).await? {
        let of = tx.account(certificate.account).await?;
        rows.push(row(certificate, of.map(|account| account.logon_name).unwrap_or_default()));
    }
    Ok(rows)
}

/// Registers a certificate: whoever has its key signs in as the account.
///
/// Asks for Modify on accounts, and for everything the account holds.
pub(crate) async fn add(
    tx: &mut Tx,
    giver: &Giver<'_>,
    account: &Account,
    name: &str,
    pem: &str,
) -> Result<CertificateRow, OperationError> {
    require(tx, giver.rights, Securable::Type(ADMIN), MODIFY).await?;
    require_cover_of_account(tx, giver.rights, account.id).await?;
    let is_name = (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if !is_name {
        let text = format!(
            "{} cannot name a certificate: 1-{NAME_CHARS_MAX} characters without control characters are wanted",
            Escaped(name.chars().take(80).collect::<String>().as_bytes())
        );
        return Err(OperationError::invalid("NAME_INVALID", text));
    }
    let read = read(pem)?;
    if read.is_of_link {
        let text =
            "this is the certificate of a site or a distribution point, which signs in at no management door";
        return Err(OperationError::refused("IDENTITY", text));
    }
    if read.not_after <= giver.now {
        let text = format!("the certificate is valid until {} only", read.not_after);
        return Err(OperationError::refused("CERTIFICATE_EXPIRED", text));
    }
    let certificate = AdminCertificate {
        fingerprint: read.fingerprint,
        account: account.id,
        name: name.to_owned(),
        subject: read.subject,
        not_before: read.not_before,
        not_after: read.not_after,
        created: giver.stamp(),
    };
    if !tx.insert_admin_certificate(&certificate).await? {
        if tx.admin_certificate(certificate.fingerprint).await?.is_some() {
            let text = "this certificate is registered already; one certificate signs in one account";
            return Err(
                OperationError::refused("ALREADY_EXISTS", text).hint("restock admin certificate list")
            );
        }
        return Err(taken("certificate", name));
    }
    Ok(row(certificate, account.logon_name.clone()))
}

/// Removes a certificate. Asks for Modify on accounts.
pub(crate) async fn remove(
    tx: &mut Tx,
    giver: &Giver<'_>,
    account: &Account,
    name: &str,
) -> Result<CertificateRow, OperationError> {
    require(tx, giver.rights, Securable::Type(ADMIN), MODIFY).await?;
    let certificates = tx.admin_certificates(Some(account.id)).await?;
    let found = certificates.into_iter().find(|certificate| certificate.name.eq_ignore_ascii_case(name));
    let found = found.ok_or_else(|| unknown("certificate", name).hint("restock admin certificate list"))?;
    tx.delete_admin_certificate(account.id, &found.name).await?;
    Ok(row(found, account.logon_name.clone()))
}

/// The one certificate of a PEM file.
fn read(pem: &str) -> Result<PersonCertificate, OperationError> {
    let bad = || {
        OperationError::invalid("CERTIFICATE_FORMAT", "the file holds no certificate in PEM")
            .hint("a file that begins with -----BEGIN CERTIFICATE-----, without a key")
    };
    if pem.len() > FILE_BYTES_MAX || pem.contains("PRIVATE KEY") {
        return Err(bad());
    }
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_unread| bad())?;
    if block.label != "CERTIFICATE" {
        return Err(bad());
    }
    PersonCertificate::parse(&block.contents).ok_or_else(bad)
}

fn row(certificate: AdminCertificate, account: String) -> CertificateRow {
    CertificateRow {
        account,
        name: certificate.name,
        fingerprint: certificate.fingerprint.to_string(),
        subject: certificate.subject,
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        created_by: certificate.created.by,
        created_at: certificate.created.at,
    }
}

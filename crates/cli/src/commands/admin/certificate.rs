//! `restock admin certificate`.

use std::io::Read as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use restock_provider::admin::{AdminAnswer, AdminOperation};

use super::text::{ask, unexpected};
use crate::commands::Session;
use crate::failure::{Failure, Kind};
use crate::output::{Done, Table, shown, shown_path};

/// The longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Register, list and remove certificates that people and programs sign in with
#[derive(Debug, Subcommand)]
pub(crate) enum Certificate {
    Add(Add),
    List(List),
    Remove(Remove),
}

impl Certificate {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Add(c) => c.run(session),
            Self::List(c) => c.run(session),
            Self::Remove(c) => c.run(session),
        }
    }
}

/// Register a certificate for an account
///
/// Whoever shows it over HTTPS, and has its key, signs in as the account without a password. It may be
/// of any authority, or signed by itself: the site remembers its fingerprint. A site's or distribution
/// point's own certificate is never taken.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin certificate add anna laptop anna.pem
  restock admin certificate add robot builds /etc/ssl/robot.pem --json")]
pub(crate) struct Add {
    /// Name of the account
    account: String,

    /// What the certificate is called
    name: String,

    /// File with the certificate in PEM, without its key
    file: PathBuf,
}

impl Add {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let read = || {
            let mut text = String::new();
            std::fs::File::open(&self.file)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
            Ok::<_, std::io::Error>(text)
        };
        let certificate = read().map_err(|e| {
            Failure::caused(Kind::Failed, format!("cannot read {}", shown_path(&self.file)), &e)
        })?;
        let operation =
            AdminOperation::AddCertificate { account: self.account, name: self.name, certificate };
        match ask(session, "restock admin certificate add", operation)? {
            AdminAnswer::Certificate(row) => {
                let text = format!(
                    "Certificate {} signs in {} until {}.\n",
                    shown(&row.name),
                    shown(&row.account),
                    row.not_after
                );
                Ok(Done::with(&row, text))
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// List registered certificates
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin certificate list
  restock admin certificate list anna --json")]
pub(crate) struct List {
    /// Name of an account; without it those of all
    account: Option<String>,
}

impl List {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let operation = AdminOperation::ListCertificates { account: self.account };
        match ask(session, "restock admin certificate list", operation)? {
            AdminAnswer::Certificates(rows) => {
                let mut table = Table::new(&["Account", "Name", "Of", "Valid until", "SHA-256"]);
                for row in &rows {
                    let (until, of) = (row.not_after.to_string(), shown(&row.subject));
                    let cells = [shown(&row.account), shown(&row.name), of, until, row.fingerprint.clone()];
                    table.row(cells, None);
                }
                Ok(Done::with(&rows, table.text(session.output.style, "No certificates.")))
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// Remove a certificate; it signs nobody in from then on
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin certificate remove anna laptop")]
pub(crate) struct Remove {
    /// Name of the account
    account: String,

    /// What the certificate is called
    name: String,
}

impl Remove {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let operation = AdminOperation::RemoveCertificate { account: self.account, name: self.name };
        match ask(session, "restock admin certificate remove", operation)? {
            AdminAnswer::Certificate(row) => {
                let text =
                    format!("Certificate {} of {} is removed.\n", shown(&row.name), shown(&row.account));
                Ok(Done::with(&row, text))
            }
            other => Err(unexpected(&other)),
        }
    }
}

//! `restock admin kerberos`.

use clap::{Args, Subcommand};
use restock_provider::admin::{AdminAnswer, AdminOperation};

use super::text::{ask, unexpected};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output::{Done, Table, shown};

/// Register, list and remove principals that people and programs sign in as with Kerberos
#[derive(Debug, Subcommand)]
pub(crate) enum Kerberos {
    Add(Add),
    List(List),
    Remove(Remove),
}

impl Kerberos {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Add(c) => c.run(session),
            Self::List(c) => c.run(session),
            Self::Remove(c) => c.run(session),
        }
    }
}

/// Register a principal for an account
///
/// Whoever has a ticket of it for this service signs in as the account. The name is compared letter by
/// letter. The site needs a keytab (section kerberos of restock.toml) before anybody can.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin kerberos add anna anna@EXAMPLE.COM
  restock admin kerberos add robot builds/host.example@EXAMPLE.COM --json")]
pub(crate) struct Add {
    /// Name of the account
    account: String,

    /// NAME@REALM, as klist shows it
    principal: String,
}

impl Add {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let operation = AdminOperation::AddPrincipal { account: self.account, principal: self.principal };
        match ask(session, "restock admin kerberos add", operation)? {
            AdminAnswer::Principal(row) => {
                let text = format!("{} signs in {}.\n", shown(&row.principal), shown(&row.account));
                Ok(Done::with(&row, text))
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// List registered principals
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin kerberos list
  restock admin kerberos list anna --json")]
pub(crate) struct List {
    /// Name of an account; without it those of all
    account: Option<String>,
}

impl List {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let operation = AdminOperation::ListPrincipals { account: self.account };
        match ask(session, "restock admin kerberos list", operation)? {
            AdminAnswer::Principals(rows) => {
                let mut table = Table::new(&["Account", "Principal", "Registered by", "On"]);
                for row in &rows {
                    let (by, on) = (shown(&row.created_by), row.created_at.to_string());
                    table.row([shown(&row.account), shown(&row.principal), by, on], None);
                }
                Ok(Done::with(&rows, table.text(session.output.style, "No principals.")))
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// Remove a principal; it signs nobody in from then on
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin kerberos remove anna anna@EXAMPLE.COM")]
pub(crate) struct Remove {
    /// Name of the account
    account: String,

    /// The principal
    principal: String,
}

impl Remove {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let operation = AdminOperation::RemovePrincipal { account: self.account, principal: self.principal };
        match ask(session, "restock admin kerberos remove", operation)? {
            AdminAnswer::Principal(row) => {
                let text = format!("{} signs in {} no more.\n", shown(&row.principal), shown(&row.account));
                Ok(Done::with(&row, text))
            }
            other => Err(unexpected(&other)),
        }
    }
}

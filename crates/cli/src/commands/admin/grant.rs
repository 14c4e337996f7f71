//! `restock admin grant` and `restock admin revoke`.

use clap::Args;
use restock_provider::admin::{AdminAnswer, AdminOperation};

use super::text::{ask, permissions, unexpected};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output::{Done, shown};

/// Give an account a role within a scope
///
/// What is granted is in force with the next request. Roles and scopes are named by ID or name.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin grant anna 'Application Administrator' --scope North
  restock admin grant anna SMS0001R")]
pub(crate) struct Grant {
    /// Name of the account
    account: String,

    /// The role
    role: String,

    /// The scope; without it all objects
    #[arg(long, value_name = "SCOPE", default_value = "SMS00ALL")]
    scope: String,
}

/// Take a role within a scope from an account
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin revoke anna 'Application Administrator' --scope North")]
pub(crate) struct Revoke {
    /// Name of the account
    account: String,

    /// The role
    role: String,

    /// The scope; without it all objects
    #[arg(long, value_name = "SCOPE", default_value = "SMS00ALL")]
    scope: String,
}

impl Grant {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let Self { account, role, scope } = self;
        run(session, "restock admin grant", AdminOperation::Grant { account, role, scope })
    }
}

impl Revoke {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let Self { account, role, scope } = self;
        run(session, "restock admin revoke", AdminOperation::Revoke { account, role, scope })
    }
}

fn run(session: &Session, command: &str, operation: AdminOperation) -> Result<Done, Failure> {
    match ask(session, command, operation)? {
        AdminAnswer::Account(row) => {
            let held = permissions(&row);
            let held = if held.is_empty() { "no role".to_owned() } else { held };
            Ok(Done::with(&row, format!("Account {} has {held}.\n", shown(&row.name))))
        }
        other => Err(unexpected(&other)),
    }
}

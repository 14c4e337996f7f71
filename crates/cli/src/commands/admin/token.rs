//! `restock admin token`.

use std::time::Duration;

use clap::{Args, Subcommand};
use restock_provider::admin::{AdminAnswer, AdminOperation};

use super::text::{ask, unexpected};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output::{Done, Table, shown};
use crate::units::parse_duration;

/// Make, list and revoke tokens that programs sign in with
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

impl Token {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Create(c) => c.run(session),
            Self::List(c) => c.run(session),
            Self::Revoke(c) => c.run(session),
        }
    }
}

/// Make a token that stands for an account
///
/// It is sent as `Authorization: Bearer rst_…` and shown once; the site keeps only its hash.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin token create robot nightly-build
  restock admin token create anna laptop --valid 30d --role 'Read-only Analyst' --json")]
pub(crate) struct Create {
    /// Name of the account
    account: String,

    /// What the token is called
    name: String,

    /// A role that leaves less than the account holds
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,

    /// How long it is valid, at most 366d
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "90d")]
    valid: Duration,
}

impl Create {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let operation = AdminOperation::CreateToken {
            account: self.account,
            name: self.name,
            role: self.role,
            valid_ms: u64::try_from(self.valid.as_millis()).unwrap_or(u64::MAX),
        };
        match ask(session, "restock admin token create", operation)? {
            AdminAnswer::TokenMade(made) => {
                if !session.output.json {
                    session.output.talk(&format!(
                        "Token {} of {}, valid until {}:\n",
                        shown(&made.row.name),
                        shown(&made.row.account),
                        made.row.expires_at
                    ));
                }
                Ok(Done::with(&made, format!("{}\n", made.token.reveal())))
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// List tokens, without what is secret in them
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin token list
  restock admin token list robot --json")]
pub(crate) struct List {
    /// Name of an account; without it those of all
    account: Option<String>,
}

impl List {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        match ask(session, "restock admin token list", AdminOperation::ListTokens { account: self.account })?
        {
            AdminAnswer::Tokens(rows) => {
                let mut table = Table::new(&["Account", "Name", "Limited to", "Valid until", "Last used"]);
                for row in &rows {
                    let until = match row.revoked_at {
                        Some(at) => format!("revoked {at}"),
                        None => row.expires_at.to_string(),
                    };
                    let used =
                        row.last_used_at.map(|at| at.to_string()).unwrap_or_else(|| "never".to_owned());
                    let role = row.role.as_deref().map(shown).unwrap_or_default();
                    table.row([shown(&row.account), shown(&row.name), role, until, used], None);
                }
                Ok(Done::with(&rows, table.text(session.output.style, "No tokens.")))
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// Take a token back; it is refused from then on
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin token revoke robot nightly-build")]
pub(crate) struct Revoke {
    /// Name of the account
    account: String,

    /// What the token is called
    name: String,
}

impl Revoke {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let operation = AdminOperation::RevokeToken { account: self.account, name: self.name };
        match ask(session, "restock admin token revoke", operation)? {
            AdminAnswer::Token(row) => {
                let text = format!("Token {} of {} is revoked.\n", shown(&row.name), shown(&row.account));
                Ok(Done::with(&row, text))
            }
            other => Err(unexpected(&other)),
        }
    }
}

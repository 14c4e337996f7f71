//! `restock admin ntlm`.

use clap::{Args, Subcommand};
use restock_provider::admin::{AdminAnswer, AdminOperation};

use super::text::{ask, unexpected};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output::{Done, shown};

/// Let accounts sign in with NTLM, for clients that cannot do better
#[derive(Debug, Subcommand)]
pub(crate) enum Ntlm {
    Enable(Enable),
    Disable(Disable),
}

impl Ntlm {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Enable(c) => c.run(session),
            Self::Disable(c) => c.run(session),
        }
    }
}

/// Make an NTLM secret for an account
///
/// It is a password that only NTLM takes, generated with 140 bits and shown once; the one the account
/// had before is void. WS-Management clients and scripts use it as the account's password with NTLM or
/// Negotiate: over HTTPS bound to the certificate, without TLS for sealed bodies alone. Each site has
/// its own.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin ntlm enable builds
  restock admin ntlm enable anna --force --json")]
pub(crate) struct Enable {
    /// Name of the account
    account: String,

    /// Also for an account that may do everything
    #[arg(long)]
    force: bool,
}

impl Enable {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let operation = AdminOperation::EnableNtlm { account: self.account, is_forced: self.force };
        match ask(session, "restock admin ntlm enable", operation)? {
            AdminAnswer::NtlmMade(made) => {
                if !session.output.json {
                    session.output.talk(&format!("NTLM secret of {}:\n", shown(&made.account)));
                }
                Ok(Done::with(&made, format!("{}\n", made.secret.reveal())))
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// Take the NTLM secret of an account away
///
/// Connections that are signed in with it are signed in no more.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin ntlm disable builds")]
pub(crate) struct Disable {
    /// Name of the account
    account: String,
}

impl Disable {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let operation = AdminOperation::DisableNtlm { account: self.account };
        match ask(session, "restock admin ntlm disable", operation)? {
            AdminAnswer::Account(row) => {
                let text = format!("Account {} signs in with NTLM no more.\n", shown(&row.name));
                Ok(Done::with(&row, text))
            }
            other => Err(unexpected(&other)),
        }
    }
}

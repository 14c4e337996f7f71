//! `restock admin`: accounts, roles, scopes, tokens, certificates, principals and NTLM secrets of a site.

mod account;
mod certificate;
mod grant;
mod kerberos;
mod ntlm;
mod role;
mod scope;
mod text;
mod token;

use clap::Subcommand;

use crate::commands::Session;
use crate::failure::Failure;
use crate::output::Done;

/// Accounts, roles, scopes and tokens of the people and programs that use the site
#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    #[command(subcommand)]
    Account(account::Account),
    #[command(subcommand)]
    Role(role::Role),
    #[command(subcommand)]
    Scope(scope::Scope),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Certificate(certificate::Certificate),
    #[command(subcommand)]
    Kerberos(kerberos::Kerberos),
    #[command(subcommand)]
    Ntlm(ntlm::Ntlm),
    Grant(grant::Grant),
    Revoke(grant::Revoke),
}

impl Admin {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Account(c) => c.run(session),
            Self::Role(c) => c.run(session),
            Self::Scope(c) => c.run(session),
            Self::Token(c) => c.run(session),
            Self::Certificate(c) => c.run(session),
            Self::Kerberos(c) => c.run(session),
            Self::Ntlm(c) => c.run(session),
            Self::Grant(c) => c.run(session),
            Self::Revoke(c) => c.run(session),
        }
    }
}

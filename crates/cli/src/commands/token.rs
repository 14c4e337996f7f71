//! `restock token …`.

mod create;

use clap::Subcommand;

use crate::commands::Session;
use crate::failure::Failure;
use crate::output::Done;

/// Make enrolment tokens
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    Create(create::Create),
}

impl Token {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Create(c) => c.run(session),
        }
    }
}

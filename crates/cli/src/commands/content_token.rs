//! `restock content-token …`.

mod create;

use clap::Subcommand;

use crate::commands::Session;
use crate::failure::Failure;
use crate::output::Done;

/// Make tokens that open packages which are not public
#[derive(Debug, Subcommand)]
pub(crate) enum ContentToken {
    Create(create::Create),
}

impl ContentToken {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Create(c) => c.run(session),
        }
    }
}

//! `restock audit`: the trail of who did what.

mod export;
mod verify;

use clap::Subcommand;

use crate::commands::Session;
use crate::failure::Failure;
use crate::output::Done;

/// The audit trail: every change and every refusal, each record hashed with the one before
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    Verify(verify::Verify),
    Export(export::Export),
}

impl Audit {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Verify(c) => c.run(session),
            Self::Export(c) => c.run(session),
        }
    }
}

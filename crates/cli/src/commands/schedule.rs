//! `restock schedule …`.

mod explain;

use clap::Subcommand;

use crate::commands::Session;
use crate::failure::Failure;
use crate::output::Done;

/// Look at the schedules by which packages are refreshed
#[derive(Debug, Subcommand)]
pub(crate) enum Schedule {
    Explain(explain::Explain),
}

impl Schedule {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Explain(c) => c.run(session),
        }
    }
}

//! `restock site …`.

mod init;
mod run;

use clap::Subcommand;

use crate::commands::Session;
use crate::failure::Failure;
use crate::output::Done;

pub(crate) use init::chosen_port;

/// Make a site, run it
#[derive(Debug, Subcommand)]
pub(crate) enum Site {
    Init(init::Init),
    Run(run::Run),
}

impl Site {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Init(c) => c.run(session),
            Self::Run(c) => c.run(session),
        }
    }
}

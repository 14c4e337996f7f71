//! `restock dp …`.

mod init;
mod list;
mod run;

use clap::Subcommand;

use crate::commands::Session;
use crate::failure::Failure;
use crate::output::Done;

/// Make a distribution point, run it, list those of a site
#[derive(Debug, Subcommand)]
pub(crate) enum Dp {
    Init(init::Init),
    Run(run::Run),
    List(list::List),
}

impl Dp {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Init(c) => c.run(session),
            Self::Run(c) => c.run(session),
            Self::List(c) => c.run(session),
        }
    }
}

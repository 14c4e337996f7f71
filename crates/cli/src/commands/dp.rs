//! `restock dp …`.

mod init;
mod list;
mod run;
mod set;

use clap::Subcommand;

use crate::commands::Session;
use crate::failure::Failure;
use crate::output::Done;

/// Make a distribution point, run it, list those of a site, tell one that its site has moved
#[derive(Debug, Subcommand)]
pub(crate) enum Dp {
    Init(init::Init),
    Run(run::Run),
    List(list::List),
    Set(set::Set),
}

impl Dp {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Init(c) => c.run(session),
            Self::Run(c) => c.run(session),
            Self::List(c) => c.run(session),
            Self::Set(c) => c.run(session),
        }
    }
}

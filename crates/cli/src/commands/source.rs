//! `restock source …`.

mod add;
mod list;
mod remove;

use clap::Subcommand;

use crate::commands::Session;
use crate::failure::Failure;
use crate::output::Done;

/// Register the folders that packages may be read from
#[derive(Debug, Subcommand)]
pub(crate) enum Source {
    Add(add::Add),
    List(list::List),
    Remove(remove::Remove),
}

impl Source {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Add(c) => c.run(session),
            Self::List(c) => c.run(session),
            Self::Remove(c) => c.run(session),
        }
    }
}

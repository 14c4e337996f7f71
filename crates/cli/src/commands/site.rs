//! `restock site …`.

mod backup;
mod init;
mod join;
mod joining;
mod leave;
mod promote;
mod remove;
mod restore;
mod rotate_ca;
mod run;
mod set;
mod settings;
pub(crate) mod tree;

use clap::Subcommand;

use crate::commands::Session;
use crate::failure::Failure;
use crate::output::Done;

pub(crate) use init::chosen_port;

/// Make a site, run it, put it below another one, look at the hierarchy, save and restore it
#[derive(Debug, Subcommand)]
pub(crate) enum Site {
    Init(init::Init),
    Run(run::Run),
    Tree(tree::Tree),
    Join(join::Join),
    Leave(leave::Leave),
    Remove(remove::Remove),
    Set(set::Set),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Promote(promote::Promote),
    RotateCa(rotate_ca::RotateCa),
}

impl Site {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Init(c) => c.run(session),
            Self::Run(c) => c.run(session),
            Self::Tree(c) => c.run(session),
            Self::Join(c) => c.run(session),
            Self::Leave(c) => c.run(session),
            Self::Remove(c) => c.run(session),
            Self::Set(c) => c.run(session),
            Self::Backup(c) => c.run(session),
            Self::Restore(c) => c.run(session),
            Self::Promote(c) => c.run(session),
            Self::RotateCa(c) => c.run(session),
        }
    }
}

//! `restock library …`.

mod check;
mod export;
mod gc;
mod repair;
mod stat;

use std::sync::Arc;

use clap::Subcommand;
use restock_content::library as content;

use crate::commands::Session;
use crate::control::Client;
use crate::data_folder::{DataFolder, DataLock, Locked};
use crate::failure::Failure;
use crate::output::Done;
use crate::running;

/// Check, clean, mend and measure the content library of a site or DP
#[derive(Debug, Subcommand)]
pub(crate) enum Library {
    Check(check::Check),
    Export(export::Export),
    Gc(gc::Gc),
    Repair(repair::Repair),
    Stat(stat::Stat),
}

impl Library {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Check(c) => c.run(session),
            Self::Export(c) => c.run(session),
            Self::Gc(c) => c.run(session),
            Self::Repair(c) => c.run(session),
            Self::Stat(c) => c.run(session),
        }
    }
}

/// The library of a site or DP: through its running process, or opened here.
pub(in crate::commands) enum LibraryDoor {
    Running(Client),
    Opened(Arc<content::Library>, DataLock),
}

pub(in crate::commands) fn open(folder: &DataFolder, command: &str) -> Result<LibraryDoor, Failure> {
    let role = folder.role()?;
    match folder.lock_or_ask(command)? {
        Locked::Instead(client) => Ok(LibraryDoor::Running(client)),
        Locked::Here(lock) => {
            running::library::check_identity(folder, role)?;
            Ok(LibraryDoor::Opened(running::library::open(&folder.library())?, lock))
        }
    }
}

//! `restock library export`.

use std::path::PathBuf;

use clap::Args;

use crate::commands::{Session, get};
use crate::failure::Failure;
use crate::output::Done;

const EXAMPLE: &str = "\
Example:
  restock --data /var/lib/restock library export XYZ00001.3 /backup/editor
  restock --data /srv/dp1 library export XYZ00001 ./editor --delete";

/// Write a version from the library of a site or DP into a folder, as plain files
///
/// Works beside a running process and without one. Every chunk is checked; files the folder has already
/// are kept, and an export that was interrupted goes on where it ended.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Export {
    /// PKG, the version that is served, or PKG.VERSION
    #[arg(value_name = "PKG[.VERSION]")]
    what: String,

    /// Folder that is to hold the files; it is made if need be
    #[arg(value_name = "DEST")]
    destination: PathBuf,

    /// Remove from DEST what the version does not have
    #[arg(long)]
    delete: bool,
}

impl Export {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        get::export(session, &self.what, &self.destination, self.delete)
    }
}

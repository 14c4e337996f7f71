//! `restock demo`.

use std::path::PathBuf;

use clap::Args;

use crate::commands::Session;
use crate::demo::Wanted;
use crate::failure::Failure;
use crate::output::Done;

const EXAMPLE: &str = "\
Example:
  restock demo                       with some real files of this machine
  restock demo ~/projects            with a folder of your own (a copy is changed, never the folder)
  restock demo --sites               with a site below the first one, and its own DP
  restock demo --data ./try --keep   leave everything running and look around";

/// Shows the main job on this machine: one site, two DPs, one package
///
/// Starts a site and two DPs as processes of their own, makes a package from a copy of FOLDER,
/// distributes it, changes some files, refreshes it, fetches everything from all DPs over HTTP and
/// compares it with the source byte by byte. Ends with an error when anything differs.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Demo {
    /// Folder to take the files from; without it a folder of real files is looked for
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,

    /// Add a site below the first one with a DP of its own; ask for a further refresh there
    #[arg(long)]
    pub(crate) sites: bool,

    /// Leave sites and DPs running until Ctrl-C or SIGTERM, and print their addresses
    #[arg(long)]
    pub(crate) keep: bool,
}

impl Demo {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let wanted = Wanted { folder: self.folder, keep: self.keep, sites: self.sites };
        crate::demo::run(wanted, session.folder_named(), session.output)
    }
}

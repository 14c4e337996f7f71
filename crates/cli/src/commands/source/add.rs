//! `restock source add`.

use std::path::PathBuf;

use clap::Args;
use restock_provider::{Answer, NewSourceRoot, Operation};

use crate::commands::{Session, folder_text};
use crate::control::{Door, unexpected};
use crate::failure::Failure;
use crate::output::{Done, shown};

const EXAMPLE: &str = r"Example:
  restock source add apps /srv/apps
  restock source add apps /srv/apps --scope Berlin --scope Paris
  restock source add apps /srv/apps --as '\\fs01\apps' --as 'D:\apps'";

/// Register a folder that packages may be read from
///
/// A package's source path is only opened when it lies under a registered folder, in its own form or
/// in one given by --as (UNC or drive form, matched by whole components without letter case).
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Add {
    /// Name of the source root
    name: String,

    /// Folder on the site's machine
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Another form of the same folder, as package sources write it
    #[arg(long = "as", value_name = "PATH")]
    aliases: Vec<String>,

    /// Security scope, by ID or name, within which accounts may set source paths to it [default: Default]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
}

impl Add {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let folder = folder_text(&self.folder)?;
        let mut door = Door::open(&session.folder()?, "restock source add")?;
        let root = NewSourceRoot { name: self.name, folder, aliases: self.aliases, scopes: self.scopes };
        match door.perform(Operation::AddSourceRoot(root))? {
            Answer::SourceRoot(row) => {
                let text = format!(
                    "Packages may be read from {} (source root {}).\n",
                    shown(&row.folder),
                    shown(&row.name)
                );
                Ok(Done::with(&row, text))
            }
            other => Err(unexpected(&other)),
        }
    }
}

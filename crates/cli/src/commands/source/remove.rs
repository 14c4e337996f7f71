//! `restock source remove`.

use clap::Args;
use restock_provider::{Answer, Operation};

use crate::commands::Session;
use crate::control::{Door, unexpected};
use crate::failure::Failure;
use crate::output::{Done, shown};

const EXAMPLE: &str = "\
Example:
  restock source remove apps";

/// Forget a source root; the folder itself is not touched
///
/// Packages below it keep their content and their versions; their next refresh fails and names the
/// missing root.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Remove {
    /// Name of the source root
    name: String,
}

impl Remove {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut door = Door::open(&session.folder()?, "restock source remove")?;
        match door.perform(Operation::RemoveSourceRoot { name: self.name })? {
            Answer::SourceRoot(row) => {
                Ok(Done::with(&row, format!("Source root {} is forgotten.\n", shown(&row.name))))
            }
            other => Err(unexpected(&other)),
        }
    }
}

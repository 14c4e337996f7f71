//! `restock package delete`.

use clap::Args;
use restock_provider::{Answer, Operation};

use crate::commands::{Session, package_id};
use crate::control::{Door, unexpected};
use crate::failure::Failure;
use crate::output::{Done, count};

const EXAMPLE: &str = "\
Example:
  restock package delete XYZ00001";

/// Delete a package everywhere; its source folder is not touched
///
/// The package is hidden at once and gone when the last distribution point has let go of it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Delete {
    /// Package ID
    #[arg(value_name = "PKG")]
    package: String,
}

impl Delete {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let package = package_id(&self.package)?;
        let mut door = Door::open(&session.folder()?, "restock package delete")?;
        match door.perform(Operation::DeletePackage { package })? {
            Answer::Deleted(deleted) => {
                let text = match deleted.points_waiting {
                    0 => format!("{package} is deleted.\n"),
                    n => format!(
                        "{package} is deleted; {} still to let go of it.\n",
                        count(u64::from(n), "distribution point")
                    ),
                };
                Ok(Done::with(&deleted, text))
            }
            other => Err(unexpected(&other)),
        }
    }
}

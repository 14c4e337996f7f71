//! `restock package delete`.

use std::time::Duration;

use clap::Args;
use restock_provider::{Answer, Operation};

use crate::commands::wait::{self, Goal};
use crate::commands::{Session, package_id};
use crate::control::unexpected;
use crate::failure::Failure;
use crate::output::{Done, count};
use crate::units::parse_duration;

const EXAMPLE: &str = "\
Example:
  restock package delete XYZ00001
  restock package delete XYZ00001 --wait --timeout 10m";

/// Delete a package everywhere; its source folder is not touched
///
/// The package is hidden at once and gone when the last distribution point has let go of it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Delete {
    /// Package ID
    #[arg(value_name = "PKG")]
    package: String,

    /// Wait until every distribution point has let go of it
    #[arg(long)]
    wait: bool,

    /// End waiting after this time (exit code 5)
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "wait")]
    timeout: Option<Duration>,
}

impl Delete {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let package = package_id(&self.package)?;
        let mut door = wait::door(session, self.wait, "restock package delete")?;
        match door.perform(Operation::DeletePackage { package })? {
            Answer::Deleted(_) if self.wait => {
                wait::until(session, &mut door, Goal::Gone(package), self.timeout)
            }
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

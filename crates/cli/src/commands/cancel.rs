//! `restock cancel`.

use clap::Args;
use restock_names::DistributionPointName;
use restock_provider::{Answer, Operation};

use crate::commands::{Session, package_id, targets};
use crate::control::{Door, unexpected};
use crate::failure::Failure;
use crate::output::Done;

const EXAMPLE: &str = "\
Example:
  restock cancel XYZ00001              end its refresh
  restock cancel XYZ00001 --to DP01    end the distribution to DP01";

/// End a package's refresh, or its distribution to some distribution points
///
/// A cancelled refresh leaves version and content as they were; the distribution points are
/// installed again with the old version. What was fetched so far is kept and not fetched again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Cancel {
    /// Package ID
    #[arg(value_name = "PKG")]
    package: String,

    /// Distribution points whose distribution ends; without it the refresh ends
    #[arg(long, value_name = "DP", num_args = 1..)]
    to: Vec<DistributionPointName>,
}

impl Cancel {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let package = package_id(&self.package)?;
        let mut door = Door::open(&session.folder()?, "restock cancel")?;
        if !self.to.is_empty() {
            let operation = Operation::CancelDistribution { package, points: self.to };
            let changed = targets::change(&mut door, operation)?;
            let text = targets::text(&changed, "is no longer being brought to", "was not on its way to");
            return Ok(Done::with(&changed, text));
        }
        match door.perform(Operation::CancelRefresh { package })? {
            Answer::Cancelled(cancelled) => {
                let text = if cancelled.was_pending {
                    format!("The refresh of {package} is cancelled.\n")
                } else {
                    format!("No refresh of {package} was pending.\n")
                };
                Ok(Done::with(&cancelled, text))
            }
            other => Err(unexpected(&other)),
        }
    }
}

//! `restock remove`.

use std::time::Duration;

use clap::Args;
use restock_names::DistributionPointName;
use restock_provider::Operation;

use crate::commands::wait::{self, Goal};
use crate::commands::{Session, package_id, targets};
use crate::failure::Failure;
use crate::output::Done;
use crate::units::parse_duration;

const EXAMPLE: &str = "\
Example:
  restock remove XYZ00001 --from DP02
  restock remove XYZ00001 --from DP02 --wait";

/// Take a package away from distribution points
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Remove {
    /// Package ID
    #[arg(value_name = "PKG")]
    package: String,

    /// Distribution points
    #[arg(long, visible_alias = "to", value_name = "DP", required = true, num_args = 1..)]
    from: Vec<DistributionPointName>,

    /// Wait until they have let go of it
    #[arg(long)]
    wait: bool,

    /// End waiting after this time (exit code 5)
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "wait")]
    timeout: Option<Duration>,
}

impl Remove {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let package = package_id(&self.package)?;
        let mut door = wait::door(session, self.wait, "restock remove")?;
        let operation = Operation::RemoveDistributionPoints { package, points: self.from.clone() };
        let changed = targets::change(&mut door, operation)?;
        if self.wait {
            return wait::until(session, &mut door, Goal::Removed(package, self.from), self.timeout);
        }
        Ok(Done::with(&changed, targets::text(&changed, "is being removed from", "is not at")))
    }
}

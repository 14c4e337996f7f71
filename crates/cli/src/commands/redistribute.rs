//! `restock redistribute`.

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
  restock redistribute XYZ00001 --to DP01 --wait";

/// Have distribution points check every byte of a package and fetch what is missing or damaged
///
/// The source is not read and the version stays. The present version is served meanwhile.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Redistribute {
    /// Package ID
    #[arg(value_name = "PKG")]
    package: String,

    /// Distribution points that have the package
    #[arg(long, value_name = "DP", required = true, num_args = 1..)]
    to: Vec<DistributionPointName>,

    /// Wait until they are done
    #[arg(long)]
    wait: bool,

    /// End waiting after this time (exit code 5)
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "wait")]
    timeout: Option<Duration>,
}

impl Redistribute {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let package = package_id(&self.package)?;
        let mut door = wait::door(session, self.wait, "restock redistribute")?;
        let operation = Operation::Redistribute { package, points: self.to.clone() };
        let changed = targets::change(&mut door, operation)?;
        if self.wait {
            return wait::until(session, &mut door, Goal::Installed(package, self.to), self.timeout);
        }
        let text = targets::text(&changed, "is being checked and repaired at", "was asked before at");
        Ok(Done::with(&changed, text))
    }
}

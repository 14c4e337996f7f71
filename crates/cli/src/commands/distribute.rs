//! `restock distribute`.

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
  restock distribute XYZ00001 --to DP01 DP02
  restock distribute XYZ00001 --to DP01 --wait --timeout 30m";

/// Bring a package to distribution points, now and at each refresh
///
/// They fetch what they lack of the present version. The source is not read and the version stays.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Distribute {
    /// Package ID
    #[arg(value_name = "PKG")]
    package: String,

    /// Distribution points
    #[arg(long, value_name = "DP", required = true, num_args = 1..)]
    to: Vec<DistributionPointName>,

    /// Wait until they serve it
    #[arg(long)]
    wait: bool,

    /// End waiting after this time (exit code 5)
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "wait")]
    timeout: Option<Duration>,
}

impl Distribute {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let package = package_id(&self.package)?;
        let mut door = wait::door(session, self.wait, "restock distribute")?;
        let operation = Operation::AddDistributionPoints { package, points: self.to.clone() };
        let changed = targets::change(&mut door, operation)?;
        if self.wait {
            return wait::until(session, &mut door, Goal::Installed(package, self.to), self.timeout);
        }
        let text = targets::text(&changed, "is being brought to", "was brought there before:");
        Ok(Done::with(&changed, text))
    }
}

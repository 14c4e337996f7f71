//! `restock refresh`.

use std::time::Duration;

use clap::Args;
use restock_provider::rows::RefreshAccepted;
use restock_provider::{Answer, Operation};

use crate::commands::wait::{self, Goal};
use crate::commands::{Session, package_id};
use crate::control::unexpected;
use crate::failure::{Failure, Kind};
use crate::output::{Done, count};
use crate::units::parse_duration;

const EXAMPLE: &str = "\
Example:
  restock refresh XYZ00001
  restock refresh XYZ00001 XYZ00002 --wait --timeout 10m";

/// Read the source of packages again and bring the new version to all their distribution points
///
/// Returns when the request is durable. Requests that wait together become one run. The version
/// rises by one when the source is stored, also when nothing changed; only new bytes travel.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Refresh {
    /// Package IDs
    #[arg(value_name = "PKG", required = true)]
    packages: Vec<String>,

    /// Wait until every distribution point serves the new version (exit code 1 failed, 3 partly)
    #[arg(long)]
    wait: bool,

    /// End waiting after this time (exit code 5); the refresh goes on
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "wait")]
    timeout: Option<Duration>,
}

impl Refresh {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let packages = self.packages.iter().map(|p| package_id(p)).collect::<Result<Vec<_>, _>>()?;
        let mut door = wait::door(session, self.wait, "restock refresh")?;
        let mut accepted: Vec<RefreshAccepted> = Vec::new();
        for package in packages {
            match door.perform(Operation::RefreshPkgSource { package }) {
                Ok(Answer::Refresh(one)) => accepted.push(one),
                Ok(other) => return Err(unexpected(&other)),
                Err(failure) if accepted.is_empty() => return Err(failure),
                Err(mut failure) => {
                    let asked: Vec<&str> = accepted.iter().map(|a| a.package.as_str()).collect();
                    failure.kind = Kind::Partly;
                    failure.message =
                        format!("{package}: {}; asked before it: {}", failure.message, asked.join(", "));
                    return Err(failure);
                }
            }
        }
        if self.wait {
            return wait::until(session, &mut door, Goal::Refreshed(accepted), self.timeout);
        }
        let mut text = String::new();
        for one in &accepted {
            text.push_str(&format!(
                "{}: refresh asked{}, version {} at {}.\n",
                one.package,
                if one.joined { " (joins one that waits)" } else { "" },
                one.source_version,
                count(u64::from(one.targeted), "distribution point"),
            ));
        }
        if !door.is_running() {
            text.push_str("It begins when the site runs.\n");
        }
        Ok(Done::with(&accepted, text))
    }
}

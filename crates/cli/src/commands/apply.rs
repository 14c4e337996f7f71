//! `restock apply`.

use std::time::Duration;

use clap::Args;

use crate::commands::Session;
use crate::commands::plan::with_progress;
use crate::commands::wait::{self, Goal};
use crate::control::{Ask, PlanApplied};
use crate::failure::{Failure, Kind};
use crate::output::{Done, count};
use crate::units::parse_duration;

const EXAMPLE: &str = "\
Example:
  restock apply XYZ00001-0f1e2d3c
  restock apply XYZ00001-0f1e2d3c --wait --timeout 10m";

/// Publish exactly what a plan showed, or nothing
///
/// The source is looked at once more; what the plan read and what has not changed since is not read
/// again. Refused (exit code 6) with PLAN_STALE when the source, the package's settings or its
/// version have moved, and with PLAN_BUSY while a refresh waits or runs.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Apply {
    /// The plan, as `restock plan` named it
    #[arg(value_name = "PLAN")]
    plan: String,

    /// Wait until every distribution point serves the new version (exit code 1 failed, 3 partly)
    #[arg(long)]
    wait: bool,

    /// End waiting after this time (exit code 5); the distribution goes on
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "wait")]
    timeout: Option<Duration>,
}

impl Apply {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut door = wait::door(session, self.wait, "restock apply")?;
        let ask = Ask::ApplyPlan { plan: self.plan };
        let answer = with_progress(session, &mut door, ask, &mut |_| {})?;
        let applied: PlanApplied = serde_json::from_value(answer)
            .map_err(|e| Failure::caused(Kind::Failed, "the answer is not understood", &e))?;
        if self.wait {
            return wait::until(session, &mut door, Goal::Refreshed(vec![applied.refresh]), self.timeout);
        }
        let mut text = format!(
            "{}: version {} is stored, for {}.\n",
            applied.version.package,
            applied.version.version,
            count(u64::from(applied.refresh.targeted), "distribution point"),
        );
        if applied.refresh.targeted > 0 && !door.is_running() {
            text.push_str("It is distributed when the site runs.\n");
        }
        Ok(Done::with(&applied, text))
    }
}

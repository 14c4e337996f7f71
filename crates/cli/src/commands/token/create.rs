//! `restock token create`.

use std::time::Duration;

use clap::Args;
use restock_names::HumanDuration;

use crate::commands::Session;
use crate::control::{Ask, Door, TokenFor, TokenGiven};
use crate::failure::Failure;
use crate::output::Done;
use crate::units::parse_duration;

const EXAMPLE: &str = "\
Example:
  restock token create DP01
  restock token create DP01 --valid 1h --json
  restock token create DEF --kind site";

/// Make a single-use token that lets one distribution point, or one site below this one, join
///
/// The token is bound to NAME, is good for one enrolment, and carries the fingerprint of the site's
/// CA, which the joiner checks before it sends anything. It is shown once. A central site has no
/// distribution points; below a secondary one there is no site.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Create {
    /// Name the joiner will have; of a site its site code
    name: String,

    /// What joins
    #[arg(long, value_enum, default_value = "dp")]
    kind: TokenFor,

    /// How long it can be used, at most 24h
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "24h")]
    valid: Duration,
}

impl Create {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut door = Door::open(&session.folder()?, "restock token create")?;
        let valid_ms = u64::try_from(self.valid.as_millis()).unwrap_or(u64::MAX);
        let given: TokenGiven = door.ask(Ask::CreateToken { kind: self.kind, name: self.name, valid_ms })?;
        if !session.output.json {
            session.output.talk(&format!(
                "Token for {}, single use, good for {} (until {}):\n",
                given.name,
                HumanDuration(self.valid),
                given.expires_at
            ));
        }
        let text = format!("{}\n", given.token);
        Ok(Done::with(&given, text))
    }
}

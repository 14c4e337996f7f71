//! `restock site rotate-ca`.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::commands::Session;
use crate::control::{Ask, AuthorityChange, Door};
use crate::failure::Failure;
use crate::output::{Done, count, shown};
use crate::units::parse_duration;

const EXAMPLE: &str = "\
Example:
  restock site rotate-ca
  restock site rotate-ca --within 7d
  restock site rotate-ca --show --json      who has moved";

/// Give the site another certificate authority, while both count
///
/// Points and sites below are given certificates of the new one as they come by, over the keys they
/// are enrolled with; no new tokens are needed. The old one ends to count when all have moved or the
/// time is over: who has not come by until then enrols again. Clients of the AdminService are given
/// the file `ca.pem` of the data folder anew. A change that is under way is not begun again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct RotateCa {
    /// How long both count at most; 60 days unless told otherwise
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    within: Option<Duration>,

    /// Begin nothing, and show how far a change is
    #[arg(long, conflicts_with = "within")]
    show: bool,
}

#[derive(Debug, Serialize)]
struct Document {
    is_changing: bool,
    #[serde(flatten)]
    change: Option<AuthorityChange>,
}

impl RotateCa {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut door = Door::open(&session.folder()?, "restock site rotate-ca")?;
        let within_ms = self.within.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let ask = if self.show { Ask::AuthorityChange } else { Ask::RotateAuthority { within_ms } };
        let change: Option<AuthorityChange> = door.ask(ask)?;
        let Some(change) = change else {
            let document = Document { is_changing: false, change: None };
            return Ok(Done::with(&document, "The authority is not being changed.\n"));
        };
        let moved: Vec<String> = change.moved.iter().map(|name| shown(name)).collect();
        let text = format!(
            "Site {} changes its authority since {}; both count until {} at the latest.\n  New  {}\n  Old  {}\n{}\n",
            change.site_code,
            change.begun_at,
            change.ends_at,
            change.newest,
            change.oldest,
            match moved.as_slice() {
                [] => "Nobody has moved yet.".to_owned(),
                names => format!("{} moved: {}.", count(names.len() as u64, "peer"), names.join(", ")),
            }
        );
        Ok(Done::with(&Document { is_changing: true, change: Some(change) }, text))
    }
}

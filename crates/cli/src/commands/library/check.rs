//! `restock library check`.

use std::time::Duration;

use clap::Args;
use restock_names::{HumanBytes, HumanDuration};

use crate::commands::Session;
use crate::commands::library::{LibraryDoor, open};
use crate::control::{Ask, LibraryChecked};
use crate::failure::{Failure, Kind};
use crate::output::{Done, count, shown};
use crate::running;

const EXAMPLE: &str = "\
Example:
  restock --data /var/lib/restock library check
  restock --data /srv/dp1 library check --json";

/// Read and hash every frame of the library of a site or DP
///
/// Works beside a running process. Nothing is changed; a damaged frame is repaired by
/// `restock redistribute`. Exit code 1 when something is wrong.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Check {}

impl Check {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let checked: LibraryChecked = match open(&session.folder()?, "restock library check")? {
            LibraryDoor::Running(mut client) => client.ask(Ask::CheckLibrary)?,
            LibraryDoor::Opened(library, _lock) => {
                running::runtime(1)?.block_on(running::library::check(library))?
            }
        };
        let mut text = format!(
            "{} in {}, {} read and hashed in {}: ",
            count(checked.frames, "frame"),
            count(checked.packs, "pack"),
            HumanBytes(checked.bytes),
            HumanDuration(Duration::from_millis(checked.duration_ms)),
        );
        if checked.problems.is_empty() {
            text.push_str("all is right.\n");
            return Ok(Done::with(&checked, text));
        }
        text.push_str(&format!("{}.\n", count(checked.problems.len() as u64, "problem")));
        for problem in &checked.problems {
            text.push_str(&format!("{}\n", shown(problem)));
        }
        Ok(Done::with(&checked, text).ending(Some(Kind::Failed)))
    }
}

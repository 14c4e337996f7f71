//! `restock library repair`.

use clap::Args;

use crate::commands::Session;
use crate::commands::library::{LibraryDoor, open};
use crate::config::Role;
use crate::control::{Ask, Door, LibraryRepaired};
use crate::failure::{Failure, Kind};
use crate::output::{Done, count, shown};

const EXAMPLE: &str = "\
Example:
  restock --data /var/lib/restock library repair
  restock --data /srv/dp1 library repair --json";

/// Bring back what is missing or damaged in the library of a site or DP
///
/// Happens by itself when a reader or the scrub meets damage. A DP, which must run, fetches from its
/// site; a site reads the package's source again. Exit code 1 when something stays lost.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Repair {}

impl Repair {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let (folder, command) = (session.folder()?, "restock library repair");
        let repaired: LibraryRepaired = match folder.role()? {
            Role::Site => Door::open(&folder, command)?.ask(Ask::RepairLibrary)?,
            Role::Dp => match open(&folder, command)? {
                LibraryDoor::Running(mut client) => client.ask(Ask::RepairLibrary)?,
                LibraryDoor::Opened(..) => {
                    return Err(Failure::refused(
                        "DP_NOT_RUNNING: repairing needs the distribution point to run: it fetches from its site",
                    )
                    .hint("restock dp run"));
                }
            },
        };
        if repaired.lacking == 0 {
            return Ok(Done::with(&repaired, "Nothing is missing or known to be damaged.\n".to_owned()));
        }
        let mut text =
            format!("{} of {} brought back.\n", repaired.mended, count(repaired.lacking, "lacking object"));
        for lost in &repaired.lost {
            text.push_str(&format!("{}\n", shown(lost)));
        }
        let kind = (!repaired.lost.is_empty()).then_some(Kind::Failed);
        Ok(Done::with(&repaired, text).ending(kind))
    }
}

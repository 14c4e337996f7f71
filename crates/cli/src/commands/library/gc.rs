//! `restock library gc`.

use std::time::Duration;

use clap::Args;
use restock_names::HumanBytes;

use crate::commands::Session;
use crate::commands::library::{LibraryDoor, open};
use crate::config::Role;
use crate::control::{Ask, Door, LibraryTidied, clean_point, cleaner_here};
use crate::failure::{Failure, Kind};
use crate::output::{Done, count};
use crate::running;
use crate::units::parse_duration;

const EXAMPLE: &str = "\
Example:
  restock --data /var/lib/restock library gc
  restock --data /srv/dp1 library gc --grace 0s --json";

/// Delete what no kept version refers to from the library of a site or DP
///
/// Runs by itself every hour too. Three versions of each package are kept. Waits half a minute for
/// downloads and drafts that began before; after that a running process goes on by itself (exit
/// code 5). Refused while database and library disagree about a package's newest version.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Gc {
    /// Leave alone what was stored within this time [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    grace: Option<Duration>,
}

impl Gc {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let (folder, command) = (session.folder()?, "restock library gc");
        let grace_ms = self.grace.map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        let ask = Ask::CleanLibrary { grace_ms };
        let tidied: LibraryTidied = match folder.role()? {
            // The database has a say.
            Role::Site => Door::open(&folder, command)?.ask(ask)?,
            Role::Dp => match open(&folder, command)? {
                LibraryDoor::Running(mut client) => client.ask(ask)?,
                LibraryDoor::Opened(library, _lock) => {
                    running::runtime(1)?.block_on(clean_point(cleaner_here(library), grace_ms))?
                }
            },
        };
        if !tidied.is_done {
            let text = format!(
                "{} that began before have not ended; it goes on when they have.\n",
                count(tidied.waits_for, "download or draft")
            );
            return Ok(Done::with(&tidied, text).ending(Some(Kind::TimedOut)));
        }
        let text = format!(
            "{} and {} deleted, {} freed; {} written anew, {} of no use left in packs that stay.\n",
            count(tidied.versions_removed, "older version"),
            count(tidied.packs_deleted, "pack"),
            HumanBytes(tidied.bytes_freed),
            HumanBytes(tidied.bytes_rewritten),
            HumanBytes(tidied.bytes_left),
        );
        Ok(Done::with(&tidied, text))
    }
}

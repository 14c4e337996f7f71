//! `restock site leave`.

use clap::Args;
use restock_site::Left;

use crate::commands::Session;
use crate::control::{Ask, Door};
use crate::failure::Failure;
use crate::output::Done;

const EXAMPLE: &str = "\
Example:
  restock site leave
  restock site leave --json";

/// Take this site out from below the one above it
///
/// It keeps everything it has and goes on serving it; sites below it stay below it. Packages that
/// belong to other sites are orphans here until they are adopted: `restock package adopt`. A site
/// that runs tells the one above, which then shows it as deleted.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Leave {}

impl Leave {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut door = Door::open(&session.folder()?, "restock site leave")?;
        let left: Left = door.ask(Ask::LeaveSite)?;
        let Left { site, parent, is_told } = left;
        let mut text = format!("Site {site} does not stand below site {parent} any more.\n");
        if !is_told {
            text.push_str(&format!(
                "Site {parent} has not heard of it. Next, there: restock site remove {site}\n"
            ));
        }
        Ok(Done::with(&left, text))
    }
}

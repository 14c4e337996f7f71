//! `restock site remove`.

use clap::Args;
use restock_names::SiteCode;

use crate::commands::Session;
use crate::control::{Ask, Door, SiteRemoved};
use crate::failure::Failure;
use crate::output::Done;

const EXAMPLE: &str = "\
Example:
  restock site remove DEF
  restock site remove DEF --json";

/// Take a site directly below this one out of the hierarchy and revoke its certificate
///
/// It holds at once: an open link is closed, no other is taken, and no content is given. The site
/// keeps what it has. Its packages are orphans here until they are adopted: `restock package
/// adopt`. It can join again with a new token.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Remove {
    /// Site code
    #[arg(value_name = "CODE")]
    site: SiteCode,
}

impl Remove {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut door = Door::open(&session.folder()?, "restock site remove")?;
        let removed: SiteRemoved = door.ask(Ask::RemoveSite { site: self.site })?;
        let mut text = format!("Site {} is removed and its certificate revoked.\n", removed.site_code);
        if !removed.with.is_empty() {
            let with: Vec<&str> = removed.with.iter().map(SiteCode::as_str).collect();
            text.push_str(&format!("With it went what stands below it: {}.\n", with.join(", ")));
        }
        Ok(Done::with(&removed, text))
    }
}

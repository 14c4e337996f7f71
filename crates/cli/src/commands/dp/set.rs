//! `restock dp set`.

use clap::Args;
use restock_transfer::{SiteUrl, move_site};
use serde::Serialize;

use crate::commands::Session;
use crate::config::Role;
use crate::failure::{Failure, Kind};
use crate::output::Done;

const EXAMPLE: &str = "\
Example:
  restock --data /srv/dp1 dp set --site restock://new.example:8720
  restock --data /srv/dp1 dp set --site restock://new.example:8720 --json";

/// Tell a distribution point that its site has moved
///
/// The distribution point does not run meanwhile. Certificate and pinned keys stay: no new token is
/// needed, and another site at the address is refused.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Set {
    /// Where the site's link listens
    #[arg(long, value_name = "URL")]
    site: SiteUrl,
}

#[derive(Debug, Serialize)]
struct Changed {
    site_url: String,
}

impl Set {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let folder = session.folder()?;
        folder.expect(Role::Dp)?;
        let _lock = folder.lock("restock dp set")?;
        move_site(&folder.identity(), &self.site)
            .map_err(|e| Failure::caused(Kind::Failed, "cannot change the enrolment at the site", &e))?;
        let changed = Changed { site_url: self.site.to_string() };
        Ok(Done::with(&changed, format!("The site is reached at {}.\nNext: restock dp run\n", self.site)))
    }
}

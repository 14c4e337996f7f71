//! `restock site join`.

use std::sync::Arc;

use clap::Args;
use restock_names::{Clock, SiteCode, SystemClock};
use restock_transfer::{EnrolmentToken, SiteUrl};
use serde::Serialize;

use super::joining;
use super::settings::{keep_url, locked};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output::Done;
use crate::running;

const EXAMPLE: &str = "\
Example:
  restock token create DEF --kind site                                 at the site above
  restock site join --parent restock://abc.example:8720 --token rj1_…   at this one, not running";

/// Put this site below another one
///
/// The site does not run meanwhile; the one above runs. The token is bound to this site's code, is
/// good for one enrolment, and carries the fingerprint of the CA above, which is checked before
/// anything is sent. From the next run on both exchange what they have.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Join {
    /// Where the link of the site above listens
    #[arg(long, value_name = "URL")]
    parent: SiteUrl,

    /// Token made there by `restock token create CODE --kind site`
    #[arg(long, value_name = "TOKEN", env = "RESTOCK_TOKEN", hide_env_values = true)]
    token: EnrolmentToken,

    /// Where other sites reach this one, when it is not what `restock.toml` says; it is kept there
    #[arg(long, value_name = "URL")]
    url: Option<SiteUrl>,
}

#[derive(Debug, Serialize)]
struct Joined {
    site_code: SiteCode,
    parent: SiteCode,
    parent_url: String,
    url: String,
}

impl Join {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let folder = session.folder()?;
        let (mut settings, _lock) = locked(&folder, "restock site join")?;
        if let Some(url) = &self.url {
            settings.link.url = url.to_string();
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let own_url = joining::own_url(&settings)?;
        let config = settings.config(folder.path());
        let joining = joining::join(&config, &self.parent, &self.token, &own_url, clock);
        let made = running::runtime(1)?.block_on(joining)?;
        if let Some(url) = &self.url {
            keep_url(&folder, url)?;
        }
        let joined = Joined {
            site_code: made.site,
            parent: made.parent,
            parent_url: made.url.to_string(),
            url: own_url.to_string(),
        };
        let text = format!("Site {} stands below site {}.\nNext: restock site run\n", made.site, made.parent);
        Ok(Done::with(&joined, text))
    }
}

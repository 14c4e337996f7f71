//! `restock site promote`.

use std::sync::Arc;

use clap::Args;
use restock_names::{Clock, SystemClock};
use restock_site::Site;

use super::settings::locked;
use crate::commands::Session;
use crate::control::{Promoted, site_failure};
use crate::failure::Failure;
use crate::output::Done;
use crate::running;

const EXAMPLE: &str = "\
Example:
  restock site promote               at a copy of a site that is to stand in for it
  restock site promote --json";

/// Raise the epoch of this site, so that what another copy of it still does is refused
///
/// For a site that was brought back by other means than `site restore`: a copy of its disk, a
/// database server's own backup. The site does not run meanwhile. Every distribution point and
/// neighbour is then asked for the highest version it saw, so that no version is made twice.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Promote {}

impl Promote {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let folder = session.folder()?;
        let (settings, _lock) = locked(&folder, "restock site promote")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config = settings.config(folder.path());
        let done = running::runtime(1)?.block_on(Site::promote(&config, clock)).map_err(site_failure)?;
        let promoted = Promoted { site_code: done.site, epoch: done.epoch.0 };
        let text = format!(
            "Site {} is in epoch {}. It makes no version before its points and neighbours were heard.\nNext: restock site run\n",
            promoted.site_code, promoted.epoch
        );
        Ok(Done::with(&promoted, text))
    }
}

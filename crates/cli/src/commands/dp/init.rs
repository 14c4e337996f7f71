//! `restock dp init`.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use restock_content::files::DiskFiles;
use restock_content::library::{Library, LibraryError, Role as LibraryRole};
use restock_transfer::{EnrolmentToken, SiteUrl, enrol};
use serde::Serialize;

use crate::commands::Session;
use crate::commands::site::chosen_port;
use crate::config::DpSettings;
use crate::failure::{Failure, Kind, chain};
use crate::output::{Done, shown_path};
use crate::running;

const EXAMPLE: &str = "\
Example:
  restock --data /srv/dp1 dp init --site restock://site.example:8720 --token rj1_…
  restock --data ./dp1 dp init --site 127.0.0.1:8720 --token rj1_… --serve 127.0.0.1:0";

/// Make a distribution point in the data folder and enrol it at its site
///
/// The token says its name and carries the fingerprint of the site's CA, which is checked before
/// anything is sent. The site must be running. The key never leaves this machine.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Init {
    /// Where the site's link listens
    #[arg(long, value_name = "URL")]
    site: SiteUrl,

    /// Token made by `restock token create`
    #[arg(long, value_name = "TOKEN", env = "RESTOCK_TOKEN", hide_env_values = true)]
    token: EnrolmentToken,

    /// Where content is served over HTTP; port 0: a free port, chosen once and written down
    #[arg(long, value_name = "IP:PORT")]
    serve: Option<SocketAddr>,

    /// Serve every package, public or not; only when --serve is on loopback
    #[arg(long, requires = "serve")]
    anonymous_on_loopback: bool,
}

#[derive(Debug, Serialize)]
struct Made {
    name: String,
    site_code: String,
    data_dir: String,
    serve: SocketAddr,
}

impl Init {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let folder = session.folder()?;
        folder.expect_free("DP_EXISTS")?;
        let mut settings = DpSettings::default();
        if let Some(serve) = self.serve {
            settings.serve.listen = chosen_port(serve)?;
        }
        settings.serve.anonymous_on_loopback = self.anonymous_on_loopback;
        running::dp::check_listener(&settings)?;
        folder.create()?;
        let _lock = folder.lock("restock dp init")?;
        match Library::create(Arc::new(DiskFiles), &folder.library(), LibraryRole::DistributionPoint) {
            Ok(_) | Err(LibraryError::Exists(_)) => {}
            Err(e) => return Err(running::library::failure(&folder.library(), &e)),
        }
        let enrolled = running::runtime(1)?
            .block_on(enrol(&self.site, &self.token, &folder.identity()))
            .map_err(|e| {
                Failure::new(Kind::Failed, format!("cannot enrol at {}: {}", self.site, chain(&e)))
                    .hint("check that the site runs and that --site reaches it")
                    .hint(format!("restock token create {} makes a new token", self.token.name()))
            })?;
        // The configuration is last: a folder without it is no DP, and init can be tried again.
        folder.write_config(&settings.template())?;
        let made = Made {
            name: enrolled.name().to_string(),
            site_code: enrolled.site().to_string(),
            data_dir: shown_path(folder.path()),
            serve: settings.serve.listen,
        };
        let text = format!(
            "Distribution point {} of site {} is made in {}.\n  Configuration   {}\n  Serves at       http://{}/\nNext: restock --data {} dp run\n",
            made.name,
            made.site_code,
            made.data_dir,
            shown_path(&folder.config()),
            made.serve,
            made.data_dir,
        );
        Ok(Done::with(&made, text))
    }
}

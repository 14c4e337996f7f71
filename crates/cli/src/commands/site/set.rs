//! `restock site set`.

use clap::Args;
use restock_transfer::{SiteUrl, TrustError, move_site};
use serde::Serialize;

use super::settings::{keep_url, locked};
use crate::commands::Session;
use crate::failure::{Failure, Kind};
use crate::output::Done;

const EXAMPLE: &str = "\
Example:
  restock site set --url restock://new.example:8720             this site has moved
  restock site set --parent-url restock://new.example:8720      the site above has moved";

/// Change where this site is reached, or where it reaches the one above it
///
/// The site does not run meanwhile. Its own address is kept in `restock.toml` and told to the other
/// sites at the next run; distribution points of a site that has moved are told by `restock dp set`.
/// Certificates and keys stay: no new token is needed, and another site at the address is refused.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE, arg_required_else_help = true)]
pub(crate) struct Set {
    /// Where distribution points and other sites reach this site
    #[arg(long, value_name = "URL")]
    url: Option<SiteUrl>,

    /// Where the link of the site above listens
    #[arg(long, value_name = "URL")]
    parent_url: Option<SiteUrl>,
}

#[derive(Debug, Serialize)]
struct Changed {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_url: Option<String>,
}

impl Set {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let folder = session.folder()?;
        let (_settings, _lock) = locked(&folder, "restock site set")?;
        let mut text = String::new();
        // What can be refused comes first.
        if let Some(url) = &self.parent_url {
            move_site(&folder.enrolment(), url).map_err(|error| match error {
                TrustError::Missing(_) => Failure::refused("SITE_TOP: the site stands below no other one")
                    .hint("restock site join --parent URL --token TOKEN"),
                error => {
                    Failure::caused(Kind::Failed, "cannot change the enrolment at the site above", &error)
                }
            })?;
            text.push_str(&format!("The site above is reached at {url}.\n"));
        }
        if let Some(url) = &self.url {
            keep_url(&folder, url)?;
            text.push_str(&format!("The site is reached at {url}.\n"));
        }
        text.push_str("Next: restock site run\n");
        let changed = Changed {
            url: self.url.map(|url| url.to_string()),
            parent_url: self.parent_url.map(|url| url.to_string()),
        };
        Ok(Done::with(&changed, text))
    }
}

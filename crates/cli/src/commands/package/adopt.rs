//! `restock package adopt`.

use clap::Args;
use serde_json::Map;

use super::owner;
use crate::commands::{Session, package_id};
use crate::failure::Failure;
use crate::output::{Done, shown};

const EXAMPLE: &str = "\
Example:
  restock package adopt ABC00001
  restock package adopt ABC00001 && restock package set ABC00001 --source /srv/apps/editor";

/// Make this site the owner of a package, such as one whose owner is gone
///
/// No file moves and no version is made: what is served goes on being served. From then on this
/// site reads the source, which must be reachable here under a registered source root.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Adopt {
    /// Package ID
    #[arg(value_name = "PKG")]
    package: String,
}

impl Adopt {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let package = package_id(&self.package)?;
        let row = owner::change(session, "restock package adopt", package, "Unlock", Map::new())?;
        let text = format!("{package} {} is owned by site {}.\n", shown(&row.name), row.source_site);
        Ok(Done::with(&row, text))
    }
}

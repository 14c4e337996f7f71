//! `restock package set-source-site`.

use clap::Args;
use restock_names::SiteCode;
use restock_provider::Operation;

use super::owner;
use crate::commands::{Session, package_id};
use crate::failure::Failure;
use crate::output::Done;

const EXAMPLE: &str = "\
Example:
  restock package set-source-site ABC00001 DEF
  restock package set-source-site ABC00001 DEF --json";

/// Make another site of the hierarchy the owner of a package
///
/// The owner alone reads the source and makes versions. No file moves and no version is made; the
/// source must be reachable at the other site under a source root registered there. A refresh that
/// runs here at the moment ends without a version; one that waits waits for the new owner.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct SetSourceSite {
    /// Package ID
    #[arg(value_name = "PKG")]
    package: String,

    /// Site code of the owner that is to be
    #[arg(value_name = "CODE")]
    site: SiteCode,
}

impl SetSourceSite {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let package = package_id(&self.package)?;
        let operation = Operation::SetSourceSite { package, site: self.site };
        owner::change(session, "restock package set-source-site", operation)
    }
}

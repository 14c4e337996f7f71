//! `restock package adopt`.

use clap::Args;
use restock_provider::Operation;

use super::owner;
use crate::commands::{Session, package_id};
use crate::failure::Failure;
use crate::output::Done;

const EXAMPLE: &str = "\
Example:
  restock package adopt ABC00001
  restock package adopt ABC00001 && restock package set ABC00001 --source /srv/apps/editor";

/// Make this site the owner of a package whose owner is gone
///
/// A package that another site of the hierarchy owns is moved by `package set-source-site`. No file moves and no version is made: what is served goes on being served. From then on this
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
        owner::change(session, "restock package adopt", Operation::AdoptPackage { package })
    }
}

//! `restock rollback`.

use clap::Args;
use restock_names::{HumanBytes, SourceVersion};
use restock_site::RolledBack;

use crate::commands::{Session, package_id};
use crate::control::{Ask, Door};
use crate::failure::Failure;
use crate::output::{Done, count};

const EXAMPLE: &str = "\
Example:
  restock package history XYZ00001
  restock rollback XYZ00001 --to 3";

/// Publish the content of an older version of a package again
///
/// It becomes a new version with a higher number; no content is read or moved. DPs that still keep the
/// older version fetch nothing. The next refresh, also one by schedule, publishes the source again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Rollback {
    /// Package ID
    #[arg(value_name = "PKG")]
    package: String,

    /// The version whose content is wanted; it must still be kept
    #[arg(long, value_name = "VERSION")]
    to: u32,
}

impl Rollback {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let package = package_id(&self.package)?;
        let mut door = Door::open(&session.folder()?, "restock rollback")?;
        let done: RolledBack = door.ask(Ask::RollBack { package, version: SourceVersion(self.to) })?;
        let mut text = format!(
            "{package}: the content of version {} is version {}: {}, {}.\n",
            done.to.version,
            done.version.version,
            count(done.entries, "entry"),
            HumanBytes(done.bytes),
        );
        if !door.is_running() {
            text.push_str("Distribution points get it when the site runs.\n");
        }
        Ok(Done::with(&done, text))
    }
}

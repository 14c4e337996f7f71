//! `restock package create`.

use std::time::Duration;

use clap::Args;
use restock_names::LinkPolicy;
use restock_provider::rows::SourceFlag;
use restock_provider::{Answer, NewPackage, Operation};

use crate::commands::package::link_policies;
use crate::commands::wait::{self, Goal};
use crate::commands::{Session, source_text};
use crate::control::{Door, unexpected};
use crate::failure::Failure;
use crate::output::{Done, shown};
use crate::units::parse_duration;

const EXAMPLE: &str = r"Example:
  restock package create 'Editor 2.1' --source /srv/apps/editor
  restock package create 'Editor 2.1' --source '\\fs01\apps\editor' --wait --timeout 10m";

/// Create a package, and read its source as version 1
///
/// Kept of the source: names (any bytes), bytes, permission bits, modification times, symlinks.
/// Not kept: owner, extended attributes, ACLs, hard-link identity (hard links become equal files).
///
/// Symlinks are kept as links, unless --symlinks says otherwise: "skip" leaves them out, "refuse"
/// refuses a source that has one, "follow" takes what they lead to inside the source folder and
/// refuses one that leads out of it, to nothing or in a circle.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Create {
    /// Name of the package
    name: String,

    /// Folder the content is read from, below a registered source root
    #[arg(long, value_name = "PATH")]
    source: Option<String>,

    /// Let anybody read the content over plain HTTP
    #[arg(long)]
    public: bool,

    /// Version text shown to administrators (not the content's version)
    #[arg(long, value_name = "TEXT")]
    app_version: Option<String>,

    /// Who made the software
    #[arg(long, value_name = "TEXT")]
    manufacturer: Option<String>,

    /// Language of the software
    #[arg(long, value_name = "TEXT")]
    language: Option<String>,

    /// What the package is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Accept an empty source folder
    #[arg(long)]
    allow_empty: bool,

    /// What becomes of symbolic links in the source
    #[arg(long, value_name = "POLICY", default_value = "keep", value_parser = link_policies())]
    symlinks: LinkPolicy,

    /// Wait until version 1 is stored
    #[arg(long, requires = "source")]
    wait: bool,

    /// End waiting after this time (exit code 5)
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "wait")]
    timeout: Option<Duration>,
}

impl Create {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let folder = session.folder()?;
        let mut door = if self.wait {
            Door::running(&folder, "--wait")?
        } else {
            Door::open(&folder, "restock package create")?
        };
        let has_source = self.source.is_some();
        let package = NewPackage {
            name: self.name,
            source_flag: Some(if has_source { SourceFlag::Direct } else { SourceFlag::NoSource }),
            source_path: self.source.map(source_text).transpose()?,
            version: self.app_version,
            manufacturer: self.manufacturer,
            language: self.language,
            description: self.description,
            is_public: self.public,
            allow_empty: self.allow_empty,
            link_policy: self.symlinks,
            ..NewPackage::default()
        };
        let row = match door.perform(Operation::CreatePackage(package))? {
            Answer::Package(row) => row,
            Answer::Changed(changed) => changed.package,
            other => return Err(unexpected(&other)),
        };
        if self.wait {
            let done = wait::until(session, &mut door, Goal::Stored(row.package), self.timeout)?;
            return Ok(done);
        }
        let mut text = format!("{} {}\n", row.package, shown(&row.name));
        if has_source {
            text.push_str(if door.is_running() {
                "Its source is being read as version 1: restock status shows when it is stored.\n"
            } else {
                "Its source will be read as version 1 as soon as the site runs.\n"
            });
        }
        Ok(Done::with(&row, text))
    }
}

//! `restock package create`.

use std::time::Duration;

use clap::Args;
use restock_names::{LinkPolicy, NamesPolicy};
use restock_provider::rows::SourceFlag;
use restock_provider::{Answer, NewPackage, Operation};

use crate::commands::package::{exclude_rules, link_policies, names_policies, share};
use crate::commands::wait::{self, Goal};
use crate::commands::{Session, source_text};
use crate::control::{Door, unexpected};
use crate::failure::Failure;
use crate::output::{Done, shown};
use crate::units::parse_duration;

const EXAMPLE: &str = r"Example:
  restock package create 'Editor 2.1' --source /srv/apps/editor
  restock package create 'Editor 2.1' --source '\\fs01\apps\editor' --wait --timeout 10m
  restock package create 'Editor 2.1' --source /srv/apps/editor --exclude '*.tmp' --exclude .git/ --share='Apps$'";

/// Create a package, and read its source as version 1
///
/// Kept of the source: names (any bytes), bytes, permission bits, modification times, symlinks.
/// Not kept: owner, extended attributes, ACLs, hard-link identity (hard links become equal files).
///
/// Symlinks are kept as links, unless --symlinks says otherwise: "skip" leaves them out, "refuse"
/// refuses a source that has one, "follow" takes what they lead to inside the source folder and
/// refuses one that leads out of it, to nothing or in a circle.
///
/// An exclude is a path with the wildcards * ? [a-z] and ** (any folders), compared in its letter case.
/// Without a / it is compared with names at any depth; a / at its end lets it match folders only. What
/// lies beneath an excluded folder is excluded too.
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

    /// What becomes of names that Windows cannot hold: kept with a warning, or refused
    #[arg(long, value_name = "POLICY", default_value = "posix", value_parser = names_policies())]
    names: NamesPolicy,

    /// Leave out what matches; may be given more than once
    #[arg(long, value_name = "RULE")]
    exclude: Vec<String>,

    /// Distribution points keep the files in a plain folder too, named so or by the package ID
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    share: Option<String>,

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
            names_policy: self.names,
            excludes: exclude_rules(self.exclude)?,
            share: self.share.map(share).unwrap_or_default(),
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

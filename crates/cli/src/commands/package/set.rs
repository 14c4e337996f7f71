//! `restock package set`.

use clap::Args;
use restock_names::{LinkPolicy, NamesPolicy};
use restock_provider::rows::SourceFlag;
use restock_provider::{Answer, Operation, PackageChange, Share};

use crate::commands::package::{exclude_rules, link_policies, names_policies, share};
use crate::commands::{Session, package_id, source_text};
use crate::control::{Door, unexpected};
use crate::failure::Failure;
use crate::output::{Done, shown};

const EXAMPLE: &str = "\
Example:
  restock package set XYZ00001 --name 'Editor 2.2'
  restock package set XYZ00001 --source /srv/apps/editor-2.2
  restock package set XYZ00001 --exclude '*.tmp' --exclude .git/
  restock package set XYZ00001 --schedule 00411E0000100008";

/// Change a package; a changed source is one refresh from the new path
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Set {
    /// Package ID
    #[arg(value_name = "PKG")]
    package: String,

    #[command(flatten)]
    changes: Changes,
}

#[derive(Debug, Args)]
#[group(id = "changes", required = true, multiple = true)]
struct Changes {
    /// New name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// New source folder; the old version is served until the new one is stored
    #[arg(long, value_name = "PATH")]
    source: Option<String>,

    /// Whether anybody may read the content over plain HTTP
    #[arg(long, value_name = "BOOL")]
    public: Option<bool>,

    /// Whether an empty source folder is accepted
    #[arg(long, value_name = "BOOL")]
    allow_empty: Option<bool>,

    /// What becomes of symbolic links in the source, from the next refresh on
    #[arg(long, value_name = "POLICY", value_parser = link_policies())]
    symlinks: Option<LinkPolicy>,

    /// What becomes of names that Windows cannot hold, from the next refresh on
    #[arg(long, value_name = "POLICY", value_parser = names_policies())]
    names: Option<NamesPolicy>,

    /// Leave out what matches, from the next refresh on; all rules together replace the earlier ones
    #[arg(long, value_name = "RULE")]
    exclude: Vec<String>,

    /// Leave nothing out any more
    #[arg(long, conflicts_with = "exclude")]
    no_exclude: bool,

    /// Distribution points keep the files in a plain folder too, named so or by the package ID
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    share: Option<String>,

    /// Distribution points keep no plain folder any more
    #[arg(long, conflicts_with = "share")]
    no_share: bool,

    /// When it is refreshed by itself: 16 hexadecimal digits a token (see 'restock schedule explain')
    #[arg(long, value_name = "TOKENS")]
    schedule: Option<String>,

    /// No refresh by schedule any more
    #[arg(long, conflicts_with = "schedule")]
    no_schedule: bool,

    /// Version text shown to administrators
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
}

impl Set {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let package = package_id(&self.package)?;
        let mut door = Door::open(&session.folder()?, "restock package set")?;
        let changes = self.changes;
        let excludes = match (changes.exclude.is_empty(), changes.no_exclude) {
            (true, false) => None,
            _ => Some(exclude_rules(changes.exclude)?),
        };
        let reads_otherwise = changes.names.is_some() || excludes.is_some();
        let change = PackageChange {
            name: changes.name,
            source_flag: changes.source.is_some().then_some(SourceFlag::Direct),
            source_path: changes.source.map(source_text).transpose()?,
            version: changes.app_version,
            manufacturer: changes.manufacturer,
            language: changes.language,
            description: changes.description,
            priority: None,
            is_public: changes.public,
            allow_empty: changes.allow_empty,
            link_policy: changes.symlinks,
            names_policy: changes.names,
            excludes,
            share: changes.share.map(share).or(changes.no_share.then_some(Share::None)),
            schedule: changes.schedule.or(changes.no_schedule.then(String::new)),
            ..PackageChange::of(package)
        };
        match door.perform(Operation::SetPackage(change))? {
            Answer::Changed(changed) => {
                let mut text =
                    format!("{} {} is changed.\n", changed.package.package, shown(&changed.package.name));
                if changed.refresh.is_some() {
                    text.push_str("Its source is another one: a refresh from there is asked.\n");
                } else if changes.symlinks.is_some() {
                    text.push_str("The next refresh treats symbolic links so.\n");
                } else if reads_otherwise {
                    text.push_str("The next refresh reads the source so.\n");
                }
                if let Some(next) = changed.package.schedule.as_ref().and_then(|schedule| schedule.next_at) {
                    text.push_str(&format!("By its schedule the next refresh is at {next}.\n"));
                }
                Ok(Done::with(&changed, text))
            }
            other => Err(unexpected(&other)),
        }
    }
}

//! `restock site restore`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use restock_names::{Clock, SystemClock, Timestamp};
use restock_site::Site;

use crate::commands::Session;
use crate::config::{self, Role, SiteSettings};
use crate::control::{Restored, site_failure};
use crate::failure::{Failure, Kind};
use crate::output::{Done, count, shown_path};
use crate::running;

const EXAMPLE: &str = "\
Example:
  restock --data /srv/new site restore /backup/abc-monday     into an empty folder
  restock site restore /backup/abc-monday --replace           in place of what the site has become";

/// Bring a site back from a file that `site backup` wrote
///
/// The site does not run meanwhile. Database and keys come from the file; a library and a
/// configuration that are there stay, and content that is missing is fetched or read again. The site
/// enters a new epoch and makes no version before its distribution points and neighbours told what
/// they hold, so that no version is made twice; one made since the backup is superseded by a higher
/// one. Tokens made before are void, and who was revoked since is to be revoked again. Nothing is
/// changed by a file that is damaged.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Restore {
    /// File that `site backup` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Put aside database and keys of the site that is there; they are kept beside the new ones
    #[arg(long)]
    replace: bool,
}

impl Restore {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let folder = session.folder()?;
        let settings = match folder.config().symlink_metadata() {
            Ok(_) => {
                folder.expect(Role::Site)?;
                config::read(&folder.config())?
            }
            Err(_) => SiteSettings::default(),
        };
        std::fs::File::open(&self.file).map_err(|e| {
            Failure::caused(
                Kind::NotFound,
                format!("BACKUP_FILE: cannot open {}", shown_path(&self.file)),
                &e,
            )
            .hint("restock site backup FILE makes one")
        })?;
        folder.create()?;
        let _lock = folder.lock("restock site restore")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let aside = match self.replace {
            true => Some(Aside::put(folder.path(), clock.now())?),
            false => None,
        };
        let config = settings.config(folder.path());
        let runtime = running::runtime(1)?;
        let done = match runtime.block_on(Site::restore(&config, &self.file, clock)) {
            Ok(done) => done,
            Err(error) => {
                let mut failure = site_failure(error);
                if failure.code.as_deref() == Some("SITE_EXISTS") {
                    failure.hints = vec!["--replace puts what is there aside".to_owned()];
                }
                if let Some(aside) = aside {
                    aside.put_back()?;
                }
                return Err(failure);
            }
        };
        let restored = Restored {
            site_code: done.site,
            epoch: done.epoch.0,
            made_at: done.made_at,
            data_dir: shown_path(folder.path()),
            packages_missing: done.packages_missing,
            replaced: aside.map(|aside| shown_path(&aside.to)),
        };
        let mut text = format!(
            "Site {} is restored as it was at {}, in epoch {}.\n",
            restored.site_code, restored.made_at, restored.epoch
        );
        if let Some(replaced) = &restored.replaced {
            text.push_str(&format!("What was there is in {replaced}: it holds private keys.\n"));
        }
        if restored.packages_missing > 0 {
            text.push_str(&format!(
                "The library lacks the content of {}: it is fetched from a site that has it, or read again by a refresh.\n",
                count(restored.packages_missing, "package")
            ));
        }
        text.push_str(&format!("Next: restock --data {} site run\n", restored.data_dir));
        Ok(Done::with(&restored, text))
    }
}

/// What makes a folder a site, beside its library and configuration. The kept head of the audit trail
/// belongs to the database.
const PARTS: [&str; 6] = ["site.db", "site.db-wal", "site.db-shm", "keys", "join", "audit-head"];

/// What was in a data folder before a restore.
#[derive(Debug)]
struct Aside {
    from: PathBuf,
    to: PathBuf,
}

impl Aside {
    /// Moves what is there to a folder of its own beneath `data`. The database goes first: without it
    /// the folder holds no site.
    fn put(data: &Path, now: Timestamp) -> Result<Self, Failure> {
        let aside = Self { from: data.to_owned(), to: data.join(format!("replaced-{}", now.0)) };
        std::fs::create_dir(&aside.to).map_err(|e| aside.failed(&e))?;
        for part in PARTS {
            aside.rename(&aside.from.join(part), &aside.to.join(part))?;
        }
        Ok(aside)
    }

    /// The other way, after a restore that failed.
    fn put_back(self) -> Result<(), Failure> {
        for part in PARTS.into_iter().rev() {
            self.rename(&self.to.join(part), &self.from.join(part))?;
        }
        std::fs::remove_dir(&self.to).map_err(|e| self.failed(&e))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Failure> {
        match std::fs::rename(from, to) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(self.failed(&e)),
            _ => Ok(()),
        }
    }

    fn failed(&self, error: &std::io::Error) -> Failure {
        let what = format!("cannot move {} aside to {}", shown_path(&self.from), shown_path(&self.to));
        Failure::caused(Kind::Failed, what, error)
    }
}

//! `restock site backup`.

use std::path::PathBuf;

use clap::Args;
use restock_names::HumanBytes;

use crate::commands::{Session, folder_text};
use crate::control::{Ask, BackedUp, Door};
use crate::failure::Failure;
use crate::output::Done;

const EXAMPLE: &str = "\
Example:
  restock site backup /backup/abc-monday
  restock site backup /backup/abc-monday --json";

/// Write what the site cannot make again to one file: database, keys, configuration
///
/// The site may run. Content is not in the file: it lies in the library, at distribution points and
/// at other sites. The file holds the site's private keys and is made readable for this account
/// only; an existing file is never replaced. A database on PostgreSQL is saved by pg_dump.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Backup {
    /// File to make
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Backup {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        // The site has a working folder of its own.
        let file = folder_text(&std::path::absolute(&self.file).unwrap_or(self.file))?;
        let mut door = Door::open(&session.folder()?, "restock site backup")?;
        let done: BackedUp = door.ask(Ask::BackUp { file })?;
        let text = format!(
            "Site {} is saved in {}, {}.\nIt holds private keys: keep it where only you can read it.\n",
            done.site_code,
            crate::output::shown(&done.file),
            HumanBytes(done.bytes)
        );
        Ok(Done::with(&done, text))
    }
}

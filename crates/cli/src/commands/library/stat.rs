//! `restock library stat`.

use clap::Args;
use restock_names::HumanBytes;

use crate::commands::Session;
use crate::commands::library::{LibraryDoor, open};
use crate::control::{Ask, LibraryMeasured};
use crate::failure::Failure;
use crate::output::{Done, Table, count, grouped};
use crate::running;

const EXAMPLE: &str = "\
Example:
  restock --data /var/lib/restock library stat
  restock --data /srv/dp1 library stat --json";

/// Show what the library of a site or DP holds
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Stat {}

impl Stat {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let measured: LibraryMeasured = match open(&session.folder()?, "restock library stat")? {
            LibraryDoor::Running(mut client) => client.ask(Ask::StatLibrary)?,
            LibraryDoor::Opened(library, _lock) => {
                running::runtime(1)?.block_on(running::library::stat(library))?
            }
        };
        let mut text = format!(
            "Library {}: {}, {}, {} on disk ({} before compression, {} of {} stored raw), {}\n",
            measured.library_id,
            count(measured.packs, "pack"),
            count(measured.frames, "frame"),
            HumanBytes(measured.stored_bytes),
            HumanBytes(measured.decoded_bytes),
            HumanBytes(measured.raw_bytes),
            count(measured.raw_chunks, "chunk"),
            count(measured.versions, "version"),
        );
        let mut table = Table::new(&["Package", ">Active version", ">Entries", ">Size", "Root"]);
        for held in &measured.packages {
            let cells = [
                held.package.to_string(),
                held.version.to_string(),
                grouped(held.entries),
                HumanBytes(held.bytes).to_string(),
                held.root.short(),
            ];
            table.row(cells, None);
        }
        text.push_str(&table.text(session.output.style, "No package is active."));
        Ok(Done::with(&measured, text))
    }
}

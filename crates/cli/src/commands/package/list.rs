//! `restock package list`.

use clap::Args;
use restock_names::HumanBytes;
use restock_provider::{Answer, Operation};

use crate::commands::Session;
use crate::control::{Door, unexpected};
use crate::failure::Failure;
use crate::output::{Done, Table, grouped, shown};

const EXAMPLE: &str = "\
Example:
  restock package list
  restock package list --json";

/// List the packages of the site
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct List {}

impl List {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut door = Door::open(&session.folder()?, "restock package list")?;
        match door.perform(Operation::ListPackages)? {
            Answer::Packages(rows) => {
                let mut table = Table::new(&[
                    "Package", "Name", ">Version", ">Stored", ">Entries", ">Size", "Public", "Source",
                ]);
                for row in &rows {
                    let cells = [
                        row.package.to_string(),
                        shown(&row.name),
                        row.source_version.to_string(),
                        row.stored_version.to_string(),
                        grouped(row.entries),
                        HumanBytes(row.bytes).to_string(),
                        if row.is_public { "yes" } else { "no" }.to_owned(),
                        shown(&row.source_path),
                    ];
                    table.row(cells, None);
                }
                Ok(Done::with(&rows, table.text(session.output.style, "No packages.")))
            }
            other => Err(unexpected(&other)),
        }
    }
}

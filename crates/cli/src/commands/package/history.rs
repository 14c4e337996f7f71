//! `restock package history`.

use std::time::Duration;

use clap::Args;
use restock_names::{HumanBytes, HumanDuration};
use restock_provider::{Answer, Operation};

use crate::commands::{Session, package_id};
use crate::control::{Door, unexpected};
use crate::failure::Failure;
use crate::output::{Done, Table, grouped};

const EXAMPLE: &str = "\
Example:
  restock package history XYZ00001
  restock package history XYZ00001 --json";

/// List the versions of a package and what each cost
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct History {
    /// Package ID
    #[arg(value_name = "PKG")]
    package: String,
}

impl History {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let package = package_id(&self.package)?;
        let mut door = Door::open(&session.folder()?, "restock package history")?;
        match door.perform(Operation::History { package })? {
            Answer::History(rows) => {
                let mut table = Table::new(&[
                    ">Version",
                    "Published",
                    ">Entries",
                    ">Size",
                    ">Read",
                    ">New chunks",
                    ">New bytes",
                    ">Took",
                    "Root",
                ]);
                for row in &rows {
                    let cells = [
                        format!("{}{}", row.version, if row.is_current { "*" } else { "" }),
                        row.published_at.to_string(),
                        grouped(row.entries),
                        HumanBytes(row.bytes).to_string(),
                        HumanBytes(row.bytes_read).to_string(),
                        grouped(row.chunks_new),
                        HumanBytes(row.bytes_new).to_string(),
                        HumanDuration(Duration::from_millis(row.duration_ms)).to_string(),
                        row.root.short(),
                    ];
                    table.row(cells, None);
                }
                Ok(Done::with(&rows, table.text(session.output.style, "No version is stored yet.")))
            }
            other => Err(unexpected(&other)),
        }
    }
}

//! `restock source list`.

use clap::Args;
use restock_provider::{Answer, Operation};

use crate::commands::Session;
use crate::control::{Door, unexpected};
use crate::failure::Failure;
use crate::output::{Done, Table, shown};

const EXAMPLE: &str = "\
Example:
  restock source list
  restock source list --json";

/// List the folders that packages may be read from
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct List {}

impl List {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut door = Door::open(&session.folder()?, "restock source list")?;
        match door.perform(Operation::ListSourceRoots)? {
            Answer::SourceRoots(rows) => {
                let mut table = Table::new(&["Name", "Folder", "Also written as", "Scopes"]);
                for row in &rows {
                    let aliases: Vec<String> = row.aliases.iter().map(|a| shown(a)).collect();
                    let scopes = row.scopes.join(", ");
                    table.row([shown(&row.name), shown(&row.folder), aliases.join(", "), scopes], None);
                }
                Ok(Done::with(&rows, table.text(session.output.style, "No source roots.")))
            }
            other => Err(unexpected(&other)),
        }
    }
}

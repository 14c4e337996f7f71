//! `restock dp list`.

use clap::Args;
use restock_provider::{Answer, Operation};

use crate::commands::Session;
use crate::control::{Door, unexpected};
use crate::failure::Failure;
use crate::output::{Done, Table, Tone, shown};

const EXAMPLE: &str = "\
Example:
  restock --data /var/lib/restock dp list
  restock dp list --json";

/// List the distribution points of a site
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct List {}

impl List {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut door = Door::open(&session.folder()?, "restock dp list")?;
        match door.perform(Operation::ListPoints)? {
            Answer::Points(rows) => {
                let mut table =
                    Table::new(&["Name", "Link", ">Packages", ">Installed", "Serves at", "Last seen"]);
                for row in &rows {
                    let (link, tone) =
                        if row.is_connected { ("up", Tone::Good) } else { ("down", Tone::Bad) };
                    let cells = [
                        row.point.to_string(),
                        link.to_owned(),
                        row.packages.to_string(),
                        row.installed.to_string(),
                        row.serve_urls.iter().map(|u| shown(u)).collect::<Vec<_>>().join(", "),
                        row.last_seen_at.map_or_else(|| "never".to_owned(), |t| t.to_string()),
                    ];
                    table.row(cells, Some((1, tone)));
                }
                let nothing = "No distribution points. Try: restock token create DP01";
                Ok(Done::with(&rows, table.text(session.output.style, nothing)))
            }
            other => Err(unexpected(&other)),
        }
    }
}

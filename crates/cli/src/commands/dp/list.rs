//! `restock dp list`.

use clap::Args;
use restock_provider::{Answer, Operation};

use crate::commands::Session;
use crate::control::{Ask, Door, Hello, unexpected};
use crate::failure::Failure;
use crate::output::{Done, Table, Tone, shown};

const EXAMPLE: &str = "\
Example:
  restock --data /var/lib/restock dp list
  restock dp list --json";

/// List the distribution points of a site and of the sites around it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct List {}

impl List {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut door = Door::open(&session.folder()?, "restock dp list")?;
        let hello: Hello = door.ask(Ask::Hello)?;
        match door.perform(Operation::ListPoints)? {
            Answer::Points(rows) => {
                let mut table = Table::new(&[
                    "Name",
                    "Site",
                    "Link",
                    ">Packages",
                    ">Installed",
                    "Serves at",
                    "Last seen",
                ]);
                for row in &rows {
                    // Of a point at another site only that site knows it.
                    let (link, tone) = match row.is_connected {
                        _ if row.site != hello.site_code => (format!("via {}", row.site), Tone::Plain),
                        true => ("up".to_owned(), Tone::Good),
                        false => ("down".to_owned(), Tone::Bad),
                    };
                    let cells = [
                        row.point.to_string(),
                        row.site.to_string(),
                        link,
                        row.packages.to_string(),
                        row.installed.to_string(),
                        row.serve_urls.iter().map(|u| shown(u)).collect::<Vec<_>>().join(", "),
                        row.last_seen_at.map_or_else(|| "never".to_owned(), |t| t.to_string()),
                    ];
                    table.row(cells, Some((2, tone)));
                }
                let nothing = "No distribution points. Try: restock token create DP01";
                Ok(Done::with(&rows, table.text(session.output.style, nothing)))
            }
            other => Err(unexpected(&other)),
        }
    }
}

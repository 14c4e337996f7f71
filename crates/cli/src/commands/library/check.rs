//! `restock library check`.

use std::ops::ControlFlow;
use std::time::Duration;

use clap::Args;
use restock_names::{HumanBytes, HumanDuration};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::commands::Session;
use crate::commands::library::{LibraryDoor, open};
use crate::commands::progress::ProgressLine;
use crate::control::{Ask, CheckProgress, LibraryChecked};
use crate::failure::{Failure, Kind};
use crate::output::{Done, count, shown};
use crate::running;

const EXAMPLE: &str = "\
Example:
  restock --data /var/lib/restock library check
  restock --data /srv/dp1 library check --json";

/// Read and hash every frame of the library of a site or DP
///
/// Works beside a running process; shows how far it is on standard error. Nothing is changed; a
/// damaged frame is repaired by `restock redistribute`. Exit code 1 when something is wrong.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Check {}

impl Check {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut line = ProgressLine::new(session.output, "checking");
        let door = open(&session.folder()?, "restock library check")?;
        let checked = check(door, &mut |event| {
            // An event of another release that says something else is no reason to stop.
            if let Ok(CheckProgress { bytes, bytes_total }) = serde_json::from_value(event) {
                line.show(bytes, bytes_total);
            }
        });
        line.finish();
        let checked = checked?;
        let mut text = format!(
            "{} in {}, {} read and hashed in {}: ",
            count(checked.frames, "frame"),
            count(checked.packs, "pack"),
            HumanBytes(checked.bytes),
            HumanDuration(Duration::from_millis(checked.duration_ms)),
        );
        let replaced = match checked.replaced {
            0 => String::new(),
            n => format!("{} in an older pack: a right copy was fetched since.\n", count(n, "damaged frame")),
        };
        if checked.problems.is_empty() {
            text.push_str(&format!("all is right.\n{replaced}"));
            return Ok(Done::with(&checked, text));
        }
        text.push_str(&format!("{}.\n", count(checked.problems.len() as u64, "problem")));
        for problem in &checked.problems {
            text.push_str(&format!("{}\n", shown(problem)));
        }
        text.push_str(&replaced);
        Ok(Done::with(&checked, text).ending(Some(Kind::Failed)))
    }
}

/// Reads and hashes everything; `on_event` hears how far it is.
fn check(door: LibraryDoor, on_event: &mut dyn FnMut(Value)) -> Result<LibraryChecked, Failure> {
    match door {
        LibraryDoor::Running(mut client) => {
            let answer = client.stream(Ask::CheckLibrary, &mut |event| {
                on_event(event);
                Ok(ControlFlow::Continue(()))
            })?;
            serde_json::from_value(answer.unwrap_or_default())
                .map_err(|e| Failure::caused(Kind::Failed, "the answer is not understood", &e))
        }
        LibraryDoor::Opened(library, _lock) => running::runtime(1)?.block_on(async {
            let (events, mut waiting) = mpsc::channel(1);
            let checking = running::library::check(library, events);
            tokio::pin!(checking);
            loop {
                tokio::select! {
                    Some(event) = waiting.recv() => on_event(event),
                    checked = &mut checking => return checked,
                }
            }
        }),
    }
}

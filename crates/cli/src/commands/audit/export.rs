//! `restock audit export`.

use std::ops::ControlFlow;

use clap::Args;

use crate::commands::Session;
use crate::control::{Ask, Door, RecordLine};
use crate::failure::{Failure, Kind};
use crate::output::{Done, count};

/// Print every record of the audit trail, oldest first, one JSON document a line
///
/// Each has the hash of itself and of the one before; docs/formats/audit.md says how they are made, so
/// that the copy can be verified without Restock.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock audit export > audit.jsonl
  restock audit export --json")]
pub(crate) struct Export {}

impl Export {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let output = session.output;
        let mut door = Door::open(&session.folder()?, "restock audit export")?;
        let mut is_first = true;
        let answer = door.stream(Ask::ExportAudit, &mut |event| {
            let lines: Vec<RecordLine> = serde_json::from_value(event)
                .map_err(|e| Failure::caused(Kind::Failed, "the answer is not understood", &e))?;
            for line in &lines {
                let document = serde_json::to_string(line).expect("plain data with text keys serialises");
                if output.json {
                    output.data(&format!("{}{document}", if is_first { "{\"records\":[" } else { "," }));
                } else {
                    output.line(&document);
                }
                is_first = false;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let records: u64 = serde_json::from_value(answer.unwrap_or_default())
            .map_err(|e| Failure::caused(Kind::Failed, "the answer is not understood", &e))?;
        if output.json {
            let open = if is_first { "{\"records\":[" } else { "" };
            output.line(&format!("{open}],\"count\":{records}}}"));
        } else {
            output.talk(&format!("{}\n", count(records, "record")));
        }
        Ok(Done::silent())
    }
}

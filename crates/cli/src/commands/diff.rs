//! `restock diff`.

use std::ops::ControlFlow;

use clap::Args;
use restock_names::{Escaped, HumanBytes};
use restock_site::PlanTotals;

use crate::commands::Session;
use crate::commands::files_text::from_hex;
use crate::commands::library::{LibraryDoor, open};
use crate::commands::version_ref::version_ref;
use crate::control::{Ask, Change, DiffEnd, DiffLine, FileKind};
use crate::failure::{Failure, Kind};
use crate::output::{Done, Output, count, grouped};

const EXAMPLE: &str = "\
Example:
  restock diff XYZ00001@2 XYZ00001@3
  restock diff XYZ00001@2 XYZ00001                what changed since version 2
  restock --data /srv/dp1 diff XYZ00001@2 XYZ00001@3 --json

Each line begins with + (comes), - (goes), * (other content) or ~ (other mode or time alone).";

/// Show what differs between two versions of a package, or between two packages
///
/// Reads the lists of files in the library of a site or DP, not the files; the more two versions have
/// in common, the faster it is. Without a version PKG is the version that is served.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Diff {
    /// The first version
    #[arg(value_name = "PKG@A")]
    before: String,

    /// The second version
    #[arg(value_name = "PKG@B")]
    after: String,
}

impl Diff {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let (before, after) = (version_ref(&self.before)?, version_ref(&self.after)?);
        let mut client = match open(&session.folder()?, "restock diff")? {
            LibraryDoor::Running(client) => LibraryAsk::Running(client),
            LibraryDoor::Opened(library, lock) => LibraryAsk::Opened(library, lock),
        };
        let mut lines = Lines::new(session.output);
        let end = client.diff(before, after, &mut |found| {
            found.iter().for_each(|line| lines.show(line));
        })?;
        lines.end(&end);
        if !session.output.json {
            let text = format!(
                "{}. {} that version {} lacks, {}.\n",
                totals_text(&end.differs),
                count(end.chunks, "chunk"),
                end.before.version.version,
                HumanBytes(end.chunk_bytes),
            );
            session.output.talk(&text);
        }
        Ok(Done::silent())
    }
}

/// A library that answers, in this process or another.
enum LibraryAsk {
    Running(crate::control::Client),
    Opened(std::sync::Arc<restock_content::library::Library>, crate::data_folder::DataLock),
}

impl LibraryAsk {
    fn diff(
        &mut self,
        before: crate::control::VersionRef,
        after: crate::control::VersionRef,
        on_lines: &mut dyn FnMut(Vec<DiffLine>),
    ) -> Result<DiffEnd, Failure> {
        let not_understood =
            |e: serde_json::Error| Failure::caused(Kind::Failed, "the answer is not understood", &e);
        match self {
            Self::Running(client) => {
                let answer = client.stream(Ask::Diff { before, after }, &mut |event| {
                    on_lines(serde_json::from_value(event).map_err(not_understood)?);
                    Ok(ControlFlow::Continue(()))
                })?;
                serde_json::from_value(answer.unwrap_or_default()).map_err(not_understood)
            }
            Self::Opened(library, _lock) => crate::control::diff_here(library, before, after, on_lines),
        }
    }
}

/// Lines that differ on standard output, as they come: text, or parts of one document.
#[derive(Debug)]
pub(crate) struct Lines {
    output: Output,
    is_first: bool,
}

impl Lines {
    pub(crate) fn new(output: Output) -> Self {
        Self { output, is_first: true }
    }

    pub(crate) fn show(&mut self, line: &DiffLine) {
        if self.output.json {
            let document = serde_json::to_string(line).expect("plain data with text keys serialises");
            self.output.data(&format!("{}{document}", if self.is_first { "{\"entries\":[" } else { "," }));
        } else {
            self.output.line(&text(line));
        }
        self.is_first = false;
    }

    /// Ends the document with the members of `end`; prints nothing without `--json`.
    pub(crate) fn end(&self, end: &impl serde::Serialize) {
        if self.output.json {
            let open = if self.is_first { "{\"entries\":[" } else { "" };
            let rest = serde_json::to_string(end).expect("plain data with text keys serialises");
            self.output.line(&format!("{open}],{}", &rest[1..]));
        }
    }
}

/// One entry that differs, for people.
pub(crate) fn text(line: &DiffLine) -> String {
    let sign = match line.change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Changed => '*',
        Change::Touched => '~',
    };
    let entry = &line.entry;
    let bytes = entry.path_hex.as_deref().map_or_else(|| entry.path.clone().into_bytes(), from_hex);
    let mut text = format!("{sign} {}", Escaped(&bytes));
    match entry.kind {
        FileKind::Folder => text.push('/'),
        FileKind::Symlink => {
            let target = entry.target.as_deref().unwrap_or_default();
            text.push_str(&format!(" -> {}", Escaped(target.as_bytes())));
        }
        FileKind::File => match (entry.size, line.size_before) {
            (Some(after), Some(before)) if after != before => {
                text.push_str(&format!("  {} (was {})", HumanBytes(after), HumanBytes(before)));
            }
            (Some(size), _) => text.push_str(&format!("  {}", HumanBytes(size))),
            (None, _) => {}
        },
    }
    text
}

/// `2 added (3 KiB), 1 removed (1 KiB), …`
pub(crate) fn totals_text(totals: &PlanTotals) -> String {
    let parts = [
        (totals.added, "added", Some(totals.bytes_added)),
        (totals.removed, "removed", Some(totals.bytes_removed)),
        (totals.changed, "changed", Some(totals.bytes_changed)),
        (totals.touched, "with another mode or time alone", None),
    ];
    let parts = parts.iter().filter(|(count, ..)| *count > 0).map(|(count, word, bytes)| match bytes {
        Some(bytes) => format!("{} {word} ({})", grouped(*count), HumanBytes(*bytes)),
        None => format!("{} {word}", grouped(*count)),
    });
    let text = parts.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "nothing differs".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::control::{Change, DiffLine, FileKind, FileLine};

    #[test]
    fn a_line_says_what_happens_to_an_entry() {
        let entry = FileLine {
            path: "bin/tool\u{fffd}".into(),
            path_hex: Some("62696e2f746f6f6cff".into()),
            kind: FileKind::File,
            size: Some(2_048),
            mode: "0755".into(),
            mtime_ns: 0,
            target: None,
        };
        let mut line = DiffLine { change: Change::Changed, entry, size_before: Some(1_024) };
        assert_eq!(text(&line), r"* bin/tool\xff  2.00 KiB (was 1.00 KiB)");
        (line.change, line.entry.kind) = (Change::Removed, FileKind::Folder);
        assert_eq!(text(&line), r"- bin/tool\xff/");
    }
}

//! `restock package files`.

use std::ops::ControlFlow;

use clap::Args;
use restock_names::{Escaped, HumanBytes, SourceVersion};

use crate::commands::files_text::from_hex;
use crate::commands::{Session, package_id};
use crate::control::{Ask, Door, FileKind, FileLine, FilesEnd};
use crate::failure::{Failure, Kind};
use crate::output::{Done, count};

const EXAMPLE: &str = "\
Example:
  restock package files XYZ00001
  restock package files XYZ00001 --version 3 --json";

/// List the files, folders and links of a stored version
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Files {
    /// Package ID
    #[arg(value_name = "PKG")]
    package: String,

    /// A version of the history; without it the newest
    #[arg(long = "version", value_name = "N", id = "content_version")]
    version: Option<u32>,
}

impl Files {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let package = package_id(&self.package)?;
        let output = session.output;
        let mut door = Door::open(&session.folder()?, "restock package files")?;
        let ask = Ask::Files { package, version: self.version.map(SourceVersion) };
        let mut is_first = true;
        let answer = door.stream(ask, &mut |event| {
            let lines: Vec<FileLine> = serde_json::from_value(event)
                .map_err(|e| Failure::caused(Kind::Failed, "the answer is not understood", &e))?;
            for line in &lines {
                if output.json {
                    let document = serde_json::to_string(line).expect("plain data with text keys serialises");
                    output.data(&format!("{}{document}", if is_first { "{\"files\":[" } else { "," }));
                } else {
                    output.line(&text(line));
                }
                is_first = false;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let end: FilesEnd = serde_json::from_value(answer.unwrap_or_default())
            .map_err(|e| Failure::caused(Kind::Failed, "the answer is not understood", &e))?;
        if output.json {
            let open = if is_first { "{\"files\":[" } else { "" };
            output.line(&format!(
                "{open}],\"package\":\"{package}\",\"version\":{},\"root\":\"{}\",\"entries\":{},\"bytes\":{}}}",
                end.version.version, end.root, end.entries, end.bytes
            ));
        } else {
            output.talk(&format!(
                "{} in version {} of {package}, {}\n",
                count(end.entries, "entry"),
                end.version.version,
                HumanBytes(end.bytes)
            ));
        }
        Ok(Done::silent())
    }
}

fn text(line: &FileLine) -> String {
    let bytes = line.path_hex.as_deref().map_or_else(|| line.path.clone().into_bytes(), from_hex);
    let letter = match line.kind {
        FileKind::File => '-',
        FileKind::Folder => 'd',
        FileKind::Symlink => 'l',
    };
    let size = line.size.map(|s| s.to_string()).unwrap_or_default();
    let target = line.target.as_ref().map(|t| format!(" -> {}", Escaped(t.as_bytes()))).unwrap_or_default();
    format!("{letter} {} {size:>12}  {}{target}", line.mode, Escaped(&bytes))
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::control::{FileKind, FileLine};

    #[test]
    fn a_name_that_is_not_text_is_shown_byte_by_byte() {
        let line = FileLine {
            path: "a\u{fffd}".into(),
            path_hex: Some("61ff".into()),
            kind: FileKind::File,
            size: Some(3),
            mode: "0644".into(),
            mtime_ns: 0,
            target: None,
        };
        assert_eq!(text(&line), r"- 0644            3  a\xff");
    }
}

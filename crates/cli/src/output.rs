//! What commands print: data on standard output, talk on standard error.
//!
//! A command that only answers returns a [`Done`]: one JSON document, the same facts as text, and
//! the exit code. Colour appears only on a terminal and never with `NO_COLOR` or `TERM=dumb`.
//! Text that came from callers is escaped before it gets here ([`shown`]).

mod style;
mod table;

use std::io::{IsTerminal, Write};

use restock_names::Escaped;
use serde::Serialize;
use serde_json::Value;

pub(crate) use style::Style;
pub(crate) use table::{Table, Tone};

use crate::failure::{Failure, Kind};

/// How this run prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// One JSON document on standard output in place of text.
    pub(crate) json: bool,
    /// Colours of standard output.
    pub(crate) style: Style,
    /// Standard output is a terminal that can be redrawn.
    pub(crate) is_terminal: bool,
}

/// The end of a command that did something.
#[derive(Debug)]
pub(crate) struct Done {
    /// `None` for success; `Partly` and the like when there is data as well.
    pub(crate) kind: Option<Kind>,
    /// The document `--json` prints; `Null` when all was printed on the way.
    pub(crate) document: Value,
    /// What people read; ends with a line break unless empty.
    pub(crate) text: String,
}

impl Done {
    /// Success with `document` for programs and `text` for people.
    pub(crate) fn with(document: &impl Serialize, text: impl Into<String>) -> Self {
        let document = serde_json::to_value(document).expect("answers are plain data with text keys");
        Self { kind: None, document, text: text.into() }
    }

    /// Success after everything was printed on the way.
    pub(crate) fn silent() -> Self {
        Self { kind: None, document: Value::Null, text: String::new() }
    }

    /// The same result, but not a success.
    pub(crate) fn ending(mut self, kind: Option<Kind>) -> Self {
        self.kind = kind;
        self
    }
}

impl Output {
    /// Reads what the standard streams are, and `NO_COLOR` and `TERM`.
    pub(crate) fn of_process(json: bool) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        Self { json, style: Style::for_stream(is_terminal), is_terminal: is_terminal && !json }
    }

    /// Colours of standard error, which may be a terminal when standard output is not.
    pub(crate) fn talk_style(self) -> Style {
        Style::for_stream(std::io::stderr().is_terminal())
    }

    /// Prints a result; a reader that went away is no failure.
    pub(crate) fn print(self, done: &Done) {
        if self.json {
            if !done.document.is_null() {
                self.line(&done.document.to_string());
            }
        } else {
            self.data(&done.text);
        }
    }

    /// Prints a failure: text on standard error and, with `--json`, the document on standard output.
    pub(crate) fn print_failure(self, failure: &Failure) {
        self.print_document_of(failure);
        self.talk(&failure.text(self.talk_style()));
    }

    /// Prints a failure's document with `--json`, and nothing otherwise.
    pub(crate) fn print_document_of(self, failure: &Failure) {
        if self.json {
            self.line(&serde_json::json!({ "error": failure }).to_string());
        }
    }

    /// Writes text to standard output as it is.
    pub(crate) fn data(self, text: &str) {
        let mut out = std::io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            // The reader closed the pipe (`| head`): nobody is left to tell.
        }
    }

    /// Writes one line to standard output.
    pub(crate) fn line(self, text: &str) {
        self.data(&format!("{text}\n"));
    }

    /// Writes text to standard error as it is.
    pub(crate) fn talk(self, text: &str) {
        let mut out = std::io::stderr().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            // As above.
        }
    }
}

/// Text from a caller as a terminal may show it.
pub(crate) fn shown(text: &str) -> String {
    Escaped(text.as_bytes()).to_string()
}

/// Text that was put together from escaped parts: only what could move a cursor or mislead a reader
/// is escaped once more, backslashes stay.
pub(crate) fn guarded(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        let mut bytes = [0; 4];
        let piece = c.encode_utf8(&mut bytes);
        match c {
            '\\' => clean.push(c),
            _ => clean.push_str(&Escaped(piece.as_bytes()).to_string()),
        }
    }
    clean
}

/// A path as a terminal may show it.
pub(crate) fn shown_path(path: &std::path::Path) -> String {
    Escaped(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())).to_string()
}

/// `1 file`, `2 files`.
pub(crate) fn count(n: u64, one: &str) -> String {
    let plural = match one {
        "entry" => "entries".to_owned(),
        "copy" => "copies".to_owned(),
        _ => format!("{one}s"),
    };
    format!("{} {}", grouped(n), if n == 1 { one } else { &plural })
}

/// `79,004`: digits in groups of three.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{count, grouped, shown};

    #[test]
    fn counts_read_well() {
        assert_eq!([grouped(7), grouped(1_234), grouped(1_234_567)], ["7", "1,234", "1,234,567"]);
        assert_eq!([count(1, "file"), count(2, "entry")], ["1 file", "2 entries"]);
    }

    #[test]
    fn text_from_callers_cannot_move_the_cursor() {
        assert_eq!(shown("a\x1b[2Jb"), r"a\x1b[2Jb");
    }
}

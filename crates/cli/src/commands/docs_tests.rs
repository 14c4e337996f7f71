//! Every command line of the documentation is one that this program understands.

use super::Arguments;
use clap::CommandFactory;
use clap::error::ErrorKind;

const DOCUMENTS: [(&str, &str); 5] = [
    ("README.md", include_str!("../../../../README.md")),
    ("install.md", include_str!("../../../../docs/install.md")),
    ("quick-start.md", include_str!("../../../../docs/quick-start.md")),
    ("concepts.md", include_str!("../../../../docs/concepts.md")),
    ("troubleshooting.md", include_str!("../../../../docs/troubleshooting.md")),
];

/// Command lines of a document: those of its blocks, and those between back-ticks.
fn command_lines(document: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in document.lines() {
        let plain = line.strip_prefix("$ ").unwrap_or(line);
        let at = plain.find("restock ").filter(|at| *at == 0 || plain[..*at].ends_with("$("));
        if let Some(at) = at {
            found.push(plain[at..].to_owned());
        }
        let quoted = line.split('`').skip(1).step_by(2).filter(|text| text.starts_with("restock "));
        found.extend(quoted.map(str::to_owned));
    }
    found
}

/// The words of a simple command, up to whatever is the shell's.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote): (Vec<String>, Option<String>, _) = (Vec::new(), None, None);
    let mut spaces = 0;
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => {
                words.extend(word.take());
                spaces += 1;
                // What stands far to the right is said to the reader.
                if spaces >= 2 {
                    return words;
                }
                continue;
            }
            (None, '|' | '>' | '&' | ';' | ')' | '#') => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
        spaces = 0;
    }
    words.extend(word);
    words
}

#[test]
fn command_lines_of_the_documentation_are_understood() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for (name, document) in DOCUMENTS {
        for line in command_lines(document) {
            let words = words(&line);
            seen += 1;
            let Err(error) = Arguments::command().try_get_matches_from(&words) else { continue };
            let is_fine = match error.kind() {
                // Values may be placeholders: it is commands and options that must be right.
                ErrorKind::ValueValidation | ErrorKind::DisplayHelp => true,
                // A sentence may name a command without its arguments.
                ErrorKind::MissingRequiredArgument | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                    words.len() <= 4 && !line.contains("PKG")
                }
                _ => false,
            };
            if !is_fine {
                wrong.push(format!("{name}: {line}: {error}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 60, "{seen} command lines were found");
}

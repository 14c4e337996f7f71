//! `restock completions`.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde_json::json;

use crate::commands::{Arguments, Session};
use crate::failure::{Failure, Kind};
use crate::output::{Done, shown_path};

const EXAMPLE: &str = "\
Example:
  source <(restock completions bash)
  restock completions zsh > ~/.zfunc/_restock
  restock completions fish --to ~/.config/fish/completions/restock.fish";

/// Print the completions of a shell
///
/// They are made from the commands of this program, so they belong to its version.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,

    /// Write to this file in place of standard output
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

impl Completions {
    pub(crate) fn run(self, _session: &Session) -> Result<Done, Failure> {
        let mut bytes = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "restock", &mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some(file) = self.to else {
            return Ok(Done::with(&json!({ "shell": self.shell.to_string(), "text": text }), text));
        };
        std::fs::write(&file, text.as_bytes())
            .map_err(|e| Failure::caused(Kind::Failed, format!("cannot write {}", shown_path(&file)), &e))?;
        let document = json!({ "shell": self.shell.to_string(), "file": file.to_string_lossy() });
        Ok(Done::with(&document, format!("{} is written.\n", shown_path(&file))))
    }
}

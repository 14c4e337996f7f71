//! `restock man`.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_mangen::Man as Page;
use serde_json::json;

use crate::commands::{Arguments, Session};
use crate::failure::{Failure, Kind};
use crate::output::{Done, count, shown_path};

const EXAMPLE: &str = "\
Example:
  restock man | man -l -                         the page of the program
  restock man --to /usr/local/share/man/man1     a page for each command";

/// Print the manual page, or write one for each command into a folder
///
/// They are made from the commands of this program, so they belong to its version.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Man {
    /// Folder for the pages restock.1, restock-refresh.1, …; it is made if need be
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, _session: &Session) -> Result<Done, Failure> {
        let mut whole = Arguments::command();
        whole.build();
        let Some(folder) = self.to else {
            let text = page(&whole)?;
            return Ok(Done::with(&json!({ "text": text }), text));
        };
        let fail = |e: &std::io::Error| {
            Failure::caused(Kind::Failed, format!("cannot write to {}", shown_path(&folder)), e)
        };
        std::fs::create_dir_all(&folder).map_err(|e| fail(&e))?;
        let mut files = Vec::new();
        let mut waiting = vec![(whole, "restock".to_owned())];
        while let Some((command, name)) = waiting.pop() {
            let file = format!("{name}.1");
            let text = page(&command.clone().display_name(name.clone()))?;
            std::fs::write(folder.join(&file), text).map_err(|e| fail(&e))?;
            files.push(file);
            for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
                waiting.push((below.clone(), format!("{name}-{}", below.get_name())));
            }
        }
        files.sort();
        let text = format!("{} in {}.\n", count(files.len() as u64, "page"), shown_path(&folder));
        Ok(Done::with(&json!({ "folder": folder.to_string_lossy(), "files": files }), text))
    }
}

fn page(command: &clap::Command) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    Page::new(command.clone())
        .render(&mut bytes)
        .map_err(|e| Failure::caused(Kind::Failed, "cannot make the manual page", &e))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

//! `restock site run`.

use clap::Args;

use crate::commands::Session;
use crate::config::Role;
use crate::failure::Failure;
use crate::output::Done;
use crate::running;

const EXAMPLE: &str = "\
Example:
  restock --data /var/lib/restock site run
  restock --data ./try site run --json      one line when it is ready";

/// Run the site until SIGTERM or Ctrl-C
///
/// Other commands with the same --data reach it through its control socket.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Run {
    /// Stop when the process that started this one ends
    #[arg(long, hide = true)]
    stop_with_parent: bool,
}

impl Run {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        if self.stop_with_parent {
            running::stop_with_parent()?;
        }
        let folder = session.folder()?;
        folder.expect(Role::Site)?;
        running::site::run(&folder, session.output)
    }
}

//! `restock audit verify`.

use clap::Args;
use restock_provider::audit::{Head, Verified};

use crate::commands::Session;
use crate::control::{Ask, Door};
use crate::failure::Failure;
use crate::output::{Done, count};

/// Look whether the audit trail is as it was written
///
/// It fails and names the first record that was edited, removed, or cut off with all after it. A cut-off
/// end is seen by the head that the site keeps beside its database; a head that was printed earlier and
/// kept elsewhere shows more, because who can write the database can often write beside it.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock audit verify
  restock audit verify --anchor 1204:7f3c…e1 --json")]
pub(crate) struct Verify {
    /// A head that this command printed earlier; can be given again
    #[arg(long = "anchor", value_name = "SEQUENCE:HASH")]
    anchors: Vec<Head>,
}

impl Verify {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut door = Door::open(&session.folder()?, "restock audit verify")?;
        let verified: Verified = door.ask(Ask::VerifyAudit { known: self.anchors })?;
        let text = match verified.head {
            None => "The audit trail is empty.\n".to_owned(),
            Some(head) => {
                format!("{} as written. Head: {head}\n", count(verified.records, "record"))
            }
        };
        Ok(Done::with(&verified, text))
    }
}

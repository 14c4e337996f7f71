//! `restock delete`.

use clap::Args;

use super::As;
use super::show;
use crate::commands::Session;
use crate::control::ObjectVerb;
use crate::failure::Failure;
use crate::output::Done;

const EXAMPLE: &str = "\
Example:
  restock delete 'SMS_Package.PackageID=\"XYZ00001\"'";

/// Delete one object
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Delete {
    /// The object, such as SMS_Package.PackageID="XYZ00001"
    #[arg(value_name = "PATH")]
    path: String,

    #[command(flatten)]
    r#as: As,
}

impl Delete {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let path: String =
            self.r#as.one(session, "restock delete", ObjectVerb::Delete { path: self.path })?;
        let text = format!("{} is deleted.\n", show::text(&path));
        Ok(Done::with(&serde_json::json!({ "deleted": path }), text))
    }
}

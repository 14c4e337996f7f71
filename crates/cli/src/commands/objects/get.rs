//! `restock get`.

use clap::Args;
use serde_json::Value;

use super::As;
use super::show;
use crate::commands::Session;
use crate::control::ObjectVerb;
use crate::failure::Failure;
use crate::output::Done;

const EXAMPLE: &str = "\
Example:
  restock get 'SMS_Package.PackageID=\"XYZ00001\"'
  restock get 'SMS_Site.SiteCode=\"XYZ\"' --json";

/// Show one object with all its properties, lazy ones too
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Get {
    /// The object, such as SMS_Package.PackageID="XYZ00001"
    #[arg(value_name = "PATH")]
    path: String,

    #[command(flatten)]
    r#as: As,
}

impl Get {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let object: Value = self.r#as.one(session, "restock get", ObjectVerb::Get { path: self.path })?;
        let text = show::object(&object, session.output.style);
        Ok(Done::with(&object, text))
    }
}

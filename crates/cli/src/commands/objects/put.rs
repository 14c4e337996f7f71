//! `restock put`.

use clap::Args;
use serde_json::Value;

use super::As;
use super::{show, values};
use crate::commands::Session;
use crate::control::ObjectVerb;
use crate::failure::Failure;
use crate::output::Done;

const EXAMPLE: &str = "\
Example:
  restock put SMS_Package Name=Editor PkgSourceFlag=2 PkgSourcePath=/srv/apps/editor
  restock put 'SMS_Package.PackageID=\"XYZ00001\"' Description='The editor' Priority=1
  restock put 'SMS_Package.PackageID=\"XYZ00001\"' RefreshSchedule='[]'";

/// Change properties of an object, or create one of a class
///
/// What is not named stays. A class name in place of a path creates an object, whose path is
/// printed. Values get their types from the declaration of the class: an array is the property
/// repeated or a JSON array, an embedded object is a JSON object, null stands for no value.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Put {
    /// The object, or the class to create one of
    #[arg(value_name = "PATH")]
    path: String,

    /// Properties
    #[arg(value_name = "NAME=VALUE", required = true)]
    values: Vec<String>,

    #[command(flatten)]
    r#as: As,
}

impl Put {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let values = values::of_object(&self.path, &self.values)?;
        let verb = ObjectVerb::Put { path: self.path, values };
        let object: Value = self.r#as.one(session, "restock put", verb)?;
        let path = object["__RELPATH"].as_str().unwrap_or_default();
        let text = format!("{}\n", show::text(path));
        Ok(Done::with(&object, text))
    }
}

//! `restock invoke`.

use clap::Args;
use serde_json::Value;

use super::As;
use super::{show, values};
use crate::commands::Session;
use crate::control::ObjectVerb;
use crate::failure::{Failure, Kind};
use crate::output::Done;

const EXAMPLE: &str = "\
Example:
  restock invoke 'SMS_Package.PackageID=\"XYZ00001\"' RefreshPkgSource
  restock invoke SMS_ScheduleMethods ReadFromString StringData=02CD1E0020231400 --json";

/// Call a method of an object, or a static one of a class
///
/// Parameters get their types from the declaration of the method: an array is the parameter
/// repeated or a JSON array, an embedded object is a JSON object. A method that fails ends the
/// command with its error; so does one that answers a ReturnValue other than 0.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Invoke {
    /// The object, or the class
    #[arg(value_name = "PATH")]
    path: String,

    /// The method
    #[arg(value_name = "METHOD")]
    method: String,

    /// Parameters
    #[arg(value_name = "NAME=VALUE")]
    arguments: Vec<String>,

    #[command(flatten)]
    r#as: As,
}

impl Invoke {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let arguments = values::of_call(&self.path, &self.method, &self.arguments)?;
        let verb = ObjectVerb::Invoke { path: self.path, method: self.method, arguments };
        let answer: Value = self.r#as.one(session, "restock invoke", verb)?;
        let text = show::object(&answer, session.output.style);
        // A site set to answer failures as values has not done what was asked either.
        let has_failed = answer["ReturnValue"].as_i64().is_some_and(|value| value != 0);
        Ok(Done::with(&answer, text).ending(has_failed.then_some(Kind::Failed)))
    }
}

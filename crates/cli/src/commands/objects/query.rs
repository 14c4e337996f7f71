//! `restock query`.

use std::ops::ControlFlow;

use clap::Args;
use serde_json::Value;

use super::As;
use super::show::Rows;
use crate::commands::Session;
use crate::control::{Door, ObjectVerb};
use crate::failure::Failure;
use crate::output::Done;

const EXAMPLE: &str = "\
Example:
  restock query 'SELECT PackageID, Name, SourceVersion FROM SMS_Package'
  restock query 'SELECT * FROM SMS_Package WHERE Priority = 1' --as auditor --json";

/// Answer a WQL query, one line for each row
///
/// The query is WQL, or the extended WQL of the SMS Provider. Lazy properties are not read: 'restock
/// get' shows them. With --json the rows are one array, in the shape of the AdminService without
/// its annotations.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Query {
    /// The query
    #[arg(value_name = "WQL")]
    wql: String,

    #[command(flatten)]
    r#as: As,
}

impl Query {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let output = session.output;
        let mut door = Door::open(&session.folder()?, "restock query")?;
        let mut rows = Rows::new(output);
        let ask = self.r#as.ask(ObjectVerb::Query { wql: self.wql });
        door.stream(ask, &mut |event| {
            if let Value::Array(page) = event {
                rows.add(&page);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        rows.end();
        Ok(Done::silent())
    }
}

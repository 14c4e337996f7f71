//! What `package adopt` and `package set-source-site` share.

use restock_provider::rows::OwnerChanged;
use restock_provider::{Answer, Operation};

use crate::commands::Session;
use crate::control::{Door, unexpected};
use crate::failure::Failure;
use crate::output::Done;

/// Performs an operation that moves the ownership of a package.
pub(super) fn change(session: &Session, command: &str, operation: Operation) -> Result<Done, Failure> {
    let mut door = Door::open(&session.folder()?, command)?;
    match door.perform(operation)? {
        Answer::Owner(changed) => {
            let OwnerChanged { package, source_site, before } = &changed;
            let text = match source_site == before {
                true => format!("{package} is owned by site {source_site} already.\n"),
                false => format!("{package} is owned by site {source_site}; it was by {before}.\n"),
            };
            Ok(Done::with(&changed, text))
        }
        other => Err(unexpected(&other)),
    }
}

//! The commands over the objects of classes: `query`, `get`, `put`, `delete`, `invoke`.
//!
//! They ask a running site, or open one that does not run, and go through the same functions as
//! the front doors. What they share stands here: whose rights hold, how values are written on the
//! command line ([`values`]), how objects are shown ([`show`]).

pub(super) mod delete;
pub(super) mod get;
pub(super) mod invoke;
pub(super) mod put;
pub(super) mod query;
mod show;
mod values;

use clap::Args;
use serde::de::DeserializeOwned;

use crate::commands::Session;
use crate::control::{Ask, Door, ObjectAsk, ObjectVerb};
use crate::failure::Failure;

/// Whose rights hold.
#[derive(Debug, Args)]
pub(crate) struct As {
    /// With the rights of this account of the site, in place of all rights
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
}

impl As {
    fn ask(self, verb: ObjectVerb) -> Ask {
        Ask::Objects(ObjectAsk { r#as: self.user, verb })
    }

    /// Asks for something that has one answer.
    fn one<T: DeserializeOwned>(
        self,
        session: &Session,
        command: &str,
        verb: ObjectVerb,
    ) -> Result<T, Failure> {
        Door::open(&session.folder()?, command)?.ask(self.ask(verb))
    }
}

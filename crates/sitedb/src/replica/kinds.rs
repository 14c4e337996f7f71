//! The kinds of objects: a file for each says what the rows of this database tell about it, and
//! carries out what a neighbour tells.
//!
//! Each file has four functions. `told` reads the rows: the body with every field of the kind, that
//! it is gone, or that it is another site's to write. `keys` lists all that this site would write
//! when the first link is made. `writer` says who may write an object that arrived. `take` makes the
//! rows say what the object says; it is called only when the object's state is to stand, and what
//! it calls may touch the object itself without harm.

use super::object::{Kind, Object};
use super::{Arrival, Taken, Told, Writer};
use crate::{DatabaseError, Tx};

pub(crate) mod account;
pub(crate) mod copy;
pub(crate) mod form;
pub(crate) mod group;
pub(crate) mod message;
pub(crate) mod owner;
pub(crate) mod package;
pub(crate) mod point;
pub(crate) mod program;
pub(crate) mod refresh;
pub(crate) mod role;
pub(crate) mod running;
pub(crate) mod scope;
pub(crate) mod site;
pub(crate) mod state;
pub(crate) mod target;
pub(crate) mod version;

/// Calls a function of the file that the kind belongs to.
macro_rules! of_kind {
    ($kind:expr, $function:ident($($argument:expr),*)) => {
        match $kind {
            Kind::Site => Box::pin(site::$function($($argument),*)).await,
            Kind::Package => Box::pin(package::$function($($argument),*)).await,
            Kind::Owner => Box::pin(owner::$function($($argument),*)).await,
            Kind::Version => Box::pin(version::$function($($argument),*)).await,
            Kind::Refresh => Box::pin(refresh::$function($($argument),*)).await,
            Kind::Running => Box::pin(running::$function($($argument),*)).await,
            Kind::Program => Box::pin(program::$function($($argument),*)).await,
            Kind::Group | Kind::GroupMember | Kind::GroupPackage => {
                Box::pin(group::$function($($argument),*)).await
            }
            Kind::Scope => Box::pin(scope::$function($($argument),*)).await,
            Kind::Role => Box::pin(role::$function($($argument),*)).await,
            Kind::Account => Box::pin(account::$function($($argument),*)).await,
            Kind::Point => Box::pin(point::$function($($argument),*)).await,
            Kind::Target => Box::pin(target::$function($($argument),*)).await,
            Kind::State => Box::pin(state::$function($($argument),*)).await,
            Kind::Copy => Box::pin(copy::$function($($argument),*)).await,
            Kind::Message => Box::pin(message::$function($($argument),*)).await,
        }
    };
}

/// What the rows say about an object.
pub(crate) async fn told(tx: &mut Tx, kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    of_kind!(kind, told(tx, kind, key))
}

/// The keys of all objects of a kind that this site writes.
pub(crate) async fn keys(tx: &mut Tx, kind: Kind) -> Result<Vec<String>, DatabaseError> {
    of_kind!(kind, keys(tx, kind))
}

/// Who may write an object that arrived.
pub(crate) async fn writer(tx: &mut Tx, object: &Object) -> Result<Writer, DatabaseError> {
    of_kind!(object.kind, writer(tx, object))
}

/// Makes the rows say what the object says.
pub(crate) async fn take(
    tx: &mut Tx,
    object: &Object,
    arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    of_kind!(object.kind, take(tx, object, arrival))
}

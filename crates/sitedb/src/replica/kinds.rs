//! The kinds of objects: a file for each says what the rows of this database tell about it, and
//! carries out what a neighbour tells.
//!
//! Each file has four functions. `told` reads the rows: the body with every field of the kind, that
//! it is gone, or that it is another site's to write. `keys` lists all that this site would write
//! when the first link is made. `writer` says who may write an object that arrived. `take` makes the
//! rows say what the object says; it is called only when the object's state is to stand, and what
//! it calls may touch the object itself without harm.

use std::future::Future;

use futures_util::future::BoxFuture;

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

/// Gives all kinds one type: the compiler need not look into each at every caller.
fn boxed<'a, T>(future: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
    Box::pin(future)
}

/// Calls a function of the file that the kind belongs to.
macro_rules! of_kind {
    ($kind:expr, $function:ident($($argument:expr),*)) => {
        match $kind {
            Kind::Site => boxed(site::$function($($argument),*)).await,
            Kind::Package => boxed(package::$function($($argument),*)).await,
            Kind::Owner => boxed(owner::$function($($argument),*)).await,
            Kind::Version => boxed(version::$function($($argument),*)).await,
            Kind::Refresh => boxed(refresh::$function($($argument),*)).await,
            Kind::Running => boxed(running::$function($($argument),*)).await,
            Kind::Program => boxed(program::$function($($argument),*)).await,
            Kind::Group | Kind::GroupMember | Kind::GroupPackage => {
                boxed(group::$function($($argument),*)).await
            }
            Kind::Scope => boxed(scope::$function($($argument),*)).await,
            Kind::Role => boxed(role::$function($($argument),*)).await,
            Kind::Account => boxed(account::$function($($argument),*)).await,
            Kind::Point => boxed(point::$function($($argument),*)).await,
            Kind::Target => boxed(target::$function($($argument),*)).await,
            Kind::State => boxed(state::$function($($argument),*)).await,
            Kind::Copy => boxed(copy::$function($($argument),*)).await,
            Kind::Message => boxed(message::$function($($argument),*)).await,
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

//! Objects of kind `version`.

use crate::replica::{Arrival, Kind, Object, Taken, Told, Writer};
use crate::{DatabaseError, Tx};

/// What the rows say about it.
pub(crate) async fn told(_tx: &mut Tx, _kind: Kind, _key: &str) -> Result<Told, DatabaseError> {
    Ok(Told::Others)
}

/// All that this site writes.
pub(crate) async fn keys(_tx: &mut Tx, _kind: Kind) -> Result<Vec<String>, DatabaseError> {
    Ok(Vec::new())
}

/// Who may write it.
pub(crate) async fn writer(_tx: &mut Tx, _object: &Object) -> Result<Writer, DatabaseError> {
    Ok(Writer::Any)
}

/// Makes the rows say what it says.
pub(crate) async fn take(
    _tx: &mut Tx,
    _object: &Object,
    _arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    Ok(Taken::Done)
}

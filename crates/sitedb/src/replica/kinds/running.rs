//! Objects of kind `running`: how the requests of a package stand at its owner, by its ID. Elsewhere
//! the requests mirror it.

use restock_names::{Epoch, PackageId};

use crate::refresh::OwnerState;
use crate::replica::{Arrival, Kind, Object, Taken, Told, Writer};
use crate::{DatabaseError, Tx, Why};

/// What the rows say about it.
pub(crate) async fn told(tx: &mut Tx, _kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    let Ok(id) = key.parse::<PackageId>() else { return Ok(Told::Others) };
    let own = tx.own_code().await?;
    if tx.package(id).await?.is_none_or(|package| package.source_site != own) {
        return Ok(Told::Others);
    }
    Ok(match tx.owner_state_here(id).await? {
        Some(state) => Told::Body(serde_json::to_value(state).expect("a state is plain data")),
        None => Told::Others,
    })
}

/// All that this site writes.
pub(crate) async fn keys(tx: &mut Tx, _kind: Kind) -> Result<Vec<String>, DatabaseError> {
    Ok(tx.packages().await?.into_iter().map(|package| package.id.to_string()).collect())
}

/// Who may write it: the owner that its epoch names.
pub(crate) async fn writer(_tx: &mut Tx, object: &Object) -> Result<Writer, DatabaseError> {
    let owner = object.fields().u32("epoch").ok().zip(object.key.parse::<PackageId>().ok());
    Ok(owner.and_then(|(epoch, id)| Epoch(epoch).signer(id)).map_or(Writer::Any, Writer::Site))
}

/// Makes the rows say what it says.
pub(crate) async fn take(
    tx: &mut Tx,
    object: &Object,
    arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    let body = object.body.clone().unwrap_or_default();
    let (Ok(id), Ok(state)) = (object.key.parse::<PackageId>(), serde_json::from_value::<OwnerState>(body))
    else {
        return Ok(Taken::Refused(Why::new("OBJECT_FORM", "not how the requests of a package stand")));
    };
    let known = tx.owner_epoch(id).await?;
    if state.epoch > known {
        return Ok(Taken::WaitsFor(Kind::Owner, id.to_string()));
    }
    if state.epoch == known {
        tx.take_owner_state(id, &state, arrival.now).await?;
    }
    Ok(Taken::Done)
}

//! Objects of kind `owner`: which site owns a package, by its ID. The highest epoch stands.

use restock_names::{Epoch, PackageId, SiteCode};
use serde_json::json;

use crate::replica::kinds::version::GENERATION_JUMP_MAX;
use crate::replica::{Arrival, Kind, Object, Taken, Told, Writer};
use crate::{DatabaseError, Tx, Why};

/// What the rows say about it.
pub(crate) async fn told(tx: &mut Tx, _kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    let Ok(id) = key.parse::<PackageId>() else { return Ok(Told::Others) };
    let (Some(package), epoch) = (tx.package(id).await?, tx.owner_epoch(id).await?) else {
        return Ok(Told::Others);
    };
    Ok(Told::Body(json!({ "source_site": package.source_site, "epoch": epoch })))
}

/// All that this site writes.
pub(crate) async fn keys(tx: &mut Tx, _kind: Kind) -> Result<Vec<String>, DatabaseError> {
    Ok(tx.packages().await?.into_iter().map(|package| package.id.to_string()).collect())
}

/// Who may write it: any site may take a package over, which is what its epoch counts.
pub(crate) async fn writer(_tx: &mut Tx, _object: &Object) -> Result<Writer, DatabaseError> {
    Ok(Writer::Any)
}

/// Makes the rows say what it says.
pub(crate) async fn take(
    tx: &mut Tx,
    object: &Object,
    arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    let (id, owner, epoch) = match read(object) {
        Ok(read) => read,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    let known = tx.highest_epoch(id).await?;
    if epoch.generation() > known.generation().saturating_add(GENERATION_JUMP_MAX) {
        let text = format!("epoch {epoch} of package {id} lies too far above {known}");
        return Ok(Taken::Refused(Why::new("VERSION_JUMP", text)));
    }
    // Of this site, and it did not know: what it did in that epoch before it was put back, if it was, it
    // has forgotten. It goes on in the next one, so that no version gets two contents.
    let was_forgotten = owner == arrival.own && tx.restored_at().await?.is_some();
    let epoch = if was_forgotten { epoch.next(owner) } else { epoch };
    tx.change_owner(id, owner, epoch, arrival.now).await?;
    Ok(if was_forgotten { Taken::Outdone } else { Taken::Done })
}

fn read(object: &Object) -> Result<(PackageId, SiteCode, Epoch), Why> {
    let form = |text: &str| Why::new("OBJECT_FORM", text);
    let id: PackageId = object.key.parse().map_err(|_unfit| form("the key is no package ID"))?;
    let fields = object.fields();
    let owner: SiteCode = fields.parse("source_site")?;
    let epoch = Epoch(fields.u32("epoch")?);
    if epoch.signer(id) != Some(owner) {
        return Err(form("the epoch is not one that its owner begins"));
    }
    Ok((id, owner, epoch))
}

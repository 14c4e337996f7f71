//! Objects of kind `program`: a program of a package, under `PKGID/NAME`.

use restock_names::PackageId;
use serde_json::{Value, json};

use super::form;
use super::target::bad_key;
use crate::program::Program;
use crate::replica::{Arrival, Kind, Object, Taken, Told, Writer};
use crate::tx::bind;
use crate::{DatabaseError, Tx, Why};

/// The key of a program's object.
pub(crate) fn key(package: PackageId, name: &str) -> String {
    format!("{package}/{}", form::folded(name))
}

fn of_key(key: &str) -> Result<(PackageId, &str), Why> {
    let parts = key.split_once('/').and_then(|(id, name)| Some((id.parse::<PackageId>().ok()?, name)));
    parts.filter(|(id, name)| self::key(*id, name) == key && !name.is_empty()).ok_or_else(bad_key)
}

/// What the rows say about it.
pub(crate) async fn told(tx: &mut Tx, _kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    let Ok((package, name)) = of_key(key) else { return Ok(Told::Others) };
    let Some(program) = tx.program(package, name).await? else { return Ok(Told::Gone) };
    // What was put is an object: whoever kept it saw to that.
    let properties: Value = serde_json::from_str(&program.properties).unwrap_or_else(|_unfit| json!({}));
    Ok(Told::Body(json!({ "name": program.name, "properties": properties })))
}

/// All that this site writes.
pub(crate) async fn keys(tx: &mut Tx, _kind: Kind) -> Result<Vec<String>, DatabaseError> {
    tx.rows("SELECT package_id, program_name FROM programs ORDER BY package_id, program_name", bind![])
        .await?
        .iter()
        .map(|row| Ok(key(row.parse("package_id")?, &row.text("program_name")?)))
        .collect()
}

/// Who may write it.
pub(crate) async fn writer(_tx: &mut Tx, _object: &Object) -> Result<Writer, DatabaseError> {
    Ok(Writer::Any)
}

/// Makes the rows say what it says.
pub(crate) async fn take(
    tx: &mut Tx,
    object: &Object,
    _arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    let read = || -> Result<_, Why> {
        let (package, key_name) = of_key(&object.key)?;
        if object.body.is_none() {
            return Ok((package, key_name.to_owned(), None));
        }
        let name = form::name(object.fields(), "name")?;
        if key(package, &name) != object.key {
            return Err(bad_key());
        }
        let properties = object.fields().get("properties").filter(|properties| properties.is_object());
        let bad = || Why::new("OBJECT_FORM", "the field properties of the body is not valid");
        Ok((package, name, Some(properties.ok_or_else(bad)?.to_string())))
    };
    let (package, name, properties) = match read() {
        Ok(parts) => parts,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    let Some(properties) = properties else {
        tx.delete_program(package, &name).await?;
        return Ok(Taken::Done);
    };
    if tx.package(package).await?.is_none() {
        return Ok(Taken::WaitsFor(Kind::Package, package.to_string()));
    }
    tx.put_program(&Program { package, name, properties }).await?;
    Ok(Taken::Done)
}

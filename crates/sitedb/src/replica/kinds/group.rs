//! Objects of the kinds `group`, `group_member` and `group_package`: a distribution point group with
//! its collections, a distribution point in it, a package in it.
//!
//! That a member gets a package is a wish of its own, made by whoever changed the group.

use restock_names::{DistributionPointName, PackageId};
use serde_json::{Value, json};

use super::target::bad_key;
use super::{form, scope};
use crate::admin::{Stamp, TYPE_GROUP};
use crate::group::Group;
use crate::replica::{Arrival, Kind, Object, Taken, Told, Writer};
use crate::tx::bind;
use crate::{DatabaseError, Tx, Why};

/// The longest ID of a collection, in bytes.
const COLLECTION_BYTES_MAX: usize = 64;

/// A member or a package of a group.
enum Item {
    Member(DistributionPointName),
    Package(PackageId),
}

/// The group and what is in it, of the key of a list's item.
fn of_key(kind: Kind, key: &str) -> Result<(String, Item), Why> {
    let (group, item) = key.rsplit_once('/').ok_or_else(bad_key)?;
    let parsed = if kind == Kind::GroupMember {
        item.parse().ok().map(Item::Member)
    } else {
        item.parse().ok().map(Item::Package)
    };
    let parsed = parsed.ok_or_else(bad_key)?;
    if form::folded(key) == key { Ok((group.to_owned(), parsed)) } else { Err(bad_key()) }
}

fn body(group: &Group, collections: &[String], scopes: &[String]) -> Value {
    let stamp = |by: &String, at| scope::stamp(&Stamp { by: by.clone(), at });
    json!({
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "source_site": group.source_site,
        "created": stamp(&group.created_by, group.created_at),
        "modified": stamp(&group.modified_by, group.modified_at),
        "collections": collections,
        "scopes": scopes,
    })
}

fn group(object: &Object) -> Result<(Group, Vec<String>, Vec<String>), Why> {
    let fields = object.fields();
    let (created, modified) = (scope::stamp_of(fields, "created")?, scope::stamp_of(fields, "modified")?);
    let collections = form::names(fields, "collections")?;
    if collections.iter().any(|id| id.is_empty() || id.len() > COLLECTION_BYTES_MAX) {
        return Err(Why::new("OBJECT_FORM", "the field collections of the body is not valid"));
    }
    let group = Group {
        id: form::name(fields, "id")?,
        name: form::name(fields, "name")?,
        description: form::text(fields, "description")?,
        source_site: fields.parse("source_site")?,
        created_by: created.by,
        created_at: created.at,
        modified_by: modified.by,
        modified_at: modified.at,
    };
    if form::folded(&group.id) != object.key || group.id.contains('/') {
        return Err(bad_key());
    }
    Ok((group, collections, form::names(fields, "scopes")?))
}

/// What the rows say about it.
pub(crate) async fn told(tx: &mut Tx, kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    if kind == Kind::Group {
        let Some(group) = tx.group(key).await? else { return Ok(Told::Gone) };
        let collections = tx.group_collections(&group.id).await?;
        let scopes = scope::told_of(tx, TYPE_GROUP, &group.id, (kind, key)).await?;
        return Ok(Told::Body(body(&group, &collections, &scopes)));
    }
    let Ok((id, item)) = of_key(kind, key) else { return Ok(Told::Others) };
    let is_there = match item {
        Item::Member(point) => tx.group_members(&id).await?.contains(&point),
        Item::Package(package) => tx.group_packages(&id).await?.contains(&package),
    };
    Ok(if is_there { Told::Body(json!({})) } else { Told::Gone })
}

/// All that this site writes.
pub(crate) async fn keys(tx: &mut Tx, kind: Kind) -> Result<Vec<String>, DatabaseError> {
    let statement = match kind {
        Kind::GroupMember => {
            "SELECT group_id || '/' || point AS object_key FROM dp_group_members ORDER BY group_id, point"
        }
        Kind::GroupPackage => {
            "SELECT group_id || '/' || package_id AS object_key FROM dp_group_packages
             ORDER BY group_id, package_id"
        }
        _ => "SELECT group_id AS object_key FROM dp_groups ORDER BY group_id",
    };
    let rows = tx.rows(statement, bind![]).await?;
    rows.iter().map(|row| row.text("object_key").map(|key| form::folded(&key))).collect()
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
    if object.kind == Kind::Group {
        return take_group(tx, object).await;
    }
    let (id, item) = match of_key(object.kind, &object.key) {
        Ok(parts) => parts,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    if object.body.is_none() {
        match item {
            Item::Member(point) => tx.delete_group_member(&id, &point).await?,
            Item::Package(package) => tx.delete_group_package(&id, package).await?,
        };
        return Ok(Taken::Done);
    }
    let Some(group) = tx.group(&id).await? else { return Ok(Taken::WaitsFor(Kind::Group, id)) };
    match item {
        Item::Member(point) => {
            if tx.point(&point).await?.is_none() {
                return Ok(Taken::WaitsFor(Kind::Point, point.to_string()));
            }
            tx.insert_group_member(&group.id, &point).await?;
        }
        Item::Package(package) => {
            if tx.package(package).await?.is_none() {
                return Ok(Taken::WaitsFor(Kind::Package, package.to_string()));
            }
            tx.insert_group_package(&group.id, package).await?;
        }
    }
    Ok(Taken::Done)
}

async fn take_group(tx: &mut Tx, object: &Object) -> Result<Taken, DatabaseError> {
    if object.body.is_none() {
        tx.delete_group(&object.key).await?;
        return Ok(Taken::Done);
    }
    let (mut group, collections, scopes) = match group(object) {
        Ok(parts) => parts,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    if let Some(other) = tx.group_by_name(&group.name).await?
        && form::folded(&other.id) != object.key
    {
        // Two sites gave one name to two groups. The older one keeps it, at every site.
        if (other.created_at, form::folded(&other.id)) < (group.created_at, object.key.clone()) {
            group.name = apart(&group.name, &group.id);
        } else {
            let name = apart(&other.name, &other.id);
            tx.update_group(&Group { name, ..other }).await?;
        }
    }
    if tx.group(&object.key).await?.is_some() {
        tx.update_group(&group).await?;
    } else {
        tx.insert_group(&group).await?;
    }
    let before = tx.group_collections(&group.id).await?;
    let has = |list: &[String], id: &str| list.iter().any(|one| one.eq_ignore_ascii_case(id));
    for id in before.iter().filter(|id| !has(&collections, id)) {
        tx.delete_group_collection(&group.id, id).await?;
    }
    for id in collections.iter().filter(|id| !has(&before, id)) {
        tx.insert_group_collection(&group.id, id).await?;
    }
    scope::take_of(tx, TYPE_GROUP, &group.id, &scopes).await?;
    Ok(Taken::Done)
}

/// The name of a group whose own name another group has.
fn apart(name: &str, id: &str) -> String {
    format!("{name} ({id})")
}

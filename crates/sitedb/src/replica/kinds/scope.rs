//! Objects of kind `scope`: a security scope, from a site above. Which scopes an object is in stands
//! in the object's own body.

use restock_names::Timestamp;
use serde_json::{Value, json};

use super::form;
use super::target::bad_key;
use crate::admin::{Membership, SCOPE_ALL, Scope, Stamp, TYPE_GROUP, TYPE_PACKAGE, TYPE_POINT};
use crate::replica::object::Fields;
use crate::replica::{Arrival, Kind, Object, Taken, Told, Writer};
use crate::tx::bind;
use crate::{DatabaseError, Tx, Why};

/// The scopes of an object for its body, by ID: those it is in here, and those of its last state that
/// are not known here and so cannot have been taken from it here.
pub(crate) async fn told_of(
    tx: &mut Tx,
    object_type: u32,
    object: &str,
    (kind, key): (Kind, &str),
) -> Result<Vec<String>, DatabaseError> {
    let before = tx.replica(kind, key).await?;
    told_beside(tx, object_type, object, before.as_ref().map(|stored| &stored.object)).await
}

/// As [`told_of`], beside the state that stands.
pub(crate) async fn told_beside(
    tx: &mut Tx,
    object_type: u32,
    object: &str,
    before: Option<&Object>,
) -> Result<Vec<String>, DatabaseError> {
    let mut scopes = tx.scopes_of_object(object_type, object).await?;
    for scope in before.map(|before| before.fields().texts("scopes").unwrap_or_default()).unwrap_or_default()
    {
        if !scopes.contains(&scope) && tx.scope(&scope).await?.is_none() {
            scopes.push(scope);
        }
    }
    scopes.sort();
    scopes.dedup();
    Ok(scopes)
}

/// Puts an object into exactly those of `scopes` that are known here: no more people see it than
/// where it came from.
pub(crate) async fn take_of(
    tx: &mut Tx,
    object_type: u32,
    object: &str,
    scopes: &[String],
) -> Result<bool, DatabaseError> {
    let has = |list: &[String], scope: &str| list.iter().any(|one| one.eq_ignore_ascii_case(scope));
    let before = tx.scopes_of_object(object_type, object).await?;
    let member = |scope: &str| Membership { scope: scope.to_owned(), object_type, object: object.to_owned() };
    let mut may_be_in_none = before.is_empty();
    for scope in before.iter().filter(|scope| !has(scopes, scope)) {
        tx.remove_from_scope(&member(scope)).await?;
        may_be_in_none = true;
    }
    for scope in scopes.iter().filter(|scope| !has(&before, scope)) {
        if scope != SCOPE_ALL && tx.scope(scope).await?.is_some() {
            tx.add_to_scope(&member(scope)).await?;
        }
    }
    Ok(may_be_in_none)
}

pub(super) fn stamp(stamp: &Stamp) -> Value {
    json!({ "by": stamp.by, "at": stamp.at.0 })
}

pub(super) fn stamp_of(fields: Fields<'_>, field: &str) -> Result<Stamp, Why> {
    let stamp = Fields(fields.get(field));
    let by = form::within(stamp.text("by")?, field, form::NAME_BYTES_MAX)?;
    Ok(Stamp { by, at: Timestamp(stamp.i64("at")?) })
}

fn body(scope: &Scope) -> Value {
    json!({
        "id": scope.id,
        "name": scope.name,
        "description": scope.description,
        "created": stamp(&scope.created),
        "modified": stamp(&scope.modified),
    })
}

fn scope(object: &Object) -> Result<Scope, Why> {
    let fields = object.fields();
    let scope = Scope {
        id: form::name(fields, "id")?,
        name: form::name(fields, "name")?,
        description: form::text(fields, "description")?,
        is_built_in: false,
        created: stamp_of(fields, "created")?,
        modified: stamp_of(fields, "modified")?,
    };
    if form::folded(&scope.id) == object.key { Ok(scope) } else { Err(bad_key()) }
}

/// What the rows say about it; what comes with the program is every site's own.
pub(crate) async fn told(tx: &mut Tx, _kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    Ok(match tx.scope(key).await? {
        None => Told::Gone,
        Some(scope) if scope.is_built_in => Told::Others,
        Some(scope) => Told::Body(body(&scope)),
    })
}

/// All that this site writes.
pub(crate) async fn keys(tx: &mut Tx, _kind: Kind) -> Result<Vec<String>, DatabaseError> {
    let scopes = tx.scopes().await?.into_iter().filter(|scope| !scope.is_built_in);
    Ok(scopes.map(|scope| form::folded(&scope.id)).collect())
}

/// Who may write it: every site above.
pub(crate) async fn writer(_tx: &mut Tx, _object: &Object) -> Result<Writer, DatabaseError> {
    Ok(Writer::Any)
}

/// Why a role or scope is refused that has the ID of one that comes with the program.
pub(super) fn built_in(what: &str, id: &str) -> Why {
    Why::new(
        "BUILT_IN",
        format!("the {what} {id:.40} comes with the program and is no other site's to change"),
    )
}

/// Makes the rows say what it says.
pub(crate) async fn take(
    tx: &mut Tx,
    object: &Object,
    _arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    let known = tx.scope(&object.key).await?;
    if known.as_ref().is_some_and(|known| known.is_built_in) {
        return Ok(Taken::Refused(built_in("scope", &object.key)));
    }
    if object.body.is_none() {
        if let Some(known) = known {
            tx.drop_scope(&known.id).await?;
        }
        return Ok(Taken::Done);
    }
    let scope = match scope(object) {
        Ok(scope) => scope,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    if let Some(other) = tx.scope_named(&scope.name).await?
        && form::folded(&other.id) != object.key
    {
        if other.is_built_in {
            return Ok(Taken::Refused(built_in("scope", &other.name)));
        }
        let name = format!("{} ({})", other.name, other.id);
        tx.update_scope(&Scope { name, ..other }).await?;
    }
    if known.is_some() {
        tx.update_scope(&scope).await?;
        return Ok(Taken::Done);
    }
    tx.insert_scope(&scope).await?;
    // Objects that arrived before it.
    for (kind, object_type) in
        [(Kind::Package, TYPE_PACKAGE), (Kind::Point, TYPE_POINT), (Kind::Group, TYPE_GROUP)]
    {
        let rows = tx
            .rows(
                "SELECT object_key, body FROM replicas WHERE kind = $1 AND body LIKE $2 ORDER BY object_key",
                bind![kind.as_str(), format!("%\"{}\"%", like(&scope.id))],
            )
            .await?;
        for row in rows {
            let body: Value = serde_json::from_str(&row.text("body")?).unwrap_or_default();
            let scopes = Fields(Some(&body)).texts("scopes").unwrap_or_default();
            let key = row.text("object_key")?;
            let object = key.strip_suffix("/settings").unwrap_or(&key).to_owned();
            if scopes.iter().any(|one| one.eq_ignore_ascii_case(&scope.id)) {
                tx.add_to_scope(&Membership { scope: scope.id.clone(), object_type, object }).await?;
            }
        }
    }
    Ok(Taken::Done)
}

/// An ID as part of a pattern: what stands for any text does so for one letter at most, and what is
/// found is compared again.
fn like(id: &str) -> String {
    id.replace(['%', '\\'], "_")
}

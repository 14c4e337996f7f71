//! `SMS_Program`: how the content of a package is run. Restock keeps programs and runs none.

use std::fmt::Write as _;

use restock_cim::{CimType, DateTime, Instance, Property, Value};
use restock_names::PackageId;
use restock_sitedb::Tx;
use restock_sitedb::program::Program;
use serde_json::{Map, Value as Json};

use crate::Refusal;
use crate::object::{ObjectContext, PutContext, ResolvedKeys, shown};
use crate::packages::known;
use crate::rights::Securable;
use crate::rights::operations::{MODIFY, READ};

const NAME_CHARS_MAX: usize = 127;

async fn package(object: &ObjectContext, tx: &mut Tx) -> Result<PackageId, Refusal> {
    let id = object.package_key("PackageID")?;
    object.require(tx, Securable::Package(id), READ | MODIFY).await?;
    known(tx, id).await?;
    Ok(id)
}

/// Keeps a program, new or changed.
pub(crate) async fn put(put: &PutContext, tx: &mut Tx) -> Result<ResolvedKeys, Refusal> {
    let object = &put.object;
    if object.keys.is_none() {
        return Err(Refusal::provider("REQUIRED", "PackageID and ProgramName must have values"));
    }
    let id = package(object, tx).await?;
    let name = object.key("ProgramName");
    let is_fit = (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if !is_fit {
        let text = format!(
            "{} cannot name a program: 1-{NAME_CHARS_MAX} characters without control characters are wanted",
            shown(name)
        );
        return Err(Refusal::provider("NAME_INVALID", text));
    }
    let before = tx.program(id, name).await?;
    match &before {
        Some(_) => put.check_partial()?,
        None if put.must_exist => return Err(Refusal::not_found(object.shown())),
        None => {}
    }
    let stored_name = before.as_ref().map_or(name, |program| program.name.as_str()).to_owned();
    let mut properties: Map<String, Json> = match &before {
        Some(program) => serde_json::from_str(&program.properties).unwrap_or_default(),
        None => Map::new(),
    };
    for (property, value) in &put.values {
        let Some(declared) = object.class.property(property.as_str()) else { continue };
        match kept(declared, value) {
            Some(json) => properties.insert(declared.name.to_string(), json),
            None => properties.remove(declared.name.as_str()),
        };
    }
    let program =
        Program { package: id, name: stored_name.clone(), properties: Json::Object(properties).to_string() };
    tx.put_program(&program).await?;
    Ok(ResolvedKeys::new(
        &object.class,
        vec![("PackageID", Value::String(id.to_string())), ("ProgramName", Value::String(stored_name))],
    ))
}

/// A value as it is kept; `None` for no value. Form: `restock_sitedb::program::Program::properties`.
fn kept(property: &Property, value: &Value) -> Option<Json> {
    Some(match value {
        Value::Null => return None,
        Value::Array(items) if property.data_type.cim == CimType::UInt8 => {
            if items.is_empty() {
                return None;
            }
            let mut digits = String::with_capacity(items.len() * 2);
            for item in items {
                write!(digits, "{:02X}", item.as_integer().unwrap_or_default())
                    .expect("a String takes all text");
            }
            Json::String(digits)
        }
        Value::Array(items) => Json::Array(items.iter().filter_map(|item| kept(property, item)).collect()),
        Value::Boolean(value) => Json::Bool(*value),
        Value::Unsigned(number) => (*number).into(),
        Value::Signed(number) => (*number).into(),
        Value::Real(number) => serde_json::Number::from_f64(*number).map(Json::Number)?,
        Value::Char(unit) => (*unit).into(),
        Value::String(text) => Json::String(text.clone()),
        Value::DateTime(DateTime::Moment(at, _)) => at.0.into(),
        Value::DateTime(DateTime::Local(us) | DateTime::Interval(us)) => (*us).into(),
        Value::Reference(path) => Json::String(path.to_string()),
        Value::Object(object) => embedded(object),
    })
}

fn embedded(object: &Instance) -> Json {
    let mut members = Map::new();
    members.insert("class".to_owned(), Json::String(object.class.name.to_string()));
    for (property, value) in object.class.properties.iter().zip(&object.values) {
        if let Some(json) = value.as_ref().and_then(|value| kept(property, value)) {
            members.insert(property.name.to_string(), json);
        }
    }
    Json::Object(members)
}

/// Deletes a program.
pub(crate) async fn delete(object: &ObjectContext, tx: &mut Tx) -> Result<(), Refusal> {
    let id = package(object, tx).await?;
    if tx.delete_program(id, object.key("ProgramName")).await? {
        return Ok(());
    }
    Err(Refusal::not_found(object.shown()))
}

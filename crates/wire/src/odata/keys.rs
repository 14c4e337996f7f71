//! From a key in a URL to an object path, by the declaration of the class.

use restock_cim::{CimType, Class, KeyValue, Keys, Name, ObjectPath, Property, Value};
use restock_names::Zone;

use super::address::SegmentKey;
use super::time::{self, Clock};

/// Why a key names no instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The class has other keys, or more of them. The text begins with the stable code.
    #[error("URL_KEY: {class} has the keys {keys}; write {class}({example})")]
    Names { class: Name, keys: String, example: String },
    /// The class has none, so it has no instances.
    #[error("URL_KEY: {0} has no key, so none of its instances has an address")]
    Keyless(Name),
    /// A key that no instance can have, such as text where a number is declared.
    #[error("NOT_FOUND: no {0} has such a key")]
    Impossible(Name),
}

/// The path of the instance of `class` that `key` names, all its keys by their stored names.
///
/// Errors: [`KeyError`]. Whether the instance exists is not looked at.
pub fn path_of(class: &Class, key: &SegmentKey, zone: &Zone) -> Result<ObjectPath, KeyError> {
    let declared: Vec<&Property> = class.keys().collect();
    if declared.is_empty() {
        return Err(KeyError::Keyless(class.name.clone()));
    }
    let names = || KeyError::Names {
        class: class.name.clone(),
        keys: declared.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", "),
        example: declared
            .iter()
            .map(|p| format!("{}={}", p.name, if p.data_type.cim.range().is_some() { "1" } else { "'…'" }))
            .collect::<Vec<_>>()
            .join(","),
    };
    let given: Vec<(&Property, KeyValue)> = match (key, &declared[..]) {
        (SegmentKey::Text(text), [only]) => vec![(*only, KeyValue::String(text.clone()))],
        (SegmentKey::Literal(Keys::Single(value)), [only]) => vec![(*only, value.clone())],
        (SegmentKey::Literal(Keys::Named(named)), _) if named.len() == declared.len() => declared
            .iter()
            .map(|property| {
                let found = named.iter().find(|(name, _)| *name == property.name);
                found.map(|(_, value)| (*property, value.clone()))
            })
            .collect::<Option<_>>()
            .ok_or_else(names)?,
        _ => return Err(names()),
    };
    let keys = given.into_iter().map(|(property, value)| {
        let value = typed(property, value, zone).ok_or_else(|| KeyError::Impossible(class.name.clone()))?;
        Ok((property.name.clone(), value))
    });
    Ok(ObjectPath::of_instance(class.name.clone(), keys.collect::<Result<_, _>>()?))
}

fn typed(property: &Property, value: KeyValue, zone: &Zone) -> Option<KeyValue> {
    let cim = property.data_type.cim;
    Some(match (cim, value) {
        (CimType::String, KeyValue::Integer(number)) => KeyValue::String(number.to_string()),
        (CimType::String, KeyValue::Boolean(is)) => KeyValue::String(is.to_string()),
        (CimType::String, value) => value,
        (CimType::Boolean, KeyValue::String(text)) => {
            KeyValue::Boolean(text.to_ascii_lowercase().parse().ok()?)
        }
        (CimType::Boolean, value @ KeyValue::Boolean(_)) => value,
        (CimType::DateTime, KeyValue::String(text)) => {
            let clock = if property.is_local_time() { Clock::Site } else { Clock::Utc };
            KeyValue::String(time::read(&text, clock, zone)?.to_string())
        }
        (CimType::Reference, KeyValue::String(text)) => KeyValue::Reference(Box::new(text.parse().ok()?)),
        (cim, value) => {
            let (min, max) = cim.range()?;
            let number = match value {
                KeyValue::Integer(number) => number,
                KeyValue::String(text) => text.parse().ok()?,
                _ => return None,
            };
            (min..=max).contains(&number).then_some(KeyValue::Integer(number))?
        }
    })
}

/// A property's value as a key; `None` when it has no form as one.
pub(crate) fn key_of(value: &Value) -> Option<KeyValue> {
    Some(match value {
        Value::String(text) => KeyValue::String(text.clone()),
        Value::Boolean(is) => KeyValue::Boolean(*is),
        Value::Unsigned(number) => KeyValue::Integer((*number).into()),
        Value::Signed(number) => KeyValue::Integer((*number).into()),
        Value::DateTime(time) => KeyValue::String(time.to_string()),
        Value::Reference(path) => KeyValue::Reference(path.clone()),
        Value::Null | Value::Real(_) | Value::Char(_) | Value::Object(_) | Value::Array(_) => return None,
    })
}

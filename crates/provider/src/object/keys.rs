//! The keys of an object: found in a path or in the values of a Put, compared without letter case.

use std::fmt;

use restock_cim::{CimType, Class, KeyValue, Keys, Name, ObjectPath, Property, Value};
use restock_names::PackageId;

use crate::Refusal;

/// The keys of one instance in the order of the class's keys, each of its declared type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ResolvedKeys {
    class: Name,
    values: Vec<(Name, Value)>,
}

impl ResolvedKeys {
    /// The keys that a path names.
    ///
    /// Errors: `INVALID_PATH` when the path names no instance, or other keys than the class has;
    /// `NOT_FOUND` when a value cannot be one of its key.
    pub(crate) fn of_path(class: &Class, path: &ObjectPath) -> Result<Self, Refusal> {
        let wanted: Vec<&Property> = class.keys().collect();
        let wrong = |what: String| Refusal::core("INVALID_PATH", format!("{path}: {what}"));
        let expected = || {
            let names: Vec<&str> = wanted.iter().map(|key| key.name.as_str()).collect();
            if names.is_empty() {
                format!("{} has no keys", class.name)
            } else {
                format!("the keys of {} are {}", class.name, names.join(", "))
            }
        };
        let value_of = |property: &Property, value: &KeyValue| {
            key_value(property, value).ok_or_else(|| Refusal::not_found(path))
        };
        let values = match &path.keys {
            Keys::Class | Keys::Singleton => {
                return Err(wrong(format!("no instance is named; {}", expected())));
            }
            Keys::Single(value) => match wanted.as_slice() {
                [only] => vec![(only.name.clone(), value_of(only, value)?)],
                _ => return Err(wrong(format!("one key is named; {}", expected()))),
            },
            Keys::Named(named) => {
                if named.len() != wanted.len() {
                    return Err(wrong(format!("{} keys are named; {}", named.len(), expected())));
                }
                let mut values = Vec::with_capacity(wanted.len());
                for property in &wanted {
                    let value = named.iter().find(|(name, _)| *name == property.name).map(|(_, value)| value);
                    let value = value
                        .ok_or_else(|| wrong(format!("{} is missing; {}", property.name, expected())))?;
                    values.push((property.name.clone(), value_of(property, value)?));
                }
                values
            }
        };
        Ok(Self { class: class.name.clone(), values })
    }

    /// The keys among the values of a Put; `None` when one is absent or NULL.
    pub(crate) fn of_values(class: &Class, values: &[(Name, Value)]) -> Option<Self> {
        let keys = class.keys().map(|key| {
            let value = values.iter().find(|(name, _)| *name == key.name).map(|(_, value)| value)?;
            if *value == Value::Null {
                return None;
            }
            // A value that no instance can have stays as it is, and names none.
            let value = key_value(key, &key_of_value(value)).unwrap_or_else(|| value.clone());
            Some((key.name.clone(), value))
        });
        let keys: Option<Vec<_>> = keys.collect();
        keys.filter(|keys| !keys.is_empty()).map(|values| Self { class: class.name.clone(), values })
    }

    /// The keys of an object that was just written.
    pub(crate) fn new(class: &Class, values: Vec<(&str, Value)>) -> Self {
        let values = values.into_iter().map(|(name, value)| (Name::from(name), value)).collect();
        Self { class: class.name.clone(), values }
    }

    /// The text of the key `name`; empty when it is no text.
    pub(crate) fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Some(Value::String(text)) => text,
            _ => "",
        }
    }

    /// The value of the key `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(key, _)| key.is(name)).map(|(_, value)| value)
    }

    /// All keys.
    pub(crate) fn values(&self) -> &[(Name, Value)] {
        &self.values
    }

    /// The path without server and namespace.
    pub(crate) fn path(&self) -> ObjectPath {
        let named = self.values.iter().map(|(name, value)| (name.clone(), key_of_value(value)));
        ObjectPath {
            server: None,
            namespace: None,
            class: self.class.clone(),
            keys: Keys::Named(named.collect()),
        }
    }
}

impl fmt::Display for ResolvedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().fmt(f)
    }
}

/// The value of a key by its declaration; `None` when no instance can have it.
fn key_value(property: &Property, value: &KeyValue) -> Option<Value> {
    let number = |text: &str| text.trim().parse::<i128>().ok();
    let value = match (property.data_type.cim, value) {
        (CimType::String | CimType::Reference, KeyValue::String(text)) => Value::String(text.clone()),
        (CimType::String, KeyValue::Integer(number)) => Value::String(number.to_string()),
        (CimType::Reference, KeyValue::Reference(path)) => Value::String(path.to_string()),
        (CimType::Boolean, KeyValue::Boolean(value)) => Value::Boolean(*value),
        (CimType::DateTime, KeyValue::String(text)) => Value::DateTime(text.parse().ok()?),
        (
            CimType::UInt8
            | CimType::UInt16
            | CimType::UInt32
            | CimType::UInt64
            | CimType::SInt8
            | CimType::SInt16
            | CimType::SInt32
            | CimType::SInt64,
            key @ (KeyValue::Integer(_) | KeyValue::String(_)),
        ) => {
            let number = match key {
                KeyValue::Integer(number) => *number,
                KeyValue::String(text) => number(text)?,
                _ => return None,
            };
            match u64::try_from(number) {
                Ok(number) => Value::Unsigned(number),
                Err(_negative) => Value::Signed(i64::try_from(number).ok()?),
            }
        }
        _ => return None,
    };
    if property.data_type.cim == CimType::Reference {
        return Some(value);
    }
    // IDs have one spelling, which logs and audit records then show.
    if property.name.is("PackageID")
        && let Some(id) = value.as_str().and_then(|text| text.parse::<PackageId>().ok())
    {
        return Some(Value::String(id.to_string()));
    }
    property.data_type.check(value).ok()
}

/// A value as it stands in a path.
pub(crate) fn key_of_value(value: &Value) -> KeyValue {
    match value {
        Value::Boolean(value) => KeyValue::Boolean(*value),
        Value::Unsigned(number) => KeyValue::Integer((*number).into()),
        Value::Signed(number) => KeyValue::Integer((*number).into()),
        Value::String(text) => KeyValue::String(text.clone()),
        Value::DateTime(time) => KeyValue::String(time.to_string()),
        Value::Reference(path) => KeyValue::Reference(path.clone()),
        Value::Null | Value::Real(_) | Value::Char(_) | Value::Object(_) | Value::Array(_) => {
            KeyValue::String(String::new())
        }
    }
}

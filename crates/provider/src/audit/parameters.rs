//! What a call was given, as JSON without secrets.

use restock_cim::{Name, Value};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value as Json, json};

/// Texts are kept up to this many bytes; of longer ones their length and digest.
const TEXT_BYTES_MAX: usize = 1_024;
/// Arrays are kept up to this many elements; of longer ones their length and digest.
const ELEMENTS_MAX: usize = 256;
/// All of it together; beyond that its length and digest.
const JSON_BYTES_MAX: usize = 16 * 1_024;
/// Names whose values are never kept.
const SECRET_NAMES: [&str; 4] = ["password", "secret", "token", "credential"];

/// The JSON object of `values`.
pub(super) fn json(values: &[(Name, Value)]) -> String {
    let members = values.iter().map(|(name, value)| (name.to_string(), member(name.as_str(), value)));
    let text = Json::Object(members.collect::<Map<String, Json>>()).to_string();
    limited(text)
}

/// The text, or its length and digest when it is too long to be kept.
pub(super) fn limited(text: String) -> String {
    if text.len() <= JSON_BYTES_MAX { text } else { digested(text.len(), text.as_bytes()).to_string() }
}

fn member(name: &str, value: &Value) -> Json {
    let lower = name.to_lowercase();
    if SECRET_NAMES.iter().any(|secret| lower.contains(secret)) && *value != Value::Null {
        return json!("hidden");
    }
    plain(value)
}

fn plain(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(value) => json!(value),
        Value::Unsigned(value) => json!(value),
        Value::Signed(value) => json!(value),
        Value::Real(value) => json!(value),
        Value::Char(value) => json!(value),
        Value::String(text) if text.len() > TEXT_BYTES_MAX => digested(text.len(), text.as_bytes()),
        Value::String(text) => json!(text),
        Value::DateTime(value) => json!(value.to_string()),
        Value::Reference(path) => json!(path.to_string()),
        Value::Object(instance) => {
            let mut members = Map::new();
            members.insert("__CLASS".to_owned(), json!(instance.class.name.to_string()));
            for (property, value) in instance.class.properties.iter().zip(&instance.values) {
                if let Some(value) = value {
                    members.insert(property.name.to_string(), member(property.name.as_str(), value));
                }
            }
            Json::Object(members)
        }
        Value::Array(items) if items.len() > ELEMENTS_MAX => {
            let all = Json::Array(items.iter().map(plain).collect()).to_string();
            digested(items.len(), all.as_bytes())
        }
        Value::Array(items) => Json::Array(items.iter().map(plain).collect()),
    }
}

fn digested(length: usize, bytes: &[u8]) -> Json {
    let digest = digest(&SHA256, bytes);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "length": length, "sha256": hex })
}

#[cfg(test)]
mod tests {
    use restock_cim::{Name, Value};

    use super::json;

    #[test]
    fn secrets_are_replaced_and_long_values_digested() {
        let text = |text: &str| Value::String(text.to_owned());
        let values = [
            (Name::from("Name"), text("a\"b")),
            (Name::from("NewPassword"), text("canary")),
            (Name::from("Icon"), Value::Array(vec![Value::Unsigned(7); 300])),
            (Name::from("Long"), text(&"x".repeat(2_000))),
            (Name::from("Nothing"), Value::Null),
        ];
        let json = json(&values);
        assert!(!json.contains("canary"), "{json}");
        assert!(json.contains(r#""Icon":{"length":300,"sha256":""#), "{json}");
        assert!(json.contains(r#""Long":{"length":2000,"sha256":""#), "{json}");
        assert!(json.contains(r#""Name":"a\"b""#) && json.contains(r#""Nothing":null"#), "{json}");
    }
}

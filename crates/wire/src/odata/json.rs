//! JSON as it was sent: nothing dropped, nothing rounded, every fault with its place.

use std::cell::RefCell;
use std::fmt;

use restock_names::Escaped;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use super::address::shortened;

/// How deep arrays and objects may stand in each other.
pub(crate) const DEPTH_MAX: usize = 32;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Boolean(bool),
    /// A number without fraction and exponent that 64 bits hold.
    Integer(i128),
    /// Any other number.
    Real(f64),
    /// Text.
    String(String),
    /// `[…]`
    Array(Vec<Json>),
    /// `{…}`, in the order sent; no name twice, in whatever case.
    Object(Vec<(String, Json)>),
}

/// Why bytes are not acceptable JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot be read: {reason}", Place(.path))]
pub struct JsonError {
    /// The member in which reading stopped, outermost first; empty at the top.
    pub path: Vec<String>,
    /// What is wrong there.
    pub reason: String,
}

struct Place<'a>(&'a [String]);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the body");
        }
        f.write_str("property ")?;
        for (at, name) in self.0.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { "." }, Escaped(name.as_bytes()))?;
        }
        Ok(())
    }
}

/// Reads one JSON value, and nothing after it.
///
/// Errors: text that is not JSON (`NaN` is not), a name that stands twice in an object (compared
/// without case), a number beyond what a double holds, nesting deeper than 32.
pub fn read_json(bytes: &[u8]) -> Result<Json, JsonError> {
    let path = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = Reader { path: &path, depth: 0 }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|error| JsonError { path: path.take(), reason: error.to_string() })
}

#[derive(Clone, Copy)]
struct Reader<'p> {
    /// Where reading stands. What was begun and not ended when an error comes up is its place.
    path: &'p RefCell<Vec<String>>,
    depth: usize,
}

impl Reader<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.saturating_add(1);
        if depth > DEPTH_MAX {
            return Err(E::custom(format_args!("arrays and objects are nested deeper than {DEPTH_MAX}")));
        }
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Json;
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Real(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut object: Vec<(String, Json)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            self.path.borrow_mut().push(shortened(&name));
            if !seen.insert(name.to_ascii_lowercase()) {
                return Err(A::Error::custom("the name stands twice in one object"));
            }
            let value = members.next_value_seed(inner)?;
            self.path.borrow_mut().pop();
            object.push((name, value));
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::{Json, read_json};

    fn fault(text: &str) -> String {
        read_json(text.as_bytes()).expect_err("not acceptable").to_string()
    }

    #[test]
    fn values_keep_what_was_written() {
        let read =
            read_json(br#"{"a":[1,-2,18446744073709551615,2.0,"\u00e9"],"b":{"c":null},"d":true}"#).unwrap();
        let Json::Object(members) = read else { panic!("an object") };
        assert_eq!(members[0].0, "a");
        let Json::Array(items) = &members[0].1 else { panic!("an array") };
        assert_eq!(items[2], Json::Integer(u64::MAX.into()));
        assert_eq!(items[3], Json::Real(2.0));
        assert_eq!(items[4], Json::String("é".to_owned()));
    }

    #[test]
    fn faults_name_the_property() {
        assert!(
            fault(r#"{"Name":"a","name":"b"}"#)
                .starts_with("property name cannot be read: the name stands twice")
        );
        assert!(fault(r#"{"A":{"B":NaN}}"#).starts_with("property A.B cannot be read: expected"));
        assert!(fault(r#"{"A":1e999}"#).starts_with("property A cannot be read: number out of range"));
        assert!(fault(r#"{"A":1"#).starts_with("the body cannot be read"));
        assert!(fault("{} {}").starts_with("the body cannot be read: trailing"));
        assert!(fault("").starts_with("the body"));
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(fault(&deep).contains("nested deeper than 32"));
        assert!(read_json(b"{\"a\":\"\xff\"}").is_err());
    }
}

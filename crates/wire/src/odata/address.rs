//! What the path of a URL names.
//!
//! A path is cut at `/` as it was sent and each piece is then percent-decoded **once**; so a key
//! that holds a `/` is sent as `%2F`. Names are compared without case.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use restock_cim::{KeyValue, Keys, Name};
use restock_names::Escaped;

/// The longest path that is read, in bytes as sent.
pub(crate) const PATH_BYTES_MAX: usize = 8 * 1024;
/// The most keys that `Class(K1=…,K2=…)` may name.
const KEYS_MAX: usize = 16;
/// The first segment of every path.
const SERVICE: &str = "AdminService";
/// What stands before the name of a method of an instance.
const METHOD_PREFIX: &str = "AdminService.";

/// What a path names, whether it exists or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `wmi/`: the list of classes.
    Service,
    /// `wmi/$metadata`
    Metadata,
    /// `v1.0/`: a service without entity sets.
    Versioned,
    /// `v1.0/$metadata`
    VersionedMetadata,
    /// `wmi/Class`
    Collection(Name),
    /// `wmi/Class/$count`
    Count(Name),
    /// `wmi/Class('a')`, `wmi/Class(K1='a',K2=3)`, `wmi/Class/a`
    Entity(Name, SegmentKey),
    /// `wmi/Class('a')/AdminService.Method`
    Method(Name, SegmentKey, Name),
    /// `wmi/Class.Method`
    StaticMethod(Name, Name),
}

/// A key as a URL says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentKey {
    /// In parentheses: literals have types.
    Literal(Keys),
    /// `/a`: text of which only the declaration says what it is.
    Text(String),
}

/// Why a path names nothing. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Longer than 8 KiB.
    #[error("URL_LENGTH: the path has {0} bytes, the limit is {PATH_BYTES_MAX}")]
    Length(usize),
    /// Nothing lies there.
    #[error(
        "NOT_FOUND: {} is not an address of this service; classes lie at /AdminService/wmi/",
        Escaped(.0.as_bytes())
    )]
    Unknown(String),
    /// Bytes that are not UTF-8, or a control character.
    #[error("URL_TEXT: {} is not text in UTF-8 without control characters", Escaped(.0))]
    Text(Vec<u8>),
    /// A key that cannot be read.
    #[error(
        "URL_KEY: the key in {} cannot be read; write Class('text'), Class(3) or Class(K1='a',K2=3)",
        Escaped(.0.as_bytes())
    )]
    Key(String),
    /// Something OData has and this service has not.
    #[error("NOT_SUPPORTED: {} is not supported here; ask for the class or one instance", Escaped(.0.as_bytes()))]
    Unsupported(String),
}

impl AddressError {
    /// True when the address is well-formed and nothing lies there.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }
}

impl Route {
    /// Reads the path of a request target, without its query.
    ///
    /// Errors: [`AddressError`]. Whether the class, instance or method exists is not looked at.
    pub fn parse(path: &str) -> Result<Self, AddressError> {
        if path.len() > PATH_BYTES_MAX {
            return Err(AddressError::Length(path.len()));
        }
        let unknown = || AddressError::Unknown(shortened(path));
        let rest = path.strip_prefix('/').ok_or_else(unknown)?;
        let mut segments = rest.split('/').map(decode).collect::<Result<Vec<_>, _>>()?;
        // `wmi/` and `wmi` are one; so is a collection with and without its last slash.
        if segments.len() > 1 && segments.last().is_some_and(String::is_empty) {
            segments.pop();
        }
        let [service, area, rest @ ..] = segments.as_slice() else { return Err(unknown()) };
        if !service.eq_ignore_ascii_case(SERVICE) {
            return Err(unknown());
        }
        if area.eq_ignore_ascii_case("v1.0") {
            return match rest {
                [] => Ok(Self::Versioned),
                [document] if document.eq_ignore_ascii_case("$metadata") => Ok(Self::VersionedMetadata),
                _ => Err(unknown()),
            };
        }
        if !area.eq_ignore_ascii_case("wmi") {
            return Err(unknown());
        }
        let [first, rest @ ..] = rest else { return Ok(Self::Service) };
        if first.starts_with('$') {
            return match rest {
                [] if first.eq_ignore_ascii_case("$metadata") => Ok(Self::Metadata),
                _ => Err(AddressError::Unsupported(shortened(first))),
            };
        }
        Self::of_class(first, rest).ok_or_else(unknown)?
    }

    /// `None`: nothing can lie there.
    fn of_class(first: &str, rest: &[String]) -> Option<Result<Self, AddressError>> {
        let (name, key) = match first.split_once('(') {
            None => (first, None),
            Some((name, literal)) => match literal.strip_suffix(')').and_then(literal_keys) {
                Some(keys) => (name, keys.map(SegmentKey::Literal)),
                None => return Some(Err(AddressError::Key(shortened(first)))),
            },
        };
        if let Some((class, method)) = name.split_once('.') {
            let is_static = is_name(class) && is_name(method) && key.is_none() && rest.is_empty();
            return is_static.then(|| Ok(Self::StaticMethod(class.into(), method.into())));
        }
        if !is_name(name) {
            return None;
        }
        let class = Name::from(name);
        let (key, rest) = match (key, rest) {
            (Some(key), rest) => (key, rest),
            (None, []) => return Some(Ok(Self::Collection(class))),
            (None, [only]) if only.eq_ignore_ascii_case("$count") => return Some(Ok(Self::Count(class))),
            (None, [text, ..]) if text.starts_with('$') => {
                return Some(Err(AddressError::Unsupported(shortened(text))));
            }
            (None, [text, rest @ ..]) => (SegmentKey::Text(text.clone()), rest),
        };
        match rest {
            [] => Some(Ok(Self::Entity(class, key))),
            [method] => match strip_prefix(method, METHOD_PREFIX) {
                Some(method) if is_name(method) => Some(Ok(Self::Method(class, key, method.into()))),
                Some(_) => None,
                None => Some(Err(AddressError::Unsupported(shortened(method)))),
            },
            _ => None,
        }
    }
}

/// Reads whatever bytes come as a path. Never panics.
pub fn fuzz_one(bytes: &[u8]) {
    let path = String::from_utf8_lossy(bytes);
    for path in [path.to_string(), format!("/AdminService/wmi/{path}")] {
        match Route::parse(&path) {
            Ok(Route::Entity(class, _) | Route::Method(class, _, _)) => {
                assert!(is_name(class.as_str()), "a class has a name");
            }
            Ok(_) => {}
            Err(error) => assert!(!error.to_string().contains(char::is_control), "refusals are one line"),
        }
    }
}

/// Up to 100 characters.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 100;
    if text.chars().count() <= SHOWN_MAX {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(SHOWN_MAX).collect();
    short.push('…');
    short
}

fn decode(segment: &str) -> Result<String, AddressError> {
    let bytes: Cow<'_, [u8]> = percent_decode_str(segment).into();
    match std::str::from_utf8(&bytes) {
        Ok(text) if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err(AddressError::Text(bytes.iter().take(100).copied().collect())),
    }
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| text.get(prefix.len()..))?
}

/// True for what a class, property or method may be called.
fn is_name(text: &str) -> bool {
    (1..=256).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// What stands in the parentheses: `Some(None)` when they are empty, `None` when unreadable.
fn literal_keys(text: &str) -> Option<Option<Keys>> {
    if text.trim().is_empty() {
        return Some(None);
    }
    let items = split_items(text)?;
    if let [item] = items[..]
        && named(item).is_none()
    {
        return Some(Some(Keys::Single(literal(item.trim())?)));
    }
    if items.len() > KEYS_MAX {
        return None;
    }
    let mut keys: Vec<(Name, KeyValue)> = Vec::with_capacity(items.len());
    for item in items {
        let (name, value) = named(item)?;
        let name = Name::from(name);
        if keys.iter().any(|(other, _)| *other == name) {
            return None;
        }
        keys.push((name, literal(value)?));
    }
    Some(Some(Keys::Named(keys)))
}

/// Cuts at commas outside quotes; `None` when a quote is left open.
fn split_items(text: &str) -> Option<Vec<&str>> {
    let mut items = Vec::new();
    let (mut start, mut is_quoted) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\'' => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                items.push(text.get(start..at)?);
                start = at.checked_add(1)?;
            }
            _ => {}
        }
    }
    items.push(text.get(start..)?);
    (!is_quoted).then_some(items)
}

fn named(item: &str) -> Option<(&str, &str)> {
    let (name, value) = item.split_once('=')?;
    let name = name.trim();
    is_name(name).then(|| (name, value.trim()))
}

/// `'it''s'`, `3`, `true`, or a bare word, which is taken as text.
fn literal(text: &str) -> Option<KeyValue> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let inner = quoted.strip_suffix('\'')?;
        // An odd run of quotes would end the text within it.
        let is_doubled = inner.split("''").all(|part| !part.contains('\''));
        return is_doubled.then(|| KeyValue::String(inner.replace("''", "'")));
    }
    if text.is_empty() || text.contains('\'') {
        return None;
    }
    if let Ok(number) = text.parse::<i128>() {
        return Some(KeyValue::Integer(number));
    }
    Some(match text {
        "true" => KeyValue::Boolean(true),
        "false" => KeyValue::Boolean(false),
        word => KeyValue::String(word.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::Route;

    fn shown(path: &str) -> String {
        match Route::parse(&format!("/AdminService/{path}")) {
            Ok(route) => format!("{route:?}"),
            Err(error) => error.to_string().split(':').next().expect("a code").to_owned(),
        }
    }

    #[test]
    fn a_path_names_one_thing() {
        let single = |key: &str| format!("Entity(\"SMS_Package\", Literal(Single({key})))");
        let cases = [
            ("wmi", "Service".to_owned()),
            ("WMI/", "Service".to_owned()),
            ("wmi/$metadata", "Metadata".to_owned()),
            ("wmi/%24metadata", "Metadata".to_owned()),
            ("v1.0/", "Versioned".to_owned()),
            ("v1.0/$metadata", "VersionedMetadata".to_owned()),
            ("v1.0/Device", "NOT_FOUND".to_owned()),
            ("wmi/SMS_Package", "Collection(\"SMS_Package\")".to_owned()),
            ("wmi/sms_package()/", "Collection(\"sms_package\")".to_owned()),
            ("wmi/SMS_Package/$count", "Count(\"SMS_Package\")".to_owned()),
            ("wmi/SMS_Package('XYZ00001')", single("String(\"XYZ00001\")")),
            ("wmi/SMS_Package('O''Brien%2F')", single("String(\"O'Brien/\")")),
            ("wmi/SMS_Package(-7)", single("Integer(-7)")),
            ("wmi/SMS_Package/XYZ00001", "Entity(\"SMS_Package\", Text(\"XYZ00001\"))".to_owned()),
            (
                "wmi/C(K1='a,b=c',K2=3)",
                "Entity(\"C\", Literal(Named([(\"K1\", String(\"a,b=c\")), (\"K2\", Integer(3))])))"
                    .to_owned(),
            ),
            (
                "wmi/SMS_Package/XYZ00001/adminservice.RefreshPkgSource",
                "Method(\"SMS_Package\", Text(\"XYZ00001\"), \"RefreshPkgSource\")".to_owned(),
            ),
            (
                "wmi/SMS_Admin.GetAdminExtendedData",
                "StaticMethod(\"SMS_Admin\", \"GetAdminExtendedData\")".to_owned(),
            ),
            ("wmi/SMS_Package('a", "URL_KEY".to_owned()),
            ("wmi/SMS_Package('a'b')", "URL_KEY".to_owned()),
            ("wmi/C(K='a',k='b')", "URL_KEY".to_owned()),
            ("wmi/SMS_Package('a')/Name", "NOT_SUPPORTED".to_owned()),
            ("wmi/$batch", "NOT_SUPPORTED".to_owned()),
            ("wmi/SMS_Package/%ff", "URL_TEXT".to_owned()),
            ("wmi/SMS_Package/a%0d%0ab", "URL_TEXT".to_owned()),
            ("wmi/SMS_Package/%2527", "Entity(\"SMS_Package\", Text(\"%27\"))".to_owned()),
            ("wmi//SMS_Package", "NOT_FOUND".to_owned()),
            ("other/SMS_Package", "NOT_FOUND".to_owned()),
            ("wmi/SMS-Package", "NOT_FOUND".to_owned()),
        ];
        for (path, want) in cases {
            assert_eq!(shown(path), want, "{path}");
        }
        assert_eq!(shown(&format!("wmi/{}", "a".repeat(9000))), "URL_LENGTH");
        assert!(Route::parse("").is_err() && Route::parse("*").is_err() && Route::parse("/").is_err());
    }
}

//! Object paths.

use std::fmt;
use std::str::FromStr;

use crate::Name;

/// The path of a class or an instance. Source: DSP0207, with WMI's server and namespace prefixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPath {
    /// `HOST` of `\\HOST\…`; `.` is this machine.
    pub server: Option<String>,
    /// `root\sms\site_XYZ`, its parts parted by `\`.
    pub namespace: Option<String>,
    /// The class.
    pub class: Name,
    /// Which of its instances.
    pub keys: Keys,
}

/// What names an instance of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// Nothing: the path is that of the class.
    Class,
    /// `=@`: its only instance.
    Singleton,
    /// `="x"`: the value of its only key.
    Single(KeyValue),
    /// `.K1="a",K2=3`, as written.
    Named(Vec<(Name, KeyValue)>),
}

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyValue {
    /// Text.
    String(String),
    /// A whole number.
    Integer(i128),
    /// `TRUE` or `FALSE`.
    Boolean(bool),
    /// A path within the path.
    Reference(Box<ObjectPath>),
}

/// The longest path read.
const PATH_BYTES_MAX: usize = 32 * 1024;
/// Paths within paths.
const DEPTH_MAX: usize = 4;
/// The most keys of one path.
const KEYS_MAX: usize = 32;

/// Why a text is no object path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the object path {shown:?} cannot be read at character {at}: {wanted} is wanted")]
pub struct PathError {
    /// The beginning of the text.
    pub shown: String,
    /// Where, from 1 on.
    pub at: usize,
    /// What was wanted there.
    pub wanted: &'static str,
}

impl ObjectPath {
    /// The path of a class.
    pub fn of_class(class: impl Into<Name>) -> Self {
        Self { server: None, namespace: None, class: class.into(), keys: Keys::Class }
    }

    /// The path of an instance.
    pub fn of_instance(class: impl Into<Name>, keys: Vec<(Name, KeyValue)>) -> Self {
        Self { server: None, namespace: None, class: class.into(), keys: Keys::Named(keys) }
    }

    /// This path with server and namespace before it.
    pub fn within(mut self, server: &str, namespace: &str) -> Self {
        self.server = Some(server.to_owned());
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// The path without server and namespace, as `__RELPATH` shows it.
    pub fn relative(&self) -> Self {
        Self { server: None, namespace: None, class: self.class.clone(), keys: self.keys.clone() }
    }

    /// The value of the key `name` among the named ones.
    pub fn key(&self, name: &str) -> Option<&KeyValue> {
        match &self.keys {
            Keys::Named(keys) => keys.iter().find(|(key, _)| key.is(name)).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// Keys stand in the order they have in the path; in texts `\` and `"` are escaped by `\`.
impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(server) = &self.server {
            write!(f, "\\\\{server}\\")?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}:")?;
        }
        write!(f, "{}", self.class)?;
        match &self.keys {
            Keys::Class => Ok(()),
            Keys::Singleton => f.write_str("=@"),
            Keys::Single(value) => write!(f, "={value}"),
            Keys::Named(keys) => {
                for (index, (name, value)) in keys.iter().enumerate() {
                    write!(f, "{}{name}={value}", if index == 0 { '.' } else { ',' })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(is) => f.write_str(if *is { "TRUE" } else { "FALSE" }),
            Self::String(text) => write_text(f, text),
            Self::Reference(path) => write_text(f, &path.to_string()),
        }
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        if matches!(c, '\\' | '"') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}

impl FromStr for ObjectPath {
    type Err = PathError;

    /// Reads a path. Texts stand in `"` or `'`; `\` takes the next character as it is.
    fn from_str(text: &str) -> Result<Self, PathError> {
        read(text, 0)
    }
}

fn read(text: &str, depth: usize) -> Result<ObjectPath, PathError> {
    let mut reader = Reader { text, rest: text, depth };
    if text.len() > PATH_BYTES_MAX {
        return reader.fail("a path of at most 32 KiB");
    }
    let (server, namespace) = reader.place()?;
    let class = reader.name("the name of a class")?;
    let keys = reader.keys()?;
    if reader.rest.is_empty() {
        Ok(ObjectPath { server, namespace, class, keys })
    } else {
        reader.fail("the end")
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, wanted: &'static str) -> Result<T, PathError> {
        let read = self.text.len().saturating_sub(self.rest.len());
        let at = self.text.get(..read).map_or(0, |read| read.chars().count()).saturating_add(1);
        Err(PathError { shown: self.text.chars().take(80).collect(), at, wanted })
    }

    fn take(&mut self, mark: char) -> bool {
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// `\\HOST\root\sms\site_XYZ:` or a part of it; both slashes mean the same.
    fn place(&mut self) -> Result<(Option<String>, Option<String>), PathError> {
        let is_slash = |c: char| matches!(c, '\\' | '/');
        let mut server = None;
        let mut chars = self.rest.chars();
        let has_server = chars.next().is_some_and(is_slash) && chars.next().is_some_and(is_slash);
        if has_server {
            let rest = chars.as_str();
            let end = rest.find(is_slash).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if name.is_empty() {
                return self.fail("the name of a server");
            }
            server = Some(name.to_owned());
            self.rest = after.strip_prefix(is_slash).unwrap_or(after);
        }
        // A colon within a quoted key is no end of a namespace.
        let before_keys = self.rest.find(['=', '"', '\'', '.']).unwrap_or(self.rest.len());
        let head = self.rest.get(..before_keys).unwrap_or(self.rest);
        match head.split_once(':') {
            Some((namespace, _)) => {
                let parts: Vec<&str> = namespace.split(is_slash).filter(|part| !part.is_empty()).collect();
                self.rest = self.rest.get(namespace.len().saturating_add(1)..).unwrap_or_default();
                Ok((server, Some(parts.join("\\"))))
            }
            None if has_server => self.fail("a namespace and \":\""),
            None => Ok((server, None)),
        }
    }

    fn name(&mut self, wanted: &'static str) -> Result<Name, PathError> {
        let end =
            self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return self.fail(wanted);
        }
        self.rest = rest;
        Ok(name.into())
    }

    fn keys(&mut self) -> Result<Keys, PathError> {
        if self.rest.is_empty() {
            return Ok(Keys::Class);
        }
        if self.take('=') {
            return if self.take('@') { Ok(Keys::Singleton) } else { self.value().map(Keys::Single) };
        }
        if !self.take('.') {
            return self.fail("\".\", \"=\" or the end");
        }
        let mut keys = Vec::new();
        loop {
            let name = self.name("the name of a key")?;
            if !self.take('=') {
                return self.fail("\"=\"");
            }
            let value = self.value()?;
            if keys.len() >= KEYS_MAX || keys.iter().any(|(known, _)| *known == name) {
                return self.fail("each key once, at most 32 of them");
            }
            keys.push((name, value));
            if !self.take(',') {
                return Ok(Keys::Named(keys));
            }
        }
    }

    fn value(&mut self) -> Result<KeyValue, PathError> {
        match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote).map(KeyValue::String),
            Some('0'..='9' | '-' | '+') => {
                let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+');
                let end = self.rest.find(|c: char| !is_part(c)).unwrap_or(self.rest.len());
                let (digits, rest) = self.rest.split_at(end);
                match digits.parse() {
                    Ok(number) => {
                        self.rest = rest;
                        Ok(KeyValue::Integer(number))
                    }
                    Err(_) => self.fail("a whole number"),
                }
            }
            _ if self.depth < DEPTH_MAX => {
                for (word, is) in [("true", true), ("false", false)] {
                    if self.rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)) {
                        self.rest = self.rest.get(word.len()..).unwrap_or_default();
                        return Ok(KeyValue::Boolean(is));
                    }
                }
                self.fail("a quoted text, a number, TRUE or FALSE")
            }
            _ => self.fail("a quoted text or a number"),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, PathError> {
        let mut text = String::new();
        let mut chars = self.rest.chars();
        chars.next();
        loop {
            match chars.next() {
                Some('\\') => match chars.next() {
                    Some(c) => text.push(c),
                    None => return self.fail("the end of the text"),
                },
                Some(c) if c == quote => {
                    self.rest = chars.as_str();
                    return Ok(text);
                }
                Some(c) => text.push(c),
                None => return self.fail("the end of the text"),
            }
        }
    }
}

/// Reads any bytes as a path, and again what it prints: for fuzzing.
///
/// Panics when a path that was read prints a text that is not read as the same path.
pub fn fuzz_one(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(path) = text.parse::<ObjectPath>() {
        let printed = path.to_string();
        assert_eq!(printed.parse::<ObjectPath>().as_ref(), Ok(&path), "{printed}");
    }
}

#[cfg(test)]
mod tests;

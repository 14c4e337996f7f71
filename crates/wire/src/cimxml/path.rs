//! Names of objects: `INSTANCENAME` and what stands around it. Source: DSP0201, 5.2.3.

use restock_cim::{KeyValue, Keys, Name, ObjectPath};

use super::request::ProtocolError;
use crate::xml::{Element, Writer};

/// Names within names.
const DEPTH_MAX: usize = 4;
/// The most keys of one name.
const KEYS_MAX: usize = 32;
/// The longest namespace, in characters.
const NAMESPACE_MAX: usize = 512;

fn invalid(what: impl Into<String>) -> ProtocolError {
    ProtocolError::NotValid(what.into())
}

/// `LOCALNAMESPACEPATH` as `root\sms\site_XYZ`.
pub(super) fn namespace(element: &Element) -> Result<String, ProtocolError> {
    let mut namespace = String::new();
    for part in element.elements() {
        let name = part.attribute("NAME").filter(|_| part.is("", "NAMESPACE"));
        let name = name.ok_or_else(|| invalid("LOCALNAMESPACEPATH holds NAMESPACE elements with a NAME"))?;
        for part in name.split(['/', '\\']).filter(|part| !part.is_empty()) {
            if !namespace.is_empty() {
                namespace.push('\\');
            }
            namespace.push_str(part);
        }
        if namespace.len() > NAMESPACE_MAX {
            return Err(invalid("the namespace is too long"));
        }
    }
    Ok(namespace)
}

/// The name of an object in any of its forms; `None` for an element that is none of them.
pub(super) fn object_path(element: &Element) -> Result<Option<ObjectPath>, ProtocolError> {
    read(element, 0)
}

fn read(element: &Element, depth: usize) -> Result<Option<ObjectPath>, ProtocolError> {
    if depth > DEPTH_MAX {
        return Err(invalid("names of objects stand too deep in each other"));
    }
    if element.namespace.is_some() {
        return Ok(None);
    }
    let place = |server: Option<&Element>, local: Option<&Element>| -> Result<_, ProtocolError> {
        let local = local.ok_or_else(|| invalid(format!("{} wants a namespace", element.name)))?;
        Ok((server.map(|host| host.text().trim().to_owned()), namespace(local)?))
    };
    let within = |inner: &str| {
        element.child("", inner).ok_or_else(|| invalid(format!("{} wants {inner}", element.name)))
    };
    let with = |path: Option<ObjectPath>, (server, namespace): (Option<String>, String)| {
        path.map(|path| ObjectPath { server, namespace: Some(namespace), ..path })
    };
    let full = || -> Result<_, ProtocolError> {
        let path = within("NAMESPACEPATH")?;
        place(path.child("", "HOST"), path.child("", "LOCALNAMESPACEPATH"))
    };
    let local = || place(None, element.child("", "LOCALNAMESPACEPATH"));
    Ok(match element.name.as_str() {
        "CLASSNAME" => {
            let name = element.attribute("NAME").ok_or_else(|| invalid("CLASSNAME wants a NAME"))?;
            Some(ObjectPath::of_class(name))
        }
        "INSTANCENAME" => Some(instance_name(element, depth)?),
        "CLASSPATH" => with(read(within("CLASSNAME")?, depth)?, full()?),
        "LOCALCLASSPATH" => with(read(within("CLASSNAME")?, depth)?, local()?),
        "INSTANCEPATH" => with(read(within("INSTANCENAME")?, depth)?, full()?),
        "LOCALINSTANCEPATH" => with(read(within("INSTANCENAME")?, depth)?, local()?),
        _ => None,
    })
}

fn instance_name(element: &Element, depth: usize) -> Result<ObjectPath, ProtocolError> {
    let class = element.attribute("CLASSNAME").ok_or_else(|| invalid("INSTANCENAME wants a CLASSNAME"))?;
    let mut named: Vec<(Name, KeyValue)> = Vec::new();
    let mut single = None;
    for child in element.elements() {
        if !child.is("", "KEYBINDING") {
            if single.replace(key_value(child, depth)?).is_some() {
                return Err(invalid("INSTANCENAME has two values without names"));
            }
            continue;
        }
        let name = child.attribute("NAME").ok_or_else(|| invalid("KEYBINDING wants a NAME"))?;
        let value = child.elements().next().ok_or_else(|| invalid("KEYBINDING wants a value"))?;
        if named.len() >= KEYS_MAX || named.iter().any(|(known, _)| known.is(name)) {
            return Err(invalid("each key stands once, at most 32 of them"));
        }
        named.push((name.into(), key_value(value, depth)?));
    }
    let keys = match (single, named.is_empty()) {
        (None, true) => Keys::Singleton,
        (None, false) => Keys::Named(named),
        (Some(value), true) => Keys::Single(value),
        (Some(_), false) => return Err(invalid("INSTANCENAME has keys with and without names")),
    };
    Ok(ObjectPath { server: None, namespace: None, class: class.into(), keys })
}

fn key_value(element: &Element, depth: usize) -> Result<KeyValue, ProtocolError> {
    if element.is("", "VALUE.REFERENCE") {
        let inner = element.elements().next().ok_or_else(|| invalid("VALUE.REFERENCE wants a name"))?;
        let path = read(inner, depth.saturating_add(1))?;
        let path = path.ok_or_else(|| invalid(format!("{} names no object", inner.name)))?;
        return Ok(KeyValue::Reference(Box::new(path)));
    }
    if !element.is("", "KEYVALUE") {
        return Err(invalid(format!("{} is no value of a key", element.name)));
    }
    let text = element.text();
    let kind = element.attribute("TYPE").filter(|kind| !kind.is_empty());
    let kind = kind.or(element.attribute("VALUETYPE")).unwrap_or("string").to_ascii_lowercase();
    Ok(match kind.as_str() {
        "boolean" if text.trim().eq_ignore_ascii_case("true") => KeyValue::Boolean(true),
        "boolean" if text.trim().eq_ignore_ascii_case("false") => KeyValue::Boolean(false),
        "boolean" => return Err(invalid("a boolean key is TRUE or FALSE")),
        "string" | "datetime" | "char16" => KeyValue::String(text),
        // A number that is none cannot be the key of an object; the declaration will say so.
        _ => text.trim().parse().map_or(KeyValue::String(text), KeyValue::Integer),
    })
}

/// Writes `INSTANCENAME`.
pub(super) fn write_instance_name(writer: &mut Writer, path: &ObjectPath, at: &Place<'_>) {
    writer.open("INSTANCENAME");
    writer.attribute("CLASSNAME", path.class.as_str());
    match &path.keys {
        Keys::Class | Keys::Singleton => {}
        Keys::Single(value) => write_key(writer, value, at),
        Keys::Named(keys) => {
            for (name, value) in keys {
                writer.open("KEYBINDING");
                writer.attribute("NAME", name.as_str());
                write_key(writer, value, at);
                writer.close();
            }
        }
    }
    writer.close();
}

fn write_key(writer: &mut Writer, value: &KeyValue, at: &Place<'_>) {
    let (kind, text) = match value {
        KeyValue::String(text) => ("string", text.clone()),
        KeyValue::Integer(number) => ("numeric", number.to_string()),
        KeyValue::Boolean(is) => ("boolean", (if *is { "TRUE" } else { "FALSE" }).to_owned()),
        KeyValue::Reference(path) => return write_reference(writer, path, at),
    };
    writer.open("KEYVALUE");
    writer.attribute("VALUETYPE", kind);
    writer.text(&text);
    writer.close();
}

/// Where objects live when their path does not say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) host: &'a str,
    /// `root\sms\site_XYZ`
    pub(super) namespace: &'a str,
}

/// Writes `VALUE.REFERENCE`.
pub(super) fn write_reference(writer: &mut Writer, path: &ObjectPath, at: &Place<'_>) {
    writer.open("VALUE.REFERENCE");
    match path.keys {
        Keys::Class => write_class_path(writer, path, at),
        _ => write_instance_path(writer, path, at),
    }
    writer.close();
}

/// Writes `INSTANCEPATH`.
pub(super) fn write_instance_path(writer: &mut Writer, path: &ObjectPath, at: &Place<'_>) {
    writer.open("INSTANCEPATH");
    write_place(writer, path, at);
    write_instance_name(writer, path, at);
    writer.close();
}

fn write_class_path(writer: &mut Writer, path: &ObjectPath, at: &Place<'_>) {
    writer.open("CLASSPATH");
    write_place(writer, path, at);
    writer.open("CLASSNAME");
    writer.attribute("NAME", path.class.as_str());
    writer.close();
    writer.close();
}

fn write_place(writer: &mut Writer, path: &ObjectPath, at: &Place<'_>) {
    writer.open("NAMESPACEPATH");
    writer.element("HOST", path.server.as_deref().unwrap_or(at.host));
    writer.open("LOCALNAMESPACEPATH");
    for part in path.namespace.as_deref().unwrap_or(at.namespace).split('\\') {
        writer.open("NAMESPACE");
        writer.attribute("NAME", part);
        writer.close();
    }
    writer.close();
    writer.close();
}

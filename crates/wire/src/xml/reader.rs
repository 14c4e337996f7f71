//! From text to a tree.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::events::attributes::Attributes;
use quick_xml::events::{BytesStart, Event};

use super::encoding::decode;
use super::{Attribute, Element, Limits, NAMESPACES_MAX, Node, Refused, is_char};

/// No document is read deeper than this: the tree is dropped by recursion.
const DEPTH_MAX: usize = 256;
const XML: &str = "http://www.w3.org/XML/1998/namespace";
const SECURITY_ID: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";

/// Reads one document. `charset`: what the transport says of its encoding, see
/// [`super::charset_of`].
///
/// Shape: the root element. Cost: one pass; memory in the order of the document's size.
/// Errors: [`Refused`]; the first limit passed ends the reading.
pub fn read(bytes: &[u8], charset: Option<&str>, limits: &Limits) -> Result<Element, Refused> {
    if bytes.len() > limits.bytes_max {
        return Err(Refused::Size { limit: limits.bytes_max, what: "bytes" });
    }
    let text = decode(bytes, charset)?;
    if has_doctype(&text) {
        return Err(Refused::Dtd);
    }
    if let Some(c) = text.chars().find(|c| !is_char(*c)) {
        return Err(Refused::Char(format!("U+{:04X}", u32::from(c))));
    }
    // The end of a line is one character, however it was written.
    let text: Cow<'_, str> =
        if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text };
    Tree::new(limits).read(&text)
}

/// True when a document type declaration follows what may stand before it.
fn has_doctype(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        let end = match rest {
            _ if rest.starts_with("<!--") => "-->",
            _ if rest.starts_with("<?") => "?>",
            _ => return rest.starts_with("<!"),
        };
        match rest.split_once(end) {
            Some((_, after)) => rest = after.trim_start(),
            None => return false,
        }
    }
}

fn syntax(what: impl Into<String>) -> Refused {
    Refused::Syntax(what.into())
}

struct Tree<'l> {
    limits: &'l Limits,
    /// Elements that are not closed, the root first.
    open: Vec<Element>,
    root: Option<Element>,
    /// Namespaces in scope: prefix, name (`None`: none), and the depth at which it was declared.
    scope: Vec<(String, Option<Arc<str>>, usize)>,
    ids: HashSet<String>,
    nodes: usize,
}

impl<'l> Tree<'l> {
    fn new(limits: &'l Limits) -> Self {
        let scope = vec![("xml".to_owned(), Some(XML.into()), 0)];
        Self { limits, open: Vec::new(), root: None, scope, ids: HashSet::new(), nodes: 0 }
    }

    fn read(mut self, text: &str) -> Result<Element, Refused> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_comments = true;
        loop {
            let event = reader.read_event().map_err(|error| syntax(error.to_string()))?;
            match event {
                Event::Start(start) => self.start(&start)?,
                Event::Empty(start) => {
                    self.start(&start)?;
                    self.end()?;
                }
                Event::End(_) => self.end()?,
                Event::Text(text) => {
                    let text = text.decode().map_err(|error| syntax(error.to_string()))?;
                    if text.contains("]]>") {
                        return Err(Refused::Char("]]> in text".to_owned()));
                    }
                    self.text(&text)?;
                }
                Event::CData(text) => {
                    let text = text.decode().map_err(|error| syntax(error.to_string()))?;
                    if self.open.is_empty() {
                        return Err(syntax("text stands outside the root element"));
                    }
                    self.text(&text)?;
                }
                Event::GeneralRef(reference) => {
                    let name = reference.decode().map_err(|error| syntax(error.to_string()))?;
                    let c = resolve(&name)?;
                    if self.open.is_empty() {
                        return Err(syntax("text stands outside the root element"));
                    }
                    self.text(c.encode_utf8(&mut [0; 4]))?;
                }
                Event::DocType(_) => return Err(Refused::Dtd),
                Event::PI(_) => return Err(syntax("a processing instruction is not read")),
                Event::Decl(_) if self.nodes == 0 && self.open.is_empty() => {}
                Event::Decl(_) => return Err(syntax("the XML declaration stands at the beginning")),
                Event::Comment(_) => {}
                Event::Eof => break,
            }
        }
        if !self.open.is_empty() {
            return Err(syntax("it ends within an element"));
        }
        self.root.ok_or_else(|| syntax("it has no element"))
    }

    fn count(&mut self) -> Result<(), Refused> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > self.limits.nodes_max {
            return Err(Refused::Size { limit: self.limits.nodes_max, what: "elements and texts" });
        }
        Ok(())
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), Refused> {
        self.count()?;
        let depth_max = self.limits.depth_max.min(DEPTH_MAX);
        if self.open.len() >= depth_max {
            return Err(Refused::Depth(depth_max));
        }
        if self.open.is_empty() && self.root.is_some() {
            return Err(syntax("it has two root elements"));
        }
        let depth = self.open.len().saturating_add(1);
        let attributes = self.attributes(start.attributes(), depth)?;
        let qualified = start.name();
        let (prefix, name) = split(utf8(qualified.as_ref())?)?;
        let element = Element {
            namespace: self.namespace(prefix, true)?,
            name: name.to_owned(),
            attributes,
            children: Vec::new(),
        };
        self.open.push(element);
        Ok(())
    }

    /// Takes the declarations of namespaces into scope and resolves the other attributes.
    fn attributes(&mut self, mut written: Attributes<'_>, depth: usize) -> Result<Vec<Attribute>, Refused> {
        let mut raw: Vec<(String, String)> = Vec::new();
        // The library compares each with all before; that is done below, when they are few.
        for (count, attribute) in written.with_checks(false).enumerate() {
            if count >= self.limits.attributes_max {
                return Err(Refused::Attributes(self.limits.attributes_max));
            }
            let attribute = attribute.map_err(|error| syntax(error.to_string()))?;
            let value = attribute_text(utf8(&attribute.value)?)?;
            raw.push((utf8(attribute.key.as_ref())?.to_owned(), value));
        }
        let mut plain = Vec::new();
        for (name, value) in raw {
            let prefix = match name.as_str() {
                "xmlns" => "",
                _ => match name.strip_prefix("xmlns:") {
                    Some(prefix) => prefix,
                    None => {
                        plain.push((name, value));
                        continue;
                    }
                },
            };
            self.declare(prefix, &value, depth)?;
        }
        let mut attributes: Vec<Attribute> = Vec::with_capacity(plain.len());
        for (name, value) in plain {
            let (prefix, name) = split(&name)?;
            let namespace = self.namespace(prefix, false)?;
            if attributes.iter().any(|known| known.name == name && known.namespace == namespace) {
                return Err(syntax(format!("an element has the attribute {name} twice")));
            }
            let is_id = match namespace.as_deref() {
                None => name.eq_ignore_ascii_case("id"),
                Some(XML) => name == "id",
                Some(namespace) => namespace == SECURITY_ID && name == "Id",
            };
            if is_id && !self.ids.insert(value.clone()) {
                return Err(Refused::DuplicateId(value.chars().take(100).collect()));
            }
            attributes.push(Attribute { namespace, name: name.to_owned(), value });
        }
        Ok(attributes)
    }

    fn declare(&mut self, prefix: &str, value: &str, depth: usize) -> Result<(), Refused> {
        if self.scope.len() > NAMESPACES_MAX {
            return Err(Refused::Attributes(NAMESPACES_MAX));
        }
        let is_reserved = prefix == "xmlns" || (prefix == "xml") != (value == XML);
        if is_reserved || (!prefix.is_empty() && value.is_empty()) {
            return Err(syntax(format!("the prefix {:?} cannot stand for that namespace", short(prefix))));
        }
        if self.scope.iter().any(|(known, _, at)| known == prefix && *at == depth) {
            return Err(syntax(format!("the prefix {:?} is declared twice", short(prefix))));
        }
        let namespace = (!value.is_empty()).then(|| {
            match self.scope.iter().find(|(_, known, _)| known.as_deref() == Some(value)) {
                Some((_, Some(known), _)) => Arc::clone(known),
                _ => Arc::from(value),
            }
        });
        self.scope.push((prefix.to_owned(), namespace, depth));
        Ok(())
    }

    /// The namespace of a prefix; without one, the default of elements.
    fn namespace(&self, prefix: &str, is_element: bool) -> Result<Option<Arc<str>>, Refused> {
        if prefix.is_empty() && !is_element {
            return Ok(None);
        }
        match self.scope.iter().rev().find(|(known, _, _)| known == prefix) {
            Some((_, namespace, _)) => Ok(namespace.clone()),
            None if prefix.is_empty() => Ok(None),
            None => Err(syntax(format!("the prefix {:?} is not declared", short(prefix)))),
        }
    }

    fn text(&mut self, text: &str) -> Result<(), Refused> {
        let Some(parent) = self.open.last_mut() else {
            return if text.trim_matches([' ', '\t', '\n']).is_empty() {
                Ok(())
            } else {
                Err(syntax("text stands outside the root element"))
            };
        };
        match parent.children.last_mut() {
            Some(Node::Text(before)) => before.push_str(text),
            _ if text.is_empty() => {}
            _ => {
                parent.children.push(Node::Text(text.to_owned()));
                self.count()?;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Refused> {
        let depth = self.open.len();
        self.scope.retain(|(_, _, at)| *at < depth);
        let Some(element) = self.open.pop() else { return Err(syntax("an end without a beginning")) };
        match self.open.last_mut() {
            Some(parent) => parent.children.push(Node::Element(element)),
            None => self.root = Some(element),
        }
        Ok(())
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Refused> {
    std::str::from_utf8(bytes).map_err(|error| syntax(error.to_string()))
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Prefix and name of a qualified name.
fn split(name: &str) -> Result<(&str, &str), Refused> {
    let (prefix, local) = name.split_once(':').unwrap_or(("", name));
    let is_name = |part: &str| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '\u{b7}'))
    };
    if is_name(local) && (is_name(prefix) || name == local) {
        return Ok((prefix, local));
    }
    Err(syntax(format!("{:?} is no name", short(name))))
}

/// What a reference stands for: one of the five names, or a number.
fn resolve(reference: &str) -> Result<char, Refused> {
    let number = match reference.strip_prefix('#') {
        None => {
            return match reference {
                "amp" => Ok('&'),
                "lt" => Ok('<'),
                "gt" => Ok('>'),
                "quot" => Ok('"'),
                "apos" => Ok('\''),
                other => Err(syntax(format!("the entity {:?} is not known", short(other)))),
            };
        }
        Some(number) => match number.strip_prefix('x') {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => number.parse(),
        },
    };
    let c = number.ok().filter(|_| !reference.contains('+')).and_then(char::from_u32);
    match c {
        Some(c) if is_char(c) => Ok(c),
        _ => Err(Refused::Char(format!("&{};", short(reference)))),
    }
}

/// The value of an attribute: references resolved, white space as blanks (XML 1.0, 3.3.3).
fn attribute_text(raw: &str) -> Result<String, Refused> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        let (plain, after) = match rest.split_once('&') {
            Some((plain, after)) => (plain, Some(after)),
            None => (rest, None),
        };
        if plain.contains('<') {
            return Err(syntax("< stands in the value of an attribute"));
        }
        text.extend(plain.chars().map(|c| if matches!(c, '\t' | '\n') { ' ' } else { c }));
        let Some(after) = after else { return Ok(text) };
        let Some((reference, after)) = after.split_once(';') else {
            return Err(syntax("& without the end of a reference"));
        };
        text.push(resolve(reference)?);
        rest = after;
    }
}

/// Reads any bytes; what is read must be the same after it was written. For fuzzing.
///
/// Panics never, whatever the bytes.
pub fn fuzz_one(bytes: &[u8]) {
    let limits = Limits { bytes_max: 1 << 16, depth_max: 20, attributes_max: 8, nodes_max: 1_000 };
    let Ok(element) = read(bytes, None, &limits) else { return };
    let mut writer = super::Writer::new();
    write(&mut writer, &element);
    let text = writer.finish();
    let limits = Limits { bytes_max: usize::MAX, attributes_max: 64, ..limits };
    assert_eq!(read(text.as_bytes(), None, &limits).as_ref(), Ok(&element), "{text}");
}

/// Writes a tree; each element and attribute says its namespace itself.
fn write(writer: &mut super::Writer, element: &Element) {
    writer.open(&element.name);
    writer.attribute("xmlns", element.namespace.as_deref().unwrap_or(""));
    for (at, attribute) in element.attributes.iter().enumerate() {
        match attribute.namespace.as_deref() {
            None => writer.attribute(&attribute.name, &attribute.value),
            Some(XML) => writer.attribute(&format!("xml:{}", attribute.name), &attribute.value),
            Some(namespace) => {
                writer.attribute(&format!("xmlns:n{at}"), namespace);
                writer.attribute(&format!("n{at}:{}", attribute.name), &attribute.value);
            }
        }
    }
    for child in &element.children {
        match child {
            Node::Element(child) => write(writer, child),
            Node::Text(text) => writer.text(text),
        }
    }
    writer.close();
}

//! XML as requests bring it and answers carry it: a bounded reader into a small tree, and a writer
//! that escapes.
//!
//! [`read`] makes an [`Element`] of bytes, within [`Limits`]; [`Writer`] makes text. A document
//! type declaration is refused before anything is parsed, so there are no entities beside the five
//! predefined ones, and nothing in a document can name a file or an address.
//!
//! What it does not do: it validates against no schema, keeps no comments, prefixes or processing
//! instructions, and fetches nothing. Source: XML 1.0 (fifth edition), Namespaces in XML 1.0.

mod encoding;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;

pub use encoding::charset_of;
pub use reader::{fuzz_one, read};
pub use writer::Writer;

/// What a document may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes as they came.
    pub bytes_max: usize,
    /// Elements within each other; never more than 256, whatever is asked for.
    pub depth_max: usize,
    /// Attributes of one element, declarations of namespaces among them.
    pub attributes_max: usize,
    /// Elements and texts in all.
    pub nodes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_max: 1 << 20, depth_max: 64, attributes_max: 64, nodes_max: 100_000 }
    }
}

/// Declarations of namespaces that may hold at one place.
const NAMESPACES_MAX: usize = 128;

/// Why bytes are not read. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A document type declaration.
    #[error("XML_DTD_FORBIDDEN: a document type declaration is not read; leave it out")]
    Dtd,
    /// Too deep.
    #[error("XML_DEPTH: elements stand in each other more than {0} deep")]
    Depth(usize),
    /// Too many attributes, or namespaces in scope.
    #[error("XML_ATTRIBUTES: an element has more than {0} attributes or namespaces")]
    Attributes(usize),
    /// Not the encoding that was announced, or none that is read.
    #[error("XML_ENCODING: {0}")]
    Encoding(String),
    /// A character that XML does not allow there.
    #[error("XML_CHAR: {0} cannot stand in a document")]
    Char(String),
    /// Two elements of one identity.
    #[error("XML_DUPLICATE_ID: the id {0:?} stands on two elements")]
    DuplicateId(String),
    /// Too large.
    #[error("XML_SIZE: the document has more than {limit} {what}")]
    Size {
        /// The limit that was passed.
        limit: usize,
        /// What it counts.
        what: &'static str,
    },
    /// Not well formed.
    #[error("XML_SYNTAX: {0}")]
    Syntax(String),
}

impl Refused {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Dtd => "XML_DTD_FORBIDDEN",
            Self::Depth(_) => "XML_DEPTH",
            Self::Attributes(_) => "XML_ATTRIBUTES",
            Self::Encoding(_) => "XML_ENCODING",
            Self::Char(_) => "XML_CHAR",
            Self::DuplicateId(_) => "XML_DUPLICATE_ID",
            Self::Size { .. } => "XML_SIZE",
            Self::Syntax(_) => "XML_SYNTAX",
        }
    }
}

/// An element with what it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// The namespace it is in.
    pub namespace: Option<Arc<str>>,
    /// Its name without a prefix.
    pub name: String,
    /// Its attributes in the order written, without declarations of namespaces.
    pub attributes: Vec<Attribute>,
    /// What stands in it; texts that follow each other are one.
    pub children: Vec<Node>,
}

/// An attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The namespace of its prefix; one without a prefix is in none.
    pub namespace: Option<Arc<str>>,
    /// Its name without a prefix.
    pub name: String,
    /// Its value with references resolved.
    pub value: String,
}

/// Something within an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// An element.
    Element(Element),
    /// Text with references resolved, white space as it was.
    Text(String),
}

impl Element {
    /// True for the element `name` of `namespace` (`""`: of none).
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace.as_deref().unwrap_or("") == namespace && self.name == name
    }

    /// The elements in it.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first element `name` of `namespace` (`""`: of none) in it.
    pub fn child(&self, namespace: &str, name: &str) -> Option<&Element> {
        self.elements().find(|element| element.is(namespace, name))
    }

    /// The value of the attribute `name` without a namespace.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attribute_of("", name)
    }

    /// The value of the attribute `name` of `namespace` (`""`: of none).
    pub fn attribute_of(&self, namespace: &str, name: &str) -> Option<&str> {
        let is_it =
            |found: &&Attribute| found.name == name && found.namespace.as_deref().unwrap_or("") == namespace;
        self.attributes.iter().find(is_it).map(|found| found.value.as_str())
    }

    /// The texts that stand directly in it, put together.
    pub fn text(&self) -> String {
        self.children
            .iter()
            .filter_map(|node| match node {
                Node::Text(text) => Some(text.as_str()),
                Node::Element(_) => None,
            })
            .collect()
    }

    /// True when text other than white space stands directly in it.
    pub fn has_text(&self) -> bool {
        self.children.iter().any(|node| matches!(node, Node::Text(text) if !text.trim().is_empty()))
    }
}

/// True for what XML 1.0 allows (production 2).
fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

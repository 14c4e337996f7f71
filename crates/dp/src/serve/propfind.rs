//! What a PROPFIND asks for: its `Depth` header and its XML body. Pure.
//!
//! The body is small and bounded, has no document type, and is read without recursion. Anything a
//! reader of listings does not need (locks, writing, `Depth: infinity`) does not exist here.
//! Source: RFC 4918 section 9.1; docs/formats/serving.md, "Listings".

use quick_xml::NsReader;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{NamespaceError, ResolveResult};

use super::head::Head;

/// The longest body read, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;
const PROPERTIES_MAX: usize = 64;
const ATTRIBUTES_MAX: usize = 256;
const DEPTH_MAX: usize = 64;

/// The namespace of WebDAV's own properties.
pub(crate) const DAV: &str = "DAV:";
/// The namespace of the `executable` property.
pub(crate) const APACHE: &str = "http://apache.org/dav/props/";

/// How deep a listing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The resource itself.
    Zero,
    /// The resource and what lies directly in it.
    One,
}

/// Which properties are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All that exist.
    All,
    /// Only the names of all that exist.
    Names,
    /// These.
    Some(Vec<Property>),
}

/// A property's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Property {
    /// Namespace, empty for none.
    pub(crate) namespace: String,
    /// Local name.
    pub(crate) name: String,
}

/// Why a PROPFIND is refused. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    #[error("DEPTH_INFINITY: a listing of everything beneath is not given; send Depth: 0 or Depth: 1")]
    Infinity,
    #[error("DEPTH_INVALID: the Depth header is neither 0 nor 1")]
    Depth,
    #[error("XML_DTD_FORBIDDEN: the body has a document type; leave it out")]
    Dtd,
    #[error("XML_DEPTH: the body is nested deeper than {DEPTH_MAX} elements")]
    Nesting,
    #[error("XML_ATTRIBUTES: an element of the body has more than {ATTRIBUTES_MAX} attributes")]
    Attributes,
    #[error("XML_ENCODING: the body is not UTF-8")]
    Encoding,
    #[error("XML_CHAR: the body has a character that XML does not allow")]
    Char,
    #[error("XML_SYNTAX: the body is not a DAV: propfind element; send none to get all properties")]
    Syntax,
    #[error("PROPERTIES_TOO_MANY: more than {PROPERTIES_MAX} properties are asked for")]
    Properties,
}

impl AskError {
    /// Whether the answer is 403 and not 400.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Infinity)
    }
}

/// Reads the `Depth` header. A missing one means infinity (RFC 4918 section 10.2).
pub(crate) fn depth(head: &Head) -> Result<Depth, AskError> {
    match head.first("depth") {
        None => Err(AskError::Infinity),
        Some(b"0") => Ok(Depth::Zero),
        Some(b"1") => Ok(Depth::One),
        Some(other) if other.eq_ignore_ascii_case(b"infinity") => Err(AskError::Infinity),
        Some(_) => Err(AskError::Depth),
    }
}

impl Asked {
    /// Whether a DAV property is wanted with its value.
    pub(crate) fn wants(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Names => false,
            Self::Some(properties) => properties.iter().any(|p| p.namespace == DAV && p.name == name),
        }
    }

    /// Reads the body of a PROPFIND; an empty one asks for everything.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, AskError> {
        let text = std::str::from_utf8(body).map_err(|_not_utf8| AskError::Encoding)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim_ascii().is_empty() {
            return Ok(Self::All);
        }
        if text.chars().any(|c| !is_xml_char(c)) {
            return Err(AskError::Char);
        }
        let mut reader = NsReader::from_str(text);
        let mut seen = Seen::default();
        loop {
            let (namespace, event) = reader.read_resolved_event().map_err(|error| match error {
                quick_xml::Error::Namespace(NamespaceError::TooManyDeclarations(_)) => AskError::Attributes,
                _ => AskError::Syntax,
            })?;
            match event {
                Event::Start(element) => {
                    seen.open(&namespace, &element)?;
                    seen.depth += 1;
                }
                Event::Empty(element) => seen.open(&namespace, &element)?,
                Event::End(_) => seen.depth -= 1,
                Event::DocType(_) => return Err(AskError::Dtd),
                Event::Decl(declaration) => match declaration.encoding() {
                    None => {}
                    Some(Ok(name)) if name.eq_ignore_ascii_case(b"utf-8") => {}
                    Some(_) => return Err(AskError::Encoding),
                },
                Event::Text(text) => {
                    if text.windows(3).any(|w| w == b"]]>") {
                        return Err(AskError::Char);
                    }
                    if seen.depth == 0 && !text.trim_ascii().is_empty() {
                        return Err(AskError::Syntax);
                    }
                }
                Event::GeneralRef(_) if seen.depth == 0 => return Err(AskError::Syntax),
                Event::CData(_) | Event::Comment(_) | Event::PI(_) | Event::GeneralRef(_) => {}
                Event::Eof => break,
            }
        }
        if seen.depth != 0 {
            return Err(AskError::Syntax);
        }
        seen.asked.ok_or(AskError::Syntax)
    }
}

/// What was read of a body so far.
#[derive(Default)]
struct Seen {
    depth: usize,
    is_after_root: bool,
    asked: Option<Asked>,
    is_in_prop: bool,
}

impl Seen {
    fn open(&mut self, namespace: &ResolveResult<'_>, element: &BytesStart<'_>) -> Result<(), AskError> {
        if self.depth >= DEPTH_MAX {
            return Err(AskError::Nesting);
        }
        let mut attributes = element.attributes();
        attributes.with_checks(false);
        for (count, attribute) in attributes.enumerate() {
            attribute.map_err(|_broken| AskError::Syntax)?;
            if count >= ATTRIBUTES_MAX {
                return Err(AskError::Attributes);
            }
        }
        let property = property(namespace, element)?;
        let is_dav = property.namespace == DAV;
        match self.depth {
            0 if self.is_after_root || !is_dav || property.name != "propfind" => {
                return Err(AskError::Syntax);
            }
            0 => self.is_after_root = true,
            1 => {
                self.is_in_prop = false;
                let asked = match property.name.as_str() {
                    _ if !is_dav => return Ok(()),
                    "allprop" => Asked::All,
                    "propname" => Asked::Names,
                    "prop" => {
                        self.is_in_prop = true;
                        Asked::Some(Vec::new())
                    }
                    _ => return Ok(()),
                };
                if self.asked.replace(asked).is_some() {
                    return Err(AskError::Syntax);
                }
            }
            2 if self.is_in_prop => {
                if let Some(Asked::Some(list)) = &mut self.asked
                    && !list.contains(&property)
                {
                    if list.len() >= PROPERTIES_MAX {
                        return Err(AskError::Properties);
                    }
                    list.push(property);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn property(namespace: &ResolveResult<'_>, element: &BytesStart<'_>) -> Result<Property, AskError> {
    let namespace = match namespace {
        ResolveResult::Bound(namespace) => {
            let raw = std::str::from_utf8(namespace.as_ref()).map_err(|_not_utf8| AskError::Encoding)?;
            quick_xml::escape::unescape(raw).map_err(|_broken| AskError::Syntax)?.into_owned()
        }
        ResolveResult::Unbound => String::new(),
        ResolveResult::Unknown(_) => return Err(AskError::Syntax),
    };
    let name =
        std::str::from_utf8(element.local_name().into_inner()).map_err(|_not_utf8| AskError::Encoding)?;
    let is_start = |c: char| c.is_alphabetic() || c == '_';
    let is_name = name.starts_with(is_start)
        && name.chars().all(|c| is_start(c) || c.is_numeric() || c == '-' || c == '.')
        && namespace.chars().all(is_xml_char);
    is_name.then(|| Property { namespace, name: name.to_owned() }).ok_or(AskError::Syntax)
}

/// XML 1.0 production `Char`, without U+FFFE and U+FFFF.
pub(crate) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::{AskError, Asked, Depth, depth};
    use crate::serve::head::tests::head;

    fn asked(body: &str) -> String {
        match Asked::parse(body.as_bytes()) {
            Ok(Asked::Some(list)) => {
                list.iter().map(|p| format!("{{{}}}{}", p.namespace, p.name)).collect::<Vec<_>>().join(" ")
            }
            Ok(other) => format!("{other:?}"),
            Err(error) => error.to_string().split(':').next().expect("one piece").to_owned(),
        }
    }

    #[test]
    fn bodies_of_known_clients_are_understood() {
        let rclone = "<?xml version=\"1.0\"?>\n<d:propfind xmlns:d=\"DAV:\" xmlns:oc=\"http://owncloud.org/ns\">\
            \n <d:prop>\n  <d:displayname />\n  <d:resourcetype /><oc:checksums/></d:prop></d:propfind>";
        assert_eq!(asked(rclone), "{DAV:}displayname {DAV:}resourcetype {http://owncloud.org/ns}checksums");
        let neon = "<?xml version=\"1.0\" encoding=\"utf-8\"?><propfind xmlns=\"DAV:\"><prop>\
            <getcontentlength xmlns=\"DAV:\"/><executable xmlns=\"http://apache.org/dav/props/\"/></prop></propfind>";
        assert_eq!(asked(neon), "{DAV:}getcontentlength {http://apache.org/dav/props/}executable");
        assert_eq!(asked("<propfind xmlns='DAV:'><allprop/></propfind>"), "All");
        assert_eq!(asked("<propfind xmlns='DAV:'><propname/></propfind>"), "Names");
        assert_eq!(asked(""), "All");
        assert_eq!(asked("\u{feff} \n"), "All");
    }

    #[test]
    fn hostile_bodies_are_refused_by_code() {
        let deep = format!("<propfind xmlns='DAV:'>{}", "<a>".repeat(100));
        let wide: String = (0..300).map(|i| format!(" a{i}=''")).collect();
        let many: String = (0..65).map(|i| format!("<p{i}/>")).collect();
        for (body, want) in [
            (
                "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><propfind xmlns='DAV:'/>",
                "XML_DTD_FORBIDDEN",
            ),
            (&deep, "XML_DEPTH"),
            (&format!("<propfind xmlns='DAV:'{wide}/>"), "XML_ATTRIBUTES"),
            (&format!("<propfind xmlns='DAV:'><prop>{many}</prop></propfind>"), "PROPERTIES_TOO_MANY"),
            (
                "<?xml version='1.0' encoding='utf-7'?><propfind xmlns='DAV:'><allprop/></propfind>",
                "XML_ENCODING",
            ),
            ("<propfind xmlns='DAV:'><prop>\0</prop></propfind>", "XML_CHAR"),
            ("<propfind xmlns='DAV:'><prop>\u{fffe}</prop></propfind>", "XML_CHAR"),
            ("<propfind xmlns='DAV:'><prop>]]></prop></propfind>", "XML_CHAR"),
            ("<propfind><allprop/></propfind>", "XML_SYNTAX"),
            ("<propfind xmlns='DAV:'/>", "XML_SYNTAX"),
            ("<propfind xmlns='DAV:'><allprop/><propname/></propfind>", "XML_SYNTAX"),
            ("<propfind xmlns='DAV:'><prop>", "XML_SYNTAX"),
            ("<propfind xmlns='DAV:'><allprop/></propfind><x/>", "XML_SYNTAX"),
            ("<d:propfind><d:allprop/></d:propfind>", "XML_SYNTAX"),
            ("<propfind xmlns='DAV:'><prop><a\"b/></prop></propfind>", "XML_SYNTAX"),
            ("hello", "XML_SYNTAX"),
        ] {
            assert_eq!(asked(body), want, "{body}");
        }
        assert_eq!(Asked::parse(b"\xff\xfe<\0p\0"), Err(AskError::Encoding));
    }

    #[test]
    fn only_finite_depths_are_given() {
        let with = |value: &str| depth(&head(&[("depth", value)]));
        assert_eq!(with("0"), Ok(Depth::Zero));
        assert_eq!(with("1"), Ok(Depth::One));
        assert_eq!(with("Infinity"), Err(AskError::Infinity));
        assert_eq!(with("1,noroot"), Err(AskError::Depth));
        assert_eq!(depth(&head(&[])), Err(AskError::Infinity));
    }
}

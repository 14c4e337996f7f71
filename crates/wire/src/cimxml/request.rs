//! What a message asks. Source: DSP0200, 5 and 6; DSP0201, 5.2.5.

use restock_cim::{Name, ObjectPath};

use super::path::{namespace, object_path};
use crate::xml::{self, Element, Limits, Refused};

/// The longest name of an operation, method or parameter that is looked at.
const NAME_MAX: usize = 256;

/// Why a body is no operation. Answered by HTTP 400 or 501, and by the name in `CIMError`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Not XML, or not within the limits.
    #[error(transparent)]
    Xml(#[from] Refused),
    /// XML, and no message of this language.
    #[error("CIMXML_INVALID: {0}")]
    NotValid(String),
    /// Several operations at once.
    #[error("CIMXML_MULTIPLE: several operations in one message are not taken; send them one by one")]
    Multiple,
    /// A version of the protocol or of the language that is not spoken.
    #[error("CIMXML_VERSION: {what} {found:?} is not spoken")]
    Version {
        /// Which version.
        what: &'static str,
        /// What was said.
        found: String,
    },
}

impl ProtocolError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Xml(refused) => refused.code(),
            Self::NotValid(_) => "CIMXML_INVALID",
            Self::Multiple => "CIMXML_MULTIPLE",
            Self::Version { .. } => "CIMXML_VERSION",
        }
    }

    /// HTTP status and the value of `CIMError`. Source: DSP0200, 7.3.
    pub fn http(&self) -> (u16, &'static str) {
        match self {
            Self::Xml(_) => (400, "request-not-well-formed"),
            Self::NotValid(_) => (400, "request-not-valid"),
            Self::Multiple => (501, "multiple-requests-unsupported"),
            Self::Version { what, .. } => (
                501,
                match *what {
                    "PROTOCOLVERSION" => "unsupported-protocol-version",
                    "DTDVERSION" => "unsupported-dtd-version",
                    _ => "unsupported-cim-version",
                },
            ),
        }
    }
}

/// A message with one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Answered as it was sent.
    pub id: String,
    /// What is asked.
    pub call: Call,
}

/// What a message asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// An operation of the standard.
    Intrinsic(Intrinsic),
    /// A method of a class.
    Method(MethodCall),
}

/// An operation of the standard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intrinsic {
    /// As it was written; answered in the same way.
    pub name: String,
    /// `root\sms\site_XYZ`, as it was written.
    pub namespace: String,
    /// Each once, in any order.
    parameters: Vec<RawValue>,
}

/// A method of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodCall {
    /// As it was written; answered in the same way.
    pub name: String,
    /// The object with its namespace, or the class.
    pub path: ObjectPath,
    /// In-parameters.
    pub parameters: Vec<RawValue>,
}

/// An instance as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawInstance {
    /// Its class.
    pub class: Name,
    /// Its properties; each once.
    pub properties: Vec<RawValue>,
}

/// A parameter or property as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawValue {
    /// Its name.
    pub name: Name,
    /// The type it was given, in the words of the language.
    pub kind: Option<String>,
    /// What it holds.
    pub raw: Raw,
}

/// What a parameter or property holds, before it has a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// No value.
    Null,
    /// One value.
    One(String),
    /// An array; `None` is an element without a value.
    Many(Vec<Option<String>>),
    /// The name of an object or class.
    Path(ObjectPath),
    /// An array of names.
    Paths(Vec<ObjectPath>),
    /// An instance; with its name when one was sent.
    Instance(Option<ObjectPath>, Box<RawInstance>),
    /// The declaration of a class or qualifier, which no operation here takes.
    Declaration,
}

/// A parameter that an operation cannot take: `INVALID_PARAMETER`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("INVALID_PARAMETER: parameter {name} {what}")]
pub struct ParameterError {
    /// The parameter.
    pub name: String,
    /// What is wrong with it.
    pub what: &'static str,
}

impl Message {
    /// Reads a request's body. `charset`: what the transport says of its encoding.
    ///
    /// Errors: [`ProtocolError`]. What an operation needs of its parameters is not looked at.
    pub fn read(body: &[u8], charset: Option<&str>, limits: &Limits) -> Result<Self, ProtocolError> {
        let root = xml::read(body, charset, limits)?;
        if !root.is("", "CIM") {
            return Err(invalid("the root element is not CIM"));
        }
        let version = |element: &Element, what: &'static str, major: &str| match element.attribute(what) {
            Some(found) if found.split('.').next() == Some(major) => Ok(()),
            found => {
                let found = found.unwrap_or_default().chars().take(20).collect();
                Err(ProtocolError::Version { what, found })
            }
        };
        version(&root, "CIMVERSION", "2")?;
        version(&root, "DTDVERSION", "2")?;
        let message = only(&root)?;
        if !message.is("", "MESSAGE") {
            return Err(invalid("CIM holds one MESSAGE"));
        }
        version(message, "PROTOCOLVERSION", "1")?;
        let id = message.attribute("ID").ok_or_else(|| invalid("MESSAGE wants an ID"))?.to_owned();
        let request = only(message)?;
        match request.name.as_str() {
            "SIMPLEREQ" => {}
            "MULTIREQ" => return Err(ProtocolError::Multiple),
            _ => return Err(invalid("MESSAGE holds one SIMPLEREQ")),
        }
        let call = request.elements().filter(|element| element.name != "CORRELATOR");
        let call = single(call).ok_or_else(|| invalid("SIMPLEREQ holds one call"))?;
        let call = match call.name.as_str() {
            "IMETHODCALL" => Call::Intrinsic(intrinsic(call)?),
            "METHODCALL" => Call::Method(method(call)?),
            _ => return Err(invalid("SIMPLEREQ holds IMETHODCALL or METHODCALL")),
        };
        Ok(Self { id, call })
    }
}

fn invalid(what: impl Into<String>) -> ProtocolError {
    ProtocolError::NotValid(what.into())
}

fn single<'e>(mut elements: impl Iterator<Item = &'e Element>) -> Option<&'e Element> {
    elements.next().filter(|_| elements.next().is_none())
}

fn only(element: &Element) -> Result<&Element, ProtocolError> {
    single(element.elements()).ok_or_else(|| invalid(format!("{} holds exactly one element", element.name)))
}

fn name_of(element: &Element) -> Result<String, ProtocolError> {
    let name = element.attribute("NAME").filter(|name| !name.is_empty() && name.len() <= NAME_MAX);
    name.map(str::to_owned).ok_or_else(|| invalid(format!("{} wants a NAME", element.name)))
}

fn intrinsic(call: &Element) -> Result<Intrinsic, ProtocolError> {
    let place = call.child("", "LOCALNAMESPACEPATH");
    let place = place.ok_or_else(|| invalid("IMETHODCALL wants LOCALNAMESPACEPATH"))?;
    let parameters = call.elements().filter(|element| !element.is("", "LOCALNAMESPACEPATH"));
    Ok(Intrinsic {
        name: name_of(call)?,
        namespace: namespace(place)?,
        parameters: values(parameters, &["IPARAMVALUE"])?,
    })
}

fn method(call: &Element) -> Result<MethodCall, ProtocolError> {
    let is_path =
        |element: &&Element| matches!(element.name.as_str(), "LOCALCLASSPATH" | "LOCALINSTANCEPATH");
    let path = single(call.elements().filter(is_path)).map(object_path).transpose()?.flatten();
    let path = path.ok_or_else(|| invalid("METHODCALL wants LOCALINSTANCEPATH or LOCALCLASSPATH"))?;
    let parameters = call.elements().filter(|element| !is_path(element));
    Ok(MethodCall { name: name_of(call)?, path, parameters: values(parameters, &["PARAMVALUE"])? })
}

/// Parameters or properties, each once.
fn values<'e>(
    elements: impl Iterator<Item = &'e Element>,
    wanted: &[&str],
) -> Result<Vec<RawValue>, ProtocolError> {
    let mut values: Vec<RawValue> = Vec::new();
    let mut names = std::collections::HashSet::new();
    for element in elements {
        if element.is("", "QUALIFIER") {
            continue;
        }
        if element.namespace.is_some() || !wanted.contains(&element.name.as_str()) {
            return Err(invalid(format!("{} stands where {} is wanted", element.name, wanted.join(" or "))));
        }
        let name = Name::from(name_of(element)?);
        if !names.insert(name.clone()) {
            return Err(invalid(format!("{name} is given twice")));
        }
        let kind = element.attribute("TYPE").or(element.attribute("PARAMTYPE"));
        let kind = match element.name.as_str() {
            "PROPERTY.REFERENCE" => Some("reference"),
            _ => kind.filter(|kind| !kind.is_empty()),
        };
        values.push(RawValue { name, kind: kind.map(str::to_owned), raw: raw(element)? });
    }
    Ok(values)
}

/// What stands in a parameter or property.
fn raw(element: &Element) -> Result<Raw, ProtocolError> {
    let children = element.elements().filter(|child| !child.is("", "QUALIFIER"));
    let children: Vec<&Element> = children.collect();
    let child = match children.as_slice() {
        [] => return Ok(Raw::Null),
        [child] => *child,
        _ => return Err(invalid(format!("{} holds several values", element.name))),
    };
    let none = || invalid(format!("{} is no value", child.name));
    if child.namespace.is_some() {
        return Err(none());
    }
    Ok(match child.name.as_str() {
        "VALUE" => Raw::One(child.text()),
        "VALUE.ARRAY" => {
            let items = child.elements().map(|item| match item.name.as_str() {
                "VALUE" => Ok(Some(item.text())),
                "VALUE.NULL" => Ok(None),
                _ => Err(invalid("VALUE.ARRAY holds VALUE elements")),
            });
            Raw::Many(items.collect::<Result<_, _>>()?)
        }
        "VALUE.REFERENCE" => Raw::Path(referred(child)?),
        "VALUE.REFARRAY" => Raw::Paths(child.elements().map(referred).collect::<Result<_, _>>()?),
        "CLASS" | "QUALIFIER.DECLARATION" => Raw::Declaration,
        "INSTANCE" => Raw::Instance(None, Box::new(instance(child)?)),
        "VALUE.NAMEDINSTANCE" => {
            let path = child.child("", "INSTANCENAME").map(object_path).transpose()?.flatten();
            let inner = child.child("", "INSTANCE").ok_or_else(none)?;
            Raw::Instance(Some(path.ok_or_else(none)?), Box::new(instance(inner)?))
        }
        _ => Raw::Path(object_path(child)?.ok_or_else(none)?),
    })
}

fn referred(element: &Element) -> Result<ObjectPath, ProtocolError> {
    let inner = only(element)?;
    object_path(inner)?.ok_or_else(|| invalid(format!("{} names no object", inner.name)))
}

/// Reads `INSTANCE`.
pub(super) fn instance(element: &Element) -> Result<RawInstance, ProtocolError> {
    if !element.is("", "INSTANCE") {
        return Err(invalid(format!("{} is no INSTANCE", element.name)));
    }
    let class = element.attribute("CLASSNAME").ok_or_else(|| invalid("INSTANCE wants a CLASSNAME"))?;
    let kinds = ["PROPERTY", "PROPERTY.ARRAY", "PROPERTY.REFERENCE"];
    Ok(RawInstance { class: class.into(), properties: values(element.elements(), &kinds)? })
}

impl Intrinsic {
    /// Refuses parameters that the operation does not have.
    pub fn only(&self, names: &[&str]) -> Result<(), ParameterError> {
        match self.parameters.iter().find(|sent| !names.iter().any(|name| sent.name.is(name))) {
            Some(sent) => {
                let name = sent.name.as_str().chars().take(60).collect();
                Err(ParameterError { name, what: "is not one of the operation's" })
            }
            None => Ok(()),
        }
    }

    /// A parameter; `None` when it was not sent or has no value.
    fn find(&self, name: &str) -> Option<&Raw> {
        let sent = self.parameters.iter().find(|sent| sent.name.is(name))?;
        Some(&sent.raw).filter(|raw| **raw != Raw::Null)
    }

    fn wrong<T>(name: &str, what: &'static str) -> Result<T, ParameterError> {
        Err(ParameterError { name: name.to_owned(), what })
    }

    /// A truth value.
    pub fn flag(&self, name: &str, otherwise: bool) -> Result<bool, ParameterError> {
        match self.find(name) {
            None => Ok(otherwise),
            Some(Raw::One(text)) if text.trim().eq_ignore_ascii_case("true") => Ok(true),
            Some(Raw::One(text)) if text.trim().eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Self::wrong(name, "is TRUE or FALSE"),
        }
    }

    /// A whole number that is not negative.
    pub fn number(&self, name: &str) -> Result<Option<u64>, ParameterError> {
        match self.find(name) {
            None => Ok(None),
            Some(Raw::One(text)) => match text.trim().parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Self::wrong(name, "is a whole number, at least 0"),
            },
            Some(_) => Self::wrong(name, "is a whole number, at least 0"),
        }
    }

    /// A text.
    pub fn text(&self, name: &str) -> Result<Option<&str>, ParameterError> {
        match self.find(name) {
            None => Ok(None),
            Some(Raw::One(text)) => Ok(Some(text)),
            Some(_) => Self::wrong(name, "is a text"),
        }
    }

    /// Names, such as those of `PropertyList`; `None`: no list was sent.
    pub fn names(&self, name: &str) -> Result<Option<Vec<Name>>, ParameterError> {
        match self.find(name) {
            None => Ok(None),
            Some(Raw::Many(items)) => {
                let names = items.iter().flatten().map(|item| Name::from(item.trim()));
                Ok(Some(names.collect()))
            }
            Some(_) => Self::wrong(name, "is an array of names"),
        }
    }

    /// The name of a class.
    pub fn class_name(&self, name: &str) -> Result<Option<Name>, ParameterError> {
        match self.find(name) {
            None => Ok(None),
            Some(Raw::Path(path)) if path.keys == restock_cim::Keys::Class => Ok(Some(path.class.clone())),
            // Some clients send the name of a role or class as plain text.
            Some(Raw::One(text)) => Ok(Some(text.trim().into())),
            Some(_) => Self::wrong(name, "is the name of a class"),
        }
    }

    /// The name of an object or class.
    pub fn path(&self, name: &str) -> Result<&ObjectPath, ParameterError> {
        match self.find(name) {
            Some(Raw::Path(path)) => Ok(path),
            Some(_) => Self::wrong(name, "is the name of an object"),
            None => Self::wrong(name, "is missing"),
        }
    }

    /// An instance, and its name when one was sent.
    pub fn instance(&self, name: &str) -> Result<(Option<&ObjectPath>, &RawInstance), ParameterError> {
        match self.find(name) {
            Some(Raw::Instance(path, instance)) => Ok((path.as_ref(), instance)),
            Some(_) => Self::wrong(name, "is an instance"),
            None => Self::wrong(name, "is missing"),
        }
    }
}

/// Reads any bytes as a message. For fuzzing; panics never.
pub fn fuzz_one(bytes: &[u8]) {
    let limits = Limits { bytes_max: 1 << 16, depth_max: 20, attributes_max: 16, nodes_max: 2_000 };
    // Both results are right for some bytes.
    drop(Message::read(bytes, None, &limits));
}

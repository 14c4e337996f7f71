//! Requests: an envelope taken apart into what is asked for.
//!
//! Source: DSP0226, 7 (transfer), 8 (enumeration), 9 (custom actions), 11 (Identify); DSP0227, 8
//! (filters), 9 (methods).

use super::header::{Header, Reference, Selector, selectors};
use super::names::{
    ADDRESSING, ASSOCIATION_FILTER, CIM_BINDING, ENUMERATION, IDENTITY, IDENTITY_MISSPELLED, SELECTOR_FILTER,
    SOAP, TRANSFER, WQL, WSMAN,
};
use super::{Fault, FaultKind, fault, time};
use crate::xml::{self, Element, Node};

/// Items that one answer may be asked to hold.
pub const ELEMENTS_MAX: u64 = 32_000;

/// A request that was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// What service this is; needs no header. The answer is in the same namespace.
    Identify(&'static str),
    /// Everything else.
    Operation(Box<Header>, Operation),
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// One instance.
    Get,
    /// A whole instance to be written.
    Put(Element),
    /// A new instance.
    Create(Element),
    /// An instance to be deleted.
    Delete,
    /// Many instances.
    Enumerate(Box<Enumerate>),
    /// The next of them.
    Pull(Pull),
    /// The end of an enumeration, by its context.
    Release(String),
    /// A method.
    Invoke {
        /// Its name.
        method: String,
        /// `M_INPUT`.
        input: Option<Element>,
    },
}

/// `wsen:Enumerate`.
#[derive(Debug, Clone, PartialEq)]
pub struct Enumerate {
    /// Which instances.
    pub filter: Option<Filter>,
    /// Whether the answer holds the first items.
    pub is_optimized: bool,
    /// How many at most.
    pub elements_max: u64,
    /// What each item is.
    pub mode: Mode,
    /// How instances of subclasses are shown.
    pub polymorphism: Polymorphism,
}

/// What each item of an enumeration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The instance.
    Object,
    /// Its address.
    Reference,
    /// Both.
    ObjectAndReference,
}

/// How instances of subclasses are shown. Source: DSP0227, 8.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polymorphism {
    /// Whole.
    IncludeSubClassProperties,
    /// With the properties of the class that was asked for.
    ExcludeSubClassProperties,
    /// Not at all.
    None,
}

/// Which instances are enumerated.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Those that a query finds.
    Wql(String),
    /// Those whose properties have these values.
    Selectors(Vec<Selector>),
    /// The partners of an object, or the associations that name it.
    Association(Box<Association>),
}

/// The association filter. Source: DSP0227, 8.2.
#[derive(Debug, Clone, PartialEq)]
pub struct Association {
    /// The object.
    pub object: Reference,
    /// Whether the associations themselves are asked for.
    pub is_of_associations: bool,
    /// `AssociationClassName`.
    pub association: Option<String>,
    /// `ResultClassName`.
    pub result_class: Option<String>,
    /// `Role`.
    pub role: Option<String>,
    /// `ResultRole`.
    pub result_role: Option<String>,
}

/// `wsen:Pull`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pull {
    /// The context of an earlier answer.
    pub context: String,
    /// How many items at most.
    pub elements_max: u64,
    /// How long to wait for them.
    pub time_max: Option<std::time::Duration>,
    /// How many characters at most.
    pub characters_max: Option<u64>,
}

/// A fault with the message it relates to.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// The fault.
    pub fault: Fault,
    /// `wsa:MessageID` of the request, as far as it was read.
    pub message_id: Option<String>,
}

impl Request {
    /// Reads an envelope.
    ///
    /// Errors: a fault, with what it relates to when that could be read.
    pub fn read(envelope: &Element) -> Result<Self, Refused> {
        let unrelated = |fault| Refused { fault, message_id: None };
        if envelope.namespace.as_deref() != Some(SOAP) || envelope.name != "Envelope" {
            let text = format!("the document is no Envelope of {SOAP}");
            return Err(unrelated(Fault::new(FaultKind::ActionNotSupported, "SOAP_VERSION", text)));
        }
        let header = single(envelope, "Header").map_err(unrelated)?;
        let message_id = header.and_then(Header::message_id_of);
        let related = |fault| Refused { fault, message_id: message_id.clone() };
        let body = single(envelope, "Body").map_err(related)?;
        let body = body.ok_or_else(|| related(invalid("the envelope has no Body".to_owned())))?;
        let mut contents = body.elements();
        let (content, more) = (contents.next(), contents.next());
        if more.is_some() {
            return Err(related(invalid("the Body holds more than one element".to_owned())));
        }
        for namespace in [IDENTITY, IDENTITY_MISSPELLED] {
            if content.is_some_and(|content| content.is(namespace, "Identify")) {
                return Ok(Self::Identify(namespace));
            }
        }
        let empty = Element::default();
        let header = Header::read(header.unwrap_or(&empty)).map_err(related)?;
        let operation = operation(&header, content).map_err(related)?;
        Ok(Self::Operation(Box::new(header), operation))
    }
}

fn invalid(text: String) -> Fault {
    Fault::new(FaultKind::SchemaValidationError, "SCHEMA", text)
}

/// The one `name` of an envelope.
fn single<'e>(envelope: &'e Element, name: &str) -> Result<Option<&'e Element>, Fault> {
    let mut found = envelope.elements().filter(|element| element.is(SOAP, name));
    let (first, second) = (found.next(), found.next());
    if second.is_some() {
        // Two readers must not take different ones.
        let text = format!("the envelope has {name} twice");
        return Err(Fault::new(FaultKind::SchemaValidationError, "XML_DUPLICATE_ID", text));
    }
    Ok(first)
}

fn operation(header: &Header, content: Option<&Element>) -> Result<Operation, Fault> {
    let action = header.action.as_str();
    let named = |namespace: &str| action.strip_prefix(namespace).and_then(|rest| rest.strip_prefix('/'));
    let wanted = |namespace: &str, name: &str| {
        content
            .filter(|content| content.is(namespace, name))
            .ok_or_else(|| invalid(format!("the Body holds no {name} of {namespace}")))
    };
    let instance = || content.cloned().ok_or_else(|| invalid("the Body holds no instance".to_owned()));
    match (named(TRANSFER), named(ENUMERATION)) {
        (Some("Get"), _) => Ok(Operation::Get),
        (Some("Put"), _) => Ok(Operation::Put(instance()?)),
        (Some("Create"), _) => Ok(Operation::Create(instance()?)),
        (Some("Delete"), _) => Ok(Operation::Delete),
        (_, Some("Enumerate")) => {
            Ok(Operation::Enumerate(Box::new(enumerate(wanted(ENUMERATION, "Enumerate")?)?)))
        }
        (_, Some("Pull")) => Ok(Operation::Pull(pull(wanted(ENUMERATION, "Pull")?)?)),
        (_, Some("Release")) => Ok(Operation::Release(context(wanted(ENUMERATION, "Release")?)?)),
        (None, None) if let Some(method) = header.resource.method_of(action) => {
            let name = format!("{method}_INPUT");
            if let Some(input) = content.filter(|input| !input.name.eq_ignore_ascii_case(&name)) {
                let shown: String = input.name.chars().take(100).collect();
                return Err(invalid(format!("the Body holds {shown:?}, not {name}")));
            }
            Ok(Operation::Invoke { method: method.to_owned(), input: content.cloned() })
        }
        _ => {
            let shown: String = action.chars().take(200).collect();
            let text = format!("the action {shown:?} is not one of this resource");
            Err(Fault::new(FaultKind::ActionNotSupported, "ACTION", text))
        }
    }
}

/// The element `name` of WS-Management or, as some clients write it, of WS-Enumeration.
fn either<'e>(element: &'e Element, name: &str) -> Option<&'e Element> {
    element.child(WSMAN, name).or_else(|| element.child(ENUMERATION, name))
}

fn elements_max(element: &Element) -> Result<u64, Fault> {
    let Some(text) = either(element, "MaxElements").map(Element::text) else { return Ok(1) };
    let refused = |text: String| {
        Err(Fault::new(FaultKind::UnsupportedFeature, "MAX_ELEMENTS", text)
            .detail("MaxElements")
            .numbered(fault::NUMBER_MAX_ELEMENTS))
    };
    match text.trim().parse::<u64>() {
        Ok(0) => refused("MaxElements is 0; at least one element is asked for".to_owned()),
        Ok(number) if number <= ELEMENTS_MAX => Ok(number),
        Ok(number) => refused(format!("MaxElements is {number}, the limit is {ELEMENTS_MAX}")),
        Err(_) => refused(format!("MaxElements is no whole number of at most {ELEMENTS_MAX}")),
    }
}

fn enumerate(element: &Element) -> Result<Enumerate, Fault> {
    if element.child(ENUMERATION, "EndTo").is_some() {
        let text = "nobody is told of the end of an enumeration; leave EndTo out";
        let fault = Fault::new(FaultKind::UnsupportedFeature, "NOT_SUPPORTED", text);
        return Err(fault.detail("AddressingMode"));
    }
    let unknown = |what: &str, text: &str, detail| {
        let shown: String = text.chars().take(100).collect();
        let text = format!("the {what} {shown:?} is not known");
        Err(Fault::new(FaultKind::UnsupportedFeature, "NOT_SUPPORTED", text).detail(detail))
    };
    let mode = match either(element, "EnumerationMode").map(Element::text).as_deref().map(str::trim) {
        None | Some("EnumerateObject") => Mode::Object,
        Some("EnumerateEPR") => Mode::Reference,
        Some("EnumerateObjectAndEPR") => Mode::ObjectAndReference,
        Some(other) => return unknown("EnumerationMode", other, "EnumerationMode"),
    };
    let polymorphism = element.child(CIM_BINDING, "PolymorphismMode").map(Element::text);
    let polymorphism = match polymorphism.as_deref().map(str::trim) {
        None | Some("IncludeSubClassProperties") => Polymorphism::IncludeSubClassProperties,
        Some("ExcludeSubClassProperties") => Polymorphism::ExcludeSubClassProperties,
        Some("None") => Polymorphism::None,
        Some(other) => return unknown("PolymorphismMode", other, "PolymorphismMode"),
    };
    let filter = match (element.child(WSMAN, "Filter"), element.child(ENUMERATION, "Filter")) {
        (Some(_), Some(_)) => {
            let text = "there are two filters";
            return Err(Fault::new(FaultKind::CannotProcessFilter, "FILTER", text));
        }
        (one, other) => one.or(other).map(filter).transpose()?,
    };
    Ok(Enumerate {
        filter,
        is_optimized: element.child(WSMAN, "OptimizeEnumeration").is_some(),
        elements_max: elements_max(element)?,
        mode,
        polymorphism,
    })
}

fn filter(element: &Element) -> Result<Filter, Fault> {
    let dialect = element.attribute("Dialect").unwrap_or(WQL).trim();
    let wrong = |text: &str| Fault::new(FaultKind::CannotProcessFilter, "FILTER", text.to_owned());
    if dialect.eq_ignore_ascii_case(WQL) {
        if element.elements().next().is_some() {
            return Err(wrong("a WQL filter is text"));
        }
        return Ok(Filter::Wql(element.text().trim().to_owned()));
    }
    if dialect.eq_ignore_ascii_case(SELECTOR_FILTER) {
        let set = element
            .child(WSMAN, "SelectorSet")
            .ok_or_else(|| wrong("a selector filter holds a SelectorSet"))?;
        return Ok(Filter::Selectors(selectors(set, 0)?));
    }
    if dialect.eq_ignore_ascii_case(ASSOCIATION_FILTER) {
        let partners = element.child(CIM_BINDING, "AssociatedInstances");
        let associations = element.child(CIM_BINDING, "AssociationInstances");
        let (asked, is_of_associations) = match (partners, associations) {
            (Some(asked), None) => (asked, false),
            (None, Some(asked)) => (asked, true),
            _ => {
                return Err(wrong("an association filter holds AssociatedInstances or AssociationInstances"));
            }
        };
        let object = asked
            .child(CIM_BINDING, "Object")
            .ok_or_else(|| wrong("an association filter names an Object"))?;
        // The address stands in the element itself, or in an EndpointReference within it.
        let object = object.child(ADDRESSING, "EndpointReference").unwrap_or(object);
        if asked.child(CIM_BINDING, "IncludeResultProperty").is_some() {
            let text = "IncludeResultProperty is not supported; whole instances are answered";
            return Err(Fault::new(FaultKind::UnsupportedFeature, "NOT_SUPPORTED", text));
        }
        let text = |name| {
            let text = asked.child(CIM_BINDING, name).map(|element| element.text().trim().to_owned());
            text.filter(|text| !text.is_empty())
        };
        return Ok(Filter::Association(Box::new(Association {
            object: Reference::read(object, 0)?,
            is_of_associations,
            association: text("AssociationClassName"),
            result_class: text("ResultClassName"),
            role: text("Role"),
            result_role: text("ResultRole"),
        })));
    }
    let shown: String = dialect.chars().take(200).collect();
    let text =
        format!("filters are written in {WQL}, {SELECTOR_FILTER} or {ASSOCIATION_FILTER}, not in {shown:?}");
    Err(Fault::new(FaultKind::FilterDialectRequestedUnavailable, "QUERY_LANGUAGE", text))
}

fn context(element: &Element) -> Result<String, Fault> {
    let context = element.child(ENUMERATION, "EnumerationContext");
    let context = context.map(|context| context.text().trim().to_owned()).filter(|text| !text.is_empty());
    context.ok_or_else(|| {
        let text = format!("{} has no EnumerationContext", element.name);
        Fault::new(FaultKind::InvalidEnumerationContext, "CONTEXT", text)
    })
}

fn pull(element: &Element) -> Result<Pull, Fault> {
    let time_max = either(element, "MaxTime").map(Element::text);
    let characters = either(element, "MaxCharacters").map(Element::text);
    let wrong = |name: &str| invalid(format!("{name} cannot be read"));
    Ok(Pull {
        context: context(element)?,
        elements_max: elements_max(element)?,
        time_max: time_max.map(|text| time::timeout(&text).ok_or_else(|| wrong("MaxTime"))).transpose()?,
        characters_max: characters
            .map(|text| text.trim().parse().map_err(|_unread| wrong("MaxCharacters")))
            .transpose()?,
    })
}

/// Reads whatever bytes come. Never panics.
pub fn fuzz_one(bytes: &[u8]) {
    let Ok(envelope) = xml::read(bytes, None, &xml::Limits::default()) else { return };
    if let Ok(Request::Operation(header, operation)) = Request::read(&envelope) {
        assert!(!header.action.is_empty() && !header.message_id.is_empty());
        if let Operation::Enumerate(asked) = operation {
            assert!((1..=ELEMENTS_MAX).contains(&asked.elements_max));
        }
    }
}

/// True when an element holds neither elements nor text.
pub(super) fn is_empty(element: &Element) -> bool {
    element.children.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

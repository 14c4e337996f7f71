//! What stands in a request's header, and endpoint references.
//!
//! Source: WS-Addressing of August 2004, 3; DSP0226, 5 (addressing), 6 (control headers).

use std::time::Duration;

use super::names::{ADDRESSING, ANONYMOUS, ENUMERATION, SOAP, WSMAN};
use super::resource::ResourceUri;
use super::{Fault, FaultKind, fault, time};
use crate::xml::Element;

/// Selectors of one set.
const SELECTORS_MAX: usize = 64;
/// Options of one set.
const OPTIONS_MAX: usize = 64;
/// References within references.
const REFERENCES_MAX: usize = 4;
/// Bytes of a message's identity, which the answer repeats.
const MESSAGE_ID_BYTES_MAX: usize = 1_024;
/// What every client must be able to take, in bytes. Source: DSP0226, 6.2.
const ENVELOPE_BYTES_MIN: u64 = 8_192;

/// The headers that mean something here.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// `wsa:Action`.
    pub action: String,
    /// `wsa:MessageID`, byte for byte.
    pub message_id: String,
    /// `wsman:ResourceURI`.
    pub resource: ResourceUri,
    /// `wsman:SelectorSet`.
    pub selectors: Vec<Selector>,
    /// `wsman:OptionSet`.
    pub options: Vec<HeaderOption>,
    /// The largest answer the client takes, in bytes.
    pub envelope_bytes_max: Option<u64>,
    /// How long the client waits.
    pub timeout: Option<Duration>,
    /// Whether the number of items is asked for.
    pub wants_estimate: bool,
}

/// One part of what names an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: SelectorValue,
}

/// The value of a selector.
#[derive(Debug, Clone, PartialEq)]
pub enum SelectorValue {
    /// A text, as it was sent.
    Text(String),
    /// The address of another instance.
    Reference(Box<Reference>),
}

/// An endpoint reference: the address of an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The class.
    pub resource: ResourceUri,
    /// Which of its instances.
    pub selectors: Vec<Selector>,
}

/// An option of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderOption {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether the request is void without it.
    pub must_comply: bool,
}

/// Headers that are known. Each stands once at most.
const KNOWN: [(&str, &str); 15] = [
    (ADDRESSING, "To"),
    (ADDRESSING, "Action"),
    (ADDRESSING, "MessageID"),
    (ADDRESSING, "ReplyTo"),
    (ADDRESSING, "FaultTo"),
    (ADDRESSING, "From"),
    (WSMAN, "ResourceURI"),
    (WSMAN, "SelectorSet"),
    (WSMAN, "OptionSet"),
    (WSMAN, "MaxEnvelopeSize"),
    (WSMAN, "OperationTimeout"),
    (WSMAN, "RequestTotalItemsCountEstimate"),
    (WSMAN, "Locale"),
    (WSMAN, "FragmentTransfer"),
    (ENUMERATION, "EnumerationContext"),
];

impl Header {
    /// Reads `s:Header`.
    ///
    /// Errors: a header that must be understood and is not, one that is missing, twice there or
    /// wrong.
    pub(super) fn read(header: &Element) -> Result<Self, Fault> {
        check_known(header)?;
        let text = |namespace, name| header.child(namespace, name).map(Element::text);
        let required = |namespace, name: &'static str| {
            text(namespace, name).filter(|text| !text.trim().is_empty()).ok_or_else(|| {
                let text = format!("the header {name} is missing");
                Fault::new(FaultKind::MessageInformationHeaderRequired, "HEADER_REQUIRED", text)
            })
        };
        for name in ["ReplyTo", "FaultTo"] {
            let address = header.child(ADDRESSING, name).and_then(|to| to.child(ADDRESSING, "Address"));
            if let Some(address) = address.map(Element::text)
                && address.trim() != ANONYMOUS
            {
                let text = format!("{name} names another address; answers go back on the same connection");
                return Err(
                    Fault::new(FaultKind::UnsupportedFeature, "NOT_SUPPORTED", text).detail("AddressingMode")
                );
            }
        }
        if header.child(WSMAN, "FragmentTransfer").is_some() {
            let text = "parts of an instance are not transferred; send or read it whole";
            let fault = Fault::new(FaultKind::UnsupportedFeature, "NOT_SUPPORTED", text);
            return Err(fault.detail("FragmentLevelAccess"));
        }
        let resource = match text(WSMAN, "ResourceURI") {
            Some(text) => ResourceUri::parse(&text)?,
            None => {
                let text = "the header ResourceURI is missing";
                let fault = Fault::new(FaultKind::DestinationUnreachable, "RESOURCE_URI", text);
                return Err(fault.detail("InvalidResourceURI"));
            }
        };
        let mut selectors = match header.child(WSMAN, "SelectorSet") {
            Some(set) => selectors(set, 0)?,
            None => Vec::new(),
        };
        for (name, value) in &resource.selectors {
            add(&mut selectors, name.clone(), SelectorValue::Text(value.clone()))?;
        }
        let message_id = required(ADDRESSING, "MessageID")?;
        if message_id.len() > MESSAGE_ID_BYTES_MAX {
            let text = format!("MessageID has more than {MESSAGE_ID_BYTES_MAX} bytes");
            return Err(Fault::new(FaultKind::InvalidMessageInformationHeader, "HEADER_VALUE", text));
        }
        Ok(Self {
            action: required(ADDRESSING, "Action")?.trim().to_owned(),
            message_id,
            resource,
            selectors,
            options: header.child(WSMAN, "OptionSet").map_or(Ok(Vec::new()), options)?,
            envelope_bytes_max: envelope_bytes(text(WSMAN, "MaxEnvelopeSize"))?,
            timeout: timeout(text(WSMAN, "OperationTimeout"))?,
            wants_estimate: header.child(WSMAN, "RequestTotalItemsCountEstimate").is_some(),
        })
    }

    /// The message's identity, when it is to be read at all: a fault relates to it too.
    pub(super) fn message_id_of(header: &Element) -> Option<String> {
        let id = header.child(ADDRESSING, "MessageID").map(Element::text);
        id.filter(|id| id.len() <= MESSAGE_ID_BYTES_MAX)
    }
}

/// True for `mustUnderstand="true"` and `"1"`.
fn must_be_understood(element: &Element) -> bool {
    element.attribute_of(SOAP, "mustUnderstand").is_some_and(|value| matches!(value.trim(), "true" | "1"))
}

fn check_known(header: &Element) -> Result<(), Fault> {
    let mut seen = [false; KNOWN.len()];
    for element in header.elements() {
        let place = KNOWN.iter().position(|(namespace, name)| element.is(namespace, name));
        match place.and_then(|place| seen.get_mut(place)) {
            Some(seen) if *seen => {
                let text = format!("the header {} stands twice", element.name);
                return Err(Fault::new(FaultKind::InvalidMessageInformationHeader, "HEADER_TWICE", text));
            }
            Some(seen) => *seen = true,
            None if must_be_understood(element) => {
                let shown: String = element.name.chars().take(100).collect();
                let text = format!("the header {shown:?} must be understood and is not");
                return Err(Fault::new(FaultKind::MustUnderstand, "MUST_UNDERSTAND", text));
            }
            None => {}
        }
    }
    Ok(())
}

fn envelope_bytes(text: Option<String>) -> Result<Option<u64>, Fault> {
    let Some(text) = text else { return Ok(None) };
    let Ok(bytes) = text.trim().parse::<u64>() else {
        let text = "MaxEnvelopeSize is no whole number";
        return Err(Fault::new(FaultKind::InvalidMessageInformationHeader, "HEADER_VALUE", text));
    };
    if bytes < ENVELOPE_BYTES_MIN {
        let text = format!("MaxEnvelopeSize is {bytes} bytes, and every client takes {ENVELOPE_BYTES_MIN}");
        return Err(Fault::new(FaultKind::EncodingLimit, "ENVELOPE_SIZE", text)
            .detail("MinimumEnvelopeLimit")
            .numbered(fault::NUMBER_ENVELOPE_MIN));
    }
    Ok(Some(bytes))
}

fn timeout(text: Option<String>) -> Result<Option<Duration>, Fault> {
    let Some(text) = text else { return Ok(None) };
    time::timeout(&text).map(Some).ok_or_else(|| {
        let text = "OperationTimeout is no length of time such as PT60S";
        Fault::new(FaultKind::InvalidMessageInformationHeader, "HEADER_VALUE", text)
    })
}

fn invalid_selectors(text: String, detail: &'static str) -> Fault {
    Fault::new(FaultKind::InvalidSelectors, "SELECTORS", text).detail(detail)
}

/// Reads the selectors of a `wsman:SelectorSet`.
pub(super) fn selectors(set: &Element, depth: usize) -> Result<Vec<Selector>, Fault> {
    let mut selectors = Vec::new();
    for element in set.elements().filter(|element| element.is(WSMAN, "Selector")) {
        let name = element.attribute("Name").unwrap_or_default().trim().to_owned();
        if name.is_empty() {
            return Err(invalid_selectors("a selector has no Name".to_owned(), "InvalidValue"));
        }
        let value = match element.child(ADDRESSING, "EndpointReference") {
            Some(reference) => SelectorValue::Reference(Box::new(Reference::read(reference, depth)?)),
            None => SelectorValue::Text(element.text()),
        };
        add(&mut selectors, name, value)?;
    }
    Ok(selectors)
}

fn add(selectors: &mut Vec<Selector>, name: String, value: SelectorValue) -> Result<(), Fault> {
    if selectors.len() >= SELECTORS_MAX {
        let text = format!("there are more than {SELECTORS_MAX} selectors");
        return Err(invalid_selectors(text, "UnexpectedSelectors"));
    }
    if selectors.iter().any(|known| known.name.eq_ignore_ascii_case(&name)) {
        let shown: String = name.chars().take(100).collect();
        return Err(invalid_selectors(
            format!("the selector {shown:?} is given twice"),
            "DuplicateSelectors",
        ));
    }
    selectors.push(Selector { name, value });
    Ok(())
}

impl Reference {
    /// Reads what stands in an `wsa:EndpointReference`.
    pub(super) fn read(element: &Element, depth: usize) -> Result<Self, Fault> {
        let wrong = |text: &str| {
            Fault::new(FaultKind::InvalidParameter, "TYPE", text.to_owned()).detail("TypeMismatch")
        };
        if depth >= REFERENCES_MAX {
            return Err(wrong("references stand in each other too deep"));
        }
        let parameters = element
            .child(ADDRESSING, "ReferenceParameters")
            .ok_or_else(|| wrong("an endpoint reference has no ReferenceParameters"))?;
        let resource = parameters
            .child(WSMAN, "ResourceURI")
            .ok_or_else(|| wrong("an endpoint reference has no ResourceURI"))?;
        let set = parameters.child(WSMAN, "SelectorSet");
        Ok(Self {
            resource: ResourceUri::parse(&resource.text())?,
            selectors: set.map_or(Ok(Vec::new()), |set| selectors(set, depth.saturating_add(1)))?,
        })
    }
}

fn options(set: &Element) -> Result<Vec<HeaderOption>, Fault> {
    let refused =
        |text: String, detail| Err(Fault::new(FaultKind::InvalidOptions, "OPTIONS", text).detail(detail));
    let mut options: Vec<HeaderOption> = Vec::new();
    for element in set.elements().filter(|element| element.is(WSMAN, "Option")) {
        let name = element.attribute("Name").unwrap_or_default().trim().to_owned();
        if name.is_empty() {
            return refused("an option has no Name".to_owned(), "InvalidName");
        }
        if options.len() >= OPTIONS_MAX {
            return refused(format!("there are more than {OPTIONS_MAX} options"), "OptionLimit");
        }
        let must_comply = element.attribute("MustComply").is_some_and(|value| matches!(value, "true" | "1"));
        options.push(HeaderOption { name, value: element.text(), must_comply });
    }
    Ok(options)
}

//! Answers: envelopes with instances, contexts, the outcome of methods, and faults.

use restock_cim::Instance;

use super::names::{
    ADDRESSING, ANONYMOUS, CIM_COMMON, ENUMERATION, FAULT_DETAIL, SCHEMA_INSTANCE, SOAP, TRANSFER, WSMAN,
    WSMAN_FAULT,
};
use super::resource::ResourceUri;
use super::write::{Form, Shown};
use super::{Fault, FaultKind, fault};
use crate::xml::Writer;

/// The media type of answers.
pub const CONTENT_TYPE: &str = "application/soap+xml;charset=UTF-8";

/// Bytes that the envelope around items takes, at most.
pub const ENVELOPE_BYTES: usize = 3_072;

/// What stands in the header of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Heading<'a> {
    /// `wsa:Action`.
    pub action: &'a str,
    /// `wsa:MessageID` of the request, repeated byte for byte.
    pub relates_to: Option<&'a str>,
    /// A UUID of this answer's own.
    pub id: &'a str,
    /// Whether the header says that the number of items is not known.
    pub has_estimate: bool,
}

/// Writes an envelope; `body` writes what stands in `s:Body`.
pub fn envelope(heading: &Heading<'_>, body: impl FnOnce(&mut Writer)) -> String {
    let mut out = Writer::new();
    out.open("s:Envelope");
    for (prefix, namespace) in [
        ("xmlns:s", SOAP),
        ("xmlns:a", ADDRESSING),
        ("xmlns:n", ENUMERATION),
        ("xmlns:x", TRANSFER),
        ("xmlns:w", WSMAN),
        ("xmlns:cim", CIM_COMMON),
        ("xmlns:xsi", SCHEMA_INSTANCE),
    ] {
        out.attribute(prefix, namespace);
    }
    out.open("s:Header");
    out.element("a:Action", heading.action);
    out.element("a:MessageID", &format!("uuid:{}", heading.id));
    out.element("a:To", ANONYMOUS);
    if let Some(id) = heading.relates_to {
        out.element("a:RelatesTo", id);
    }
    if heading.has_estimate {
        out.open("w:TotalItemsCountEstimate");
        out.attribute("xsi:nil", "true");
        out.close_empty();
    }
    out.close();
    out.open("s:Body");
    body(&mut out);
    out.finish()
}

/// The action that answers `action`.
pub fn response_action(action: &str) -> String {
    format!("{action}Response")
}

/// The answer to Identify, whose header is empty. `namespace`: the request's; `vendor` and `version`
/// name the program.
pub fn identify_envelope(namespace: &str, vendor: &str, version: &str) -> String {
    let mut out = Writer::new();
    out.open("s:Envelope");
    out.attribute("xmlns:s", SOAP);
    out.open("s:Header");
    out.close();
    out.open("s:Body");
    out.open("i:IdentifyResponse");
    out.attribute("xmlns:i", namespace);
    out.element("i:ProtocolVersion", WSMAN);
    out.element("i:ProductVendor", vendor);
    out.element("i:ProductVersion", version);
    out.finish()
}

/// Writes the answer to Create: the address of the new instance.
pub fn created(out: &mut Writer, shown: &Shown, instance: &Instance) {
    out.open("x:ResourceCreated");
    if let Some(path) = super::write::path_of(instance) {
        shown.reference(out, &path);
    }
    out.close();
}

/// The two answers that hold items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// `wsen:EnumerateResponse` that was not asked for items.
    Begun,
    /// `wsen:EnumerateResponse` with items.
    Optimized,
    /// `wsen:PullResponse`.
    Pulled,
}

/// Writes items. `context`: by which the next are asked for; `None` at the end.
pub fn items(out: &mut Writer, batch: Batch, context: Option<&str>, items: &str) {
    let is_pull = batch == Batch::Pulled;
    out.open(if is_pull { "n:PullResponse" } else { "n:EnumerateResponse" });
    match context {
        Some(context) => out.element("n:EnumerationContext", context),
        // Some clients go on as long as there is an element with text; the schema wants the element.
        None if !is_pull => out.element("n:EnumerationContext", ""),
        None => {}
    }
    if batch != Batch::Begun {
        out.open(if is_pull { "n:Items" } else { "w:Items" });
        out.raw(items);
        out.close();
    }
    if context.is_none() {
        out.open(if is_pull { "n:EndOfSequence" } else { "w:EndOfSequence" });
        out.close_empty();
    }
    out.close();
}

/// The envelope of a fault. `machine`: the name of this server. `shown`: how the detail's instance
/// is written; without one it is left out.
pub fn fault_envelope(
    fault: &Fault,
    relates_to: Option<&str>,
    id: &str,
    machine: &str,
    shown: Option<&Shown>,
) -> String {
    let spelling = fault.kind.spelling();
    let heading = Heading { action: spelling.action, relates_to, id, has_estimate: false };
    envelope(&heading, |out| {
        out.open("s:Fault");
        out.open("s:Code");
        out.element("s:Value", spelling.code);
        if let Some(subcode) = spelling.subcode {
            out.open("s:Subcode");
            out.element("s:Value", subcode);
            out.close();
        }
        out.close();
        out.open("s:Reason");
        out.open("s:Text");
        out.attribute("xml:lang", "en-US");
        out.text(&fault.text());
        out.close();
        out.close();
        detail(out, fault, machine, shown);
        out.close();
    })
}

fn detail(out: &mut Writer, fault: &Fault, machine: &str, shown: Option<&Shown>) {
    out.open("s:Detail");
    if let Some(name) = fault.detail {
        out.element("w:FaultDetail", &format!("{FAULT_DETAIL}{name}"));
    }
    let begin = |out: &mut Writer| {
        out.open("f:WSManFault");
        out.attribute("xmlns:f", WSMAN_FAULT);
        out.attribute("Code", &fault.number.to_string());
        out.attribute("Machine", machine);
    };
    begin(out);
    out.open("f:Message");
    match (&fault.status, shown) {
        (Some(status), Some(shown)) => {
            out.open("f:ProviderFault");
            out.attribute("provider", "SMS Provider");
            out.attribute("path", "restock");
            begin(out);
            out.element("f:Message", &fault.text());
            out.close();
            out.open("f:ExtendedError");
            shown.instance(out, status, Form::Whole);
            out.close();
            out.close();
        }
        _ => out.text(&fault.text()),
    }
    out.close();
    out.close();
    out.close();
}

/// An answer that is larger than the client takes.
pub fn too_large(bytes: usize, max: u64) -> Fault {
    let text =
        format!("the answer has {bytes} bytes, and MaxEnvelopeSize is {max}; ask for less, or allow more");
    Fault::new(FaultKind::EncodingLimit, "ENVELOPE_SIZE", text)
        .detail("MaxEnvelopeSizeExceeded")
        .numbered(fault::NUMBER_ENVELOPE_EXCEEDED)
}

/// Rows without keys where addresses are asked for.
pub fn no_address() -> Fault {
    let text = "addresses are asked for, and the query selects not all keys; select them too";
    Fault::new(FaultKind::CannotProcessFilter, "NO_KEYS", text).numbered(fault::NUMBER_NO_KEYS)
}

impl ResourceUri {
    /// A URI of the WMI family, for faults before one was read.
    pub fn of_namespace(namespace: &str) -> Self {
        let namespace = namespace.replace('\\', "/");
        Self::parse(&format!("{}{namespace}/*", super::names::WMI_PREFIX))
            .expect("the text has the form of one")
    }
}

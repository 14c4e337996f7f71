//! CIM-XML: what each operation of WBEM clients answers.
//!
//! A message is read by `restock_wire::cimxml`, carried out by the object API of the provider, and
//! answered with HTTP 200, a refusal of the provider too: HTTP statuses speak of the protocol
//! alone. Source: docs/formats/cimxml.md; DSP0200 1.4.

mod associate;
mod classes;
mod fault;
mod interop;
mod open;
mod qualifiers;
mod read;
mod rows;
mod write;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use restock_cim::{Class, Name, ObjectPath};
use restock_provider::Caller;
use restock_wire::cimxml::{Call, CimCode, Intrinsic, Message, Reading, Reply, Shown};
use restock_wire::xml::{Limits, charset_of};
use std::sync::Arc;

use crate::content::Content;
use crate::contexts::Contexts;
use crate::handler::{Answer, Asked, Handler};
use crate::refused::Refused;
use fault::Fault;
use open::Opened;

/// The media type of answers.
const XML: &str = "application/xml; charset=\"utf-8\"";
const TEXT: &str = "text/plain; charset=utf-8";
const CIM_OPERATION: &str = "CIMOperation";
/// The extension that `M-POST` names. Source: DSP0200, 7.2; RFC 2774.
const EXTENSION: &str = "http://www.dmtf.org/cim/mapping/http/v1.0";
/// Classes of the locator.
const LOCATOR_NAMESPACE: &str = r"root\SMS";
const LOCATOR_CLASS: &str = "SMS_ProviderLocation";

/// What the door keeps between requests.
#[derive(Debug, Default)]
pub(crate) struct Cimom {
    contexts: Contexts<Opened>,
}

/// The namespaces of the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Space {
    /// The site's classes.
    Site,
    /// Where the provider is located.
    Locator,
    /// What namespaces there are.
    Interop,
}

/// One operation on its way.
struct Operation<'h> {
    handler: &'h Handler,
    caller: &'h Caller,
    id: &'h str,
    name: &'h str,
    space: Space,
    is_first_version: bool,
    /// Rows at most.
    rows_max: Option<u64>,
}

/// Answers somebody who has signed in.
pub(crate) async fn serve(handler: &Handler, asked: Asked) -> Result<Answer, Refused> {
    let extension = extension(&asked)?;
    let content_type = asked.parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let limits = Limits { bytes_max: handler.limits().body_bytes_max, ..Limits::default() };
    let message =
        Message::read(&asked.body, content_type.and_then(charset_of), &limits).map_err(|error| {
            let (http, name) = error.http();
            Refused::transport(http, error.code(), error.to_string())
                .with(HeaderName::from_static("cimerror"), name)
        })?;
    let content = match &message.call {
        Call::Intrinsic(call) => intrinsic(handler, &asked, &message.id, call).await,
        Call::Method(call) => write::method(handler, &asked, &message.id, call).await,
    };
    let answer = Answer::new(StatusCode::OK, XML, content);
    Ok(match extension {
        None => answer.with(HeaderName::from_static("cimoperation"), "MethodResponse"),
        Some(prefix) => {
            let answer = answer
                .with(HeaderName::from_static("ext"), "")
                .with(HeaderName::from_static("man"), &format!("{EXTENSION} ; ns={prefix}"));
            match HeaderName::try_from(format!("{prefix}-{CIM_OPERATION}")) {
                Ok(name) => answer.with(name, "MethodResponse"),
                Err(_) => answer,
            }
        }
    })
}

/// The prefix of headers that an `M-POST` announces; `None` for a `POST`.
fn extension(asked: &Asked) -> Result<Option<String>, Refused> {
    if asked.parts.method.as_str() != "M-POST" {
        return Ok(None);
    }
    let found = prefix_of(&asked.parts.headers);
    found.map(Some).ok_or_else(|| {
        let text = format!("M-POST wants the header Man: {EXTENSION} ; ns=NN");
        Refused::transport(510, "NOT_EXTENDED", text)
    })
}

fn prefix_of(headers: &HeaderMap) -> Option<String> {
    headers.get_all("man").iter().filter_map(|value: &HeaderValue| value.to_str().ok()).find_map(|value| {
        let (uri, parameters) = value.split_once(';')?;
        let prefix = parameters.trim().strip_prefix("ns=")?.trim();
        let is_prefix = prefix.len() == 2 && prefix.bytes().all(|b| b.is_ascii_digit());
        (uri.trim().trim_matches('"') == EXTENSION && is_prefix).then(|| prefix.to_owned())
    })
}

/// What a refusal of the transport looks like.
pub(crate) fn refusal(refused: &Refused, correlation: &str) -> (&'static str, String) {
    let description = refused.description.strip_prefix(refused.code).and_then(|rest| rest.strip_prefix(": "));
    let description = description.unwrap_or(&refused.description);
    (TEXT, format!("{}: {description}\ncorrelation: {correlation}\n", refused.code))
}

async fn intrinsic(handler: &Handler, asked: &Asked, id: &str, call: &Intrinsic) -> Content {
    let is_first_version = is_first_version(&asked.parts.headers);
    let answered = match Space::of(handler, &call.namespace) {
        Err(fault) => Err(fault),
        Ok(space) => {
            let (caller, name) = (&asked.caller, &*call.name);
            let rows_max = asked.qualifiers.rows_max;
            let operation = Operation { handler, caller, id, name, space, is_first_version, rows_max };
            // Boxed: a few of the operations hold much while they wait.
            Box::pin(operation.answer(call)).await
        }
    };
    match answered {
        Ok(content) => content,
        Err(fault) => {
            let shown = shown(handler, Space::Site, is_first_version);
            Content::Text(fault.write(Reply::intrinsic(id, &call.name), &shown).into())
        }
    }
}

/// What instances need to be shown.
fn shown(handler: &Handler, space: Space, is_first_version: bool) -> Shown {
    let config = handler.provider.config();
    Shown {
        host: config.host.clone(),
        namespace: space.name(handler),
        zone: config.zone.clone(),
        only: None,
        has_origins: false,
        has_qualifiers: false,
        is_first_version,
    }
}

/// True when a client says that it speaks version 1.0. One that says nothing is younger than that.
fn is_first_version(headers: &HeaderMap) -> bool {
    headers.get("cimprotocolversion").is_some_and(|version| version == "1.0")
}

impl Space {
    /// The namespace of that name, in any letter case.
    fn of(handler: &Handler, name: &str) -> Result<Self, Fault> {
        match name.to_ascii_lowercase().as_str() {
            name if name == handler.namespace.to_ascii_lowercase() => Ok(Self::Site),
            r"root\sms" => Ok(Self::Locator),
            "interop" | r"root\interop" => Ok(Self::Interop),
            _ => {
                let short: String = name.chars().take(100).collect();
                let text = format!(
                    "{short} is no namespace here; the site's classes are in {}",
                    handler.namespace.replace('\\', "/")
                );
                Err(Fault::new(CimCode::InvalidNamespace, "INVALID_NAMESPACE", text))
            }
        }
    }

    fn name(self, handler: &Handler) -> String {
        match self {
            Self::Site => handler.namespace.clone(),
            Self::Locator => LOCATOR_NAMESPACE.to_owned(),
            Self::Interop => "interop".to_owned(),
        }
    }
}

impl Operation<'_> {
    async fn answer(&self, call: &Intrinsic) -> Result<Content, Fault> {
        // Names of operations are matched without letter case.
        match call.name.to_ascii_lowercase().as_str() {
            "getinstance" => self.get_instance(call).await,
            "enumerateinstances" => self.enumerate_instances(call).await,
            "enumerateinstancenames" => self.enumerate_instance_names(call).await,
            "execquery" => self.exec_query(call).await,
            "associators" => self.associators(call, false).await,
            "associatornames" => self.associators(call, true).await,
            "references" => self.references(call, false).await,
            "referencenames" => self.references(call, true).await,
            "openenumerateinstances" => self.open_enumerate(call, false).await,
            "openenumerateinstancepaths" => self.open_enumerate(call, true).await,
            "openassociatorinstances" => self.open_associators(call, false).await,
            "openassociatorinstancepaths" => self.open_associators(call, true).await,
            "openreferenceinstances" => self.open_references(call, false).await,
            "openreferenceinstancepaths" => self.open_references(call, true).await,
            "openqueryinstances" => self.open_query(call).await,
            "pullinstanceswithpath" | "pullinstancepaths" | "pullinstances" => self.pull(call).await,
            "closeenumeration" => self.close(call),
            "getclass" => self.get_class(call),
            "enumerateclasses" => self.enumerate_classes(call, false),
            "enumerateclassnames" => self.enumerate_classes(call, true),
            "getqualifier" => self.get_qualifier(call),
            "enumeratequalifiers" => self.enumerate_qualifiers(call),
            "createinstance" => self.create_instance(call).await,
            "modifyinstance" => self.modify_instance(call).await,
            "deleteinstance" => self.delete_instance(call).await,
            _ => {
                let short: String = call.name.chars().take(60).collect();
                let text = format!("the operation {short} is not offered");
                Err(Fault::new(CimCode::NotSupported, "NOT_SUPPORTED", text))
            }
        }
    }

    fn reply(&self) -> Reply {
        Reply::intrinsic(self.id, self.name)
    }

    fn shown(&self) -> Shown {
        shown(self.handler, self.space, self.is_first_version)
    }

    fn reading(&self) -> Reading<'_> {
        reading(self.handler)
    }

    /// A class of the namespace.
    fn class(&self, name: &Name) -> Result<Arc<Class>, Fault> {
        let schema = match self.space {
            Space::Interop => interop::schema(),
            Space::Site | Space::Locator => self.handler.provider.schema(),
        };
        let is_here = |class: &&Arc<Class>| self.space != Space::Locator || class.name.is(LOCATOR_CLASS);
        schema.class(name.as_str()).filter(is_here).cloned().ok_or_else(|| {
            let short: String = name.as_str().chars().take(100).collect();
            let text = format!("no class {short} is declared in {}", self.space.name(self.handler));
            Fault::new(CimCode::InvalidClass, "INVALID_CLASS", text)
        })
    }

    /// An object's path with the namespace of the operation.
    fn within(&self, path: &ObjectPath) -> ObjectPath {
        ObjectPath { server: None, namespace: Some(self.space.name(self.handler)), ..path.clone() }
    }
}

fn reading(handler: &Handler) -> Reading<'_> {
    Reading { schema: handler.provider.schema(), zone: &handler.provider.config().zone }
}

//! WS-Management at `/wsman`: the CIM operations of SOAP clients.
//!
//! [`serve`] reads an envelope, carries its operation out by the object API and writes the answer;
//! [`identify`] says what this is to somebody who has not signed in. Every refusal is a SOAP fault.
//!
//! What it does not do: it knows no SOAP itself (`restock_wire::wsman` does), decides no rights,
//! and offers no events, no shells and no fragments.
//! Source: docs/formats/wsman.md; DSP0226, DSP0227.

mod enumerate;
mod objects;
mod scope;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use restock_provider::Caller;
use restock_wire::wsman::{
    self, Fault, FaultKind, Header, Heading, Operation, ResourceUri, Shown, envelope, fault_envelope,
    response_action, too_large,
};
use restock_wire::xml;

use crate::content::Content;
use crate::contexts::Contexts;
use crate::handler::{Answer, Asked, Handler};
use crate::qualifiers::{QualifierError, Qualifiers, Said};
use crate::refused::Refused;
use enumerate::Open;
use scope::Request;

/// The header by which Identify is asked without signing in.
const IDENTIFY: &str = "wsmanidentify";
const VENDOR: &str = "Restock";
/// What a stranger is told of the version.
const NO_VERSION: &str = "0.0";

/// What the door keeps between requests.
#[derive(Debug, Default)]
pub(crate) struct WsMan {
    contexts: Contexts<Open>,
}

/// True for an Identify that is asked without signing in.
pub(crate) fn is_identify(headers: &HeaderMap) -> bool {
    let is_asked = headers.get(IDENTIFY).is_some_and(|value| {
        value.to_str().is_ok_and(|value| value.trim().eq_ignore_ascii_case("unauthenticated"))
    });
    is_asked && !headers.contains_key(AUTHORIZATION)
}

/// Answers an Identify.
///
/// Errors: 401 when it is something else.
pub(crate) fn identify(handler: &Handler, headers: &HeaderMap, body: &[u8]) -> Result<Answer, Refused> {
    match read(handler, headers, body) {
        Ok(wsman::Request::Identify(namespace)) => {
            Ok(ok(wsman::identify_envelope(namespace, VENDOR, NO_VERSION)))
        }
        _ => Err(Refused::unauthorized()),
    }
}

/// Answers somebody who has signed in.
pub(crate) async fn serve(handler: &Handler, asked: Asked) -> Result<Answer, Refused> {
    if asked.body.is_empty() {
        // Clients sign a connection in before they send anything.
        return Ok(Answer::empty(StatusCode::OK));
    }
    let (header, operation) = match read(handler, &asked.parts.headers, &asked.body) {
        Ok(wsman::Request::Identify(namespace)) => {
            return Ok(ok(wsman::identify_envelope(namespace, VENDOR, env!("CARGO_PKG_VERSION"))));
        }
        Ok(wsman::Request::Operation(header, operation)) => (header, operation),
        Err(refused) => {
            let id = asked.caller.correlation.as_str();
            return Ok(failed(handler, &refused.fault, refused.message_id.as_deref(), id, None));
        }
    };
    let id = asked.caller.correlation.clone();
    match answered(handler, asked.caller, asked.qualifiers, &header, &operation).await {
        Ok(text) => Ok(ok(text)),
        Err(fault) => Ok(failed(handler, &fault, Some(&header.message_id), &id, Some(&header))),
    }
}

/// What a refusal of the transport looks like.
pub(crate) fn refusal(refused: &Refused, correlation: &str) -> (&'static str, String) {
    let kind = match refused.http {
        401 | 403 => FaultKind::AccessDenied,
        413 => FaultKind::EncodingLimit,
        429 => FaultKind::QuotaLimit,
        408 | 503 => FaultKind::EndpointUnavailable,
        500.. => FaultKind::InternalError,
        _ => FaultKind::InvalidMessageInformationHeader,
    };
    let fault = Fault::new(kind, refused.code, refused.description.clone());
    (wsman::CONTENT_TYPE, fault_envelope(&fault, None, correlation, "", None))
}

fn read(handler: &Handler, headers: &HeaderMap, body: &[u8]) -> Result<wsman::Request, wsman::Refused> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let limits = xml::Limits { bytes_max: handler.limits.body_bytes_max, ..xml::Limits::default() };
    let envelope = xml::read(body, content_type.and_then(xml::charset_of), &limits).map_err(|refused| {
        let (kind, detail) = match refused {
            xml::Refused::Encoding(_) => (FaultKind::EncodingLimit, Some("CharacterSet")),
            _ => (FaultKind::SchemaValidationError, None),
        };
        let mut fault = Fault::new(kind, refused.code(), refused.to_string());
        fault.detail = detail;
        wsman::Refused { fault, message_id: None }
    })?;
    wsman::Request::read(&envelope)
}

/// The whole answer to an operation.
async fn answered(
    handler: &Handler,
    mut caller: Caller,
    of_header: Qualifiers,
    header: &Header,
    operation: &Operation,
) -> Result<String, Fault> {
    let qualifiers = qualifiers(handler, &mut caller, header, of_header)?;
    let name = match operation {
        Operation::Get => "GetObject",
        Operation::Put(_) | Operation::Create(_) => "PutInstance",
        Operation::Delete => "DeleteInstance",
        Operation::Enumerate(_) | Operation::Pull(_) | Operation::Release(_) => "ExecQuery",
        Operation::Invoke { .. } => "ExecMethod",
    };
    let request = Request::new(handler, &caller, header, &qualifiers, name)?;
    let running = async {
        match operation {
            Operation::Enumerate(asked) => request.enumerate(asked).await,
            Operation::Pull(asked) => request.pull(asked).await,
            Operation::Release(context) => request.release(context),
            on_object => request.on_object(on_object).await,
        }
    };
    let body = match header.timeout {
        None => running.await?,
        Some(timeout) if timeout.is_zero() => return Err(timed_out("0 seconds, in which nothing is begun")),
        Some(timeout) => match tokio::time::timeout(timeout, running).await {
            Ok(done) => done?,
            Err(_elapsed) => {
                return Err(timed_out(&format!(
                    "{} seconds; a change that was begun may have been made",
                    timeout.as_secs_f64()
                )));
            }
        },
    };
    let action = response_action(&header.action);
    let heading = Heading {
        action: &action,
        relates_to: Some(&header.message_id),
        id: &caller.correlation,
        has_estimate: header.wants_estimate,
    };
    let text = envelope(&heading, |out| out.raw(&body));
    match header.envelope_bytes_max {
        Some(max) if text.len() as u64 > max => Err(too_large(text.len(), max)),
        _ => Ok(text),
    }
}

/// What options say of the call's context; `of_header`: what the HTTP header says of it.
fn qualifiers(
    handler: &Handler,
    caller: &mut Caller,
    header: &Header,
    of_header: Qualifiers,
) -> Result<Qualifiers, Fault> {
    let refused = |error: QualifierError| {
        let detail = match error {
            QualifierError::Value(..) | QualifierError::Handle => "InvalidValue",
            QualifierError::Form => "InvalidName",
            QualifierError::Unknown(_) | QualifierError::Unsupported(_) => "NotSupported",
        };
        Fault::new(FaultKind::InvalidOptions, "OPTIONS", error.to_string()).detail(detail)
    };
    let mut said = Said::default();
    for option in &header.options {
        match said.pair(&option.name, &option.value) {
            Err(QualifierError::Unknown(_) | QualifierError::Unsupported(_)) if !option.must_comply => {}
            other => other.map_err(refused)?,
        }
    }
    handler.handles.resolve(said, of_header, caller, handler.clock.monotonic()).map_err(refused)
}

fn timed_out(what: &str) -> Fault {
    Fault::new(FaultKind::TimedOut, "TIMED_OUT", format!("OperationTimeout is {what}"))
}

fn ok(text: String) -> Answer {
    Answer::new(StatusCode::OK, wsman::CONTENT_TYPE, Content::Text(text.into()))
}

/// A fault: 500 for all, as its code says whose it is.
fn failed(
    handler: &Handler,
    fault: &Fault,
    relates_to: Option<&str>,
    id: &str,
    header: Option<&Header>,
) -> Answer {
    let config = handler.provider.config();
    let resource = match header {
        Some(header) => header.resource.clone(),
        None => ResourceUri::of_namespace(&handler.namespace),
    };
    let shown = Shown { resource, namespace: handler.namespace.clone(), zone: config.zone.clone() };
    let text = fault_envelope(fault, relates_to, id, &config.host, Some(&shown));
    Answer::new(StatusCode::INTERNAL_SERVER_ERROR, wsman::CONTENT_TYPE, Content::Text(text.into()))
}

//! Refusals: HTTP status and body.

use restock_cim::{Instance, Status, Value};
use restock_names::Zone;

use super::NAMESPACE;
use super::time::Clock;
use super::value::{text, write};

/// The HTTP status of a refusal.
///
/// One table for the whole door. With `everything_is_404` each of them is 404, as the service
/// that Restock follows answers; what concerns signing in and the transport is not in this table.
pub fn http_status(status: Status, everything_is_404: bool) -> u16 {
    if everything_is_404 {
        return 404;
    }
    match status {
        Status::NotFound | Status::InvalidClass | Status::InvalidNamespace | Status::InvalidMethod => 404,
        Status::AccessDenied => 403,
        Status::TypeMismatch
        | Status::InvalidParameter
        | Status::InvalidObject
        | Status::InvalidQuery
        | Status::InvalidQueryType
        | Status::InvalidProperty
        | Status::InvalidObjectPath
        | Status::ReadOnly => 400,
        Status::AlreadyExists | Status::Conflict => 409,
        Status::ProviderNotCapable | Status::NotSupported => 501,
        Status::QuotaViolation => 429,
        Status::ServerTooBusy | Status::CallCancelled => 503,
        Status::Timeout => 504,
        Status::Failed => 500,
    }
}

/// The body of a refusal.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorBody<'a> {
    /// The HTTP status that is sent.
    pub http: u16,
    /// The stable code, such as `UNKNOWN_PROPERTY`.
    pub code: &'a str,
    /// One sentence; a code before it is not repeated.
    pub description: &'a str,
    /// `__ExtendedStatus` or `SMS_ExtendedStatus`; `None` for refusals of the transport.
    pub status: Option<&'a Instance>,
    /// What a failed method returns; 0 is not shown.
    pub return_value: Option<i32>,
    /// Finds the request in logs and audit records.
    pub correlation: &'a str,
}

impl ErrorBody<'_> {
    /// The JSON.
    pub fn to_json(&self) -> String {
        let description = self
            .description
            .strip_prefix(self.code)
            .and_then(|rest| rest.strip_prefix(": "))
            .unwrap_or(self.description);
        let mut out = String::from("{\"error\":{\"code\":");
        text(&mut out, &self.http.to_string());
        out.push_str(",\"message\":");
        text(&mut out, &format!("{}: {description}", self.code));
        out.push_str(",\"innererror\":{\"@odata.type\":");
        let class = self.status.map_or("__ExtendedStatus", |status| status.class.name.as_str());
        text(&mut out, &format!("#{NAMESPACE}.{class}"));
        if let Some(status) = self.status {
            let utc = Zone::utc();
            for (property, value) in status.class.properties.iter().zip(&status.values) {
                out.push(',');
                text(&mut out, property.name.as_str());
                out.push(':');
                write(
                    &mut out,
                    value.as_ref().unwrap_or(&Value::Null),
                    &property.data_type,
                    Clock::Utc,
                    &utc,
                );
            }
        }
        if self.status.is_none() {
            out.push_str(",\"Description\":");
            text(&mut out, description);
        }
        if let Some(value) = self.return_value.filter(|value| *value != 0) {
            out.push_str(&format!(",\"ReturnValue\":{value}"));
        }
        for (name, value) in [("errorCode", self.code), ("correlationId", self.correlation)] {
            out.push(',');
            text(&mut out, name);
            out.push(':');
            text(&mut out, value);
        }
        out.push_str("}}}");
        out
    }
}

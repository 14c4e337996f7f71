//! Faults: subcode, detail, the number that Windows' clients read, and one sentence.
//!
//! [`Fault::of_status`] is the one table from the statuses of the object core.
//! Source: DSP0226, 14 (subcodes and details), DSP0227, 14 (CIM); MS-WSMV 2.2.4.43 and the
//! numbers of wsmerror.h (`WSManFault`).

use restock_cim::{Instance, Status};

use super::names;

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What kind it is.
    pub kind: FaultKind,
    /// The last part of the `faultDetail` URI.
    pub detail: Option<&'static str>,
    /// `WSManFault/@Code`.
    pub number: u32,
    /// A stable code, such as `XML_DEPTH` or `NOT_FOUND`.
    pub code: &'static str,
    /// One sentence; a code before it is not repeated.
    pub description: String,
    /// `__ExtendedStatus` or `SMS_ExtendedStatus`; `None` for faults of the language.
    pub status: Option<Box<Instance>>,
}

/// The subcodes that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the subcodes' own names")]
pub enum FaultKind {
    MustUnderstand,
    ActionNotSupported,
    DestinationUnreachable,
    EndpointUnavailable,
    InvalidMessageInformationHeader,
    MessageInformationHeaderRequired,
    InvalidRepresentation,
    CannotProcessFilter,
    FilterDialectRequestedUnavailable,
    InvalidEnumerationContext,
    AccessDenied,
    AlreadyExists,
    Concurrency,
    EncodingLimit,
    InternalError,
    InvalidOptions,
    InvalidParameter,
    InvalidSelectors,
    QuotaLimit,
    SchemaValidationError,
    TimedOut,
    UnsupportedFeature,
}

/// What a subcode is to the languages.
pub(crate) struct Spelling {
    /// The prefix that answers declare, and the name; `None` for a code of SOAP itself.
    pub(crate) subcode: Option<&'static str>,
    /// `s:Sender`, `s:Receiver` or `s:MustUnderstand`.
    pub(crate) code: &'static str,
    /// `wsa:Action`.
    pub(crate) action: &'static str,
    /// The number when nothing more exact is known.
    number: u32,
}

const ADDRESSING_ACTION: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/fault";
const ENUMERATION_ACTION: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration/fault";
const TRANSFER_ACTION: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer/fault";
const SENDER: &str = "s:Sender";
const RECEIVER: &str = "s:Receiver";

/// `ERROR_WSMAN_INVALID_SELECTOR_VALUE` and its neighbours are what clients of Windows look at.
mod number {
    pub(super) const RESOURCE_NOT_FOUND: u32 = 2_150_858_752;
    pub(super) const PROVIDER_FAILURE: u32 = 2_150_858_755;
    pub(super) const INVALID_HEADER: u32 = 2_150_858_767;
    pub(super) const MUST_UNDERSTAND: u32 = 2_150_858_768;
    pub(super) const HEADER_REQUIRED: u32 = 2_150_858_769;
    pub(super) const ACTION_NOT_SUPPORTED: u32 = 2_150_858_771;
    pub(super) const ENDPOINT_UNAVAILABLE: u32 = 2_150_858_772;
    pub(super) const INVALID_REPRESENTATION: u32 = 2_150_858_773;
    pub(super) const DIALECT_UNAVAILABLE: u32 = 2_150_858_777;
    pub(super) const CANNOT_PROCESS_FILTER: u32 = 2_150_858_778;
    pub(super) const INVALID_CONTEXT: u32 = 2_150_858_779;
    pub(super) const TIMED_OUT: u32 = 2_150_858_793;
    pub(super) const CONCURRENCY: u32 = 2_150_858_802;
    pub(super) const ALREADY_EXISTS: u32 = 2_150_858_803;
    pub(super) const ENCODING_LIMIT: u32 = 2_150_858_805;
    pub(super) const INVALID_OPTIONS: u32 = 2_150_858_809;
    pub(super) const INVALID_PARAMETER: u32 = 2_150_858_810;
    pub(super) const INVALID_SELECTORS: u32 = 2_150_858_813;
    pub(super) const QUOTA_LIMIT: u32 = 2_150_858_815;
    pub(super) const SCHEMA_VALIDATION: u32 = 2_150_858_817;
    pub(super) const UNSUPPORTED_FEATURE: u32 = 2_150_858_818;
    pub(super) const PARAMETER_TYPE: u32 = 2_150_858_836;
    pub(super) const PARAMETER_NAME: u32 = 2_150_858_837;
    pub(super) const XML_VALUES: u32 = 2_150_858_838;
    pub(super) const PROVIDER_NOT_CAPABLE: u32 = 2_150_859_010;
    /// `ERROR_ACCESS_DENIED` of Win32.
    pub(super) const ACCESS_DENIED: u32 = 5;
}

/// `MaxElements` beyond the limit.
pub(super) const NUMBER_MAX_ELEMENTS: u32 = 2_150_859_037;
/// An answer larger than the client takes.
pub(super) const NUMBER_ENVELOPE_EXCEEDED: u32 = 2_150_858_824;
/// A client that takes less than every client must.
pub(super) const NUMBER_ENVELOPE_MIN: u32 = 2_150_858_878;
/// Rows without keys where their addresses are asked for.
pub(super) const NUMBER_NO_KEYS: u32 = 2_150_859_016;

impl FaultKind {
    pub(crate) fn spelling(self) -> Spelling {
        let of = |subcode, code, action, number| Spelling { subcode: Some(subcode), code, action, number };
        let addressing = |name, number| of(name, SENDER, ADDRESSING_ACTION, number);
        let enumeration = |name, code, number| of(name, code, ENUMERATION_ACTION, number);
        let wsman = |name, number| of(name, SENDER, names::FAULT_ACTION, number);
        match self {
            Self::MustUnderstand => Spelling {
                subcode: None,
                code: "s:MustUnderstand",
                action: ADDRESSING_ACTION,
                number: number::MUST_UNDERSTAND,
            },
            Self::ActionNotSupported => addressing("a:ActionNotSupported", number::ACTION_NOT_SUPPORTED),
            Self::DestinationUnreachable => {
                addressing("a:DestinationUnreachable", number::RESOURCE_NOT_FOUND)
            }
            Self::EndpointUnavailable => {
                of("a:EndpointUnavailable", RECEIVER, ADDRESSING_ACTION, number::ENDPOINT_UNAVAILABLE)
            }
            Self::InvalidMessageInformationHeader => {
                addressing("a:InvalidMessageInformationHeader", number::INVALID_HEADER)
            }
            Self::MessageInformationHeaderRequired => {
                addressing("a:MessageInformationHeaderRequired", number::HEADER_REQUIRED)
            }
            Self::InvalidRepresentation => {
                of("x:InvalidRepresentation", SENDER, TRANSFER_ACTION, number::INVALID_REPRESENTATION)
            }
            Self::CannotProcessFilter => {
                enumeration("n:CannotProcessFilter", SENDER, number::CANNOT_PROCESS_FILTER)
            }
            Self::FilterDialectRequestedUnavailable => {
                enumeration("n:FilterDialectRequestedUnavailable", SENDER, number::DIALECT_UNAVAILABLE)
            }
            Self::InvalidEnumerationContext => {
                enumeration("n:InvalidEnumerationContext", RECEIVER, number::INVALID_CONTEXT)
            }
            Self::AccessDenied => wsman("w:AccessDenied", number::ACCESS_DENIED),
            Self::AlreadyExists => wsman("w:AlreadyExists", number::ALREADY_EXISTS),
            Self::Concurrency => wsman("w:Concurrency", number::CONCURRENCY),
            Self::EncodingLimit => wsman("w:EncodingLimit", number::ENCODING_LIMIT),
            Self::InternalError => {
                of("w:InternalError", RECEIVER, names::FAULT_ACTION, number::PROVIDER_FAILURE)
            }
            Self::InvalidOptions => wsman("w:InvalidOptions", number::INVALID_OPTIONS),
            Self::InvalidParameter => wsman("w:InvalidParameter", number::INVALID_PARAMETER),
            Self::InvalidSelectors => wsman("w:InvalidSelectors", number::INVALID_SELECTORS),
            Self::QuotaLimit => wsman("w:QuotaLimit", number::QUOTA_LIMIT),
            Self::SchemaValidationError => wsman("w:SchemaValidationError", number::SCHEMA_VALIDATION),
            Self::TimedOut => of("w:TimedOut", RECEIVER, names::FAULT_ACTION, number::TIMED_OUT),
            Self::UnsupportedFeature => wsman("w:UnsupportedFeature", number::UNSUPPORTED_FEATURE),
        }
    }
}

impl Fault {
    /// A fault of the language. `code`: a stable code.
    pub fn new(kind: FaultKind, code: &'static str, description: impl Into<String>) -> Self {
        Self {
            kind,
            detail: None,
            number: kind.spelling().number,
            code,
            description: description.into(),
            status: None,
        }
    }

    /// The same with the last part of a `faultDetail` URI.
    #[must_use]
    pub fn detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    #[must_use]
    pub(super) fn numbered(mut self, number: u32) -> Self {
        self.number = number;
        self
    }

    /// A refusal of the object core or of the provider; `status` is what it says of itself.
    pub fn of_status(
        status: Status,
        code: &'static str,
        description: impl Into<String>,
        instance: Option<Box<Instance>>,
    ) -> Self {
        let (kind, detail, number) = match status {
            Status::NotFound | Status::InvalidClass | Status::InvalidNamespace => {
                (FaultKind::DestinationUnreachable, Some("InvalidResourceURI"), None)
            }
            Status::AccessDenied => (FaultKind::AccessDenied, None, None),
            Status::TypeMismatch => {
                (FaultKind::InvalidParameter, Some("TypeMismatch"), Some(number::PARAMETER_TYPE))
            }
            Status::InvalidParameter => (FaultKind::InvalidParameter, None, None),
            Status::InvalidProperty => {
                (FaultKind::InvalidParameter, Some("InvalidName"), Some(number::PARAMETER_NAME))
            }
            Status::InvalidObject | Status::ReadOnly => {
                (FaultKind::InvalidRepresentation, Some("InvalidValues"), Some(number::XML_VALUES))
            }
            Status::InvalidQuery => (FaultKind::CannotProcessFilter, None, None),
            Status::InvalidQueryType => (FaultKind::FilterDialectRequestedUnavailable, None, None),
            Status::AlreadyExists => (FaultKind::AlreadyExists, None, None),
            Status::InvalidMethod => (FaultKind::ActionNotSupported, None, None),
            Status::ProviderNotCapable | Status::NotSupported => {
                (FaultKind::UnsupportedFeature, None, Some(number::PROVIDER_NOT_CAPABLE))
            }
            Status::InvalidObjectPath => (FaultKind::InvalidSelectors, None, None),
            Status::Timeout => (FaultKind::TimedOut, None, None),
            Status::Conflict => (FaultKind::Concurrency, None, None),
            Status::QuotaViolation => (FaultKind::QuotaLimit, None, None),
            Status::ServerTooBusy | Status::CallCancelled => (FaultKind::EndpointUnavailable, None, None),
            Status::Failed => (FaultKind::InternalError, None, None),
        };
        let mut fault = Self::new(kind, code, description);
        fault.detail = detail;
        fault.number = number.unwrap_or(fault.number);
        fault.status = instance;
        fault
    }

    /// Code and sentence as people read them.
    pub fn text(&self) -> String {
        let rest =
            self.description.strip_prefix(self.code).and_then(|description| description.strip_prefix(": "));
        format!("{}: {}", self.code, rest.unwrap_or(&self.description))
    }
}

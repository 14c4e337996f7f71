//! The numbers of errors.

use restock_cim::Status;

/// A CIM status code. Source: DSP0200, 5.4.1 and table 20.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the standard's own names")]
pub enum CimCode {
    Failed = 1,
    AccessDenied = 2,
    InvalidNamespace = 3,
    InvalidParameter = 4,
    InvalidClass = 5,
    NotFound = 6,
    NotSupported = 7,
    AlreadyExists = 11,
    NoSuchProperty = 12,
    TypeMismatch = 13,
    QueryLanguageNotSupported = 14,
    InvalidQuery = 15,
    MethodNotAvailable = 16,
    MethodNotFound = 17,
    NamespaceNotEmpty = 20,
    InvalidEnumerationContext = 21,
    InvalidOperationTimeout = 22,
    FilteredEnumerationNotSupported = 25,
    ContinuationOnErrorNotSupported = 26,
    ServerLimitsExceeded = 27,
    ServerIsShuttingDown = 28,
}

impl CimCode {
    /// The number.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// The code of a refusal: one table for the whole door. `is_call`: a method was called.
pub fn status_code(status: Status, is_call: bool) -> CimCode {
    match status {
        Status::Failed | Status::Conflict | Status::Timeout => CimCode::Failed,
        Status::NotFound => CimCode::NotFound,
        Status::AccessDenied => CimCode::AccessDenied,
        Status::TypeMismatch => CimCode::TypeMismatch,
        Status::InvalidParameter | Status::InvalidObject | Status::InvalidObjectPath | Status::ReadOnly => {
            CimCode::InvalidParameter
        }
        Status::InvalidNamespace => CimCode::InvalidNamespace,
        Status::InvalidClass => CimCode::InvalidClass,
        Status::InvalidQuery => CimCode::InvalidQuery,
        Status::InvalidQueryType => CimCode::QueryLanguageNotSupported,
        Status::InvalidProperty => CimCode::NoSuchProperty,
        Status::AlreadyExists => CimCode::AlreadyExists,
        Status::ProviderNotCapable if is_call => CimCode::MethodNotAvailable,
        Status::ProviderNotCapable | Status::NotSupported => CimCode::NotSupported,
        Status::InvalidMethod => CimCode::MethodNotFound,
        Status::QuotaViolation | Status::ServerTooBusy => CimCode::ServerLimitsExceeded,
        Status::CallCancelled => CimCode::ServerIsShuttingDown,
    }
}

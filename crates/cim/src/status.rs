//! The statuses of the object core.

/// Why a request was refused, in WMI's words. Each door maps it to its own code.
///
/// Source: WBEMSTATUS of the WMI SDK (wbemcli.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Something else went wrong.
    Failed,
    /// No such instance.
    NotFound,
    /// The right is missing.
    AccessDenied,
    /// A value has another type than was declared.
    TypeMismatch,
    /// A parameter or property is wrong, missing or unknown.
    InvalidParameter,
    /// No such namespace.
    InvalidNamespace,
    /// An object cannot be what it was to become.
    InvalidObject,
    /// No such class.
    InvalidClass,
    /// The query cannot be read.
    InvalidQuery,
    /// The query language is not known.
    InvalidQueryType,
    /// No such property.
    InvalidProperty,
    /// It exists already.
    AlreadyExists,
    /// Declared, but not supported by the provider.
    ProviderNotCapable,
    /// No such method.
    InvalidMethod,
    /// Not supported by the object core.
    NotSupported,
    /// The path cannot be read.
    InvalidObjectPath,
    /// The deadline passed.
    Timeout,
    /// The caller went away or the service stops.
    CallCancelled,
    /// The property is not to be written.
    ReadOnly,
    /// Too much at once.
    QuotaViolation,
    /// The state of the object stands against it, or it has changed meanwhile.
    Conflict,
    /// The service cannot take it just now.
    ServerTooBusy,
}

impl Status {
    /// The HRESULT.
    pub fn wbem(self) -> u32 {
        match self {
            // WMI has no status of its own for an object in another state.
            Self::Failed | Self::Conflict => 0x8004_1001,
            Self::NotFound => 0x8004_1002,
            Self::AccessDenied => 0x8004_1003,
            Self::TypeMismatch => 0x8004_1005,
            Self::InvalidParameter => 0x8004_1008,
            Self::NotSupported => 0x8004_100C,
            Self::InvalidNamespace => 0x8004_100E,
            Self::InvalidObject => 0x8004_100F,
            Self::InvalidClass => 0x8004_1010,
            Self::InvalidQuery => 0x8004_1017,
            Self::InvalidQueryType => 0x8004_1018,
            Self::AlreadyExists => 0x8004_1019,
            Self::ReadOnly => 0x8004_1023,
            Self::ProviderNotCapable => 0x8004_1024,
            Self::InvalidMethod => 0x8004_102E,
            Self::InvalidProperty => 0x8004_1031,
            Self::CallCancelled => 0x8004_1032,
            Self::InvalidObjectPath => 0x8004_103A,
            Self::ServerTooBusy => 0x8004_1045,
            Self::QuotaViolation => 0x8004_106C,
            Self::Timeout => 0x8004_1069,
        }
    }

    /// The name without its prefix, as WMI tools print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed | Self::Conflict => "Failed",
            Self::NotFound => "NotFound",
            Self::AccessDenied => "AccessDenied",
            Self::TypeMismatch => "TypeMismatch",
            Self::InvalidParameter => "InvalidParameter",
            Self::NotSupported => "NotSupported",
            Self::InvalidNamespace => "InvalidNamespace",
            Self::InvalidObject => "InvalidObject",
            Self::InvalidClass => "InvalidClass",
            Self::InvalidQuery => "InvalidQuery",
            Self::InvalidQueryType => "InvalidQueryType",
            Self::AlreadyExists => "AlreadyExists",
            Self::ReadOnly => "ReadOnly",
            Self::ProviderNotCapable => "ProviderNotCapable",
            Self::InvalidMethod => "InvalidMethod",
            Self::InvalidProperty => "InvalidProperty",
            Self::CallCancelled => "CallCancelled",
            Self::InvalidObjectPath => "InvalidObjectPath",
            Self::ServerTooBusy => "ServerTooBusy",
            Self::QuotaViolation => "QuotaViolation",
            Self::Timeout => "Timeout",
        }
    }
}

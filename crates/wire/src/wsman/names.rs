//! Namespaces, actions and dialects.

/// SOAP 1.2.
pub const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
/// WS-Addressing, August 2004.
pub const ADDRESSING: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
/// WS-Enumeration.
pub const ENUMERATION: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration";
/// WS-Transfer.
pub const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";
/// WS-Management.
pub const WSMAN: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd";
/// Identify.
pub const IDENTITY: &str = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd";
/// Identify as pypsrp spells it.
pub const IDENTITY_MISSPELLED: &str = "http://schemas.dmtf.org/wbem/wsman/identify/1/wsmanidentity.xsd";
/// The CIM binding. Source: DSP0227.
pub const CIM_BINDING: &str = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd";
/// Common elements of instances. Source: DSP0230.
pub const CIM_COMMON: &str = "http://schemas.dmtf.org/wbem/wscim/1/common";
/// `xsi:type` and `xsi:nil`.
pub const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// The detail of faults that Windows' clients read. Source: MS-WSMV 2.2.4.43.
pub const WSMAN_FAULT: &str = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault";

/// The address of whoever waits for the answer on this connection.
pub const ANONYMOUS: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous";

/// What stands before a namespace and a class. Source: MS-WSMV 3.1.4.1.1.
pub const WMI_PREFIX: &str = "http://schemas.microsoft.com/wbem/wsman/1/wmi/";
/// What stands before a class; the namespace is a selector. Source: DSP0227, 6.1.
pub const CIM_PREFIX: &str = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/";
/// All classes. Source: DSP0227, 6.1.
pub const CIM_ALL: &str = "http://schemas.dmtf.org/wbem/wscim/1/*";
/// The selector that names a namespace. Source: DSP0227, 6.3.
pub const NAMESPACE_SELECTOR: &str = "__cimnamespace";

/// WQL as a filter. Source: MS-WSMV 3.1.5.2.1.
pub const WQL: &str = "http://schemas.microsoft.com/wbem/wsman/1/WQL";
/// Selectors as a filter. Source: DSP0226, annex E.
pub const SELECTOR_FILTER: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/SelectorFilter";
/// Partners of an object as a filter. Source: DSP0227, 8.2.
pub const ASSOCIATION_FILTER: &str = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding/associationFilter";

/// The action of faults of WS-Management itself.
pub(crate) const FAULT_ACTION: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault";
/// What stands before the name of a fault's detail.
pub(crate) const FAULT_DETAIL: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/";

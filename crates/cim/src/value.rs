//! Types and values of properties and parameters.

use crate::{Instance, Name};

/// A CIM type without its array mark. Source: DSP0004, 5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the types' own names")]
pub enum CimType {
    Boolean,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    SInt8,
    SInt16,
    SInt32,
    SInt64,
    Real32,
    Real64,
    Char16,
    String,
    DateTime,
    /// A path to an instance.
    Reference,
    /// An embedded instance.
    Object,
}

/// The declared type of a property, parameter or return value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataType {
    /// The type of one element.
    pub cim: CimType,
    /// Whether it is an array of them.
    pub is_array: bool,
    /// The class of a [`CimType::Reference`] or [`CimType::Object`]; a value may be of a subclass.
    pub class: Option<Name>,
}

/// A value. `Null` is no value at all, which differs from 0 and from an empty text or array.
///
/// Integers carry no width of their own: their declared [`DataType`] gives it, and what was
/// checked against it fits.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// true or false.
    Boolean(bool),
    /// Any unsigned width.
    Unsigned(u64),
    /// Any signed width.
    Signed(i64),
    /// Real32 and Real64.
    Real(f64),
    /// One UTF-16 unit.
    Char(u16),
    /// Text; compared without letter case.
    String(String),
    /// A time or an interval.
    DateTime(crate::DateTime),
    /// The path of an instance.
    Reference(Box<crate::ObjectPath>),
    /// An embedded instance.
    Object(Box<Instance>),
    /// An array; its elements are of one type.
    Array(Vec<Value>),
}

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

/// Why a value does not fit a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} is no {wanted}")]
pub struct TypeError {
    /// The type, as MOF writes it.
    pub wanted: String,
    /// What was found, shortened.
    pub found: String,
}

impl CimType {
    /// The type that MOF calls `word`, without case.
    pub fn of_mof(word: &str) -> Option<Self> {
        let all = [
            Self::Boolean,
            Self::UInt8,
            Self::UInt16,
            Self::UInt32,
            Self::UInt64,
            Self::SInt8,
            Self::SInt16,
            Self::SInt32,
            Self::SInt64,
            Self::Real32,
            Self::Real64,
            Self::Char16,
            Self::String,
            Self::DateTime,
        ];
        all.into_iter().find(|cim| cim.mof().eq_ignore_ascii_case(word))
    }

    /// Its name in MOF.
    pub fn mof(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::UInt8 => "uint8",
            Self::UInt16 => "uint16",
            Self::UInt32 => "uint32",
            Self::UInt64 => "uint64",
            Self::SInt8 => "sint8",
            Self::SInt16 => "sint16",
            Self::SInt32 => "sint32",
            Self::SInt64 => "sint64",
            Self::Real32 => "real32",
            Self::Real64 => "real64",
            Self::Char16 => "char16",
            Self::String => "string",
            Self::DateTime => "datetime",
            Self::Reference => "ref",
            Self::Object => "object",
        }
    }

    /// The least and the greatest value of an integer type.
    pub fn range(self) -> Option<(i128, i128)> {
        let range = |min: i64, max: u64| (i128::from(min), i128::from(max));
        Some(match self {
            Self::UInt8 => range(0, u8::MAX.into()),
            Self::UInt16 => range(0, u16::MAX.into()),
            Self::UInt32 => range(0, u32::MAX.into()),
            Self::UInt64 => range(0, u64::MAX),
            Self::SInt8 => (i8::MIN.into(), i8::MAX.into()),
            Self::SInt16 => (i16::MIN.into(), i16::MAX.into()),
            Self::SInt32 => (i32::MIN.into(), i32::MAX.into()),
            Self::SInt64 => (i64::MIN.into(), i64::MAX.into()),
            _ => return None,
        })
    }

    fn is_signed(self) -> bool {
        matches!(self, Self::SInt8 | Self::SInt16 | Self::SInt32 | Self::SInt64)
    }
}

impl std::fmt::Display for DataType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.class {
            Some(class) => write!(f, "{}:{class}", self.cim.mof())?,
            None => f.write_str(self.cim.mof())?,
        }
        f.write_str(if self.is_array { "[]" } else { "" })
    }
}

impl DataType {
    /// A type that is no array.
    pub fn of(cim: CimType) -> Self {
        Self { cim, is_array: false, class: None }
    }

    /// An array type.
    pub fn array_of(cim: CimType) -> Self {
        Self { cim, is_array: true, class: None }
    }

    /// `value` in the form this type has: integers of the right sign and within its width, DMTF
    /// text as a time. `Null` fits every type.
    ///
    /// Errors: a value of another kind, out of range, or an embedded instance of a class that
    /// does not derive from the declared one. Nothing is rounded and no text becomes a number.
    pub fn check(&self, value: Value) -> Result<Value, TypeError> {
        match value {
            Value::Null => Ok(Value::Null),
            Value::Array(values) if self.is_array => {
                let values = values.into_iter().map(|value| match value {
                    Value::Null => Err(self.refuse(&Value::Null)),
                    value => self.check_one(value),
                });
                values.collect::<Result<_, _>>().map(Value::Array)
            }
            value if self.is_array => Err(self.refuse(&value)),
            value => self.check_one(value),
        }
    }

    fn check_one(&self, value: Value) -> Result<Value, TypeError> {
        match (self.cim, value) {
            (CimType::Boolean, Value::Boolean(is)) => Ok(Value::Boolean(is)),
            (CimType::String, Value::String(text)) => Ok(Value::String(text)),
            (CimType::Char16, Value::Char(unit)) => Ok(Value::Char(unit)),
            (CimType::DateTime, Value::DateTime(time)) => Ok(Value::DateTime(time)),
            (CimType::DateTime, Value::String(text)) => match text.parse() {
                Ok(time) => Ok(Value::DateTime(time)),
                Err(_) => Err(self.refuse(&Value::String(text))),
            },
            (CimType::Real32 | CimType::Real64, Value::Real(number)) => Ok(Value::Real(number)),
            (CimType::Reference, Value::Reference(path)) => Ok(Value::Reference(path)),
            (CimType::Object, Value::Object(object)) => match &self.class {
                Some(class) if !object.class.is_a(class.as_str()) => Err(self.refuse(&Value::Object(object))),
                _ => Ok(Value::Object(object)),
            },
            (cim, value @ (Value::Unsigned(_) | Value::Signed(_))) => {
                let number = match value {
                    Value::Signed(number) => i128::from(number),
                    Value::Unsigned(number) => i128::from(number),
                    _ => return Err(self.refuse(&value)),
                };
                let fits = cim.range().is_some_and(|(min, max)| (min..=max).contains(&number));
                match (fits, cim.is_signed()) {
                    (true, true) => {
                        i64::try_from(number).map(Value::Signed).map_err(|_unfit| self.refuse(&value))
                    }
                    (true, false) => {
                        u64::try_from(number).map(Value::Unsigned).map_err(|_unfit| self.refuse(&value))
                    }
                    (false, _) => Err(self.refuse(&value)),
                }
            }
            (_, value) => Err(self.refuse(&value)),
        }
    }

    fn refuse(&self, value: &Value) -> TypeError {
        let found = match value {
            Value::Null => "null".to_owned(),
            Value::Boolean(is) => is.to_string(),
            Value::Unsigned(number) => number.to_string(),
            Value::Signed(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Char(unit) => format!("the UTF-16 unit {unit}"),
            Value::String(text) => format!("the text {:?}", text.chars().take(60).collect::<String>()),
            Value::DateTime(time) => time.to_string(),
            Value::Reference(path) => format!("the path of a {}", path.class),
            Value::Object(object) => format!("an instance of {}", object.class.name),
            Value::Array(_) => "an array".to_owned(),
        };
        TypeError { wanted: self.to_string(), found }
    }
}

impl Value {
    /// The text of a text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number of an integer of any width.
    pub fn as_integer(&self) -> Option<i128> {
        match self {
            Self::Unsigned(number) => Some((*number).into()),
            Self::Signed(number) => Some((*number).into()),
            _ => None,
        }
    }

    /// The truth of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(is) => Some(*is),
            _ => None,
        }
    }
}

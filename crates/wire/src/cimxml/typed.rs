//! What was sent, by the declarations.

use restock_cim::{CimType, Class, DataType, DateTime, Instance, Method, Name, Schema, Value};
use restock_names::{Escaped, Zone};

use super::request::{Raw, RawInstance, RawValue, instance};
use super::{Clock, clock_of};
use crate::xml::{self, Limits};

/// Embedded objects within each other.
const EMBEDDED_DEPTH_MAX: usize = 4;
/// What the text of an embedded object may be.
const EMBEDDED: Limits = Limits { bytes_max: 1 << 18, depth_max: 16, attributes_max: 16, nodes_max: 10_000 };

/// A value that does not fit its declaration. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Another type.
    #[error("TYPE: {} wants {wanted}, not {}", Escaped(.place.as_bytes()), Escaped(.found.as_bytes()))]
    Type {
        /// Class and property, or method and parameter.
        place: String,
        /// The declared type.
        wanted: String,
        /// What was sent.
        found: String,
    },
    /// The class has no such property.
    #[error("UNKNOWN_PROPERTY: {class} has no property {}", Escaped(.property.as_bytes()))]
    Property {
        /// The class.
        class: String,
        /// What was sent.
        property: String,
    },
    /// No class of that name is declared.
    #[error("INVALID_CLASS: no class {} is declared", Escaped(.0.as_bytes()))]
    Class(String),
}

impl ValueError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Type { .. } => "TYPE",
            Self::Property { .. } => "UNKNOWN_PROPERTY",
            Self::Class(_) => "INVALID_CLASS",
        }
    }
}

/// What reading values needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The declarations.
    pub schema: &'a Schema,
    /// The site's zone.
    pub zone: &'a Zone,
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

impl Reading<'_> {
    /// The properties of an object of `class`, each of its declared type.
    ///
    /// Errors: [`ValueError`]; nothing is dropped.
    pub fn properties(&self, class: &Class, sent: &[RawValue]) -> Result<Vec<(Name, Value)>, ValueError> {
        let is_utc = sent.iter().any(|value| {
            value.name.is("IsGMT")
                && matches!(&value.raw, Raw::One(text) if text.trim().eq_ignore_ascii_case("true"))
        });
        let values = sent.iter().filter(|value| !value.name.as_str().starts_with("__")).map(|value| {
            let property = class.property(value.name.as_str()).ok_or_else(|| ValueError::Property {
                class: class.name.to_string(),
                property: shortened(value.name.as_str()),
            })?;
            let clock = match clock_of(class, property) {
                Clock::Digits if is_utc => Clock::Utc,
                clock => clock,
            };
            let at = At { place: format!("property {}.{}", class.name, property.name), clock, depth: 0 };
            Ok((property.name.clone(), self.value(value, &property.data_type, &at)?))
        });
        values.collect()
    }

    /// The arguments of a call. What the method does not declare is handed on as text, so that the
    /// provider refuses it by its name.
    ///
    /// Errors: [`ValueError::Type`].
    pub fn arguments(&self, method: &Method, sent: &[RawValue]) -> Result<Vec<(Name, Value)>, ValueError> {
        let arguments = sent.iter().map(|value| {
            let parameter = method.parameters.iter().find(|parameter| parameter.name == value.name);
            let Some(parameter) = parameter else {
                return Ok((value.name.clone(), Value::Null));
            };
            let place = format!("parameter {} of {}", parameter.name, method.name);
            let at = At { place, clock: Clock::Utc, depth: 0 };
            Ok((parameter.name.clone(), self.value(value, &parameter.data_type, &at)?))
        });
        arguments.collect()
    }

    fn value(&self, sent: &RawValue, data_type: &DataType, at: &At) -> Result<Value, ValueError> {
        if let Some(kind) = sent.kind.as_deref().filter(|kind| !may_be(kind, data_type.cim)) {
            return Err(at.unfit(data_type, kind.to_owned()));
        }
        match &sent.raw {
            Raw::Null => Ok(Value::Null),
            Raw::One(text) if !data_type.is_array => self.one(text, data_type, at),
            Raw::Many(items) if data_type.is_array => {
                let items = items.iter().map(|item| match item {
                    Some(text) => self.one(text, data_type, at),
                    None => Err(at.unfit(data_type, "an element without a value".to_owned())),
                });
                items.collect::<Result<_, _>>().map(Value::Array)
            }
            Raw::Path(path) if data_type.cim == CimType::Reference && !data_type.is_array => {
                Ok(Value::Reference(Box::new(path.clone())))
            }
            Raw::Paths(paths) if data_type.cim == CimType::Reference && data_type.is_array => {
                Ok(Value::Array(paths.iter().map(|path| Value::Reference(Box::new(path.clone()))).collect()))
            }
            Raw::Instance(_, sent) if data_type.cim == CimType::Object && !data_type.is_array => {
                self.object(sent, data_type, at)
            }
            Raw::One(text) => Err(at.unfit(data_type, format!("the text {:?}", shortened(text)))),
            Raw::Many(_) | Raw::Paths(_) => Err(at.unfit(data_type, "an array".to_owned())),
            Raw::Path(_) => Err(at.unfit(data_type, "the name of an object".to_owned())),
            Raw::Instance(..) => Err(at.unfit(data_type, "an instance".to_owned())),
            Raw::Declaration => Err(at.unfit(data_type, "a declaration".to_owned())),
        }
    }

    /// One value, or one element of an array.
    fn one(&self, text: &str, data_type: &DataType, at: &At) -> Result<Value, ValueError> {
        let unfit = || at.unfit(data_type, format!("the text {:?}", shortened(text)));
        let trimmed = text.trim();
        let value = match data_type.cim {
            CimType::String => Value::String(text.to_owned()),
            CimType::Boolean => match () {
                () if trimmed.eq_ignore_ascii_case("true") => Value::Boolean(true),
                () if trimmed.eq_ignore_ascii_case("false") => Value::Boolean(false),
                () => return Err(unfit()),
            },
            CimType::Real32 | CimType::Real64 => match trimmed.parse::<f64>() {
                Ok(number) if number.is_finite() => Value::Real(number),
                _ => return Err(unfit()),
            },
            CimType::Char16 => {
                let mut units = text.encode_utf16();
                match (units.next(), units.next()) {
                    (Some(unit), None) => Value::Char(unit),
                    _ => return Err(unfit()),
                }
            }
            CimType::DateTime => Value::DateTime(self.time(trimmed, at.clock).ok_or_else(unfit)?),
            CimType::Reference => Value::Reference(Box::new(trimmed.parse().map_err(|_unread| unfit())?)),
            CimType::Object => {
                if at.depth >= EMBEDDED_DEPTH_MAX {
                    let found = "an object that stands too deep in others".to_owned();
                    return Err(at.unfit(data_type, found));
                }
                let read = xml::read(text.as_bytes(), None, &EMBEDDED).map_err(|refused| refused.to_string());
                let sent = read.and_then(|element| instance(&element).map_err(|error| error.to_string()));
                let sent =
                    sent.map_err(|why| at.unfit(data_type, format!("a text that is no INSTANCE ({why})")))?;
                return self.object(&sent, data_type, at);
            }
            _ => {
                let number = match trimmed.strip_prefix("0x").or_else(|| trimmed.strip_prefix("0X")) {
                    Some(digits) => u64::from_str_radix(digits, 16).map(i128::from).ok(),
                    None => trimmed.parse::<i128>().ok(),
                };
                match number.map(|number| (i64::try_from(number), u64::try_from(number))) {
                    Some((Ok(number), _)) => Value::Signed(number),
                    Some((_, Ok(number))) => Value::Unsigned(number),
                    _ => return Err(unfit()),
                }
            }
        };
        let element = DataType { is_array: false, ..data_type.clone() };
        element.check(value).map_err(|error| at.unfit(data_type, error.found))
    }

    fn object(&self, sent: &RawInstance, data_type: &DataType, at: &At) -> Result<Value, ValueError> {
        let found = || at.unfit(data_type, format!("an instance of {}", shortened(sent.class.as_str())));
        let class = self.schema.class(sent.class.as_str()).ok_or_else(found)?;
        if data_type.class.as_ref().is_some_and(|declared| !class.is_a(declared.as_str())) {
            return Err(found());
        }
        let mut object = Instance::new(std::sync::Arc::clone(class));
        let is_utc = sent.properties.iter().any(|value| {
            value.name.is("IsGMT")
                && matches!(&value.raw, Raw::One(text) if text.trim().eq_ignore_ascii_case("true"))
        });
        for value in &sent.properties {
            let property = class.property(value.name.as_str()).ok_or_else(|| ValueError::Property {
                class: class.name.to_string(),
                property: shortened(value.name.as_str()),
            })?;
            let clock = match clock_of(class, property) {
                Clock::Digits if is_utc => Clock::Utc,
                clock => clock,
            };
            let place = format!("{}, property {}.{}", at.place, class.name, property.name);
            let inner = At { place, clock, depth: at.depth.saturating_add(1) };
            object.set(value.name.as_str(), self.value(value, &property.data_type, &inner)?);
        }
        Ok(Value::Object(Box::new(object)))
    }

    fn time(&self, text: &str, clock: Clock) -> Option<DateTime> {
        Some(match (text.parse().ok()?, clock) {
            (DateTime::Moment(at, _), Clock::Site) => DateTime::Local(self.zone.utc_to_local(at)),
            (DateTime::Moment(at, _), Clock::Utc) => DateTime::Moment(at, 0),
            (DateTime::Local(digits), Clock::Utc) => DateTime::Moment(self.zone.local_to_utc(digits), 0),
            // The digits count as they stand, whatever offset follows them.
            (time, _) => time,
        })
    }
}

/// Where a value stands.
struct At {
    place: String,
    clock: Clock,
    depth: usize,
}

impl At {
    fn unfit(&self, wanted: &DataType, found: String) -> ValueError {
        ValueError::Type { place: self.place.clone(), wanted: wanted.to_string(), found }
    }
}

/// True when a value that calls itself `kind` may be one of a declared type: the width of a number
/// is not the sender's to know.
fn may_be(kind: &str, declared: CimType) -> bool {
    let kind = kind.to_ascii_lowercase();
    match declared {
        CimType::Object => matches!(kind.as_str(), "string" | "instance" | "object"),
        CimType::Reference => matches!(kind.as_str(), "reference" | "string"),
        CimType::DateTime => matches!(kind.as_str(), "datetime" | "string"),
        CimType::String => matches!(kind.as_str(), "string" | "char16"),
        CimType::Char16 => matches!(kind.as_str(), "char16" | "string"),
        CimType::Boolean => kind == "boolean",
        CimType::Real32 | CimType::Real64 => kind.starts_with("real") || is_integer(&kind),
        _ => is_integer(&kind),
    }
}

fn is_integer(kind: &str) -> bool {
    CimType::of_mof(kind).is_some_and(|cim| cim.range().is_some())
}

//! Values between JSON and their declared types.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use restock_cim::{CimType, Class, DataType, Instance, Schema, Value};
use restock_names::Zone;

use super::NAMESPACE;
use super::address::shortened;
use super::json::Json;
use super::time::{self, Clock};

/// Reads both alphabets (the second one with `-` and `_`), padded or not; writes the first, padded.
const READERS: [GeneralPurpose; 2] = {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [GeneralPurpose::new(&alphabet::STANDARD, LENIENT), GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT)]
};

/// The class whose `StartTime` may be digits of a clock.
const TOKEN: &str = "SMS_ScheduleToken";

/// A value that does not fit its declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    /// Members of embedded objects on the way, outermost first.
    pub(crate) path: Vec<String>,
    pub(crate) reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Another type.
    Type { wanted: String, found: String },
    /// An embedded object has a member that its class has not.
    Unknown { class: String },
}

/// What reading values needs to know.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) zone: &'a Zone,
}

/// The clock of a property of `class`.
pub(crate) fn clock_of(class: &Class, property: &restock_cim::Property) -> Clock {
    if class.is_a(TOKEN) && property.name.is("StartTime") {
        Clock::Digits
    } else if property.is_local_time() {
        Clock::Site
    } else {
        Clock::Utc
    }
}

impl Reading<'_> {
    /// `json` as a value of `data_type`. `null` fits every type.
    pub(crate) fn value(&self, json: Json, data_type: &DataType, clock: Clock) -> Result<Value, Unfit> {
        match json {
            Json::Null => Ok(Value::Null),
            Json::String(text) if is_binary(data_type) => match bytes(&text) {
                Some(bytes) => {
                    Ok(Value::Array(bytes.into_iter().map(|b| Value::Unsigned(b.into())).collect()))
                }
                None => Err(unfit("base64 text".to_owned(), &Json::String(text))),
            },
            Json::Array(items) if data_type.is_array => {
                let element = DataType { is_array: false, ..data_type.clone() };
                let items = items.into_iter().map(|item| match item {
                    Json::Null => Err(unfit(element.to_string(), &Json::Null)),
                    item => self.value(item, &element, clock),
                });
                items.collect::<Result<_, _>>().map(Value::Array)
            }
            json if data_type.is_array => Err(unfit(data_type.to_string(), &json)),
            json => self.one(json, data_type, clock),
        }
    }

    fn one(&self, json: Json, data_type: &DataType, clock: Clock) -> Result<Value, Unfit> {
        let wrong = |json: &Json| unfit(data_type.to_string(), json);
        let value = match (data_type.cim, json) {
            (CimType::Object, Json::Object(members)) => return self.object(members, data_type),
            (CimType::DateTime, Json::String(text)) => {
                return match time::read(&text, clock, self.zone) {
                    Some(time) => Ok(Value::DateTime(time)),
                    None => {
                        Err(unfit("a time such as \"2026-11-22T10:00:00Z\"".to_owned(), &Json::String(text)))
                    }
                };
            }
            (CimType::Reference, Json::String(text)) => {
                return match text.parse() {
                    Ok(path) => Ok(Value::Reference(Box::new(path))),
                    Err(_) => Err(wrong(&Json::String(text))),
                };
            }
            (CimType::Char16, Json::String(text)) => {
                let mut units = text.encode_utf16();
                return match (units.next(), units.next()) {
                    (Some(unit), None) => Ok(Value::Char(unit)),
                    _ => Err(wrong(&Json::String(text))),
                };
            }
            (CimType::Real32 | CimType::Real64, Json::Integer(number)) => Value::Real(number as f64),
            (CimType::Real32 | CimType::Real64, Json::Real(number)) => Value::Real(number),
            (_, Json::Boolean(is)) => Value::Boolean(is),
            (_, Json::String(text)) => Value::String(text),
            (_, Json::Integer(number)) => match (i64::try_from(number), u64::try_from(number)) {
                (Ok(number), _) => Value::Signed(number),
                (_, Ok(number)) => Value::Unsigned(number),
                _ => return Err(wrong(&Json::Integer(number))),
            },
            (_, json) => return Err(wrong(&json)),
        };
        data_type.check(value).map_err(|error| Unfit {
            path: Vec::new(),
            reason: Reason::Type { wanted: error.wanted, found: error.found },
        })
    }

    /// An embedded object: `@odata.type` names its class, or it is of the declared one.
    fn object(&self, members: Vec<(String, Json)>, data_type: &DataType) -> Result<Value, Unfit> {
        let declared = data_type.class.as_ref();
        let wanted = data_type.to_string();
        let marked = members.iter().find(|(name, _)| name.eq_ignore_ascii_case("@odata.type"));
        let name = match marked {
            Some((_, Json::String(marker))) => {
                let prefix = format!("#{NAMESPACE}.");
                marker.strip_prefix(&prefix).or_else(|| marker.strip_prefix('#')).unwrap_or(marker)
            }
            Some((_, other)) => return Err(unfit("the name of a class in @odata.type".to_owned(), other)),
            None => declared.map_or("", |name| name.as_str()),
        };
        let class = self.schema.class(name).filter(|class| match declared {
            Some(declared) => class.is_a(declared.as_str()),
            None => true,
        });
        let Some(class) = class.cloned() else {
            return Err(unfit(wanted, &Json::String(name.to_owned())));
        };
        if class.has("Abstract") && marked.is_none() {
            let found = "an object without @odata.type, whose class is abstract".to_owned();
            return Err(Unfit { path: Vec::new(), reason: Reason::Type { wanted, found } });
        }
        let is_utc = members
            .iter()
            .any(|(name, value)| name.eq_ignore_ascii_case("IsGMT") && *value == Json::Boolean(true));
        let mut object = Instance::new(class.clone());
        for (name, json) in members {
            if is_system(&name) {
                continue;
            }
            let place = || vec![shortened(&name)];
            let Some(property) = class.property(&name) else {
                let reason = Reason::Unknown { class: class.name.to_string() };
                return Err(Unfit { path: place(), reason });
            };
            let clock = match clock_of(&class, property) {
                Clock::Digits if is_utc => Clock::Utc,
                clock => clock,
            };
            let value = self.value(json, &property.data_type, clock).map_err(|mut unfit| {
                unfit.path.insert(0, shortened(&name));
                unfit
            })?;
            object.set(&name, value);
        }
        Ok(Value::Object(Box::new(object)))
    }
}

/// True for the members that describe an object rather than belong to it.
pub(crate) fn is_system(name: &str) -> bool {
    name.starts_with("__") || name.contains('@')
}

/// `UInt8[]`, which is one base64 text.
pub(crate) fn is_binary(data_type: &DataType) -> bool {
    data_type.is_array && data_type.cim == CimType::UInt8
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    READERS.iter().find_map(|reader| reader.decode(text).ok())
}

fn unfit(wanted: String, found: &Json) -> Unfit {
    let found = match found {
        Json::Null => "null".to_owned(),
        Json::Boolean(is) => is.to_string(),
        Json::Integer(number) => number.to_string(),
        Json::Real(number) => number.to_string(),
        Json::String(text) => format!("the text {:?}", shortened(text)),
        Json::Array(_) => "an array".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    };
    Unfit { path: Vec::new(), reason: Reason::Type { wanted, found } }
}

/// Writes a value. `clock`: what the property keeps, for times.
pub(crate) fn write(out: &mut String, value: &Value, data_type: &DataType, clock: Clock, zone: &Zone) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Boolean(is) => out.push_str(if *is { "true" } else { "false" }),
        Value::Unsigned(number) => out.push_str(&number.to_string()),
        Value::Signed(number) => out.push_str(&number.to_string()),
        Value::Real(number) if number.is_finite() => out.push_str(&format!("{number:?}")),
        Value::Real(_) => out.push_str("null"),
        Value::Char(unit) => text(out, &String::from_utf16_lossy(&[*unit])),
        Value::String(string) => text(out, string),
        Value::DateTime(time) => text(out, &time::show(time, clock, zone)),
        Value::Reference(path) => text(out, &path.to_string()),
        Value::Object(object) => write_object(out, object, zone),
        Value::Array(items) if is_binary(data_type) => {
            let bytes: Vec<u8> = items
                .iter()
                .map(|item| item.as_integer().and_then(|n| u8::try_from(n).ok()).unwrap_or(0))
                .collect();
            text(out, &STANDARD.encode(bytes));
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(out, item, data_type, clock, zone);
            }
            out.push(']');
        }
    }
}

fn write_object(out: &mut String, object: &Instance, zone: &Zone) {
    out.push_str("{\"@odata.type\":");
    text(out, &format!("#{NAMESPACE}.{}", object.class.name));
    for (property, value) in object.class.properties.iter().zip(&object.values) {
        let Some(value) = value else { continue };
        out.push(',');
        text(out, property.name.as_str());
        out.push(':');
        write(out, value, &property.data_type, clock_of(&object.class, property), zone);
    }
    out.push('}');
}

/// Writes a JSON text. `<`, `>` and `&` are escaped too, so that an answer read as a page has no markup.
pub(crate) fn text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| {
        c < ' ' || matches!(c, '"' | '\\' | '<' | '>' | '&' | '\u{7f}' | '\u{2028}' | '\u{2029}')
    }) {
        let (clean, tail) = rest.split_at(at);
        out.push_str(clean);
        let mut chars = tail.chars();
        match chars.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(other) => out.push_str(&format!("\\u{:04x}", u32::from(other))),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

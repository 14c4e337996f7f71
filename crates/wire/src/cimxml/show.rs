//! Instances as they are shown. Source: DSP0201, 5.2.4.

use restock_cim::{CimType, DataType, DateTime, Instance, Name, ObjectPath, Property, Value};
use restock_names::{Timestamp, Zone};

use super::path::{Place, write_instance_name, write_instance_path, write_reference};
use super::{Clock, clock_of};
use crate::xml::Writer;

const MINUTE_US: i64 = 60_000_000;

/// What instances need to be shown.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The server in paths.
    pub host: String,
    /// `root\sms\site_XYZ`
    pub namespace: String,
    /// The site's zone.
    pub zone: Zone,
    /// Only these properties; `None`: all that were read.
    pub only: Option<Vec<Name>>,
    /// Each property says which class declares it.
    pub has_origins: bool,
    /// Each property carries its qualifiers.
    pub has_qualifiers: bool,
    /// The client speaks version 1.0 of the protocol, which knows no embedded objects: they are
    /// texts to it.
    pub is_first_version: bool,
}

impl Shown {
    fn place(&self) -> Place<'_> {
        Place { host: &self.host, namespace: &self.namespace }
    }

    /// `INSTANCENAME`
    pub fn instance_name(&self, writer: &mut Writer, path: &ObjectPath) {
        write_instance_name(writer, path, &self.place());
    }

    /// `INSTANCEPATH`
    pub fn instance_path(&self, writer: &mut Writer, path: &ObjectPath) {
        write_instance_path(writer, path, &self.place());
    }

    /// `INSTANCE`.
    ///
    /// A property that was not read is left out; so is one of embedded objects that has none, for
    /// some clients cannot read an instance that speaks of embedded objects.
    pub fn instance(&self, writer: &mut Writer, instance: &Instance) {
        let is_shown = |property: &Property| match &self.only {
            None => true,
            Some(only) => only.contains(&property.name),
        };
        self.write(writer, instance, &is_shown, self.has_origins, self.has_qualifiers);
    }

    fn write(
        &self,
        writer: &mut Writer,
        instance: &Instance,
        is_shown: &dyn Fn(&Property) -> bool,
        has_origins: bool,
        has_qualifiers: bool,
    ) {
        let class = &*instance.class;
        writer.open("INSTANCE");
        writer.attribute("CLASSNAME", class.name.as_str());
        if has_qualifiers {
            super::class::qualifiers(writer, &class.qualifiers);
        }
        let is_utc = instance.get("IsGMT") == Some(&Value::Boolean(true));
        for (property, value) in class.properties.iter().zip(&instance.values) {
            let Some(value) = value.as_ref().filter(|_| is_shown(property)) else { continue };
            let is_embedded = property.data_type.cim == CimType::Object;
            let is_none = matches!(value, Value::Null) || *value == Value::Array(Vec::new());
            if is_embedded && is_none {
                continue;
            }
            writer.open(element_of(&property.data_type));
            writer.attribute("NAME", property.name.as_str());
            if let (CimType::Reference, Some(class)) = (property.data_type.cim, &property.data_type.class) {
                writer.attribute("REFERENCECLASS", class.as_str());
            } else {
                writer.attribute("TYPE", type_of(&property.data_type));
            }
            if has_origins {
                writer.attribute("CLASSORIGIN", property.origin.as_str());
            }
            if is_embedded && !self.is_first_version {
                writer.attribute("EmbeddedObject", "instance");
            }
            if has_qualifiers {
                super::class::qualifiers(writer, &property.qualifiers);
            }
            let clock = match clock_of(class, property) {
                Clock::Digits if is_utc => Clock::Utc,
                clock => clock,
            };
            self.value(writer, value, clock);
            writer.close();
        }
        writer.close();
    }

    /// `VALUE`, `VALUE.ARRAY` or `VALUE.REFERENCE`; nothing for NULL.
    fn value(&self, writer: &mut Writer, value: &Value, clock: Clock) {
        match value {
            Value::Null => {}
            Value::Reference(path) => write_reference(writer, path, &self.place()),
            Value::Array(items) if items.iter().any(|item| matches!(item, Value::Reference(_))) => {
                writer.open("VALUE.REFARRAY");
                items.iter().for_each(|item| self.value(writer, item, clock));
                writer.close();
            }
            Value::Array(items) => {
                writer.open("VALUE.ARRAY");
                items.iter().for_each(|item| self.value(writer, item, clock));
                writer.close();
            }
            one => {
                writer.open("VALUE");
                match one {
                    Value::String(text) => writer.text(text),
                    Value::Object(object) => {
                        let mut inner = Writer::new();
                        self.write(&mut inner, object, &|_| true, false, false);
                        writer.text(&inner.finish());
                    }
                    other => writer.text(&self.text(other, clock)),
                }
                writer.close();
            }
        }
    }

    fn text(&self, value: &Value, clock: Clock) -> String {
        match value {
            Value::Boolean(is) => (if *is { "TRUE" } else { "FALSE" }).to_owned(),
            Value::Unsigned(number) => number.to_string(),
            Value::Signed(number) => number.to_string(),
            Value::Real(number) if number.is_nan() => "NaN".to_owned(),
            Value::Real(number) if number.is_infinite() => {
                (if *number > 0.0 { "INF" } else { "-INF" }).to_owned()
            }
            Value::Real(number) => format!("{number:?}"),
            Value::Char(unit) => String::from_utf16_lossy(&[*unit]),
            Value::DateTime(time) => self.time(time, clock),
            _ => String::new(),
        }
    }

    /// A time with its offset: clients of this language cannot read `+***`.
    fn time(&self, time: &DateTime, clock: Clock) -> String {
        let DateTime::Local(digits) = *time else { return time.to_string() };
        let at = match clock {
            Clock::Utc => Timestamp(digits),
            Clock::Site | Clock::Digits => self.zone.local_to_utc(digits),
        };
        let offset = digits.saturating_sub(at.0).checked_div(MINUTE_US).unwrap_or(0);
        DateTime::Moment(at, i16::try_from(offset).unwrap_or(0)).to_string()
    }

    /// `RETURNVALUE` of a method.
    pub fn return_value(&self, writer: &mut Writer, returns: &DataType, value: &Value) {
        writer.open("RETURNVALUE");
        writer.attribute("PARAMTYPE", type_of(returns));
        self.value(writer, value, Clock::Utc);
        writer.close();
    }

    /// `PARAMVALUE` of an out-parameter.
    pub fn parameter(&self, writer: &mut Writer, name: &str, data_type: &DataType, value: &Value) {
        writer.open("PARAMVALUE");
        writer.attribute("NAME", name);
        writer.attribute("PARAMTYPE", type_of(data_type));
        if data_type.cim == CimType::Object && !self.is_first_version {
            writer.attribute("EmbeddedObject", "instance");
        }
        self.value(writer, value, Clock::Utc);
        writer.close();
    }
}

/// The element of a property of this type.
pub(super) fn element_of(data_type: &DataType) -> &'static str {
    match (data_type.cim, data_type.is_array) {
        (CimType::Reference, false) => "PROPERTY.REFERENCE",
        (_, true) => "PROPERTY.ARRAY",
        (_, false) => "PROPERTY",
    }
}

/// The name of a type: embedded objects are texts.
pub(super) fn type_of(data_type: &DataType) -> &'static str {
    match data_type.cim {
        CimType::Object => "string",
        CimType::Reference => "reference",
        other => other.mof(),
    }
}

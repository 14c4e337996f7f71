//! From instances to elements.
//!
//! The prefixes of [`super::answer`] are in scope: `a`, `w`, `xsi`, `cim`. Elements of a class are
//! in the namespace of its resource URI. Source: DSP0230; MS-WSMV 3.1.4.1.

use restock_cim::{CimType, Class, Instance, KeyValue, Keys, Name, ObjectPath, Value};
use restock_names::Zone;

use super::names::{ANONYMOUS, NAMESPACE_SELECTOR};
use super::resource::ResourceUri;
use super::time;
use crate::odata::time::Clock;
use crate::odata::value::clock_of;
use crate::xml::Writer;

/// What instances need beside themselves to be shown.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The URI that was asked for: its family and spelling are answered.
    pub resource: ResourceUri,
    /// `root\sms\site_XYZ`.
    pub namespace: String,
    /// The zone of local times.
    pub zone: Zone,
}

/// What is shown of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The class's own element with all its properties; one that was not read is nil.
    Whole,
    /// `w:XmlFragment` with the properties that were read.
    Fragment,
}

impl Shown {
    /// Writes an instance.
    pub fn instance(&self, out: &mut Writer, instance: &Instance, form: Form) {
        let class = &instance.class;
        match form {
            Form::Whole => out.open(&format!("p:{}", class.name)),
            Form::Fragment => out.open("w:XmlFragment"),
        }
        out.attribute("xmlns:p", &self.resource.of_class(class.name.as_str()));
        out.attribute("xsi:type", &format!("p:{}_Type", class.name));
        self.properties(out, instance, form);
        out.close();
    }

    /// Writes an instance with the properties of `class`, which it derives from.
    pub fn as_class(&self, out: &mut Writer, instance: &Instance, class: &std::sync::Arc<Class>) {
        let mut cut = Instance::new(std::sync::Arc::clone(class));
        for (property, value) in class.properties.iter().zip(&mut cut.values) {
            *value = instance.get(property.name.as_str()).cloned();
        }
        self.instance(out, &cut, Form::Whole);
    }

    fn properties(&self, out: &mut Writer, instance: &Instance, form: Form) {
        let class = &instance.class;
        for (property, value) in class.properties.iter().zip(&instance.values) {
            let clock = clock_of(class, property);
            let name = format!("p:{}", property.name);
            match value {
                Some(value) => self.value(out, &name, value, clock),
                None if form == Form::Whole => nil(out, &name),
                None => {}
            }
        }
    }

    /// Writes a named value: nothing for an empty array, an element for each of its items otherwise.
    fn value(&self, out: &mut Writer, name: &str, value: &Value, clock: Clock) {
        match value {
            Value::Null => nil(out, name),
            Value::Array(items) => {
                for item in items {
                    self.value(out, name, item, clock);
                }
            }
            Value::Object(object) => {
                out.open(name);
                let uri = self.resource.of_class(object.class.name.as_str());
                // The element itself is the outer class's; what stands in it is the inner one's.
                out.attribute("xmlns:e", &uri);
                out.attribute("xsi:type", &format!("e:{}_Type", object.class.name));
                self.embedded(out, object, &uri);
                out.close();
            }
            Value::Reference(path) => {
                out.open(name);
                self.reference(out, path);
                out.close();
            }
            Value::DateTime(moment) => {
                let (element, text) = time::show(moment, clock, &self.zone);
                out.open(name);
                out.element(&format!("cim:{element}"), &text);
                out.close();
            }
            value => out.element(name, &plain(value)),
        }
    }

    fn embedded(&self, out: &mut Writer, object: &Instance, uri: &str) {
        let class = &object.class;
        for (property, value) in class.properties.iter().zip(&object.values) {
            let Some(value) = value else { continue };
            // Each child declares the inner class's namespace, whatever the element around it is.
            let inner = Inner { shown: self, uri };
            inner.value(out, property.name.as_str(), value, clock_of(class, property));
        }
    }

    /// Writes the address of an instance as `a:EndpointReference`; false when a key was not read or
    /// there is none.
    pub fn endpoint(&self, out: &mut Writer, instance: &Instance) -> bool {
        let Some(path) = path_of(instance) else { return false };
        out.open("a:EndpointReference");
        self.reference(out, &path);
        out.close();
        true
    }

    /// Writes what stands in an endpoint reference.
    pub fn reference(&self, out: &mut Writer, path: &ObjectPath) {
        out.element("a:Address", ANONYMOUS);
        out.open("a:ReferenceParameters");
        out.element("w:ResourceURI", &self.resource.of_class(path.class.as_str()));
        out.open("w:SelectorSet");
        out.open("w:Selector");
        out.attribute("Name", NAMESPACE_SELECTOR);
        out.text(&path.namespace.as_deref().unwrap_or(&self.namespace).replace('\\', "/"));
        out.close();
        let keys: &[(Name, KeyValue)] = match &path.keys {
            Keys::Named(keys) => keys,
            Keys::Class | Keys::Singleton | Keys::Single(_) => &[],
        };
        for (name, value) in keys {
            out.open("w:Selector");
            out.attribute("Name", name.as_str());
            match value {
                KeyValue::String(text) => out.text(text),
                KeyValue::Integer(number) => out.text(&number.to_string()),
                KeyValue::Boolean(is) => out.text(if *is { "true" } else { "false" }),
                KeyValue::Reference(path) => {
                    out.open("a:EndpointReference");
                    self.reference(out, path);
                    out.close();
                }
            }
            out.close();
        }
        out.close();
        out.close();
    }

    /// Writes `M_OUTPUT` of a method of `class`.
    pub fn output(
        &self,
        out: &mut Writer,
        class: &str,
        method: &str,
        return_value: &Value,
        parameters: &[(Name, Value)],
    ) {
        out.open(&format!("p:{method}_OUTPUT"));
        out.attribute("xmlns:p", &self.resource.of_class(class));
        for (name, value) in parameters {
            self.value(out, &format!("p:{name}"), value, Clock::Utc);
        }
        self.value(out, "p:ReturnValue", return_value, Clock::Utc);
        out.close();
    }
}

/// Properties of an embedded object: each element is in the namespace of its class.
struct Inner<'s> {
    shown: &'s Shown,
    uri: &'s str,
}

impl Inner<'_> {
    fn value(&self, out: &mut Writer, property: &str, value: &Value, clock: Clock) {
        let name = format!("e:{property}");
        match value {
            Value::Array(items) => {
                for item in items {
                    self.value(out, property, item, clock);
                }
            }
            // The prefix means another class within it, so it is declared anew for what follows.
            Value::Object(object) => {
                let uri = self.shown.resource.of_class(object.class.name.as_str());
                out.open(&format!("o:{property}"));
                out.attribute("xmlns:o", self.uri);
                out.attribute("xmlns:e", &uri);
                out.attribute("xsi:type", &format!("e:{}_Type", object.class.name));
                self.shown.embedded(out, object, &uri);
                out.close();
            }
            value => self.shown.value(out, &name, value, clock),
        }
    }
}

fn nil(out: &mut Writer, name: &str) {
    out.open(name);
    out.attribute("xsi:nil", "true");
    out.close_empty();
}

fn plain(value: &Value) -> String {
    match value {
        Value::Boolean(is) => (if *is { "true" } else { "false" }).to_owned(),
        Value::Unsigned(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Real(number) if number.is_finite() => format!("{number:?}"),
        Value::Real(number) if number.is_nan() => "NaN".to_owned(),
        Value::Real(number) => (if *number > 0.0 { "INF" } else { "-INF" }).to_owned(),
        Value::Char(unit) => String::from_utf16_lossy(&[*unit]),
        Value::String(text) => text.clone(),
        Value::Null | Value::DateTime(_) | Value::Reference(_) | Value::Object(_) | Value::Array(_) => {
            String::new()
        }
    }
}

/// The path of an instance without its namespace; `None` when a key was not read or there is none.
pub(super) fn path_of(instance: &Instance) -> Option<ObjectPath> {
    let class = &instance.class;
    let keys = class.properties.iter().zip(&instance.values).filter(|(property, _)| property.is_key());
    let keys: Option<Vec<_>> = keys
        .map(|(property, value)| {
            let value = match value.as_ref()? {
                Value::DateTime(moment) => KeyValue::String(moment.to_string()),
                Value::Unsigned(number) => KeyValue::Integer((*number).into()),
                Value::Signed(number) => KeyValue::Integer((*number).into()),
                Value::Boolean(is) => KeyValue::Boolean(*is),
                Value::Reference(path) => KeyValue::Reference(path.clone()),
                Value::String(text) if property.data_type.cim == CimType::Reference => {
                    KeyValue::Reference(Box::new(text.parse().ok()?))
                }
                Value::String(text) => KeyValue::String(text.clone()),
                Value::Null | Value::Real(_) | Value::Char(_) | Value::Object(_) | Value::Array(_) => {
                    return None;
                }
            };
            Some((property.name.clone(), value))
        })
        .collect();
    keys.filter(|keys| !keys.is_empty()).map(|keys| ObjectPath::of_instance(class.name.clone(), keys))
}

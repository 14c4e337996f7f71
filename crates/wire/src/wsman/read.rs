//! From elements to values, by the declarations.
//!
//! Names of elements are looked up without their namespace and without letter case: clients put
//! them into several. Source: DSP0230 (types), DSP0227, 9 (parameters).

use restock_cim::{CimType, Class, DataType, Direction, Instance, Method, Name, Schema, Value};
use restock_names::Zone;

use super::header::Reference;
use super::names::{ADDRESSING, CIM_COMMON, NAMESPACE_SELECTOR, SCHEMA_INSTANCE};
use super::request::is_empty;
use super::{SelectorValue, time};
use crate::odata::BodyError;
use crate::odata::body::refused;
use crate::odata::time::Clock;
use crate::odata::value::{Reason, Unfit, clock_of};
use crate::xml::Element;

/// Reads the properties of an object of `class`; system members (`__*`) are ignored, and so is a
/// value that does not fit where only the site writes.
///
/// Shape: each property once, by its declared name, of its declared type.
/// Errors: a property that the class has not, a value of another type.
pub fn object_values(
    schema: &Schema,
    class: &Class,
    object: &Element,
    zone: &Zone,
) -> Result<Vec<(Name, Value)>, BodyError> {
    let reading = Reading { schema, zone };
    let owner = || class.name.to_string();
    if object.has_text() {
        return Err(text_between(owner(), &object.name));
    }
    let mut values = Vec::new();
    for (name, elements) in grouped(object) {
        if name.starts_with("__") {
            continue;
        }
        let Some(property) = class.property(name) else {
            return Err(BodyError::Property { owner: owner(), property: shortened(name) });
        };
        let is_ignored = property.is_read_only() && !property.is_key();
        match reading.value(&elements, &property.data_type, clock_of(class, property)) {
            Ok(value) => values.push((property.name.clone(), value)),
            Err(_) if is_ignored => {}
            Err(unfit) => return Err(refused(owner(), name, unfit)),
        }
    }
    Ok(values)
}

/// Reads the in-parameters of a call of `class`.`method` from `M_INPUT`.
///
/// Errors: a parameter that the method has not, a value of another type. Whether one is missing is
/// not looked at.
pub fn arguments(
    schema: &Schema,
    class: &Class,
    method: &Method,
    input: Option<&Element>,
    zone: &Zone,
) -> Result<Vec<(Name, Value)>, BodyError> {
    let Some(input) = input else { return Ok(Vec::new()) };
    let reading = Reading { schema, zone };
    let owner = || format!("{}.{}", class.name, method.name);
    if input.has_text() {
        return Err(text_between(owner(), &input.name));
    }
    let mut values = Vec::new();
    for (name, elements) in grouped(input) {
        let found = method.parameters.iter().find(|p| p.name.is(name) && p.direction != Direction::Out);
        let Some(parameter) = found else {
            return Err(BodyError::Parameter { owner: owner(), property: shortened(name) });
        };
        let value = reading
            .value(&elements, &parameter.data_type, Clock::Utc)
            .map_err(|unfit| refused(owner(), name, unfit))?;
        values.push((parameter.name.clone(), value));
    }
    Ok(values)
}

/// The elements of a name, put together where they stand first.
fn grouped(parent: &Element) -> Vec<(&str, Vec<&Element>)> {
    let mut groups: Vec<(&str, Vec<&Element>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for element in parent.elements() {
        let place = *places.entry(element.name.to_ascii_lowercase()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, elements)) => elements.push(element),
            None => groups.push((element.name.as_str(), vec![element])),
        }
    }
    groups
}

/// Text where only elements mean something.
fn text_between(owner: String, name: &str) -> BodyError {
    refused(owner, name, unfit("elements", "text"))
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

fn unfit(wanted: impl Into<String>, found: impl Into<String>) -> Unfit {
    Unfit { path: Vec::new(), reason: Reason::Type { wanted: wanted.into(), found: found.into() } }
}

/// `xsi:nil="true"`
fn is_nil(element: &Element) -> bool {
    element.attribute_of(SCHEMA_INSTANCE, "nil").is_some_and(|value| matches!(value.trim(), "true" | "1"))
}

struct Reading<'a> {
    schema: &'a Schema,
    zone: &'a Zone,
}

impl Reading<'_> {
    /// All elements of a name as one value.
    ///
    /// An array is the element repeated; a single empty one is an empty array where no element of
    /// the array can be empty.
    fn value(&self, elements: &[&Element], data_type: &DataType, clock: Clock) -> Result<Value, Unfit> {
        if let [only] = elements {
            if is_nil(only) {
                return Ok(Value::Null);
            }
            let is_text = matches!(data_type.cim, CimType::String | CimType::Char16);
            if data_type.is_array && !is_text && is_empty(only) && type_of(only).is_none() {
                return Ok(Value::Array(Vec::new()));
            }
        }
        if data_type.is_array {
            let element = DataType { is_array: false, ..data_type.clone() };
            let items = elements.iter().map(|item| match is_nil(item) {
                true => Err(unfit(element.to_string(), "null")),
                false => self.one(item, &element, clock),
            });
            return items.collect::<Result<_, _>>().map(Value::Array);
        }
        match elements {
            [only] => self.one(only, data_type, clock),
            _ => Err(unfit(data_type.to_string(), format!("{} values", elements.len()))),
        }
    }

    fn one(&self, element: &Element, data_type: &DataType, clock: Clock) -> Result<Value, Unfit> {
        if data_type.cim == CimType::Object {
            return self.object(element, data_type);
        }
        if data_type.cim == CimType::Reference {
            let inner = element.child(ADDRESSING, "EndpointReference").unwrap_or(element);
            let path = Reference::read(inner, 0).ok().and_then(|reference| reference.path());
            return path
                .map(|path| Value::Reference(Box::new(path)))
                .ok_or_else(|| unfit(data_type.to_string(), "no endpoint reference of an instance"));
        }
        let text = self.text(element, data_type)?;
        let wrong = || unfit(data_type.to_string(), format!("the text {:?}", shortened(&text)));
        let number = || text.trim().parse::<i128>().ok();
        let value = match data_type.cim {
            CimType::String => Value::String(text),
            CimType::DateTime => Value::DateTime(time::read(&text, clock, self.zone).ok_or_else(|| {
                unfit("a time such as \"2026-11-22T10:00:00Z\"", format!("the text {:?}", shortened(&text)))
            })?),
            CimType::Boolean => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" => Value::Boolean(true),
                "false" | "0" => Value::Boolean(false),
                _ => return Err(wrong()),
            },
            CimType::Char16 => {
                let mut units = text.encode_utf16();
                match (units.next(), units.next()) {
                    (Some(unit), None) => Value::Char(unit),
                    _ => return Err(wrong()),
                }
            }
            CimType::Real32 | CimType::Real64 => match text.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => Value::Real(number),
                _ => return Err(wrong()),
            },
            _ => match number().map(|number| (u64::try_from(number), i64::try_from(number))) {
                Some((Ok(number), _)) => Value::Unsigned(number),
                Some((_, Ok(number))) => Value::Signed(number),
                _ => return Err(wrong()),
            },
        };
        data_type.check(value).map_err(|error| unfit(error.wanted, error.found))
    }

    /// The text of a plain value; a time may stand in an element of its own.
    fn text(&self, element: &Element, data_type: &DataType) -> Result<String, Unfit> {
        let mut inner = element.elements();
        match (inner.next(), inner.next()) {
            (None, _) => Ok(element.text()),
            (Some(time), None)
                if data_type.cim == CimType::DateTime
                    && time.namespace.as_deref() == Some(CIM_COMMON)
                    && time.elements().next().is_none() =>
            {
                Ok(time.text())
            }
            _ => Err(unfit(data_type.to_string(), "elements")),
        }
    }

    /// An embedded object: `xsi:type` names its class, or an element within does, or it is of the
    /// declared one.
    fn object(&self, element: &Element, data_type: &DataType) -> Result<Value, Unfit> {
        let wanted = data_type.to_string();
        let declared = data_type.class.as_ref();
        let mut inner = element.elements();
        let wrapped = match (inner.next(), inner.next()) {
            (Some(only), None) => Some(only).filter(|only| self.schema.class(&only.name).is_some()),
            _ => None,
        };
        let (content, marked) = match (type_of(element), wrapped) {
            (Some(name), _) => (element, Some(name)),
            (None, Some(inner)) => (inner, Some(type_of(inner).unwrap_or(&inner.name))),
            (None, None) => (element, None),
        };
        let name = marked.or(declared.map(Name::as_str)).unwrap_or_default();
        let fits = |class: &&std::sync::Arc<Class>| declared.is_none_or(|above| class.is_a(above.as_str()));
        let Some(class) = self.schema.class(name).filter(fits).cloned() else {
            return Err(unfit(wanted, format!("the text {:?}", shortened(name))));
        };
        if class.has("Abstract") && marked.is_none() {
            return Err(unfit(wanted, "an object without xsi:type, whose class is abstract"));
        }
        if content.has_text() {
            return Err(unfit(wanted, "text"));
        }
        let is_utc = content.elements().any(|element| {
            element.name.eq_ignore_ascii_case("IsGMT")
                && matches!(element.text().trim().to_ascii_lowercase().as_str(), "true" | "1")
        });
        let mut object = Instance::new(class.clone());
        for (name, elements) in grouped(content) {
            if name.starts_with("__") {
                continue;
            }
            let Some(property) = class.property(name) else {
                let reason = Reason::Unknown { class: class.name.to_string() };
                return Err(Unfit { path: vec![shortened(name)], reason });
            };
            let clock = match clock_of(&class, property) {
                Clock::Digits if is_utc => Clock::Utc,
                clock => clock,
            };
            let value = self.value(&elements, &property.data_type, clock).map_err(|mut unfit| {
                unfit.path.insert(0, shortened(name));
                unfit
            })?;
            object.set(name, value);
        }
        Ok(Value::Object(Box::new(object)))
    }
}

/// The class in `xsi:type="p:SMS_ST_RecurInterval_Type"`.
fn type_of(element: &Element) -> Option<&str> {
    let name = element.attribute_of(SCHEMA_INSTANCE, "type")?.trim();
    let name = name.rsplit(':').next().unwrap_or(name);
    Some(name.strip_suffix("_Type").unwrap_or(name))
}

impl Reference {
    /// The path of the instance; `None` when it names none, or a value of a key is no text or path.
    pub fn path(&self) -> Option<restock_cim::ObjectPath> {
        use restock_cim::{KeyValue, ObjectPath};
        let mut namespace = self.resource.namespace.clone();
        let mut keys = Vec::new();
        for selector in &self.selectors {
            match &selector.value {
                SelectorValue::Text(text) if selector.name.eq_ignore_ascii_case(NAMESPACE_SELECTOR) => {
                    namespace = Some(text.trim().replace('/', "\\"));
                }
                SelectorValue::Text(text) => {
                    keys.push((Name::from(selector.name.as_str()), KeyValue::String(text.clone())));
                }
                SelectorValue::Reference(reference) => {
                    let path = reference.path()?;
                    keys.push((Name::from(selector.name.as_str()), KeyValue::Reference(Box::new(path))));
                }
            }
        }
        let class = self.resource.class.as_deref().filter(|_| !keys.is_empty())?;
        let mut path = ObjectPath::of_instance(class, keys);
        path.namespace = namespace;
        Some(path)
    }
}

//! Declarations as they are shown. Source: DSP0201, 5.2.4.1 and 5.2.4.3.

use restock_cim::{CimType, Class, DataType, Direction, Method, Name, Parameter, Property, Qualifier, Value};

use super::show::{element_of, type_of};
use crate::xml::Writer;

/// How much of a declaration is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassForm {
    /// Only what the class itself declares.
    pub local_only: bool,
    /// With qualifiers.
    pub has_qualifiers: bool,
    /// Each member says which class declares it.
    pub has_origins: bool,
    /// Only these properties; `None`: all.
    pub only: Option<Vec<Name>>,
}

/// Qualifiers that a subclass does not take over.
const RESTRICTED: [&str; 5] = ["Abstract", "Association", "Embedded", "Secured", "Read"];

impl ClassForm {
    /// `CLASS`
    pub fn write(&self, writer: &mut Writer, class: &Class) {
        writer.open("CLASS");
        writer.attribute("NAME", class.name.as_str());
        if let Some(above) = class.derivation.first() {
            writer.attribute("SUPERCLASS", above.as_str());
        }
        if self.has_qualifiers {
            qualifiers(writer, &class.qualifiers);
        }
        for property in &class.properties {
            let is_asked = self.only.as_ref().is_none_or(|only| only.contains(&property.name));
            if is_asked && self.is_shown(class, &property.origin) {
                self.property(writer, class, property);
            }
        }
        for method in &class.methods {
            if self.is_shown(class, &method.origin) {
                self.method(writer, class, method);
            }
        }
        writer.close();
    }

    fn is_shown(&self, class: &Class, origin: &Name) -> bool {
        !self.local_only || *origin == class.name
    }

    fn origin(&self, writer: &mut Writer, class: &Class, origin: &Name) {
        if self.has_origins {
            writer.attribute("CLASSORIGIN", origin.as_str());
        }
        if *origin != class.name {
            writer.attribute("PROPAGATED", "true");
        }
    }

    fn property(&self, writer: &mut Writer, class: &Class, property: &Property) {
        writer.open(element_of(&property.data_type));
        writer.attribute("NAME", property.name.as_str());
        match (property.data_type.cim, &property.data_type.class) {
            (CimType::Reference, Some(refers)) => writer.attribute("REFERENCECLASS", refers.as_str()),
            _ => writer.attribute("TYPE", type_of(&property.data_type)),
        }
        self.origin(writer, class, &property.origin);
        if self.has_qualifiers {
            qualifiers(writer, &property.qualifiers);
        }
        plain_value(writer, &property.default);
        writer.close();
    }

    fn method(&self, writer: &mut Writer, class: &Class, method: &Method) {
        writer.open("METHOD");
        writer.attribute("NAME", method.name.as_str());
        writer.attribute("TYPE", type_of(&method.returns));
        self.origin(writer, class, &method.origin);
        if self.has_qualifiers {
            qualifiers(writer, &method.qualifiers);
        }
        for parameter in &method.parameters {
            self.parameter(writer, parameter);
        }
        writer.close();
    }

    fn parameter(&self, writer: &mut Writer, parameter: &Parameter) {
        let DataType { cim, is_array, class } = &parameter.data_type;
        writer.open(match (cim, is_array) {
            (CimType::Reference, true) => "PARAMETER.REFARRAY",
            (CimType::Reference, false) => "PARAMETER.REFERENCE",
            (_, true) => "PARAMETER.ARRAY",
            (_, false) => "PARAMETER",
        });
        writer.attribute("NAME", parameter.name.as_str());
        match (cim, class) {
            (CimType::Reference, Some(refers)) => writer.attribute("REFERENCECLASS", refers.as_str()),
            (CimType::Reference, None) => {}
            _ => writer.attribute("TYPE", type_of(&parameter.data_type)),
        }
        if self.has_qualifiers {
            let is = |name: &str, is: bool| Qualifier { name: name.into(), value: Value::Boolean(is) };
            let mut all = vec![
                is("In", parameter.direction != Direction::Out),
                is("Out", parameter.direction != Direction::In),
            ];
            if parameter.is_optional {
                all.push(is("Optional", true));
            }
            if let (CimType::Object, Some(class)) = (cim, class) {
                let value = Value::String(class.to_string());
                all.push(Qualifier { name: "EmbeddedInstance".into(), value });
            }
            qualifiers(writer, &all);
        }
        writer.close();
    }
}

/// `QUALIFIER` elements.
pub(super) fn qualifiers(writer: &mut Writer, qualifiers: &[Qualifier]) {
    for qualifier in qualifiers {
        let of = |value: &Value| match value {
            Value::Boolean(_) => "boolean",
            Value::Unsigned(_) => "uint64",
            Value::Signed(_) => "sint64",
            Value::Real(_) => "real64",
            _ => "string",
        };
        let kind = match &qualifier.value {
            Value::Array(items) => items.first().map_or("string", of),
            value => of(value),
        };
        writer.open("QUALIFIER");
        writer.attribute("NAME", qualifier.name.as_str());
        writer.attribute("TYPE", kind);
        if RESTRICTED.iter().any(|name| qualifier.name.is(name)) {
            writer.attribute("TOSUBCLASS", "false");
        }
        plain_value(writer, &qualifier.value);
        writer.close();
    }
}

/// A value that stands in a declaration; nothing for NULL.
fn plain_value(writer: &mut Writer, value: &Value) {
    let text = match value {
        Value::Array(items) => {
            writer.open("VALUE.ARRAY");
            items.iter().for_each(|item| plain_value(writer, item));
            return writer.close();
        }
        Value::Boolean(is) => (if *is { "TRUE" } else { "FALSE" }).to_owned(),
        Value::Unsigned(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Real(number) => format!("{number:?}"),
        Value::Char(unit) => String::from_utf16_lossy(&[*unit]),
        Value::String(text) => text.clone(),
        // A default is a constant of the declaration; its digits are those of UTC.
        Value::DateTime(restock_cim::DateTime::Local(digits)) => {
            restock_cim::DateTime::utc(restock_names::Timestamp(*digits)).to_string()
        }
        Value::DateTime(time) => time.to_string(),
        Value::Null | Value::Reference(_) | Value::Object(_) => return,
    };
    writer.element("VALUE", &text);
}

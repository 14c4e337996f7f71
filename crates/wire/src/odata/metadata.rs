//! `$metadata`: all classes as an entity model in CSDL.
//!
//! A class with keys is an entity type with an entity set. A class without keys whose instances
//! are values of properties or parameters is a complex type; these keep their inheritance, since
//! a value may be of a derived class. Any other class without keys is an abstract entity type.
//! Entity types are written flat: each declares all it inherits.
//!
//! Source: OData CSDL XML 4.01; the types by docs/formats/adminservice.md, "Types".

use std::collections::BTreeSet;

use restock_cim::{CimType, Class, DataType, Direction, Method, Name, Property, Schema};

use super::NAMESPACE;
use super::entity::{AFTER, BEFORE};

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
    <edmx:Edmx Version=\"4.0\" xmlns:edmx=\"http://docs.oasis-open.org/odata/ns/edmx\">\
    <edmx:DataServices><Schema Namespace=\"AdminService\" xmlns=\"http://docs.oasis-open.org/odata/ns/edm\">";
const TAIL: &str = "</Schema></edmx:DataServices></edmx:Edmx>\n";

/// The classes that have an entity set, by name.
pub fn entity_sets(schema: &Schema) -> Vec<Name> {
    let mut sets: Vec<Name> = schema
        .classes()
        .filter(|class| class.keys().next().is_some())
        .map(|class| class.name.clone())
        .collect();
    sets.sort();
    sets
}

/// The model of `v1.0`: nothing.
pub fn empty_metadata() -> String {
    format!("{HEAD}<EntityContainer Name=\"Container\"/>{TAIL}")
}

/// The model of all classes, each type before it is used by a set.
pub fn metadata(schema: &Schema) -> String {
    let mut classes: Vec<&Class> = schema.classes().map(|class| class.as_ref()).collect();
    classes.sort_by(|a, b| a.name.cmp(&b.name));
    let complex = complex_types(schema);
    let is_complex = |class: &Class| complex.contains(&class.name);
    let mut model = Model { out: HEAD.to_owned(), schema };
    for class in &classes {
        if is_complex(class) {
            let above = class.derivation.first().filter(|above| complex.contains(*above));
            model.complex_type(class, above);
        } else {
            model.entity_type(class);
        }
    }
    for class in &classes {
        for method in &class.methods {
            if method.is_static {
                model.static_action(class, method);
            } else if !is_complex(class) {
                model.bound_action(class, method);
            }
        }
    }
    model.out.push_str("<EntityContainer Name=\"Container\">");
    for class in &classes {
        if class.keys().next().is_some() {
            model.element(
                "EntitySet",
                &[("Name", class.name.as_str()), ("EntityType", &qualified(&class.name))],
            );
        }
        for method in class.methods.iter().filter(|method| method.is_static) {
            let name = format!("{}.{}", class.name, method.name);
            model.element("ActionImport", &[("Name", &name), ("Action", &format!("{NAMESPACE}.{name}"))]);
        }
    }
    model.out.push_str("</EntityContainer>");
    model.out.push_str(TAIL);
    model.out
}

/// The keyless classes that stand as values, with all above and below them that are keyless too.
fn complex_types(schema: &Schema) -> BTreeSet<Name> {
    let is_keyless =
        |name: &Name| schema.class(name.as_str()).is_some_and(|class| class.keys().next().is_none());
    let mut found = BTreeSet::new();
    for class in schema.classes() {
        let parameters =
            class.methods.iter().flat_map(|method| method.parameters.iter().map(|p| &p.data_type));
        let used = class.properties.iter().map(|p| &p.data_type).chain(parameters);
        found.extend(used.filter(|t| t.cim == CimType::Object).filter_map(|t| t.class.clone()));
        if class.has("Embedded") || class.is_a("__NotifyStatus") {
            found.insert(class.name.clone());
        }
    }
    for name in found.clone() {
        // What derives from the root of all classes is no value for that.
        if schema
            .class(name.as_str())
            .is_some_and(|class| class.has("Embedded") || class.is_a("__NotifyStatus"))
        {
            found.extend(schema.subclasses(name.as_str()).map(|class| class.name.clone()));
        }
    }
    found.retain(is_keyless);
    found
}

fn qualified(class: &Name) -> String {
    format!("{NAMESPACE}.{class}")
}

struct Model<'s> {
    out: String,
    schema: &'s Schema,
}

impl Model<'_> {
    fn open(&mut self, element: &str, attributes: &[(&str, &str)]) {
        self.out.push('<');
        self.out.push_str(element);
        for (name, value) in attributes {
            self.out.push_str(&format!(" {name}=\"{}\"", escaped(value)));
        }
        self.out.push('>');
    }

    fn close(&mut self, element: &str) {
        self.out.push_str(&format!("</{element}>"));
    }

    fn element(&mut self, element: &str, attributes: &[(&str, &str)]) {
        self.open(element, attributes);
        self.out.pop();
        self.out.push_str("/>");
    }

    fn complex_type(&mut self, class: &Class, above: Option<&Name>) {
        let base = above.map(qualified);
        let mut attributes = vec![("Name", class.name.as_str())];
        if let Some(base) = &base {
            attributes.push(("BaseType", base));
        }
        if class.has("Abstract") {
            attributes.push(("Abstract", "true"));
        }
        self.open("ComplexType", &attributes);
        let inherited = above.and_then(|above| self.schema.class(above.as_str())).cloned();
        for property in &class.properties {
            if inherited.as_ref().is_none_or(|above| above.property(property.name.as_str()).is_none()) {
                self.property(property);
            }
        }
        self.close("ComplexType");
    }

    fn entity_type(&mut self, class: &Class) {
        let has_key = class.keys().next().is_some();
        let mut attributes = vec![("Name", class.name.as_str())];
        if !has_key {
            attributes.push(("Abstract", "true"));
        }
        self.open("EntityType", &attributes);
        if has_key {
            self.open("Key", &[]);
            for key in class.keys() {
                self.element("PropertyRef", &[("Name", key.name.as_str())]);
            }
            self.close("Key");
        }
        for property in &class.properties {
            self.property(property);
        }
        for name in BEFORE.into_iter().chain(AFTER) {
            let edm = match name {
                "__LAZYPROPERTIES" | "__DERIVATION" => "Collection(Edm.String)",
                "__QUALIFIER_SECURITYVERBS" | "__GENUS" | "__PROPERTY_COUNT" => "Edm.Int32",
                _ => "Edm.String",
            };
            self.element("Property", &[("Name", name), ("Type", edm)]);
        }
        self.close("EntityType");
    }

    fn property(&mut self, property: &Property) {
        let edm = edm_type(&property.data_type);
        let mut attributes = vec![("Name", property.name.as_str()), ("Type", edm.as_str())];
        if property.is_key() {
            attributes.push(("Nullable", "false"));
        }
        self.element("Property", &attributes);
    }

    fn bound_action(&mut self, class: &Class, method: &Method) {
        self.open("Action", &[("Name", method.name.as_str()), ("IsBound", "true")]);
        self.element("Parameter", &[("Name", "bindingParameter"), ("Type", &qualified(&class.name))]);
        self.rest_of_action(method);
    }

    fn static_action(&mut self, class: &Class, method: &Method) {
        self.open("Action", &[("Name", &format!("{}.{}", class.name, method.name))]);
        self.rest_of_action(method);
    }

    fn rest_of_action(&mut self, method: &Method) {
        for parameter in method.parameters.iter().filter(|p| p.direction != Direction::Out) {
            let edm = edm_type(&parameter.data_type);
            self.element("Parameter", &[("Name", parameter.name.as_str()), ("Type", &edm)]);
        }
        self.element("ReturnType", &[("Type", &edm_type(&method.returns))]);
        self.close("Action");
    }
}

/// The type in the model. Unsigned numbers take the next wider signed one.
fn edm_type(data_type: &DataType) -> String {
    let one = match data_type.cim {
        CimType::Boolean => "Edm.Boolean".to_owned(),
        CimType::UInt8 if data_type.is_array => return "Edm.Binary".to_owned(),
        CimType::UInt8 => "Edm.Byte".to_owned(),
        CimType::SInt8 => "Edm.SByte".to_owned(),
        CimType::SInt16 => "Edm.Int16".to_owned(),
        CimType::UInt16 | CimType::SInt32 => "Edm.Int32".to_owned(),
        CimType::UInt32 | CimType::SInt64 | CimType::UInt64 => "Edm.Int64".to_owned(),
        CimType::Real32 => "Edm.Single".to_owned(),
        CimType::Real64 => "Edm.Double".to_owned(),
        CimType::DateTime => "Edm.DateTimeOffset".to_owned(),
        CimType::Char16 | CimType::String | CimType::Reference => "Edm.String".to_owned(),
        CimType::Object => match &data_type.class {
            Some(class) => qualified(class),
            None => "Edm.ComplexType".to_owned(),
        },
    };
    if data_type.is_array { format!("Collection({one})") } else { one }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

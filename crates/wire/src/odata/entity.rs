//! Instances as JSON, member by member in the order that clients know.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use restock_cim::{Class, Instance, KeyValue, Keys, Name, ObjectPath, Property, Value};
use restock_names::Zone;

use super::keys::key_of;
use super::value::{clock_of, text, write};

/// What an instance needs beside itself to be shown: where it lives, and the site's clock.
#[derive(Debug, Clone)]
pub struct Shown {
    /// `HOST` in `__SERVER` and `__PATH`.
    pub server: String,
    /// `root\sms\site_XYZ`.
    pub namespace: String,
    /// The zone of local times.
    pub zone: Zone,
}

/// Which members are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Selection {
    /// All system members, and each property that was read.
    #[default]
    Whole,
    /// The named system members, and each property that was read.
    Named(Vec<Name>),
}

/// The system members that an instance has beside its properties.
pub(crate) const BEFORE: [&str; 2] = ["__LAZYPROPERTIES", "__QUALIFIER_SECURITYVERBS"];
pub(crate) const AFTER: [&str; 10] = [
    "__GENUS",
    "__CLASS",
    "__SUPERCLASS",
    "__DYNASTY",
    "__RELPATH",
    "__PROPERTY_COUNT",
    "__DERIVATION",
    "__SERVER",
    "__NAMESPACE",
    "__PATH",
];

impl Selection {
    /// True for a system member that every instance has.
    pub fn is_system_member(name: &str) -> bool {
        BEFORE.iter().chain(&AFTER).any(|member| member.eq_ignore_ascii_case(name))
    }

    fn has(&self, member: &str) -> bool {
        match self {
            Self::Whole => true,
            Self::Named(names) => names.iter().any(|name| name.is(member)),
        }
    }
}

/// The values of the keys, joined by `;`. `None` when a key was not read or there is none.
pub fn etag(instance: &Instance) -> Option<String> {
    path_etag(&path(instance)?)
}

/// The etag of the instance that a path names by all its keys.
pub fn path_etag(path: &ObjectPath) -> Option<String> {
    let Keys::Named(keys) = &path.keys else { return None };
    Some(keys.iter().map(|(_, value)| plain(value)).collect::<Vec<_>>().join(";"))
}

/// The address of an instance beneath the service: `Class('a')`, percent-encoded. `None` when it
/// has no keys, or one was not read.
pub fn address_of(instance: &Instance) -> Option<String> {
    let Keys::Named(keys) = path(instance)?.keys else { return None };
    let literal = |value: &KeyValue| match value {
        KeyValue::Integer(_) | KeyValue::Boolean(_) => plain(value),
        KeyValue::String(_) | KeyValue::Reference(_) => format!("'{}'", plain(value).replace('\'', "''")),
    };
    let keys = match &keys[..] {
        [(_, only)] => literal(only),
        keys => keys
            .iter()
            .map(|(name, value)| format!("{name}={}", literal(value)))
            .collect::<Vec<_>>()
            .join(","),
    };
    Some(format!("{}({})", instance.class.name, utf8_percent_encode(&keys, ESCAPED)))
}

/// What may not stand as it is in a segment of a path.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'\'')
    .remove(b'=')
    .remove(b',');

fn plain(value: &KeyValue) -> String {
    match value {
        KeyValue::String(text) => text.clone(),
        KeyValue::Integer(number) => number.to_string(),
        KeyValue::Boolean(is) => is.to_string(),
        KeyValue::Reference(path) => path.to_string(),
    }
}

/// The path within its namespace; `None` when a key was not read or there is none.
fn path(instance: &Instance) -> Option<ObjectPath> {
    let keys: Option<Vec<_>> = instance
        .class
        .properties
        .iter()
        .zip(&instance.values)
        .filter(|(property, _)| property.is_key())
        .map(|(property, value)| Some((property.name.clone(), key_of(value.as_ref()?)?)))
        .collect();
    let keys = keys.filter(|keys| !keys.is_empty())?;
    Some(ObjectPath::of_instance(instance.class.name.clone(), keys))
}

/// An array of embedded objects: these stand last.
fn stands_last(property: &Property) -> bool {
    property.data_type.is_array && property.data_type.cim == restock_cim::CimType::Object
}

impl Shown {
    /// Appends `instance` as an object. `context`: its `@odata.context`, for a bare entity.
    ///
    /// Shape: `@odata.etag`, lazy names, security verbs, the properties by name, the other system
    /// members, arrays of embedded objects. A property that was not read is left out.
    pub fn write(&self, out: &mut String, instance: &Instance, selection: &Selection, context: Option<&str>) {
        let mut members = Members { out, is_first: true };
        members.out.push('{');
        if let Some(context) = context {
            members.text("@odata.context", Some(context));
        }
        if let Some(etag) = etag(instance) {
            members.text("@odata.etag", Some(&etag));
        }
        let class = &instance.class;
        if selection.has(BEFORE[0]) {
            members.names(BEFORE[0], class.properties.iter().filter(|p| p.is_lazy()).map(|p| &p.name));
        }
        if selection.has(BEFORE[1]) {
            members.text(BEFORE[1], None);
        }
        let values = || class.properties.iter().zip(&instance.values);
        for (property, value) in values().filter(|(property, _)| !stands_last(property)) {
            self.property(&mut members, class, property, value.as_ref());
        }
        self.system(&mut members, instance, selection);
        for (property, value) in values().filter(|(property, _)| stands_last(property)) {
            self.property(&mut members, class, property, value.as_ref());
        }
        out.push('}');
    }

    fn property(&self, members: &mut Members<'_>, class: &Class, property: &Property, value: Option<&Value>) {
        let Some(value) = value else { return };
        members.name(property.name.as_str());
        write(members.out, value, &property.data_type, clock_of(class, property), &self.zone);
    }

    fn system(&self, members: &mut Members<'_>, instance: &Instance, selection: &Selection) {
        let class = &instance.class;
        let relative = path(instance);
        for member in AFTER.into_iter().filter(|member| selection.has(member)) {
            match member {
                "__GENUS" => members.number(member, 2),
                "__CLASS" => members.text(member, Some(class.name.as_str())),
                "__SUPERCLASS" => members.text(member, class.derivation.first().map(Name::as_str)),
                "__DYNASTY" => {
                    members.text(member, Some(class.derivation.last().unwrap_or(&class.name).as_str()));
                }
                "__RELPATH" => members.text(member, relative.as_ref().map(ToString::to_string).as_deref()),
                "__PROPERTY_COUNT" => {
                    let count = instance.values.iter().filter(|value| value.is_some()).count();
                    members.number(
                        member,
                        if *selection == Selection::Whole { class.properties.len() } else { count },
                    );
                }
                "__DERIVATION" => members.names(member, class.derivation.iter()),
                "__SERVER" => members.text(member, Some(&self.server)),
                "__NAMESPACE" => members.text(member, Some(&self.namespace)),
                _ => {
                    let path = relative.clone().map(|path| path.within(&self.server, &self.namespace));
                    members.text(member, path.map(|path| path.to_string()).as_deref());
                }
            }
        }
    }
}

/// An object being written.
struct Members<'o> {
    out: &'o mut String,
    is_first: bool,
}

impl Members<'_> {
    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(',');
        }
        text(self.out, name);
        self.out.push(':');
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        self.name(name);
        match value {
            Some(value) => text(self.out, value),
            None => self.out.push_str("null"),
        }
    }

    fn number(&mut self, name: &str, value: usize) {
        self.name(name);
        self.out.push_str(&value.to_string());
    }

    fn names<'n>(&mut self, name: &str, names: impl Iterator<Item = &'n Name>) {
        self.name(name);
        self.out.push('[');
        for (at, name) in names.enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            text(self.out, name.as_str());
        }
        self.out.push(']');
    }
}

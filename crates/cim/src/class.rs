//! Class declarations.

use crate::{DataType, Name, Value};

/// A class with all it declares and inherits.
///
/// Properties and methods stand in the order of their names without case (as the AdminService
/// shows them), inherited ones among them.
#[derive(Debug, Clone, PartialEq)]
pub struct Class {
    /// Its name.
    pub name: Name,
    /// Its superclasses, the nearest first; empty for a root class.
    pub derivation: Vec<Name>,
    /// What is said of the class: `Abstract`, `Embedded`, `Secured`, `Read`, `Association`, ….
    pub qualifiers: Vec<Qualifier>,
    /// Its properties.
    pub properties: Vec<Property>,
    /// Its methods.
    pub methods: Vec<Method>,
}

/// `[Name(value)]` before a declaration; a bare name has the value `Boolean(true)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Qualifier {
    /// Its name.
    pub name: Name,
    /// Its value, an array for lists such as `Values`.
    pub value: Value,
}

/// A property.
#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub data_type: DataType,
    /// What a new instance has; `Null` when nothing is declared.
    pub default: Value,
    /// `Key`, `Read`, `Lazy`, `Large`, `Range`, `SizeLimit`, `LocalTime`, ….
    pub qualifiers: Vec<Qualifier>,
    /// The class that declares it.
    pub origin: Name,
}

/// A method.
#[derive(Debug, Clone, PartialEq)]
pub struct Method {
    /// Its name.
    pub name: Name,
    /// The type of its return value.
    pub returns: DataType,
    /// Its parameters in declared order.
    pub parameters: Vec<Parameter>,
    /// Called on the class, not on an instance.
    pub is_static: bool,
    /// What is said of it.
    pub qualifiers: Vec<Qualifier>,
    /// The class that declares it.
    pub origin: Name,
}

/// A parameter of a method.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub data_type: DataType,
    /// Whether it is sent, answered, or both.
    pub direction: Direction,
    /// Whether it may be left out.
    pub is_optional: bool,
}

/// Which way a parameter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Sent by the caller.
    In,
    /// Answered.
    Out,
    /// Both.
    InOut,
}

fn find<'a>(qualifiers: &'a [Qualifier], name: &str) -> Option<&'a Value> {
    qualifiers.iter().find(|qualifier| qualifier.name.is(name)).map(|qualifier| &qualifier.value)
}

impl Class {
    /// The place of the property `name` in [`Class::properties`].
    pub fn property_index(&self, name: &str) -> Option<usize> {
        self.properties.iter().position(|property| property.name.is(name))
    }

    /// The property `name`.
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name.is(name))
    }

    /// The method `name`.
    pub fn method(&self, name: &str) -> Option<&Method> {
        self.methods.iter().find(|method| method.name.is(name))
    }

    /// The keys, by name.
    pub fn keys(&self) -> impl Iterator<Item = &Property> {
        self.properties.iter().filter(|property| property.is_key())
    }

    /// The value of the qualifier `name`.
    pub fn qualifier(&self, name: &str) -> Option<&Value> {
        find(&self.qualifiers, name)
    }

    /// True when the qualifier `name` stands there and is not false.
    pub fn has(&self, name: &str) -> bool {
        self.qualifier(name).is_some_and(|value| *value != Value::Boolean(false))
    }

    /// True for the class `name` itself and for what derives from it.
    pub fn is_a(&self, name: &str) -> bool {
        self.name.is(name) || self.derivation.iter().any(|above| above.is(name))
    }
}

impl Property {
    /// The value of the qualifier `name`.
    pub fn qualifier(&self, name: &str) -> Option<&Value> {
        find(&self.qualifiers, name)
    }

    /// True when the qualifier `name` stands there and is not false.
    pub fn has(&self, name: &str) -> bool {
        self.qualifier(name).is_some_and(|value| *value != Value::Boolean(false))
    }

    /// Part of what names an instance.
    pub fn is_key(&self) -> bool {
        self.has("Key")
    }

    /// Read by a Get of one instance only.
    pub fn is_lazy(&self) -> bool {
        self.has("Lazy")
    }

    /// Written by the site alone.
    pub fn is_read_only(&self) -> bool {
        self.has("Read")
    }

    /// A time in the site's zone, shown as `+***`; other times are UTC.
    pub fn is_local_time(&self) -> bool {
        self.has("LocalTime")
    }
}

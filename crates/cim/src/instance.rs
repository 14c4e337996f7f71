//! Instances: a class and a value for each of its properties.

use std::sync::Arc;

use crate::{Class, Value, Values};

/// An instance of a class, whole or in part.
///
/// `values` stand in the order of [`Class::properties`]. `None` means that the property was not
/// read (a lazy one in a query, or one outside the select list), which differs from
/// [`Value::Null`].
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Its class.
    pub class: Arc<Class>,
    /// One for each property of the class.
    pub values: Values,
}

impl Instance {
    /// An instance without any value.
    pub fn new(class: Arc<Class>) -> Self {
        let values = Values::none(class.properties.len());
        Self { class, values }
    }

    /// An instance with the values of a few properties: see [`Values::of_few`].
    pub fn of_few(class: Arc<Class>, places: &Arc<[u16]>, values: Vec<Option<Value>>) -> Self {
        let values = Values::of_few(class.properties.len(), places, values);
        Self { class, values }
    }

    /// The value of the property `name`; `None` when it was not read or does not exist.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(self.class.property_index(name)?)?.as_ref()
    }

    /// Sets the property `name`; false when the class has none of that name.
    pub fn set(&mut self, name: &str, value: Value) -> bool {
        let Some(place) = self.class.property_index(name).and_then(|index| self.values.get_mut(index)) else {
            return false;
        };
        *place = Some(value);
        true
    }
}

//! All classes that are declared, linked to each other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::mof::{self, ClassText, MofError};
use crate::{Class, Method, Name, Property, Value};

/// The declared classes. Looked up without letter case.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    classes: Vec<Arc<Class>>,
    by_name: HashMap<Name, usize>,
}

impl Schema {
    /// Reads the texts (each with a name for errors) in order; a class stands after its superclass.
    ///
    /// Errors: what a text says wrongly, a class declared twice, a superclass or embedded class
    /// that is not declared, a default that its property cannot have.
    pub fn parse(texts: &[(&str, &str)]) -> Result<Self, MofError> {
        let mut schema = Self::default();
        for (file, text) in texts {
            for class in mof::parse(file, text)? {
                schema.add(file, class)?;
            }
        }
        schema.check_embedded()?;
        Ok(schema)
    }

    /// The class `name`.
    pub fn class(&self, name: &str) -> Option<&Arc<Class>> {
        self.by_name.get(&Name::from(name)).and_then(|at| self.classes.get(*at))
    }

    /// All classes in declared order: a superclass before its subclasses.
    pub fn classes(&self) -> impl Iterator<Item = &Arc<Class>> {
        self.classes.iter()
    }

    /// The classes that derive from `name`, at any distance, without itself.
    pub fn subclasses<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Arc<Class>> {
        self.classes.iter().filter(move |class| class.derivation.iter().any(|above| above.is(name)))
    }

    fn add(&mut self, file: &str, text: ClassText) -> Result<(), MofError> {
        let fail = |line, what: String| Err(MofError::new(file, line, what));
        if self.by_name.contains_key(&text.name) {
            return fail(text.line, format!("class {} is declared twice", text.name));
        }
        let above = match &text.superclass {
            None => None,
            Some(name) => match self.class(name.as_str()) {
                Some(class) => Some(Arc::clone(class)),
                None => return fail(text.line, format!("superclass {name} is not declared before")),
            },
        };
        let mut class = Class {
            name: text.name.clone(),
            derivation: above
                .iter()
                .flat_map(|c| std::iter::once(&c.name).chain(&c.derivation))
                .cloned()
                .collect(),
            qualifiers: text.qualifiers,
            properties: above.as_ref().map_or(Vec::new(), |c| c.properties.clone()),
            methods: above.as_ref().map_or(Vec::new(), |c| c.methods.clone()),
        };
        let mut seen = HashSet::new();
        for property in text.properties {
            if !seen.insert(property.name.clone()) {
                return fail(property.line, format!("{}.{} is declared twice", class.name, property.name));
            }
            // MOF has no form for a time without a zone, so such a default stands in a qualifier.
            let said = property.qualifiers.iter().find(|q| q.name.is("DefaultTime")).map(|q| q.value.clone());
            let default = match property.data_type.check(property.default.or(said).unwrap_or(Value::Null)) {
                Ok(value) => value,
                Err(error) => return fail(property.line, format!("default of {}: {error}", property.name)),
            };
            let own = Property {
                name: property.name,
                data_type: property.data_type,
                default,
                qualifiers: property.qualifiers,
                origin: class.name.clone(),
            };
            match class.properties.iter_mut().find(|inherited| inherited.name == own.name) {
                None => class.properties.push(own),
                Some(inherited) if own.has("Override") => *inherited = own,
                Some(inherited) => {
                    let what = format!("{} overrides {} without Override", own.name, inherited.origin);
                    return fail(property.line, what);
                }
            }
        }
        for method in text.methods {
            let is_static =
                method.qualifiers.iter().any(|q| q.name.is("Static") && q.value == Value::Boolean(true));
            let own = Method {
                name: method.name,
                returns: method.returns,
                parameters: method.parameters,
                is_static,
                qualifiers: method.qualifiers,
                origin: class.name.clone(),
            };
            class.methods.retain(|inherited| inherited.name != own.name);
            class.methods.push(own);
        }
        class.properties.sort_by(|a, b| a.name.cmp(&b.name));
        class.methods.sort_by(|a, b| a.name.cmp(&b.name));
        self.by_name.insert(class.name.clone(), self.classes.len());
        self.classes.push(Arc::new(class));
        Ok(())
    }

    fn check_embedded(&self) -> Result<(), MofError> {
        for class in &self.classes {
            let of_methods = class.methods.iter().flat_map(|m| m.parameters.iter().map(|p| &p.data_type));
            for data_type in class.properties.iter().map(|p| &p.data_type).chain(of_methods) {
                if let Some(name) =
                    data_type.class.as_ref().filter(|name| self.class(name.as_str()).is_none())
                {
                    let what = format!("class {} speaks of {name}, which is not declared", class.name);
                    return Err(MofError::new("schema", 0, what));
                }
            }
        }
        Ok(())
    }
}

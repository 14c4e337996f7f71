//! What a request's body says, by the declarations.

use restock_cim::{Class, Direction, Method, Name, Schema, Value};
use restock_names::{Escaped, Zone};

use super::address::shortened;
use super::json::{Json, JsonError, read_json};
use super::time::Clock;
use super::value::{Reading, Reason, Unfit, clock_of, is_system};

/// How much of an object a body carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// The object as it was read, or a new one: system members are ignored, and so is a value that
    /// does not fit where only the site writes. What fits is handed on: among it is the version by
    /// which a stale object is found.
    Whole,
    /// A few properties: system members are refused.
    Partial,
}

/// A body that was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Body {
    /// Properties or parameters, each once, by their declared names, of their declared types.
    pub values: Vec<(Name, Value)>,
}

/// Why a body is refused. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not JSON, or a name twice, or a number no type has.
    #[error("TYPE: {0}")]
    Json(#[from] JsonError),
    /// Not an object.
    #[error("TYPE: the body is not a JSON object; send {{\"Name\":value,…}}")]
    Shape,
    /// A value of another type.
    #[error("TYPE: property {} of {owner} wants {wanted}, not {}", Escaped(.property.as_bytes()), Escaped(.found.as_bytes()))]
    Type { owner: String, property: String, wanted: String, found: String },
    /// The class has no such property.
    #[error("UNKNOWN_PROPERTY: {owner} has no property {}", Escaped(.property.as_bytes()))]
    Property { owner: String, property: String },
    /// A partial body that sets a system member.
    #[error(
        "UNKNOWN_PROPERTY: {} is no property of {owner}; a partial body holds properties only",
        Escaped(.property.as_bytes())
    )]
    System { owner: String, property: String },
    /// The method has no such in-parameter.
    #[error("UNKNOWN_PARAMETER: {owner} has no parameter {}", Escaped(.property.as_bytes()))]
    Parameter { owner: String, property: String },
}

impl BodyError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json(_) | Self::Shape | Self::Type { .. } => "TYPE",
            Self::Property { .. } | Self::System { .. } => "UNKNOWN_PROPERTY",
            Self::Parameter { .. } => "UNKNOWN_PARAMETER",
        }
    }
}

impl Body {
    /// Reads the properties of an object of `class`.
    ///
    /// Errors: [`BodyError`]; nothing is dropped without a word but what [`BodyForm::Whole`] says.
    pub fn of_object(
        schema: &Schema,
        class: &Class,
        json: Json,
        form: BodyForm,
        zone: &Zone,
    ) -> Result<Self, BodyError> {
        let Json::Object(members) = json else { return Err(BodyError::Shape) };
        let reading = Reading { schema, zone };
        let owner = || class.name.to_string();
        let mut values = Vec::with_capacity(members.len());
        for (name, json) in members {
            if is_system(&name) {
                match form {
                    BodyForm::Whole => continue,
                    BodyForm::Partial => {
                        return Err(BodyError::System { owner: owner(), property: shortened(&name) });
                    }
                }
            }
            let Some(property) = class.property(&name) else {
                return Err(BodyError::Property { owner: owner(), property: shortened(&name) });
            };
            let is_ignored = form == BodyForm::Whole && property.is_read_only() && !property.is_key();
            match reading.value(json, &property.data_type, clock_of(class, property)) {
                Ok(value) => values.push((property.name.clone(), value)),
                Err(_) if is_ignored => {}
                Err(unfit) => return Err(refused(owner(), &name, unfit)),
            }
        }
        Ok(Self { values })
    }

    /// Reads the in-parameters of a call of `class`.`method`. `null` says that there are none.
    ///
    /// Errors: [`BodyError`]. Whether a parameter is missing is not looked at.
    pub fn of_call(
        schema: &Schema,
        class: &Class,
        method: &Method,
        json: Json,
        zone: &Zone,
    ) -> Result<Self, BodyError> {
        let members = match json {
            Json::Null => Vec::new(),
            Json::Object(members) => members,
            _ => return Err(BodyError::Shape),
        };
        let reading = Reading { schema, zone };
        let owner = || format!("{}.{}", class.name, method.name);
        let mut values = Vec::with_capacity(members.len());
        for (name, json) in members {
            if name.starts_with("@odata.") {
                continue;
            }
            let found = method.parameters.iter().find(|p| p.name.is(&name) && p.direction != Direction::Out);
            let Some(parameter) = found else {
                return Err(BodyError::Parameter { owner: owner(), property: shortened(&name) });
            };
            let value = reading
                .value(json, &parameter.data_type, Clock::Utc)
                .map_err(|unfit| refused(owner(), &name, unfit))?;
            values.push((parameter.name.clone(), value));
        }
        Ok(Self { values })
    }
}

/// Decodes whatever bytes come as a body of each class and method. Never panics.
pub fn fuzz_one(schema: &Schema, bytes: &[u8]) {
    let Ok(json) = read_json(bytes) else { return };
    let zone = Zone::utc();
    for class in schema.classes() {
        for form in [BodyForm::Whole, BodyForm::Partial] {
            if let Ok(body) = Body::of_object(schema, class, json.clone(), form, &zone) {
                for (name, value) in body.values {
                    let property = class.property(name.as_str()).expect("only declared properties are read");
                    property.data_type.check(value).expect("what was read fits its type");
                }
            }
        }
        for method in &class.methods {
            if let Ok(body) = Body::of_call(schema, class, method, json.clone(), &zone) {
                assert!(body.values.len() <= method.parameters.len(), "each parameter at most once");
            }
        }
    }
}

pub(crate) fn refused(owner: String, name: &str, unfit: Unfit) -> BodyError {
    let mut property = shortened(name);
    let inner = unfit.path.join(".");
    match unfit.reason {
        Reason::Type { wanted, found } => {
            if !inner.is_empty() {
                property = format!("{property}.{inner}");
            }
            BodyError::Type { owner, property, wanted, found }
        }
        Reason::Unknown { class } => BodyError::Property { owner: class, property: inner },
    }
}

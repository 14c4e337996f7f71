//! What a function of a class is given: who calls, on which object, with what.

use std::sync::Arc;

use restock_cim::{Class, DateTime, Name, Value};
use restock_names::{PackageId, SiteCode, Timestamp};
use restock_sitedb::Tx;

use super::{Caller, ProviderConfig, PutForm, ResolvedKeys};
use crate::perform::Circumstances;
use crate::rights::{self, Securable};
use crate::{Provider, Refusal};

/// What every function of a class knows.
#[derive(Debug, Clone)]
pub(crate) struct ObjectContext {
    pub(crate) at: Circumstances,
    pub(crate) caller: Caller,
    pub(crate) config: Arc<ProviderConfig>,
    pub(crate) class: Arc<Class>,
    /// The keys of the object; `None` for a static method and for a Create.
    pub(crate) keys: Option<ResolvedKeys>,
}

/// A method call. All arguments are declared, of their declared type and present unless optional.
#[derive(Debug, Clone)]
pub(crate) struct MethodContext {
    pub(crate) object: ObjectContext,
    pub(crate) method: Name,
    pub(crate) arguments: Vec<(Name, Value)>,
}

/// An object to be written. What the rules of Put ignore is not among the values; those that are
/// there are declared, of their declared type and within the declared range.
#[derive(Debug, Clone)]
pub(crate) struct PutContext {
    pub(crate) object: ObjectContext,
    pub(crate) form: PutForm,
    pub(crate) values: Vec<(Name, Value)>,
    /// The `SedoObjectVersion` that was sent.
    pub(crate) seen_version: Option<String>,
    /// A property that only the site writes was sent in a partial body.
    pub(crate) read_only: Option<Name>,
    /// The object was named by a path, not by the keys among its values: it is there already.
    pub(crate) must_exist: bool,
}

impl Provider {
    /// The context of a request that begins at this moment.
    pub(super) fn object_context(
        &self,
        caller: &Caller,
        site: SiteCode,
        class: Arc<Class>,
        keys: Option<ResolvedKeys>,
    ) -> ObjectContext {
        let at = Circumstances {
            now: self.clock.now(),
            site,
            own_folders: Arc::clone(&self.own_folders),
            zone: Arc::clone(&self.zone),
        };
        ObjectContext { at, caller: caller.clone(), config: Arc::clone(&self.config), class, keys }
    }
}

impl ObjectContext {
    pub(crate) fn now(&self) -> Timestamp {
        self.at.now
    }

    pub(crate) fn site(&self) -> SiteCode {
        self.at.site
    }

    /// Asks for operations on an object. One that the caller may not read does not exist.
    pub(crate) async fn require(
        &self,
        tx: &mut Tx,
        object: Securable,
        operations: u32,
    ) -> Result<(), Refusal> {
        Ok(rights::require(tx, &self.caller.rights, object, operations).await?)
    }

    /// The text of the key `name`; empty when the object has none.
    pub(crate) fn key(&self, name: &str) -> &str {
        self.keys.as_ref().map_or("", |keys| keys.text(name))
    }

    /// How the object is called in a refusal: its path, or the class.
    pub(crate) fn shown(&self) -> String {
        self.keys.as_ref().map_or_else(|| self.class.name.to_string(), ToString::to_string)
    }

    /// Refuses an object of which the caller has read another version than is stored.
    pub(crate) fn check_version(&self, stored: &str) -> Result<(), Refusal> {
        let versions = &self.caller.versions;
        if versions.is_empty() || versions.iter().any(|seen| seen.eq_ignore_ascii_case(stored)) {
            return Ok(());
        }
        Err(self.stale())
    }

    fn stale(&self) -> Refusal {
        let text = format!("{} was changed since it was read; read it again", self.shown());
        Refusal::provider("STALE_OBJECT", text)
    }

    /// The package that the key `name` names; a text that cannot be an ID is one that does not exist.
    pub(crate) fn package_key(&self, name: &str) -> Result<PackageId, Refusal> {
        package_id(self.key(name))
    }
}

/// The package that a text names.
///
/// Errors: `NOT_FOUND`, also for a text that cannot be an ID.
pub(crate) fn package_id(text: &str) -> Result<PackageId, Refusal> {
    text.parse().map_err(|_unfit| Refusal::not_found(format_args!("package {}", shown(text))))
}

/// A text from outside as it may stand in a message.
pub(crate) fn shown(text: &str) -> String {
    let short: String = text.chars().take(200).collect();
    if short.is_empty() { "\"\"".to_owned() } else { restock_names::Escaped(short.as_bytes()).to_string() }
}

impl MethodContext {
    /// The value of an argument; `Null` when it was left out.
    pub(crate) fn argument(&self, name: &str) -> &Value {
        self.arguments.iter().find(|(argument, _)| argument.is(name)).map_or(&Value::Null, |(_, value)| value)
    }

    /// A text argument.
    ///
    /// Errors: `REQUIRED` when it is NULL.
    pub(crate) fn text(&self, name: &str) -> Result<&str, Refusal> {
        match self.argument(name) {
            Value::String(text) => Ok(text),
            _ => Err(self.required(name)),
        }
    }

    /// The texts of an array argument.
    ///
    /// Errors: `REQUIRED` when it is NULL or holds a NULL.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&str>, Refusal> {
        let Value::Array(items) = self.argument(name) else { return Err(self.required(name)) };
        let texts = items.iter().map(|item| match item {
            Value::String(text) => Ok(text.as_str()),
            _ => Err(self.required(name)),
        });
        texts.collect()
    }

    /// A truth value; `otherwise` when it was left out.
    pub(crate) fn flag_or(&self, name: &str, otherwise: bool) -> bool {
        self.argument(name).as_bool().unwrap_or(otherwise)
    }

    fn required(&self, name: &str) -> Refusal {
        Refusal::provider("REQUIRED", format!("{}: parameter {name} must have a value", self.method))
    }
}

impl PutContext {
    /// Refuses a partial body that sets what only the site writes. Called once the object is known
    /// to exist and to be visible; a body that creates one is a whole object.
    pub(crate) fn check_partial(&self) -> Result<(), Refusal> {
        let Some(name) = &self.read_only else { return Ok(()) };
        let text = format!("property {}.{name} is written by the site alone", self.object.class.name);
        Err(Refusal::provider("READ_ONLY_PROPERTY", text))
    }

    /// Refuses an object that was read before another Put changed it.
    pub(crate) fn check_version(&self, stored: &str) -> Result<(), Refusal> {
        let is_stale = self.seen_version.as_deref().is_some_and(|seen| !seen.eq_ignore_ascii_case(stored));
        if is_stale { Err(self.object.stale()) } else { self.object.check_version(stored) }
    }

    /// The value that was sent for a property, if it is to be written; `Null` clears it.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(property, _)| property.is(name)).map(|(_, value)| value)
    }

    /// The text sent for a property; NULL is an empty text. `None`: it stays.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        Some(match self.value(name)? {
            Value::String(text) => text.clone(),
            _ => String::new(),
        })
    }

    /// The number sent for a property; NULL is the declared default, or 0. `None`: it stays.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        let number = |value: &Value| match value {
            Value::Unsigned(number) => u32::try_from(*number).ok(),
            Value::Signed(number) => u32::try_from(*number).ok(),
            _ => None,
        };
        let declared = || self.object.class.property(name).and_then(|property| number(&property.default));
        Some(number(self.value(name)?).or_else(declared).unwrap_or(0))
    }

    /// The truth value sent for a property; NULL is the declared default, or false. `None`: it stays.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        let default = || {
            let property = self.object.class.property(name);
            property.is_some_and(|property| property.default == Value::Boolean(true))
        };
        Some(match self.value(name)? {
            Value::Boolean(value) => *value,
            _ => default(),
        })
    }

    /// The time sent for a property; NULL clears it. `None`: it stays.
    ///
    /// Digits without an offset are those of the site's clock.
    pub(crate) fn time(&self, name: &str) -> Option<Option<Timestamp>> {
        Some(match self.value(name)? {
            Value::DateTime(DateTime::Moment(at, _)) => Some(*at),
            Value::DateTime(DateTime::Local(local)) => Some(self.object.config.zone.local_to_utc(*local)),
            _ => None,
        })
    }

    /// The bytes sent for a property; NULL and an empty array clear it. `None`: it stays.
    pub(crate) fn bytes(&self, name: &str) -> Option<Option<Vec<u8>>> {
        Some(match self.value(name)? {
            Value::Array(items) if !items.is_empty() => {
                let byte = |item: &Value| match item {
                    Value::Unsigned(number) => u8::try_from(*number).ok(),
                    _ => None,
                };
                items.iter().map(byte).collect()
            }
            _ => None,
        })
    }
}

//! Writing: create, Put, delete and method calls.

use http::StatusCode;
use http::header::{ETAG, HeaderName, IF_MATCH, LOCATION};
use restock_cim::{Class, Instance, Keys, Name, ObjectPath, Status, Value};
use restock_provider::object::Caller;
use restock_provider::{MethodCall, Put, PutForm, Refusal};
use restock_wire::odata::{
    Body, BodyError, BodyForm, Json, Selection, address_of, method_answer, path_etag, read_json,
};

use crate::handler::{Answer, Asked, Handler};
use crate::prefer::Preferences;
use crate::refused::Refused;

const ENTITY_ID: HeaderName = HeaderName::from_static("odata-entityid");
/// The property that changes with each Put, of the classes that have it.
const VERSION: &str = "SedoObjectVersion";
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

impl Handler {
    /// `POST Class`: a new object, or the Put of the one whose keys the body holds.
    ///
    /// With `@odata.etag` or `__PATH` the body is an object that was read; with the keys alone it
    /// is a few properties of one.
    pub(super) async fn create_or_put(&self, asked: &Asked, class: &Class) -> Result<Answer, Refused> {
        let json = self.json(asked, "PutInstance", class)?;
        let was_read = has_member(&json, "@odata.etag") || has_member(&json, "__PATH");
        let names_one = class.keys().next().is_some()
            && class.keys().all(|key| member(&json, key.name.as_str()).is_some_and(is_given));
        let (form, body_form) = match (names_one, was_read) {
            (false, _) => (PutForm::Create, BodyForm::Whole),
            (true, true) => (PutForm::Whole, BodyForm::Whole),
            (true, false) => (PutForm::Partial, BodyForm::Partial),
        };
        let values = self.object(class, json, body_form)?;
        let put = Put { class: class.name.clone(), path: None, values, form };
        let instance = self.provider.put(&asked.caller, put).await.map_err(|r| self.mapping.refusal(&r))?;
        let address = self.address(asked, &instance);
        let answer = if Preferences::of(&asked.parts.headers).is_minimal {
            Answer::empty(StatusCode::NO_CONTENT).with(PREFERENCE_APPLIED, "return=minimal")
        } else {
            Answer::json(StatusCode::CREATED, self.entity_text(asked, &instance, &Selection::Whole, true))
        };
        let answer = with_version(answer, version_of(&instance));
        Ok(match address {
            Some(address) => answer.with(LOCATION, &address).with(ENTITY_ID, &address),
            None => answer,
        })
    }

    /// `PATCH Class(key)`: the Put of a few properties.
    pub(super) async fn patch(
        &self,
        asked: &Asked,
        class: &Class,
        path: ObjectPath,
    ) -> Result<Answer, Refused> {
        let caller = matching(asked, class, &path)?;
        let json = self.json(asked, "PutInstance", class)?;
        let values = self.object(class, json, BodyForm::Partial)?;
        let put = Put { class: class.name.clone(), path: Some(path), values, form: PutForm::Partial };
        let instance = self.provider.put(&caller, put).await.map_err(|r| self.unmatched(&caller, &r))?;
        if Preferences::of(&asked.parts.headers).is_minimal {
            let answer = Answer::empty(StatusCode::NO_CONTENT).with(PREFERENCE_APPLIED, "return=minimal");
            let answer = with_version(answer, version_of(&instance));
            return Ok(match self.address(asked, &instance) {
                Some(address) => answer.with(ENTITY_ID, &address),
                None => answer,
            });
        }
        let text = self.entity_text(asked, &instance, &Selection::Whole, true);
        Ok(with_version(Answer::json(StatusCode::OK, text), version_of(&instance)))
    }

    /// `DELETE Class(key)`
    pub(super) async fn delete(
        &self,
        asked: &Asked,
        class: &Class,
        path: ObjectPath,
    ) -> Result<Answer, Refused> {
        let caller = matching(asked, class, &path)?;
        self.provider.delete(&caller, &path).await.map_err(|r| self.unmatched(&caller, &r))?;
        Ok(Answer::empty(StatusCode::NO_CONTENT))
    }

    /// A refusal of the provider; an object of another version than `If-Match` names is 412.
    fn unmatched(&self, caller: &Caller, refusal: &Refusal) -> Refused {
        let mut refused = self.mapping.refusal(refusal);
        let is_asked = !caller.versions.is_empty() && !self.mapping.everything_is_404;
        if is_asked && refusal.code() == "STALE_OBJECT" {
            refused.http = 412;
        }
        refused
    }

    /// `POST Class(key)/AdminService.Method`, `POST Class.Method`
    pub(super) async fn call(
        &self,
        asked: &Asked,
        class: &Class,
        path: ObjectPath,
        name: &Name,
    ) -> Result<Answer, Refused> {
        let shown = path.to_string();
        let invalid = |text: &str| {
            self.mapping.core(Status::InvalidMethod, "INVALID_METHOD", text, "ExecMethod", &shown)
        };
        let Some(method) = class.method(name.as_str()) else {
            let text = format!("{} has no method {name}", class.name);
            return Err(invalid(&text));
        };
        if method.is_static != (path.keys == Keys::Class) {
            let text = match method.is_static {
                true => format!("{name} is called on the class: POST {}.{name}", class.name),
                false => {
                    format!("{name} is called on an instance: POST {}(key)/AdminService.{name}", class.name)
                }
            };
            return Err(invalid(&text));
        }
        let zone = &self.provider.config().zone;
        let json = if asked.body.is_empty() { Json::Null } else { self.json(asked, "ExecMethod", class)? };
        let body = Body::of_call(self.provider.schema(), class, method, json, zone)
            .map_err(|error| self.body_refused_by(&error, "ExecMethod", &shown))?;
        let call = MethodCall { path, method: method.name.clone(), arguments: body.values };
        let answer = self
            .invoke(&asked.caller, call, &asked.qualifiers)
            .await
            .map_err(|r| self.mapping.refusal(&r))?;
        let is_generic = Preferences::of(&asked.parts.headers).is_generic;
        let text = method_answer(&asked.base(), method, &answer.return_value, &answer.out, is_generic, zone);
        Ok(Answer::json(StatusCode::CREATED, text))
    }

    fn json(&self, asked: &Asked, operation: &'static str, class: &Class) -> Result<Json, Refused> {
        read_json(&asked.body)
            .map_err(|error| self.body_refused_by(&error.into(), operation, class.name.as_str()))
    }

    fn object(&self, class: &Class, json: Json, form: BodyForm) -> Result<Vec<(Name, Value)>, Refused> {
        let zone = &self.provider.config().zone;
        Body::of_object(self.provider.schema(), class, json, form, zone)
            .map(|body| body.values)
            .map_err(|error| self.body_refused_by(&error, "PutInstance", class.name.as_str()))
    }

    fn body_refused_by(&self, error: &BodyError, operation: &'static str, path: &str) -> Refused {
        let status = match error {
            BodyError::Json(_) | BodyError::Shape | BodyError::Type { .. } => Status::TypeMismatch,
            BodyError::Property { .. } | BodyError::System { .. } => Status::InvalidProperty,
            BodyError::Parameter { .. } => Status::InvalidParameter,
        };
        self.mapping.core(status, error.code(), &error.to_string(), operation, path)
    }

    fn address(&self, asked: &Asked, instance: &Instance) -> Option<String> {
        Some(format!("{}{}", asked.base(), address_of(instance)?))
    }
}

fn member<'j>(json: &'j Json, name: &str) -> Option<&'j Json> {
    let Json::Object(members) = json else { return None };
    members.iter().find(|(member, _)| member.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn has_member(json: &Json, name: &str) -> bool {
    member(json, name).is_some_and(is_given)
}

/// A spawned object that was never stored has empty keys.
fn is_given(value: &Json) -> bool {
    !matches!(value, Json::Null) && *value != Json::String(String::new())
}

/// Who asks, held to what `If-Match` names: any object, this one by its `@odata.etag`, or a version of it
/// by its `ETag`.
///
/// Errors: 412 for another object of a class that keeps no version.
fn matching(asked: &Asked, class: &Class, path: &ObjectPath) -> Result<Caller, Refused> {
    let mut caller = asked.caller.clone();
    let own = path_etag(path);
    let values = asked.parts.headers.get_all(IF_MATCH).iter().filter_map(|value| value.to_str().ok());
    // Keys may hold a comma.
    for tag in values.flat_map(|value| std::iter::once(value).chain(value.split(','))) {
        let tag = tag.trim().trim_start_matches("W/").trim_matches('"');
        if tag == "*" || own.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(tag)) {
            caller.versions.clear();
            return Ok(caller);
        }
        caller.versions.push(tag.to_owned());
    }
    if !caller.versions.is_empty() && class.property(VERSION).is_none() {
        return Err(Refused::transport(412, "IF_MATCH", "If-Match names another object"));
    }
    Ok(caller)
}

/// The version of an object, if its class keeps one and it was put once.
pub(super) fn version_of(instance: &Instance) -> Option<String> {
    let version = instance.get(VERSION).and_then(Value::as_str)?;
    (!version.is_empty()).then(|| format!("\"{version}\""))
}

/// Adds the version of the object that is shown as `ETag`.
pub(super) fn with_version(answer: Answer, version: Option<String>) -> Answer {
    match version {
        Some(version) => answer.with(ETAG, &version),
        None => answer,
    }
}

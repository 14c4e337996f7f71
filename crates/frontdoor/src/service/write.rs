//! Writing: create, Put, delete and method calls.

use http::header::{HeaderName, IF_MATCH, LOCATION};
use http::{HeaderMap, StatusCode};
use restock_cim::{Class, Instance, Keys, Name, ObjectPath, Status, Value};
use restock_provider::{MethodCall, Put, PutForm};
use restock_wire::odata::{
    Body, BodyError, BodyForm, Json, Selection, address_of, method_answer, path_etag, read_json,
};

use crate::handler::{Answer, Asked, Handler};
use crate::prefer::Preferences;
use crate::refused::Refused;

const ENTITY_ID: HeaderName = HeaderName::from_static("odata-entityid");
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
        check_match(&asked.parts.headers, &path)?;
        let json = self.json(asked, "PutInstance", class)?;
        let values = self.object(class, json, BodyForm::Partial)?;
        let put = Put { class: class.name.clone(), path: Some(path), values, form: PutForm::Partial };
        let instance = self.provider.put(&asked.caller, put).await.map_err(|r| self.mapping.refusal(&r))?;
        if Preferences::of(&asked.parts.headers).is_minimal {
            let answer = Answer::empty(StatusCode::NO_CONTENT).with(PREFERENCE_APPLIED, "return=minimal");
            return Ok(match self.address(asked, &instance) {
                Some(address) => answer.with(ENTITY_ID, &address),
                None => answer,
            });
        }
        Ok(Answer::json(StatusCode::OK, self.entity_text(asked, &instance, &Selection::Whole, true)))
    }

    /// `DELETE Class(key)`
    pub(super) async fn delete(&self, asked: &Asked, path: ObjectPath) -> Result<Answer, Refused> {
        check_match(&asked.parts.headers, &path)?;
        self.provider.delete(&asked.caller, &path).await.map_err(|r| self.mapping.refusal(&r))?;
        Ok(Answer::empty(StatusCode::NO_CONTENT))
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

/// `If-Match` compares with what `@odata.etag` says, which names the object, not its version: a
/// stale object is found by `SedoObjectVersion`.
fn check_match(headers: &HeaderMap, path: &ObjectPath) -> Result<(), Refused> {
    let own = path_etag(path);
    let mut wanted = headers.get_all(IF_MATCH).iter().filter_map(|value| value.to_str().ok()).peekable();
    if wanted.peek().is_none() {
        return Ok(());
    }
    let fits = wanted.any(|value| {
        let value = value.trim().trim_start_matches("W/").trim_matches('"');
        value == "*" || own.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(value))
    });
    if fits { Ok(()) } else { Err(Refused::transport(412, "IF_MATCH", "If-Match names another object")) }
}

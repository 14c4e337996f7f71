//! Methods: the call is checked against its declaration and runs in one transaction.

use std::sync::Arc;

use restock_cim::{Method, Value};
use restock_sitedb::request::Answered;

use super::context::MethodContext;
use super::keys::ResolvedKeys;
use super::path::{declared, shown};
use super::{Caller, MethodAnswer, MethodCall, MethodFailure, log, values};
use crate::errors::Action;
use crate::perform::check_request_id;
use crate::{Provider, Refusal, audit, classes};

/// A call that was carried out before, as it is kept.
const KEPT: &str = "0";

impl Provider {
    /// Calls a method.
    ///
    /// What it changes is durable when this returns `Ok`. A method that fails is a refusal, and
    /// changed nothing; with [`MethodFailure::ReturnValue`] the call succeeds instead and answers
    /// the refusal's number. What the object core refuses is a refusal always.
    pub async fn invoke(&self, caller: &Caller, call: MethodCall) -> Result<MethodAnswer, Refusal> {
        let class = declared(&call.path.class);
        let path = shown(&call.path);
        let of_class =
            self.schema().class(class.as_str()).and_then(|class| class.method(call.method.as_str()));
        let method = of_class.map_or_else(|| call.method.to_string(), |method| method.name.to_string());
        match self.invoke_checked(caller, call).await {
            Ok(answer) => {
                log::done(caller, &caused(Action::Method, &path, &method));
                Ok(answer)
            }
            Err(refusal) => {
                let refusal = refusal.at(Action::Method, class.as_str(), &path);
                self.refused(caller, Action::Method, &path, &method, &refusal).await;
                let answers = self.config.compatibility.method_failure == MethodFailure::ReturnValue;
                let number = refusal.return_value().filter(|_| answers);
                number.and_then(|number| self.failed_answer(class.as_str(), &method, number)).ok_or(refusal)
            }
        }
    }

    /// The answer of a method that failed: its number as the declared return type. `None` when the
    /// type has no room for it (a truth value).
    fn failed_answer(&self, class: &str, method: &str, number: i32) -> Option<MethodAnswer> {
        let declared = self.schema().class(class)?.method(method)?;
        let values = [Value::Signed(number.into()), Value::Unsigned(number.cast_unsigned().into())];
        let return_value = values.into_iter().find_map(|value| declared.returns.check(value).ok())?;
        Some(MethodAnswer { return_value, out: Vec::new() })
    }

    async fn invoke_checked(&self, caller: &Caller, call: MethodCall) -> Result<MethodAnswer, Refusal> {
        let site = self.site_code().await?;
        let class = self.class_of(&call.path, site)?;
        let method = class.method(call.method.as_str()).cloned().ok_or_else(|| {
            let text =
                format!("{} has no method {}", class.name, super::context::shown(call.method.as_str()));
            Refusal::core("INVALID_METHOD", text)
        })?;
        let keys = match (method.is_static, &call.path.keys) {
            (true, restock_cim::Keys::Class) => None,
            // WMI lets a static method be called on an instance, which then plays no part.
            (true, _) => None,
            (false, _) => Some(ResolvedKeys::of_path(&class, &call.path)?),
        };
        let arguments = values::arguments(&class, &method, call.arguments)?;
        let live = classes::live(method.origin.as_str()).or_else(|| classes::live(class.name.as_str()));
        let function = live.and_then(|live| live.method(method.name.as_str())).ok_or_else(|| {
            let text = format!("{}.{} is declared and not supported at this site", class.name, method.name);
            Refusal::provider("NOT_SUPPORTED", text)
        })?;
        let object = self.object_context(caller, site, class, keys);
        let request = caller.request_id.clone();
        if let Some(id) = &request {
            check_request_id(id)?;
        }
        let context = Arc::new(MethodContext { object, method: method.name.clone(), arguments });
        let has_out = has_out(&method);
        let mut answer = self
            .database
            .transact("invoke_method", move |tx| {
                Box::pin(async move {
                    let once = request.filter(|_| !has_out);
                    if let Some(id) = &once
                        && answered_before(tx, id, &context).await?
                    {
                        return Ok(MethodAnswer::done());
                    }
                    let path = context.object.shown();
                    let before = audit::digest_of(tx, &path).await?;
                    let answer = function(&context, tx).await?;
                    let record = audit::Entry {
                        action: Action::Method,
                        path: &path,
                        method: context.method.as_str(),
                        parameters: &context.arguments,
                        package: package_of(&context),
                        result: 0,
                        before,
                    };
                    let at = &context.object.at;
                    audit::record(tx, at.site, at.now, &context.object.caller, &record).await?;
                    if let Some(id) = &once {
                        let kept = Answered { operation: identity(&context), answer: KEPT.to_owned() };
                        tx.insert_answered(id, &kept, at.now).await?;
                    }
                    Ok::<_, Refusal>(answer)
                })
            })
            .await?;
        if let Ok(value) = method.returns.check(answer.return_value.clone()) {
            answer.return_value = value;
        }
        Ok(answer)
    }
}

fn has_out(method: &Method) -> bool {
    method.parameters.iter().any(|parameter| parameter.direction != restock_cim::Direction::In)
}

/// What a request id is bound to: account, object, method and arguments.
fn identity(context: &MethodContext) -> String {
    let object = &context.object;
    format!("{} {}::{} {:?}", object.caller.account, object.shown(), context.method, context.arguments)
}

async fn answered_before(
    tx: &mut restock_sitedb::Tx,
    id: &str,
    context: &MethodContext,
) -> Result<bool, Refusal> {
    let Some(answered) = tx.answered(id).await? else { return Ok(false) };
    if answered.operation != identity(context) {
        let text = format!("request id {id} was used for another call; a fresh one is wanted");
        return Err(Refusal::provider("REQUEST_ID_REUSED", text));
    }
    Ok(true)
}

/// The package a call is about, by its key or by a parameter that names one.
fn package_of(context: &MethodContext) -> Option<restock_names::PackageId> {
    let of_key = context.object.key("PackageID").parse().ok();
    of_key.or_else(|| context.argument("PackageID").as_str().and_then(|text| text.parse().ok()))
}

/// How an action on an object stands in logs: `SMS_Package.PackageID="X"::RefreshPkgSource`.
pub(super) fn caused(action: Action, path: &str, method: &str) -> String {
    match action {
        Action::Method => format!("{path}::{method}"),
        action => format!("{} {path}", action.operation()),
    }
}

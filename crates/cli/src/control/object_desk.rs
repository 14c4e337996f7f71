//! What a site answers about the objects of its classes.
//!
//! Values come as JSON and get their types from the declarations here; what is read goes out in
//! the shape of the AdminService without its annotations.

use std::sync::Arc;

use restock_cim::query::{QueryError, wql};
use restock_cim::{Class, Instance, Name, ObjectPath, PathError, Status};
use restock_provider::rights::Rights;
use restock_provider::{Caller, MethodCall, Provider, Put, PutForm, Refusal};
use restock_sitedb::{Database, DatabaseError};
use restock_wire::odata::{Body, BodyError, BodyForm, Selection, Shown, method_answer, read_json};
use serde_json::{Map, Value};

use super::admin_desk;
use super::listener::Events;
use super::protocol::{ObjectAsk, ObjectVerb, QueryEnd};
use super::site_desk::value;
use crate::failure::{Failure, Kind};

/// Rows in one event of a query.
const ROWS_PER_EVENT: usize = 100;

/// The objects of a site, for one caller.
struct ObjectDesk<'d> {
    provider: &'d Provider,
    caller: Caller,
}

/// Answers `ask` for the account of the machine `user`, or for the account that it names.
pub(super) async fn answer(
    provider: &Provider,
    database: &Database,
    user: &str,
    request_id: Option<String>,
    ask: ObjectAsk,
    events: Events,
) -> Result<Value, Failure> {
    let mut caller = admin_desk::caller(user, request_id);
    if let Some(name) = ask.r#as {
        (caller.account, caller.admin_id, caller.rights) = rights_of(database, name).await?;
    }
    "restock".clone_into(&mut caller.application);
    let desk = ObjectDesk { provider, caller };
    match ask.verb {
        ObjectVerb::Query { wql } => desk.query(&wql, events).await.map(|end| value(&end)),
        ObjectVerb::Get { path } => {
            let path = path_of(&path)?;
            let found = desk.provider.get(&desk.caller, &path).await;
            desk.shown(&found.map_err(|refusal| desk.refused(&refusal))?)
        }
        ObjectVerb::Put { path, values } => desk.put(&path, values).await,
        ObjectVerb::Delete { path } => {
            let path = path_of(&path)?;
            desk.provider.delete(&desk.caller, &path).await.map_err(|refusal| desk.refused(&refusal))?;
            Ok(Value::String(path.relative().to_string()))
        }
        ObjectVerb::Invoke { path, method, arguments } => desk.invoke(&path, &method, arguments).await,
    }
}

/// Name, number and rights of an account.
async fn rights_of(database: &Database, name: String) -> Result<(String, Option<u32>, Arc<Rights>), Failure> {
    let wanted = name.clone();
    let found: Result<_, DatabaseError> = database
        .read("rights", move |tx| {
            Box::pin(async move {
                let Some(account) = tx.account_named(&wanted).await? else { return Ok(None) };
                let rights = Rights::load(tx, account.id, None).await?;
                Ok(Some((account, rights)))
            })
        })
        .await;
    let found = found.map_err(|e| Failure::caused(Kind::Failed, "cannot read accounts", &e))?;
    let Some((account, rights)) = found else {
        let name = crate::output::shown(&name);
        return Err(Failure::new(Kind::NotFound, format!("NOT_FOUND: there is no account {name}"))
            .hint("restock admin account list"));
    };
    if account.is_disabled {
        let name = crate::output::shown(&account.logon_name);
        return Err(Failure::refused(format!(
            "ACCOUNT_DISABLED: account {name} is disabled and may do nothing"
        )));
    }
    Ok((account.logon_name, Some(account.id), Arc::new(rights)))
}

impl ObjectDesk<'_> {
    async fn query(&self, text: &str, events: Events) -> Result<QueryEnd, Failure> {
        let refused = |error: QueryError| Failure::usage(format!("{}: {error}", error.code()));
        let queries = wql::statement(text).and_then(|statement| statement.queries(self.provider.schema()));
        let (mut classes, mut count) = (Vec::<String>::new(), 0);
        // More than one only for associations, each of which has rows of its own.
        for query in queries.map_err(refused)? {
            let rows = self.provider.query(&self.caller, query).await;
            let mut rows = rows.map_err(|refusal| self.refused(&refusal))?;
            let class = rows.class().name.to_string();
            if !classes.contains(&class) {
                classes.push(class);
            }
            let mut page = Vec::with_capacity(ROWS_PER_EVENT);
            loop {
                let row = rows.next().await.transpose().map_err(|refusal| self.refused(&refusal))?;
                let is_last = row.is_none();
                if let Some(row) = row {
                    page.push(self.shown(&row)?);
                    count += 1;
                }
                if page.len() == ROWS_PER_EVENT || is_last && !page.is_empty() {
                    let full = Value::Array(std::mem::take(&mut page));
                    if events.send(full).await.is_err() {
                        return Ok(QueryEnd { class: classes.join(", "), rows: count });
                    }
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(QueryEnd { class: classes.join(", "), rows: count })
    }

    async fn put(&self, path: &str, values: Map<String, Value>) -> Result<Value, Failure> {
        let path = path_of(path)?;
        let class = self.class(&path)?;
        let zone = &self.provider.config().zone;
        let body = Body::of_object(self.provider.schema(), &class, json_of(values)?, BodyForm::Partial, zone);
        let values = body.map_err(|error| unfit(&error))?.values;
        let is_new = matches!(path.keys, restock_cim::Keys::Class);
        let put = Put {
            class: class.name.clone(),
            path: (!is_new).then_some(path),
            values,
            form: if is_new { PutForm::Create } else { PutForm::Partial },
        };
        let written = self.provider.put(&self.caller, put).await;
        self.shown(&written.map_err(|refusal| self.refused(&refusal))?)
    }

    async fn invoke(
        &self,
        path: &str,
        method: &str,
        arguments: Map<String, Value>,
    ) -> Result<Value, Failure> {
        let path = path_of(path)?;
        let class = self.class(&path)?;
        let Some(declared) = class.method(method) else {
            let method = crate::output::shown(method);
            return Err(Failure::usage(format!("INVALID_METHOD: {} has no method {method}", class.name)));
        };
        let zone = &self.provider.config().zone;
        let body = Body::of_call(self.provider.schema(), &class, declared, json_of(arguments)?, zone);
        let arguments = body.map_err(|error| unfit(&error))?.values;
        let call = MethodCall { path, method: declared.name.clone(), arguments };
        let answer = self.provider.invoke(&self.caller, call).await;
        let answer = answer.map_err(|refusal| self.refused(&refusal))?;
        plain(&method_answer("", declared, &answer.return_value, &answer.out, false, zone))
    }

    /// The class of a path.
    fn class(&self, path: &ObjectPath) -> Result<Arc<Class>, Failure> {
        let class = self.provider.schema().class(path.class.as_str());
        class.cloned().ok_or_else(|| {
            let name = crate::output::shown(path.class.as_str());
            Failure::usage(format!("INVALID_CLASS: no class is called {name}"))
        })
    }

    /// An instance with its class and path.
    fn shown(&self, instance: &Instance) -> Result<Value, Failure> {
        let zone = self.provider.config().zone.clone();
        let shown = Shown { server: String::new(), namespace: String::new(), zone };
        let members = ["__CLASS", "__RELPATH"].map(Name::from).to_vec();
        let mut text = String::new();
        shown.write(&mut text, instance, &Selection::Named(members), None);
        plain(&text)
    }

    /// A refusal as commands report it.
    fn refused(&self, refusal: &Refusal) -> Failure {
        let code = refusal.code();
        let kind = match refusal.status() {
            Status::NotFound => Kind::NotFound,
            Status::Timeout => Kind::TimedOut,
            Status::TypeMismatch
            | Status::InvalidParameter
            | Status::InvalidNamespace
            | Status::InvalidClass
            | Status::InvalidQuery
            | Status::InvalidQueryType
            | Status::InvalidProperty
            | Status::InvalidMethod
            | Status::InvalidObjectPath
            | Status::ReadOnly => Kind::Usage,
            Status::Failed if code == "FAILED" || code.starts_with("DATABASE_") => Kind::Failed,
            Status::ServerTooBusy | Status::CallCancelled => Kind::Failed,
            _ => Kind::Refused,
        };
        let message = format!(
            "{code}: {} (ErrorCode {}, correlation {})",
            refusal.description(),
            refusal.error_code(),
            self.caller.correlation
        );
        let mut failure = Failure::new(kind, message);
        failure.error_code = Some(refusal.error_code());
        failure.correlation = Some(self.caller.correlation.clone());
        failure
    }
}

fn path_of(text: &str) -> Result<ObjectPath, Failure> {
    text.parse().map_err(|error: PathError| {
        Failure::caused(Kind::Usage, "INVALID_PATH", &error)
            .hint("a path looks like SMS_Package.PackageID=\"XYZ00001\"; quote it for the shell")
    })
}

fn unfit(error: &BodyError) -> Failure {
    Failure::usage(error.to_string())
}

/// Values as they were sent, for readers that keep every digit.
fn json_of(values: Map<String, Value>) -> Result<restock_wire::odata::Json, Failure> {
    let text = Value::Object(values).to_string();
    read_json(text.as_bytes()).map_err(|error| Failure::usage(format!("TYPE: {error}")))
}

/// The document without annotations.
fn plain(text: &str) -> Result<Value, Failure> {
    let mut document: Value = serde_json::from_str(text)
        .map_err(|error| Failure::caused(Kind::Failed, "an object cannot be shown", &error))?;
    if let Value::Object(members) = &mut document {
        members.retain(|name, _| !name.starts_with("@odata."));
    }
    Ok(document)
}

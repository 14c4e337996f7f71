//! Put: which of the values sent are written, and how.
//!
//! Scripts send back the whole object they read, often from a query and some time ago: what the
//! site writes itself is ignored then. In a partial body it is refused. Source: docs/provider.md, "Put".

use std::sync::Arc;

use restock_cim::{Class, Instance, Name, Value};
use restock_names::SiteCode;

use super::context::PutContext;
use super::invoke::caused;
use super::keys::ResolvedKeys;
use super::path::{declared, shown};
use super::{Caller, Put, PutForm, log, values};
use crate::errors::Action;
use crate::{Provider, Refusal, audit, classes};

impl Provider {
    /// Writes an object, and gives it as [`Provider::get`] shows it afterwards.
    ///
    /// The change is durable when this returns `Ok`; after a refusal nothing was changed.
    /// An object that the caller may write and not read is answered with its keys alone.
    pub async fn put(&self, caller: &Caller, put: Put) -> Result<Instance, Refusal> {
        let class_name = declared(&put.class);
        let shown = put.path.as_ref().map_or_else(|| class_name.to_string(), shown);
        match self.put_checked(caller, put, &shown).await {
            Ok(instance) => {
                log::done(caller, &format!("PutInstance {}", super::path::shown_path(&instance, &shown)));
                Ok(instance)
            }
            Err((keys, refusal)) => {
                let path = keys.unwrap_or(shown);
                let refusal = refusal.at(Action::Put, class_name.as_str(), &path);
                self.refused(caller, Action::Put, &path, "", &refusal).await;
                Err(refusal)
            }
        }
    }

    async fn put_checked(
        &self,
        caller: &Caller,
        put: Put,
        shown: &str,
    ) -> Result<Instance, (Option<String>, Refusal)> {
        let site = self.site_code().await.map_err(|refusal| (None, refusal))?;
        let context = self.put_context(caller, put, site).map_err(|refusal| (None, refusal))?;
        let class = Arc::clone(&context.object.class);
        let shown_keys = context.object.keys.as_ref().map(ToString::to_string);
        let function = classes::live(class.name.as_str()).and_then(|live| live.put).ok_or_else(|| {
            let text = format!("{shown}: objects of {} cannot be written at this site", class.name);
            (shown_keys.clone(), Refusal::provider("NOT_SUPPORTED", text))
        })?;
        let context = Arc::new(context);
        let in_transaction = Arc::clone(&context);
        let keys = self
            .database
            .transact("put_object", move |tx| {
                Box::pin(async move {
                    let context = in_transaction;
                    let before = match &context.object.keys {
                        Some(keys) => audit::digest_of(tx, &keys.to_string()).await?,
                        None => None,
                    };
                    let keys = function(&context, tx).await?;
                    let record = audit::Entry {
                        action: Action::Put,
                        path: &keys.to_string(),
                        method: "",
                        parameters: &context.values,
                        package: keys.text("PackageID").parse().ok(),
                        result: 0,
                        before,
                    };
                    audit::record(
                        tx,
                        context.object.at.site,
                        context.object.at.now,
                        &context.object.caller,
                        &record,
                    )
                    .await?;
                    Ok::<_, Refusal>(keys)
                })
            })
            .await
            .map_err(|refusal| (shown_keys, refusal))?;
        match self.read_by_keys(caller, &class, &keys).await {
            Ok(Some(instance)) => Ok(instance),
            // Written, and not to be seen by the writer, or the read itself failed: the write stands.
            Ok(None) | Err(_) => {
                let mut instance = Instance::new(class);
                for (name, value) in keys.values() {
                    instance.set(name.as_str(), value.clone());
                }
                Ok(instance)
            }
        }
    }

    fn put_context(&self, caller: &Caller, put: Put, site: SiteCode) -> Result<PutContext, Refusal> {
        let class = match &put.path {
            Some(path) => self.class_of(path, site)?,
            None => self.class_of(&restock_cim::ObjectPath::of_class(put.class.clone()), site)?,
        };
        if !class.is_a(put.class.as_str()) {
            let text = format!("the path names the class {}, the object is of {}", class.name, put.class);
            return Err(Refusal::core("INVALID_PATH", text));
        }
        let sent = values::typed(&class, put.values)?;
        let keys_sent = ResolvedKeys::of_values(&class, &sent);
        let keys = match &put.path {
            Some(path) => Some(ResolvedKeys::of_path(&class, path)?),
            None => keys_sent,
        };
        let seen_version =
            sent.iter().find(|(name, _)| name.is("SedoObjectVersion")).and_then(|(_, value)| match value {
                Value::String(text) => Some(text.clone()),
                _ => None,
            });
        let Written { values, read_only } = written(&class, put.form, keys.as_ref(), sent)?;
        for (name, value) in &values {
            if let Some(property) = class.property(name.as_str()) {
                values::check_bounds(&class, property, value)?;
            }
        }
        let object = self.object_context(caller, site, class, keys);
        let must_exist = put.path.is_some();
        Ok(PutContext { object, form: put.form, values, seen_version, read_only, must_exist })
    }

    /// Keeps the refusal in the audit trail and in the log.
    pub(super) async fn refused(
        &self,
        caller: &Caller,
        action: Action,
        path: &str,
        method: &str,
        refusal: &Refusal,
    ) {
        let shown = caused(action, path, method);
        log::refused(caller, &shown, refusal);
        let Ok(site) = self.site_code().await else { return };
        let (now, caller) = (self.clock.now(), caller.clone());
        let (path, method, result) = (path.to_owned(), method.to_owned(), refusal.error_code());
        let kept: Result<(), Refusal> = self
            .database
            .transact("audit_refusal", move |tx| {
                Box::pin(async move {
                    let record = audit::Entry {
                        action,
                        path: &path,
                        method: &method,
                        parameters: &[],
                        package: package_in(&path),
                        result,
                        before: None,
                    };
                    audit::record(tx, site, now, &caller, &record).await?;
                    Ok(())
                })
            })
            .await;
        if let Err(error) = kept {
            tracing::error!(target: "smsprov", %error, "a refusal could not be kept in the audit trail");
        }
    }
}

/// The package a path names by its key.
pub(super) fn package_in(path: &str) -> Option<restock_names::PackageId> {
    let path: restock_cim::ObjectPath = path.parse().ok()?;
    match path.key("PackageID")? {
        restock_cim::KeyValue::String(text) => text.parse().ok(),
        _ => None,
    }
}

struct Written {
    values: Vec<(Name, Value)>,
    /// A property that only the site writes was sent in a partial body.
    read_only: Option<Name>,
}

/// The values that are to be written.
///
/// Errors: `UNKNOWN_PROPERTY` for a system member of a partial body.
fn written(
    class: &Class,
    form: PutForm,
    keys: Option<&ResolvedKeys>,
    sent: Vec<(Name, Value)>,
) -> Result<Written, Refusal> {
    let mut written = Written { values: Vec::with_capacity(sent.len()), read_only: None };
    for (name, value) in sent {
        if values::is_system(name.as_str()) {
            if form == PutForm::Partial {
                let text = format!("{name} describes an object and cannot be set in a part of one");
                return Err(Refusal::core("UNKNOWN_PROPERTY", text));
            }
            continue;
        }
        let Some(property) = class.property(name.as_str()) else { continue };
        if property.is_key() {
            let is_meant =
                keys.and_then(|keys| keys.get(name.as_str())).is_some_and(|key| is_same(key, &value));
            if form == PutForm::Partial && !is_meant && value != Value::Null {
                written.read_only.get_or_insert(name);
            }
            continue;
        }
        if classes::is_written_by_site(class, property) {
            if form == PutForm::Partial {
                written.read_only.get_or_insert(name);
            }
            continue;
        }
        // A query reads lazy properties as NULL: it says nothing about them.
        if property.is_lazy() && value == Value::Null {
            continue;
        }
        written.values.push((name, value));
    }
    Ok(written)
}

/// True when two key values name the same.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => one.to_lowercase() == other.to_lowercase(),
        (one, other) => one == other,
    }
}

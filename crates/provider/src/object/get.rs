//! Get: one object with all its properties, lazy ones too.

use std::sync::Arc;

use restock_cim::query::{
    ClassReference, Column, Comparison, Condition, From, Literal, Operand, Query, Select,
};
use restock_cim::{Class, DateTime, Instance, Keys, Name, ObjectPath, Value, schedule};

use super::keys::ResolvedKeys;
use super::path::{declared, shown};
use super::{Caller, log};
use crate::errors::Action;
use crate::{Provider, Refusal};

impl Provider {
    /// The object that a path names, whole: lazy properties are read, `RefreshSchedule` holds tokens.
    ///
    /// The path may be in any letter case and name this server and namespace; values are as stored.
    /// Errors: `NOT_FOUND` also for an object that the caller may not read.
    pub async fn get(&self, caller: &Caller, path: &ObjectPath) -> Result<Instance, Refusal> {
        self.get_checked(caller, path).await.map_err(|refusal| {
            let shown = shown(path);
            let refusal = refusal.at(Action::Get, declared(&path.class).as_str(), &shown);
            log::refused(caller, &format!("GetObject {shown}"), &refusal);
            refusal
        })
    }

    async fn get_checked(&self, caller: &Caller, path: &ObjectPath) -> Result<Instance, Refusal> {
        let site = self.site_code().await?;
        let class = self.class_of(path, site)?;
        if path.keys == Keys::Singleton {
            return self.only_instance(caller, &class, path).await;
        }
        let keys = ResolvedKeys::of_path(&class, path)?;
        self.read_by_keys(caller, &class, &keys).await?.ok_or_else(|| Refusal::not_found(path.relative()))
    }

    async fn only_instance(
        &self,
        caller: &Caller,
        class: &Arc<Class>,
        path: &ObjectPath,
    ) -> Result<Instance, Refusal> {
        let mut query = select(class, None);
        query.limit = Some(2);
        let mut rows = self.rows(caller, query, true).await?;
        let first = rows.next().await.transpose()?;
        let first = first.ok_or_else(|| Refusal::not_found(path.relative()))?;
        if rows.next().await.is_some() {
            let text = format!("{}: {} has several instances", path.relative(), class.name);
            return Err(Refusal::core("INVALID_PATH", text));
        }
        Ok(first)
    }

    /// The visible object with these keys, whole.
    pub(super) async fn read_by_keys(
        &self,
        caller: &Caller,
        class: &Arc<Class>,
        keys: &ResolvedKeys,
    ) -> Result<Option<Instance>, Refusal> {
        let conditions = keys.values().iter().map(|(name, value)| {
            Condition::Compare(column(name), Comparison::Equal, Operand::Literal(literal(value)))
        });
        let mut conditions: Vec<Condition> = conditions.collect();
        let filter = if conditions.len() > 1 { Some(Condition::And(conditions)) } else { conditions.pop() };
        let mut rows = self.rows(caller, select(class, filter), true).await?;
        let Some(mut instance) = rows.next().await.transpose()? else { return Ok(None) };
        self.fill_schedule(&mut instance).await?;
        Ok(Some(instance))
    }

    /// `RefreshSchedule`, whose tokens are embedded objects that SQL does not make.
    async fn fill_schedule(&self, instance: &mut Instance) -> Result<(), Refusal> {
        if !instance.class.name.is("SMS_Package") {
            return Ok(());
        }
        let id = instance.get("PackageID").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let Some(id) = id else { return Ok(()) };
        let stored =
            self.database.read("read_schedule", move |tx| Box::pin(async move { tx.schedule(id).await }));
        let tokens = stored.await?.map(|stored| stored.tokens).unwrap_or_default();
        instance.set("RefreshSchedule", Value::Array(schedule::to_values(self.schema(), &tokens)));
        Ok(())
    }
}

fn select(class: &Arc<Class>, filter: Option<Condition>) -> Query {
    Query {
        is_distinct: false,
        select: Select::All,
        from: From {
            first: ClassReference { class: class.name.clone(), alias: class.name.clone() },
            joins: Vec::new(),
        },
        filter,
        order: Vec::new(),
        limit: None,
        offset: 0,
    }
}

fn column(name: &Name) -> Operand {
    Operand::Column(Column { alias: None, property: name.clone() })
}

fn literal(value: &Value) -> Literal {
    match value {
        Value::Boolean(value) => Literal::Boolean(*value),
        Value::Unsigned(number) => Literal::Integer((*number).into()),
        Value::Signed(number) => Literal::Integer((*number).into()),
        Value::String(text) => Literal::String(text.clone()),
        Value::DateTime(time) => Literal::DateTime(DateTime::clone(time)),
        _ => Literal::Null,
    }
}

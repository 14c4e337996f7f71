//! Queries: resolved against the declarations, restricted to what the caller may see, streamed.

use std::sync::Arc;

use restock_cim::query::{Query, QueryError, ResolveAt, resolve};
use restock_cim::{Class, Instance, Name, Value};
use restock_sitedb::query::{Allowed, QueryFailed, QueryOptions, Rows as Stored};

use super::{Caller, log};
use crate::classes::declarations::schema;
use crate::errors::Action;
use crate::rights::Rights;
use crate::rights::object_types::operations_of;
use crate::rights::operations::{CREATE, names};
use crate::{Provider, Refusal};

/// The rows of a query, one after the other. Dropping it ends the query in the database.
#[derive(Debug)]
pub struct Rows {
    stored: Stored,
    rights: Arc<Rights>,
    class: Name,
}

impl Rows {
    /// The class of the rows; rows of a base class may be of its subclasses.
    pub fn class(&self) -> &Arc<Class> {
        self.stored.class()
    }

    /// The next row.
    ///
    /// Errors: `QUERY_DEADLINE`, or what happened to the database; no row follows then.
    pub async fn next(&mut self) -> Option<Result<Instance, Refusal>> {
        match self.stored.next().await? {
            Ok(mut row) => {
                fill(&mut row, &self.rights);
                Some(Ok(row))
            }
            Err(error) => Some(Err(Refusal::from(error).at(Action::Query, self.class.as_str(), ""))),
        }
    }

    /// All rows that are left. The caller knows that they are few.
    ///
    /// Errors: as of [`Rows::next`].
    pub async fn all(mut self) -> Result<Vec<Instance>, Refusal> {
        let mut rows = Vec::new();
        while let Some(row) = self.next().await {
            rows.push(row?);
        }
        Ok(rows)
    }
}

impl Provider {
    /// Answers a query with the rows that the caller may see.
    ///
    /// Errors: the query names what is not declared, compares what cannot be compared, passes a
    /// limit, or spans too many pairs.
    pub async fn query(&self, caller: &Caller, query: Query) -> Result<Rows, Refusal> {
        let class = query.from.first.class.clone();
        self.rows(caller, query, false).await.map_err(|refusal| {
            let refusal = refusal.at(Action::Query, class.as_str(), class.as_str());
            log::refused(caller, &format!("ExecQuery {class}"), &refusal);
            refusal
        })
    }

    pub(super) async fn rows(
        &self,
        caller: &Caller,
        query: Query,
        reads_lazy: bool,
    ) -> Result<Rows, Refusal> {
        let class = query.from.first.class.clone();
        let at = ResolveAt { now: self.clock.now(), zone: &self.config.zone };
        let resolved = resolve(self.schema(), query, &at)?;
        let allowed = Allowed::new(resolved, caller.rights.sight());
        let options =
            QueryOptions { deadline: self.config.query_deadline, reads_lazy, zone: Arc::clone(&self.zone) };
        let stored = self.database.query("query", allowed, options).await?;
        Ok(Rows { stored, rights: Arc::clone(&caller.rights), class })
    }
}

/// Values that depend on who asks.
fn fill(row: &mut Instance, rights: &Rights) {
    if !row.class.name.is("SMS_RbacSecuredObject") {
        return;
    }
    let Some(object_type) = row.get("ObjectTypeID").and_then(Value::as_integer) else { return };
    let Ok(object_type) = u32::try_from(object_type) else { return };
    if row.get("GrantedOperations").is_some() {
        row.set("GrantedOperations", Value::Unsigned(rights.shown_on_type(object_type).into()));
    }
    if row.get("Operations").is_some() {
        row.set("Operations", Value::Array(operations(object_type)));
    }
}

/// The operations there are on objects of a type, as `SMS_Operation`.
fn operations(object_type: u32) -> Vec<Value> {
    let Some(class) = schema().class("SMS_Operation") else { return Vec::new() };
    let exist = (0..u32::BITS).map(|bit| 1 << bit).filter(|bit| operations_of(object_type) & bit != 0);
    exist
        .map(|bit: u32| {
            let mut operation = Instance::new(Arc::clone(class));
            operation.set("BitFlag", Value::Unsigned(bit.into()));
            operation.set("IsTypeWideOperation", Value::Boolean(bit == CREATE));
            operation.set("ObjectTypeID", Value::Unsigned(object_type.into()));
            operation.set("OperationName", Value::String(names(bit)));
            Value::Object(Box::new(operation))
        })
        .collect()
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        let code = match error.kind.code() {
            "UNKNOWN_CLASS" => "INVALID_CLASS",
            code => code,
        };
        Self::core(code, error.to_string())
    }
}

impl From<QueryFailed> for Refusal {
    #[track_caller]
    fn from(error: QueryFailed) -> Self {
        match error {
            QueryFailed::Database(error) => error.into(),
            error => {
                let text = error.to_string();
                let (code, description) = text.split_once(": ").unwrap_or(("FAILED", &text));
                Self::provider(code, description)
            }
        }
    }
}

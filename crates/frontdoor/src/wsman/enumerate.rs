//! Enumerations: which rows, how many in one answer, and how they go on.
//!
//! Source: DSP0226, 8; DSP0227, 8.

use std::sync::Arc;
use std::time::{Duration, Instant};

use restock_cim::query::wql::{self, Associators, References, Statement};
use restock_cim::query::{Comparison, Condition, Literal, Operand, Query, QueryErrorKind, Select, Selected};
use restock_cim::{CimType, Class, Instance, Name, Status};
use restock_wire::wsman::{
    Association, Batch, ENVELOPE_BYTES, Enumerate, Fault, FaultKind, Filter, Form, Mode, Polymorphism, Pull,
    Selector, SelectorValue, Shown, items, no_address, too_large,
};
use restock_wire::xml::Writer;

use super::scope::Request;
use crate::contexts::{Enumeration, IDLE_MAX, PieceError};

/// Rows that are read at once.
const CHUNK_ROWS: u64 = 100;
/// The largest answer with items when the client does not say what it takes.
const ENVELOPE_BYTES_DEFAULT: u64 = 512 * 1024;
/// The largest answer with items, whatever the client takes.
const ENVELOPE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// An enumeration that was begun.
#[derive(Debug)]
pub(super) struct Open {
    enumeration: Enumeration,
    shown: Shown,
    mode: Mode,
    polymorphism: Polymorphism,
    /// The class that was asked for; `None` for a query's own.
    class: Option<Arc<Class>>,
    /// Whether rows are whole instances.
    form: Form,
}

/// What limits one answer.
struct Room {
    elements_max: u64,
    bytes_max: u64,
    until: Option<Instant>,
}

/// Items of one answer.
struct Filled {
    text: String,
    is_over: bool,
}

impl Request<'_> {
    /// `wsen:Enumerate`
    pub(super) async fn enumerate(&self, asked: &Enumerate) -> Result<String, Fault> {
        let mut open = self.open(asked)?;
        let filled = match asked.is_optimized {
            true => {
                let room = Room {
                    elements_max: asked.elements_max,
                    bytes_max: self.bytes_max(None),
                    until: self.until(None),
                };
                Some(self.fill(&mut open, &room).await?)
            }
            false => {
                // What the query is refused for is said here, not to the first Pull.
                let piece = open.enumeration.next(&self.handler.provider, self.caller, 1).await;
                let piece = piece.map_err(|error| self.piece_refused(error))?;
                open.enumeration.give_back(piece.rows);
                None
            }
        };
        let context = match &filled {
            Some(filled) if filled.is_over => None,
            _ => Some(self.keep(open)?),
        };
        let (batch, text) = match &filled {
            Some(filled) => (Batch::Optimized, filled.text.as_str()),
            None => (Batch::Begun, ""),
        };
        let mut out = Writer::new();
        items(&mut out, batch, context.as_deref(), text);
        Ok(out.finish())
    }

    /// `wsen:Pull`
    pub(super) async fn pull(&self, asked: &Pull) -> Result<String, Fault> {
        let contexts = &self.handler.wsman.contexts;
        let now = self.handler.clock.monotonic();
        let mut open = contexts
            .take(&asked.context, self.caller, &self.namespace, now)
            .map_err(|unknown| invalid_context(&unknown.to_string()))?;
        let room = Room {
            elements_max: asked.elements_max,
            bytes_max: self.bytes_max(asked.characters_max),
            until: self.until(asked.time_max),
        };
        let filled = match self.fill(&mut open, &room).await {
            Ok(filled) => filled,
            Err(fault) if fault.kind == FaultKind::EncodingLimit => {
                // The item waits for a client that takes more.
                open.put_back(self.handler.clock.monotonic());
                return Err(fault);
            }
            Err(fault) => return Err(fault),
        };
        let context = (!filled.is_over).then_some(asked.context.as_str());
        let mut out = Writer::new();
        items(&mut out, Batch::Pulled, context, &filled.text);
        match filled.is_over {
            true => open.release(),
            false => open.put_back(self.handler.clock.monotonic()),
        }
        Ok(out.finish())
    }

    /// `wsen:Release`
    pub(super) fn release(&self, context: &str) -> Result<String, Fault> {
        let now = self.handler.clock.monotonic();
        let taken = self.handler.wsman.contexts.take(context, self.caller, &self.namespace, now);
        taken.map_err(|unknown| invalid_context(&unknown.to_string()))?.release();
        Ok(String::new())
    }

    fn keep(&self, open: Open) -> Result<String, Fault> {
        let now = self.handler.clock.monotonic();
        let contexts = &self.handler.wsman.contexts;
        contexts
            .open(self.caller, &self.namespace, IDLE_MAX, open, now)
            .map_err(|error| Fault::new(FaultKind::QuotaLimit, "CONTEXTS", error.to_string()))
    }

    /// Bytes of items that fit into an answer.
    fn bytes_max(&self, characters_max: Option<u64>) -> u64 {
        let asked = self.header.envelope_bytes_max.unwrap_or(ENVELOPE_BYTES_DEFAULT).min(ENVELOPE_BYTES_MAX);
        let room = asked.saturating_sub(ENVELOPE_BYTES as u64);
        characters_max.map_or(room, |characters| characters.min(room))
    }

    fn until(&self, time_max: Option<Duration>) -> Option<Instant> {
        // The operation as a whole has a limit of its own; half of it leaves time to answer.
        let of_operation = self.header.timeout.map(|timeout| timeout / 2);
        let least = match (time_max, of_operation) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        least.map(|time| self.handler.clock.monotonic() + time)
    }

    /// As many items as there is room for, and one at least.
    async fn fill(&self, open: &mut Open, room: &Room) -> Result<Filled, Fault> {
        let mut text = String::new();
        let mut count = 0;
        while count < room.elements_max {
            if count > 0 && room.until.is_some_and(|until| self.handler.clock.monotonic() >= until) {
                break;
            }
            let rows = usize::try_from((room.elements_max - count).min(CHUNK_ROWS)).unwrap_or(1);
            let piece = open.enumeration.next(&self.handler.provider, self.caller, rows).await;
            let piece = piece.map_err(|error| self.piece_refused(error))?;
            let mut rows = piece.rows.into_iter();
            while let Some(row) = rows.next() {
                let Some(item) = open.item(&row)? else { continue };
                if (text.len() + item.len()) as u64 > room.bytes_max {
                    open.enumeration.give_back(std::iter::once(row).chain(rows).collect());
                    if count == 0 {
                        return Err(too_large(
                            item.len() + ENVELOPE_BYTES,
                            room.bytes_max + ENVELOPE_BYTES as u64,
                        ));
                    }
                    return Ok(Filled { text, is_over: false });
                }
                text.push_str(&item);
                count += 1;
            }
            if piece.is_over {
                return Ok(Filled { text, is_over: true });
            }
        }
        Ok(Filled { text, is_over: false })
    }

    fn piece_refused(&self, error: PieceError) -> Fault {
        match error {
            PieceError::Refused(refusal) => self.refused(&refusal),
            error @ PieceError::TooManyRows => {
                self.core(Status::InvalidQuery, "QUERY_LIMIT", &error.to_string(), "")
            }
        }
    }

    fn open(&self, asked: &Enumerate) -> Result<Open, Fault> {
        let named = self.header.resource.class.as_deref().map(|name| self.class_named(name)).transpose()?;
        let (mut queries, class) = match &asked.filter {
            None => {
                let class = self.class()?;
                (vec![Query::all_of(class.name.clone())], Some(class))
            }
            Some(Filter::Selectors(selectors)) => {
                let class = self.class()?;
                (vec![self.selected(&class, selectors)?], Some(class))
            }
            Some(Filter::Wql(text)) => (self.written(text, named.as_deref())?, None),
            Some(Filter::Association(association)) => (self.associated(association)?, None),
        };
        for query in &queries {
            // Queries are not looked up in a namespace by the provider.
            self.class_named(query.from.first.class.as_str())?;
            for join in &query.from.joins {
                self.class_named(join.right.class.as_str())?;
            }
        }
        let is_whole =
            queries.iter().all(|query| matches!(&query.select, Select::All) || is_one_whole(&query.select));
        if asked.mode == Mode::Reference {
            for query in &mut queries {
                self.only_keys(query);
            }
        }
        Ok(Open {
            enumeration: Enumeration::of(queries).at_most(self.qualifiers.rows_max),
            shown: self.shown(),
            mode: asked.mode,
            polymorphism: asked.polymorphism,
            class,
            form: if is_whole { Form::Whole } else { Form::Fragment },
        })
    }

    /// The queries of a WQL text. A URI that names a class asks for that class.
    fn written(&self, text: &str, named: Option<&Class>) -> Result<Vec<Query>, Fault> {
        let schema = self.handler.provider.schema();
        let queries = wql::statement(text).and_then(|statement| statement.queries(schema));
        let queries = queries.map_err(|error| self.query_refused(error, text))?;
        if let Some(named) = named {
            let is_other = |query: &&Query| {
                let class = schema.class(query.from.first.class.as_str());
                class.is_some_and(|class| !class.is_a(named.name.as_str()))
            };
            if let Some(other) = queries.iter().find(is_other) {
                let text = format!(
                    "the resource URI names {}, the query {}; a query of any class is asked of /*",
                    named.name, other.from.first.class
                );
                return Err(Fault::new(FaultKind::CannotProcessFilter, "FILTER", text));
            }
        }
        Ok(queries)
    }

    /// The query that selectors are.
    fn selected(&self, class: &Arc<Class>, selectors: &[Selector]) -> Result<Query, Fault> {
        let mut conditions = Vec::new();
        for selector in selectors {
            let Some(property) = class.property(&selector.name) else {
                let shown: String = selector.name.chars().take(100).collect();
                let text = format!("{} has no property {shown:?}", class.name);
                let error = restock_cim::query::QueryError::new(QueryErrorKind::UnknownProperty, text);
                return Err(self.query_refused(error, class.name.as_str()));
            };
            let unfit = || {
                let text = format!("{}.{} is a {}", class.name, property.name, property.data_type);
                let error = restock_cim::query::QueryError::new(QueryErrorKind::Type, text);
                self.query_refused(error, class.name.as_str())
            };
            let literal = match &selector.value {
                SelectorValue::Reference(reference) => {
                    Literal::String(self.referenced(reference)?.to_string())
                }
                SelectorValue::Text(text) => match property.data_type.cim {
                    CimType::Boolean => match text.trim().to_ascii_lowercase().as_str() {
                        "true" | "1" => Literal::Boolean(true),
                        "false" | "0" => Literal::Boolean(false),
                        _ => return Err(unfit()),
                    },
                    CimType::Real32 | CimType::Real64 => {
                        Literal::Real(text.trim().parse().map_err(|_unread| unfit())?)
                    }
                    cim if cim.range().is_some() => {
                        Literal::Integer(text.trim().parse().map_err(|_unread| unfit())?)
                    }
                    _ => Literal::String(text.clone()),
                },
            };
            conditions.push(Condition::compare(
                Operand::column(property.name.as_str()),
                Comparison::Equal,
                Operand::Literal(literal),
            ));
        }
        let filter = if conditions.is_empty() { None } else { Some(Condition::and(conditions)) };
        Ok(Query { filter, ..Query::all_of(class.name.clone()) })
    }

    fn associated(&self, asked: &Association) -> Result<Vec<Query>, Fault> {
        let path = self.referenced(&asked.object)?;
        let shown = path.to_string();
        let name = |text: &Option<String>| text.as_deref().map(Name::from);
        let statement = match asked.is_of_associations {
            true => Statement::References(Box::new(References {
                path,
                result_class: name(&asked.result_class).or_else(|| name(&asked.association)),
                role: name(&asked.role),
                is_keys_only: false,
            })),
            false => Statement::Associators(Box::new(Associators {
                path,
                association: name(&asked.association),
                result_class: name(&asked.result_class),
                role: name(&asked.role),
                result_role: name(&asked.result_role),
                is_keys_only: false,
            })),
        };
        statement.queries(self.handler.provider.schema()).map_err(|error| self.query_refused(error, &shown))
    }

    /// Makes a query of one class ask for keys alone.
    fn only_keys(&self, query: &mut Query) {
        let class = self.handler.provider.schema().class(query.from.first.class.as_str());
        let Some(class) = class.filter(|_| query.from.joins.is_empty() && !query.is_distinct) else { return };
        if matches!(query.select, Select::Count(_)) || class.keys().next().is_none() {
            return;
        }
        let column = |key: &restock_cim::Property| {
            Selected::Column(restock_cim::query::Column { alias: None, property: key.name.clone() })
        };
        query.select = Select::Columns(class.keys().map(column).collect());
    }
}

impl Open {
    /// One item; `None` when it is not shown.
    fn item(&self, row: &Instance) -> Result<Option<String>, Fault> {
        let asked = self.class.as_ref().filter(|class| class.name != row.class.name);
        let is_cut = match (asked, self.polymorphism) {
            (Some(_), Polymorphism::None) => return Ok(None),
            (Some(_), Polymorphism::ExcludeSubClassProperties) => true,
            _ => false,
        };
        let mut out = Writer::new();
        if self.mode == Mode::ObjectAndReference {
            out.open("w:Item");
        }
        if self.mode != Mode::Reference {
            match (asked, is_cut) {
                (Some(class), true) => self.shown.as_class(&mut out, row, class),
                _ => self.shown.instance(&mut out, row, self.form_of(row)),
            }
        }
        if self.mode != Mode::Object && !self.shown.endpoint(&mut out, row) {
            return Err(no_address());
        }
        Ok(Some(out.finish()))
    }

    /// Rows of several classes have no address of their own and are shown as fragments.
    fn form_of(&self, row: &Instance) -> Form {
        if row.class.name.as_str().starts_with("__") { Form::Fragment } else { self.form }
    }
}

/// `a.*`
fn is_one_whole(select: &Select) -> bool {
    matches!(select, Select::Columns(columns) if matches!(columns.as_slice(), [Selected::AllOf(_)]))
}

fn invalid_context(text: &str) -> Fault {
    Fault::new(FaultKind::InvalidEnumerationContext, "CONTEXT", text)
}

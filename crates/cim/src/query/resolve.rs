//! Finds the names of a query in the schema and settles all types.
//!
//! [`resolve`] makes a [`Resolved`] of a [`Query`]. Literals become values of what they are
//! compared with: a text beside a number is read as one, a text beside a time in any form of
//! docs/queries.md. Times without a stated zone are the site's clock beside properties that are
//! `[LocalTime]` and UTC beside others. Date arithmetic on constants is done here, and
//! comparisons of `DateDiff` and `DateAdd` with constants become plain ranges of the property, so
//! that an index can answer them.
//!
//! It checks no rights and knows no table.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

mod clock;
mod condition;
mod operand;
#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may fail")]
mod tests;
mod time;

pub use time::parse as parse_time;

use std::cell::{Cell, OnceCell};
use std::sync::Arc;

use restock_names::{Timestamp, Zone};

use self::time::Clock;
use super::resolved::{ClockOffset, Expression, Field, JoinTo, OrderBy, Resolved, Selection, Shape, Source};
use super::{
    ClassReference, Column, From, JoinKind, Order, Query, QueryError, QueryErrorKind, Select, Selected,
};
use crate::{CimType, Class, DataType, Name, Property, Schema, Value};

/// When and where a query is asked.
#[derive(Debug, Clone, Copy)]
pub struct ResolveAt<'a> {
    /// What `GetDate()` is.
    pub now: Timestamp,
    /// The site's time zone.
    pub zone: &'a Zone,
}

/// Finds all names, checks all types.
///
/// Errors: unknown classes and properties, ambiguous names, comparisons that make no sense, forms
/// that are not offered.
pub fn resolve(schema: &Schema, query: Query, at: &ResolveAt<'_>) -> Result<Resolved, QueryError> {
    Resolver { schema, at: *at, offsets: OnceCell::new(), ambient: Cell::new(Clock::Local) }.query(&query)
}

struct Resolver<'a> {
    schema: &'a Schema,
    at: ResolveAt<'a>,
    /// Offsets of the site's clock, found when first wanted.
    offsets: OnceCell<Arc<[ClockOffset]>>,
    /// The clock of what stands on the other side of a comparison.
    ambient: Cell<Clock>,
}

/// The sources a condition may name.
type Sources<'s> = &'s [Source];

/// What a column names.
enum Found {
    /// A property.
    Field(Field),
    /// `__CLASS` of a source.
    Class(usize),
}

fn unsupported(message: impl Into<String>) -> QueryError {
    QueryError::new(QueryErrorKind::Unsupported, message)
}

fn mistyped(message: impl Into<String>) -> QueryError {
    QueryError::new(QueryErrorKind::Type, message)
}

fn unknown(message: impl Into<String>) -> QueryError {
    QueryError::new(QueryErrorKind::UnknownProperty, message)
}

impl Resolver<'_> {
    fn query(&self, query: &Query) -> Result<Resolved, QueryError> {
        let mut sources = self.sources(&query.from)?;
        for source in &mut sources {
            source.is_whole = is_whole(source, &query.select);
        }
        let (selection, shape) = select(&sources, &query.select, query.is_distinct)?;
        let filter = query.filter.as_ref().map(|filter| self.filter(&sources, filter)).transpose()?;
        let mut order = Vec::new();
        // One row has no order.
        if let Selection::Fields(fields) = &selection {
            for by in &query.order {
                order.push(self.order(&sources, by, query.is_distinct.then_some(fields))?);
            }
        }
        Ok(Resolved {
            is_distinct: query.is_distinct,
            sources,
            selection,
            filter,
            order,
            limit: query.limit,
            offset: query.offset,
            shape,
        })
    }

    fn sources(&self, from: &From) -> Result<Vec<Source>, QueryError> {
        let mut sources = vec![self.source(&from.first, &[])?];
        for join in &from.joins {
            let source = self.source(&join.right, &sources)?;
            sources.push(source);
            let on = join.on.as_ref().map(|on| self.filter(&sources, on)).transpose()?;
            let (joined, before) = sources.split_last_mut().expect("a source was just added");
            joined.join = Some(JoinTo { kind: join.kind, on });
            joined.is_optional = matches!(join.kind, JoinKind::Left | JoinKind::Full);
            if matches!(join.kind, JoinKind::Right | JoinKind::Full) {
                before.iter_mut().for_each(|source| source.is_optional = true);
            }
        }
        Ok(sources)
    }

    fn source(&self, reference: &ClassReference, before: Sources<'_>) -> Result<Source, QueryError> {
        let name = reference.class.as_str();
        if name.starts_with("__") && name.to_ascii_lowercase().ends_with("event") {
            return Err(unsupported(format!("event queries ({name}) are not supported")));
        }
        let Some(class) = self.schema.class(name) else {
            return Err(QueryError::new(QueryErrorKind::UnknownClass, format!("class {name} is not known")));
        };
        if class.has("Embedded") {
            let what = format!("{} exists only within other objects and cannot be queried", class.name);
            return Err(unsupported(what));
        }
        if before.iter().any(|source| source.alias == reference.alias) {
            return Err(unsupported(format!(
                "two classes are called {}: give them aliases",
                reference.alias
            )));
        }
        let below = self.schema.subclasses(class.name.as_str());
        let concrete = std::iter::once(class).chain(below).filter(|class| !class.has("Abstract"));
        Ok(Source {
            class: Arc::clone(class),
            alias: reference.alias.clone(),
            concrete: concrete.cloned().collect(),
            join: None,
            is_optional: false,
            is_whole: false,
        })
    }

    fn order(
        &self,
        sources: Sources<'_>,
        order: &Order,
        distinct: Option<&Vec<Field>>,
    ) -> Result<OrderBy, QueryError> {
        let by = self.single(sources, &order.by)?;
        let is_selected =
            |fields: &Vec<Field>| matches!(&by, Expression::Field(field) if fields.contains(field));
        if distinct.is_some_and(|fields| !is_selected(fields)) {
            return Err(unsupported("ORDER BY beside DISTINCT can name only selected properties"));
        }
        Ok(OrderBy { by, is_descending: order.is_descending })
    }
}

/// Whether `*` selects all of a source.
fn is_whole(source: &Source, select: &Select) -> bool {
    match select {
        Select::Count(_) => false,
        Select::All => true,
        Select::Columns(columns) => columns
            .iter()
            .any(|selected| matches!(selected, Selected::AllOf(alias) if *alias == source.alias)),
    }
}

/// Finds the property or `__CLASS` that a column names.
fn find(sources: Sources<'_>, column: &Column) -> Result<Found, QueryError> {
    let name = column.property.as_str();
    if name.starts_with("__") && !column.property.is("__CLASS") {
        return Err(unsupported(format!("the system property {name} cannot be queried, only __CLASS")));
    }
    let within = |index: usize, source: &Source| {
        if column.property.is("__CLASS") {
            return Some(Found::Class(index));
        }
        let property = source.class.property_index(name)?;
        Some(Found::Field(Field { source: index, property }))
    };
    if let Some(alias) = &column.alias {
        let (index, source) = by_alias(sources, alias)?;
        return within(index, source)
            .ok_or_else(|| unknown(format!("class {} has no property {name}", source.class.name)));
    }
    let mut found = sources.iter().enumerate().filter_map(|(index, source)| within(index, source));
    match (found.next(), found.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => {
            Err(unknown(format!("several classes of the query have {name}: write the alias before it")))
        }
        (None, _) => Err(unknown(match sources {
            [only] => format!("class {} has no property {name}", only.class.name),
            _ => format!("no class of the query has a property {name}"),
        })),
    }
}

fn by_alias<'s>(sources: Sources<'s>, alias: &Name) -> Result<(usize, &'s Source), QueryError> {
    sources
        .iter()
        .enumerate()
        .find(|(_, source)| source.alias == *alias)
        .ok_or_else(|| unknown(format!("no class of the query is called {alias}")))
}

fn select(
    sources: Sources<'_>,
    select: &Select,
    is_distinct: bool,
) -> Result<(Selection, Shape), QueryError> {
    let mut fields = Vec::new();
    let mut selected: Vec<usize> = Vec::new();
    let all_of = |index: usize, source: &Source| {
        (0..source.class.properties.len()).map(move |property| Field { source: index, property })
    };
    match select {
        Select::Count(_) if is_distinct => {
            return Err(unsupported("COUNT together with DISTINCT is not supported"));
        }
        Select::Count(column) => {
            let selection = match column.as_ref().map(|column| find(sources, column)).transpose()? {
                Some(Found::Field(field)) => Selection::CountField(field),
                Some(Found::Class(_)) | None => Selection::CountRows,
            };
            let data_type = DataType { cim: CimType::UInt32, is_array: false, class: None };
            let class = generic(vec![(Name::from("Count"), data_type)]);
            return Ok((selection, Shape::Count { class }));
        }
        Select::All => {
            for (index, source) in sources.iter().enumerate() {
                selected.push(index);
                fields.extend(all_of(index, source));
            }
        }
        Select::Columns(columns) => {
            for column in columns {
                let index = match column {
                    Selected::AllOf(alias) => {
                        let (index, source) = by_alias(sources, alias)?;
                        fields.extend(all_of(index, source));
                        index
                    }
                    Selected::Column(column) => match find(sources, column)? {
                        Found::Field(field) => {
                            fields.push(field);
                            field.source
                        }
                        Found::Class(index) => index,
                    },
                };
                selected.push(index);
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    fields.retain(|field| seen.insert(*field));
    selected.sort_unstable();
    selected.dedup();
    let shape = match selected.as_slice() {
        [source] => Shape::Instance { source: *source },
        _ => embedded(sources, selected),
    };
    Ok((Selection::Fields(fields), shape))
}

/// `__Generic` with an object for each of these sources.
fn embedded(sources: Sources<'_>, selected: Vec<usize>) -> Shape {
    let mut parts: Vec<(usize, &Source)> =
        selected.into_iter().filter_map(|index| Some((index, sources.get(index)?))).collect();
    parts.sort_by(|(_, a), (_, b)| a.alias.cmp(&b.alias));
    let properties = parts.iter().map(|(_, source)| {
        let class = Some(source.class.name.clone());
        (source.alias.clone(), DataType { cim: CimType::Object, is_array: false, class })
    });
    Shape::Embedded {
        class: generic(properties.collect()),
        sources: parts.iter().map(|(index, _)| *index).collect(),
    }
}

fn generic(properties: Vec<(Name, DataType)>) -> Arc<Class> {
    let origin = Name::from("__Generic");
    let properties = properties.into_iter().map(|(name, data_type)| Property {
        name,
        data_type,
        default: Value::Null,
        qualifiers: Vec::new(),
        origin: origin.clone(),
    });
    Arc::new(Class {
        properties: properties.collect(),
        name: origin.clone(),
        derivation: Vec::new(),
        qualifiers: Vec::new(),
        methods: Vec::new(),
    })
}

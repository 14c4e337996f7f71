//! An allowed query as SQL for either engine.
//!
//! [`Allowed`] joins a resolved query with what its caller may see; nothing else has SQL. The text
//! is made of this program's own words and of declared names; every value that a caller wrote is
//! bound. Literals, types and names were settled on resolving, so that nothing is decided here
//! but spelling.
//!
//! What it does not do: it runs nothing and decodes nothing; [`Layout`] says what the columns are.

mod condition;
mod expression;
mod fields;
mod source;

use std::sync::Arc;

use restock_cim::query::{Field, Filter, OrderBy, Resolved, Selection, Shape, Source};
use restock_cim::{Class, Name};

use super::dialect::Storage;
use super::sight::{Sight, write_tables};
use super::sql::{Bound, Sql};
use crate::{Engine, Views};

/// Rows that classes joined without comparing their properties may give.
pub const PRODUCT_ROWS_MAX: u64 = 1_000_000;

/// A query with what its caller may see: the only thing that has SQL.
#[derive(Debug, Clone)]
pub struct Allowed {
    query: Resolved,
    sight: Sight,
}

/// A statement with its values, and what its columns are.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The text, the same for queries that differ in their values alone.
    pub text: String,
    /// What is bound to `$1`, `$2`, ….
    pub(crate) values: Vec<Bound>,
    pub(crate) layout: Layout,
}

impl Statement {
    /// The bound values, each as Rust shows it.
    pub fn values(&self) -> Vec<String> {
        self.values.iter().map(|value| format!("{value:?}")).collect()
    }
}

/// What the columns of a statement are.
#[derive(Debug, Clone)]
pub(crate) enum Layout {
    /// One number.
    Count(Arc<Class>),
    /// The columns of one instance.
    Instance(Part),
    /// Those of several, which become objects of an instance of this class.
    Embedded(Arc<Class>, Vec<Part>),
}

/// Columns that make one instance, in this order.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// The class of the instance, unless its row names another.
    pub(crate) class: Arc<Class>,
    /// The classes that the first column may name; empty when there is no such column.
    pub(crate) concrete: Vec<Arc<Class>>,
    /// A column follows that is `NULL` when there is no instance.
    pub(crate) has_presence: bool,
    /// The properties, by their place in `class`.
    pub(crate) properties: Vec<usize>,
    /// Columns that follow them: what subclasses have of their own.
    pub(crate) own: Vec<Own>,
}

/// A column of properties that `class` of a [`Part`] lacks and its subclasses have: one of each at most,
/// all of one name.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    pub(crate) storage: Storage,
    /// For each class of [`Part::concrete`]: the property, by its place there.
    pub(crate) places: Vec<Option<usize>>,
}

impl Allowed {
    /// `query`, as one who may see `sight` may ask it.
    pub fn new(query: Resolved, sight: Sight) -> Self {
        Self { query, sight }
    }

    /// The class of the rows.
    pub fn class(&self) -> Option<&Arc<Class>> {
        self.query.class()
    }

    /// The statement. Lazy properties are read only on `reads_lazy`, and on any condition over them.
    pub fn sql(&self, views: &Views, reads_lazy: bool) -> Statement {
        let mut compiler = self.compiler(views, reads_lazy);
        let layout = compiler.select(&self.query, "s".to_owned());
        let Sql { text, values, .. } = compiler.sql;
        Statement { text, values, layout }
    }

    /// For each product of rows without a condition, the statements that count its factors.
    ///
    /// Shape: a product for the query and for each sub-select that has one; each counts at most
    /// one row more than [`PRODUCT_ROWS_MAX`].
    pub(crate) fn products(&self, views: &Views) -> Vec<Vec<Statement>> {
        let mut queries = vec![&self.query];
        let mut products = Vec::new();
        while let Some(query) = queries.pop() {
            fields::subqueries(query, &mut queries);
            let groups = query.connected();
            if groups.len() < 2 {
                continue;
            }
            let count = |group: &Vec<usize>| {
                let mut compiler = self.compiler(views, false);
                compiler.count_group(query, group);
                let Sql { text, values, .. } = compiler.sql;
                let class = Arc::clone(&query.sources[0].class);
                Statement { text, values, layout: Layout::Count(class) }
            };
            products.push(groups.iter().map(count).collect());
        }
        products
    }

    /// A compiler that has written what the caller sees less than is there.
    fn compiler<'a>(&self, views: &'a Views, reads_lazy: bool) -> Compiler<'a> {
        let mut compiler =
            Compiler { sql: Sql::new(views.engine()), views, reads_lazy, selects: 0, is_value: false };
        if !self.sight.is_unrestricted() {
            let mut wanted = Vec::new();
            let mut queries = vec![&self.query];
            while let Some(query) = queries.pop() {
                fields::subqueries(query, &mut queries);
                let classes = query.sources.iter().flat_map(|source| &source.concrete);
                wanted.extend(classes.filter_map(|class| views.find(class.name.as_str())));
            }
            let (wanted, tables) = views.closure(wanted);
            let sql = &mut compiler.sql;
            sql.push("WITH ");
            write_tables(&self.sight, tables, sql);
            for (name, text) in wanted {
                sql.name(name).push(" AS NOT MATERIALIZED (").push(text).push("),\n");
            }
            sql.push("one AS (SELECT 1)\n");
        }
        compiler
    }
}

/// Writes one statement.
struct Compiler<'a> {
    sql: Sql,
    views: &'a Views,
    reads_lazy: bool,
    /// Sub-selects written so far; each has names of its own.
    selects: usize,
    /// A sub-select is being written, which has a value and no instances.
    is_value: bool,
}

/// A query that is being written and what its sources are called.
#[derive(Clone)]
struct Scope<'q> {
    query: &'q Resolved,
    prefix: String,
}

impl Compiler<'_> {
    fn engine(&self) -> Engine {
        self.sql.engine
    }

    /// A whole query. `prefix` begins the names of its sources.
    fn select(&mut self, query: &Resolved, prefix: String) -> Layout {
        let scope = &Scope { query, prefix };
        self.sql.push("SELECT ");
        let layout = match (&query.selection, &query.shape) {
            (Selection::CountRows, shape) => {
                self.sql.push("COUNT(*)");
                count_layout(query, shape)
            }
            (Selection::CountField(field), shape) => {
                self.sql.push("COUNT(");
                self.field(scope, *field);
                self.sql.push(")");
                count_layout(query, shape)
            }
            (Selection::Fields(fields), shape) => self.columns(scope, fields, shape),
        };
        let is_count = matches!(layout, Layout::Count(_));
        self.tables_and_filter(scope);
        if !is_count {
            self.order_and_limit(scope, &layout);
        }
        layout
    }

    /// The selected columns, grouped by instance.
    fn columns(&mut self, scope: &Scope<'_>, fields: &[Field], shape: &Shape) -> Layout {
        let query = scope.query;
        if query.is_distinct && query.order.is_empty() {
            self.sql.push("DISTINCT ");
        }
        if self.is_value {
            // An `IN` compares with one column.
            fields.iter().take(1).for_each(|field| self.selected(scope, *field));
        }
        let part = |compiler: &mut Self, index: usize, is_embedded: bool| {
            let source = &query.sources[index];
            let is_read = |field: &&Field| {
                field.source == index
                    && (compiler.reads_lazy || !source.class.properties[field.property].is_lazy())
            };
            let properties: Vec<usize> = fields.iter().filter(is_read).map(|field| field.property).collect();
            Part {
                class: Arc::clone(&source.class),
                concrete: if source.is_polymorphic() { source.concrete.clone() } else { Vec::new() },
                has_presence: is_embedded && source.is_optional && !source.is_polymorphic(),
                properties,
                own: compiler.own_columns(query, index),
            }
        };
        let (parts, layout): (Vec<(usize, Part)>, Layout) = match shape {
            Shape::Embedded { class, sources } => {
                let parts: Vec<Part> = sources.iter().map(|index| part(self, *index, true)).collect();
                let numbered = sources.iter().copied().zip(parts.clone()).collect();
                (numbered, Layout::Embedded(Arc::clone(class), parts))
            }
            Shape::Instance { source } => {
                let part = part(self, *source, false);
                (vec![(*source, part.clone())], Layout::Instance(part))
            }
            Shape::Count { class } => (Vec::new(), Layout::Count(Arc::clone(class))),
        };
        let mut is_first = true;
        let mut comma = |compiler: &mut Self| {
            if !std::mem::replace(&mut is_first, false) {
                compiler.sql.push(", ");
            }
        };
        let columns = if self.is_value { &[] } else { parts.as_slice() };
        for (index, part) in columns {
            if !part.concrete.is_empty() || query.sources[*index].is_polymorphic() {
                comma(self);
                self.class_name(scope, *index);
            }
            if part.has_presence {
                comma(self);
                let (before, after) = self.engine().cast(Storage::Integer);
                self.sql.push(before).push("CASE WHEN ");
                self.is_present(scope, *index);
                self.sql.push(" THEN 1 END").push(after);
            }
            for property in &part.properties {
                comma(self);
                self.selected(scope, Field { source: *index, property: *property });
            }
            for (place, own) in part.own.iter().enumerate() {
                comma(self);
                let (before, after) = self.engine().cast(own.storage);
                self.sql.push(before).push(&scope.prefix).number(*index).push(".");
                self.sql.name(&source::own_name(place)).push(after);
            }
        }
        if is_first && !self.is_value {
            self.sql.push("1");
        }
        layout
    }

    /// A property as a column of the answer.
    fn selected(&mut self, scope: &Scope<'_>, field: Field) {
        let storage = storage(scope.query, field);
        let (before, after) = self.engine().cast(storage);
        self.sql.push(before);
        self.field(scope, field);
        self.sql.push(after);
        // Equal rows are those that are equal without letter case.
        if scope.query.is_distinct && storage == Storage::Text {
            self.sql.push(" COLLATE nocase");
        }
    }

    fn tables_and_filter(&mut self, scope: &Scope<'_>) {
        self.sql.push("\nFROM ");
        for (index, source) in scope.query.sources.iter().enumerate() {
            self.join(scope, index, source, index == 0);
        }
        if let Some(filter) = &scope.query.filter {
            self.sql.push("\nWHERE ");
            self.condition(scope, filter);
        }
    }

    fn order_and_limit(&mut self, scope: &Scope<'_>, layout: &Layout) {
        let query = scope.query;
        let regroups = query.is_distinct && !query.order.is_empty();
        if regroups {
            // Each distinct row stands where the first of its equals would.
            self.sql.push("\nGROUP BY ");
            let columns = layout.columns();
            self.sql.list(1..=columns, ", ", |sql, place| {
                sql.number(place);
            });
        }
        for (index, OrderBy { by, is_descending }) in query.order.iter().enumerate() {
            self.sql.push(if index == 0 { "\nORDER BY " } else { ", " });
            self.sql.push(match (regroups, is_descending) {
                (false, _) => "",
                (true, false) => "MIN(",
                (true, true) => "MAX(",
            });
            if expression::is_text(query, by) {
                let (before, after) = self.engine().order_text();
                self.sql.push(before);
                self.expression(scope, by);
                self.sql.push(after);
            } else {
                self.expression(scope, by);
            }
            let nulls = self.engine().nulls(*is_descending);
            self.sql.push(if regroups { ")" } else { "" }).push(nulls);
        }
        let bound = |count: u64| Bound::Int(i64::try_from(count).unwrap_or(i64::MAX));
        match (query.limit, query.offset, self.engine()) {
            (None, 0, _) => {}
            (Some(limit), 0, _) => {
                self.sql.push("\nLIMIT ").bind(bound(limit));
            }
            (None, offset, Engine::Sqlite) => {
                self.sql.push("\nLIMIT -1 OFFSET ").bind(bound(offset));
            }
            (None, offset, Engine::Postgres) => {
                self.sql.push("\nOFFSET ").bind(bound(offset));
            }
            (Some(limit), offset, _) => {
                self.sql.push("\nLIMIT ").bind(bound(limit)).push(" OFFSET ").bind(bound(offset));
            }
        }
    }

    /// How many rows the sources of `group` give among themselves.
    fn count_group(&mut self, query: &Resolved, group: &[usize]) {
        let scope = &Scope { query, prefix: "s".to_owned() };
        self.sql.push("SELECT COUNT(*) FROM (SELECT 1 AS one FROM ");
        for (place, index) in group.iter().enumerate() {
            let source = &query.sources[*index];
            let within = source.join.as_ref().and_then(|join| join.on.as_ref());
            let conditions = within.map(|on| fields::within(on, group)).unwrap_or_default();
            self.source(scope, *index, source, (place > 0).then_some("INNER JOIN"));
            if place > 0 {
                self.sql.push(" ON ");
                self.all(scope, &conditions);
            }
        }
        let conditions: Vec<&Filter> =
            query.filter.as_ref().map(|filter| fields::within(filter, group)).unwrap_or_default();
        self.sql.push(" WHERE ");
        self.all(scope, &conditions);
        self.sql.push(" LIMIT ").number(PRODUCT_ROWS_MAX + 1).push(") AS counted");
    }
}

impl Layout {
    /// The class of the rows.
    pub(crate) fn class(&self) -> Arc<Class> {
        match self {
            Self::Count(class) | Self::Embedded(class, _) => Arc::clone(class),
            Self::Instance(part) => Arc::clone(&part.class),
        }
    }

    /// How many columns there are.
    fn columns(&self) -> usize {
        let of = |part: &Part| {
            let system = usize::from(!part.concrete.is_empty()) + usize::from(part.has_presence);
            system + part.properties.len() + part.own.len()
        };
        match self {
            Self::Count(_) => 1,
            Self::Instance(part) => of(part).max(1),
            Self::Embedded(_, parts) => parts.iter().map(of).sum::<usize>().max(1),
        }
    }
}

fn count_layout(query: &Resolved, shape: &Shape) -> Layout {
    Layout::Count(match shape {
        Shape::Count { class } | Shape::Embedded { class, .. } => Arc::clone(class),
        Shape::Instance { source } => Arc::clone(&query.sources[*source].class),
    })
}

fn storage(query: &Resolved, field: Field) -> Storage {
    query
        .property(field)
        .map_or(Storage::Text, |property| Storage::of(property.data_type.cim, property.data_type.is_array))
}

/// The classes of a source that its query can show, which are fewer when a condition names some.
fn shown<'q>(query: &'q Resolved, index: usize, source: &'q Source) -> Vec<&'q Arc<Class>> {
    let asked = fields::classes_asked(query, index);
    let is_asked = |name: &Name| asked.iter().all(|names| names.iter().any(|asked| asked == name));
    source.concrete.iter().filter(|class| is_asked(&class.name)).collect()
}

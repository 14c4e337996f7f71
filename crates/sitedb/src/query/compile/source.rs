//! The classes of a query as tables.

use std::collections::HashMap;
use std::sync::Arc;

use restock_cim::Name;
use restock_cim::query::{JoinKind, Resolved, Source};

use super::{Compiler, Own, Scope, fields, shown};
use crate::query::dialect::Storage;

impl Compiler<'_> {
    /// A source with how it is joined to those before it.
    pub(super) fn join(&mut self, scope: &Scope<'_>, index: usize, source: &Source, is_first: bool) {
        let join = source.join.as_ref().filter(|_| !is_first);
        let word = join.map(|join| match join.kind {
            JoinKind::Inner => "INNER JOIN",
            JoinKind::Left => "LEFT JOIN",
            JoinKind::Right => "RIGHT JOIN",
            JoinKind::Full => "FULL JOIN",
        });
        self.source(scope, index, source, word);
        if let Some(join) = join {
            self.sql.push(" ON ");
            match &join.on {
                Some(on) => self.condition(scope, on),
                None => {
                    self.sql.push("1 = 1");
                }
            }
        }
    }

    /// A source as a table with a name of its own.
    pub(super) fn source(
        &mut self,
        scope: &Scope<'_>,
        index: usize,
        source: &Source,
        join: Option<&'static str>,
    ) {
        if let Some(join) = join {
            self.sql.push("\n").push(join).push(" ");
        }
        if source.is_polymorphic() {
            self.union(scope, index, source);
        } else if let Some(view) = self.views.find(source.class.name.as_str()) {
            if source.is_optional && source.class.keys().next().is_none() {
                self.sql.push("(SELECT 1 AS \"__PRESENT\", v.* FROM ").name(view).push(" AS v)");
            } else {
                self.sql.name(view);
            }
        } else {
            self.nothing(scope.query, index, source);
        }
        self.sql.push(" AS ").push(&scope.prefix).number(index);
    }

    /// The rows of all its classes that have a view.
    fn union(&mut self, scope: &Scope<'_>, index: usize, source: &Source) {
        let own = self.own_columns(scope.query, index);
        let shown = shown(scope.query, index, source);
        let views: Vec<(&str, &'static str)> = shown
            .iter()
            .filter_map(|class| Some((class.name.as_str(), self.views.find(class.name.as_str())?)))
            .collect();
        if views.is_empty() {
            self.nothing(scope.query, index, source);
            return;
        }
        let used = fields::used(scope.query, index);
        self.sql.push("(");
        for (place, (class, view)) in views.into_iter().enumerate() {
            self.sql.push(if place == 0 { "SELECT " } else { "\nUNION ALL SELECT " });
            let (before, after) = self.engine().cast(Storage::Text);
            self.sql.push(before);
            self.constant_text(class);
            self.sql.push(after).push(" AS \"__CLASS\"");
            for property in &used {
                let property = &source.class.properties[*property];
                let storage = Storage::of(property.data_type.cim, property.data_type.is_array);
                let (before, after) = self.engine().cast(storage);
                let name = property.name.as_str();
                self.sql.push(", ").push(before).name(name).push(after).push(" AS ").name(name);
            }
            let of_class = source.concrete.iter().position(|concrete| concrete.name.is(class));
            for (place, own) in own.iter().enumerate() {
                let property = of_class.and_then(|at| Some(&source.concrete[at].properties[own.places[at]?]));
                let (before, after) = self.engine().cast(own.storage);
                self.sql.push(", ").push(before);
                match property {
                    Some(property) => self.sql.push(self.engine().plain()).name(property.name.as_str()),
                    None => self.sql.push("NULL"),
                };
                self.sql.push(after).push(" AS ").name(&own_name(place));
            }
            self.sql.push(" FROM ").name(view);
        }
        self.sql.push(")");
    }

    /// The columns for what the subclasses of a source have of their own, when all of it is selected.
    /// Properties of one name share a column if they are stored alike, so that the root class, of which
    /// all derive, stays within what a row can have.
    pub(super) fn own_columns(&self, query: &Resolved, index: usize) -> Vec<Own> {
        let source = &query.sources[index];
        if !source.is_whole || !source.is_polymorphic() || query.is_distinct || self.is_value {
            return Vec::new();
        }
        let mut columns: Vec<Own> = Vec::new();
        let mut by_name: HashMap<(&Name, Storage), usize> = HashMap::new();
        for class in shown(query, index, source) {
            if self.views.find(class.name.as_str()).is_none() {
                continue;
            }
            let Some(at) = source.concrete.iter().position(|concrete| Arc::ptr_eq(concrete, class)) else {
                continue;
            };
            for (place, property) in class.properties.iter().enumerate() {
                let is_of_base = source.class.property_index(property.name.as_str()).is_some();
                if is_of_base || (property.is_lazy() && !self.reads_lazy) {
                    continue;
                }
                let storage = Storage::of(property.data_type.cim, property.data_type.is_array);
                let column = *by_name.entry((&property.name, storage)).or_insert_with(|| {
                    columns.push(Own { storage, places: vec![None; source.concrete.len()] });
                    columns.len() - 1
                });
                columns[column].places[at] = Some(place);
            }
        }
        columns
    }

    /// A table without rows, with the columns that the query names.
    fn nothing(&mut self, query: &Resolved, index: usize, source: &Source) {
        self.sql.push("(SELECT CAST(NULL AS TEXT) AS \"__CLASS\", 1 AS \"__PRESENT\"");
        for property in fields::used(query, index) {
            let property = &source.class.properties[property];
            let storage = Storage::of(property.data_type.cim, property.data_type.is_array);
            let (before, after) = self.engine().cast(storage);
            self.sql
                .push(", ")
                .push(before)
                .push("NULL")
                .push(after)
                .push(" AS ")
                .name(property.name.as_str());
        }
        // The presence of a key is asked even when the query does not name it.
        if let Some(key) = source.class.keys().next()
            && source.is_optional
            && !fields::used(query, index).iter().any(|used| source.class.properties[*used].name == key.name)
        {
            self.sql.push(", NULL AS ").name(key.name.as_str());
        }
        self.sql.push(" WHERE 1 = 0)");
    }

    /// A condition that holds when the source has a row here.
    pub(super) fn is_present(&mut self, scope: &Scope<'_>, index: usize) {
        let source = &scope.query.sources[index];
        self.sql.push(&scope.prefix).number(index).push(".");
        if source.is_polymorphic() {
            self.sql.push("\"__CLASS\"");
        } else if let Some(key) = source.class.keys().next() {
            self.sql.name(key.name.as_str());
        } else {
            self.sql.push("\"__PRESENT\"");
        }
        self.sql.push(" IS NOT NULL");
    }

    /// The name of the class of a row.
    pub(super) fn class_name(&mut self, scope: &Scope<'_>, index: usize) {
        let source = &scope.query.sources[index];
        if source.is_polymorphic() {
            self.sql.push(&scope.prefix).number(index).push(".\"__CLASS\"");
            return;
        }
        if source.is_optional {
            self.sql.push("CASE WHEN ");
            self.is_present(scope, index);
            self.sql.push(" THEN ");
        }
        let (before, after) = self.engine().cast(Storage::Text);
        self.sql.push(before);
        self.constant_text(source.class.name.as_str());
        self.sql.push(after).push(if source.is_optional { " END" } else { "" });
    }

    /// A declared name as a text.
    fn constant_text(&mut self, name: &str) {
        self.sql.push("'").push(&name.replace('\'', "''")).push("'");
    }
}

/// What a column of [`Own`] is called; no property's name begins so.
pub(super) fn own_name(place: usize) -> String {
    format!("__OWN{place}")
}

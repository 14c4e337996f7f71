//! Views are code: one for each class that can be read, made again whenever a text changed.
//!
//! [`Views`] holds the texts in an order in which each stands after those it reads, and knows
//! which tables and views each one reads. [`Database::install_views`] puts them into the database.
//!
//! What it does not do: it never migrates a view, and gives columns no types; the class does.

use std::collections::HashMap;
use std::sync::Arc;

use restock_cim::Schema;

use crate::own_text::own_text;
use crate::query::sight::TABLES;
use crate::tx::bind;
use crate::{Database, DatabaseError, Engine, Tx};

/// The rows of a class: a `SELECT` with one column for each declared property, named like it in
/// double quotes.
///
/// Base tables are named bare, other views in double quotes; see [`crate::query::Sight`] for the
/// rest of the rules.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// The class, or a name of the view's own.
    pub name: &'static str,
    /// The text, without a semicolon.
    pub sql: &'static str,
    /// The text for PostgreSQL, when it differs.
    pub sql_postgres: Option<&'static str>,
}

/// This site, and all sites, as objects that can be hidden from a caller.
const VISIBLE: [View; 2] = [
    View { name: "visible_site", sql: "SELECT * FROM site", sql_postgres: None },
    View { name: "visible_sites", sql: "SELECT * FROM sites", sql_postgres: None },
];

/// All views, with what each one reads.
#[derive(Debug)]
pub struct Views {
    engine: Engine,
    pub(crate) schema: &'static Schema,
    views: Vec<Known>,
    by_name: HashMap<String, usize>,
}

#[derive(Debug)]
struct Known {
    name: &'static str,
    sql: &'static str,
    views: Vec<usize>,
    tables: Vec<&'static str>,
}

impl Views {
    /// Looks through `views`, which are the classes of `schema` that have rows.
    ///
    /// Errors: [`DatabaseError::View`] for a name that stands there twice or has more than 63
    /// bytes, views that read each other in a circle, and a table named with its schema.
    pub fn new(engine: Engine, schema: &'static Schema, views: &[View]) -> Result<Self, DatabaseError> {
        let mut waiting: Vec<(View, Vec<Word>)> =
            VISIBLE.iter().chain(views).map(|view| (*view, words(text(engine, view)))).collect();
        let mut names: Vec<String> = waiting.iter().map(|(view, _)| view.name.to_ascii_lowercase()).collect();
        names.sort();
        for (view, words) in &waiting {
            let fail = |cause: &str| refuse(view.name, cause.to_owned());
            // PostgreSQL cuts longer names off.
            if view.name.len() > 63 {
                return fail("has a name of more than 63 bytes");
            }
            if names.iter().filter(|name| view.name.eq_ignore_ascii_case(name)).count() > 1 {
                return fail("stands there twice");
            }
            if words.iter().any(|word| word.is("main") || word.is("public")) {
                return fail("names a table with its schema, past what its readers may see");
            }
        }
        let mut known = Self { engine, schema, views: Vec::new(), by_name: HashMap::new() };
        while !waiting.is_empty() {
            let before = waiting.len();
            waiting.retain(|(view, words)| {
                let ready = words
                    .iter()
                    .filter(|word| word.is_view(&names) && !word.is(view.name))
                    .all(|word| known.by_name.contains_key(&word.text.to_ascii_lowercase()));
                if ready {
                    known.add(view, words);
                }
                !ready
            });
            if waiting.len() == before {
                let (view, _) = &waiting[0];
                return refuse(view.name, "reads a view that reads it".to_owned());
            }
        }
        Ok(known)
    }

    fn add(&mut self, view: &View, words: &[Word]) {
        let mut views: Vec<usize> = words
            .iter()
            .filter(|word| !word.is(view.name))
            .filter_map(|word| self.by_name.get(&word.text.to_ascii_lowercase()).copied())
            .collect();
        views.sort_unstable();
        views.dedup();
        let reads = |table: &&str| words.iter().any(|word| word.is(table));
        let tables = TABLES.iter().map(|table| table.name).filter(reads).collect();
        self.by_name.insert(view.name.to_ascii_lowercase(), self.views.len());
        self.views.push(Known { name: view.name, sql: text(self.engine, view), views, tables });
    }

    /// The engine whose texts these are.
    pub(crate) fn engine(&self) -> Engine {
        self.engine
    }

    /// The name of the class's view as it is spelled, if the class has one.
    pub(crate) fn find(&self, class: &str) -> Option<&'static str> {
        self.by_name.get(&class.to_ascii_lowercase()).map(|index| self.views[*index].name)
    }

    /// The views that `wanted` read, themselves among them, in an order in which each stands after
    /// those it reads; and the tables that all of them read.
    pub(crate) fn closure(
        &self,
        wanted: impl IntoIterator<Item = &'static str>,
    ) -> (Vec<(&'static str, &'static str)>, Vec<&'static str>) {
        let index = |name: &str| self.by_name.get(&name.to_ascii_lowercase()).copied();
        let mut waiting: Vec<usize> = wanted.into_iter().filter_map(index).collect();
        let mut needed = vec![false; self.views.len()];
        while let Some(index) = waiting.pop() {
            if !std::mem::replace(&mut needed[index], true) {
                waiting.extend(&self.views[index].views);
            }
        }
        let needed = self.views.iter().zip(needed).filter(|(_, needed)| *needed).map(|(view, _)| view);
        let mut tables: Vec<&str> = needed.clone().flat_map(|view| view.tables.iter().copied()).collect();
        tables.sort_unstable();
        tables.dedup();
        // The visible sites stand for tables: who sees less gets them as some of the tables.
        let is_table = |name: &str| VISIBLE.iter().any(|view| view.name == name);
        let views = needed.filter(|view| !is_table(view.name)).map(|view| (view.name, view.sql));
        (views.collect(), tables)
    }
}

fn text(engine: Engine, view: &View) -> &'static str {
    match (engine, view.sql_postgres) {
        (Engine::Postgres, Some(sql)) => sql,
        _ => view.sql,
    }
}

fn refuse<T>(view: &str, cause: String) -> Result<T, DatabaseError> {
    Err(DatabaseError::View { view: view.to_owned(), cause })
}

/// A name in the text of a view, without its quotes.
#[derive(Debug)]
struct Word {
    text: String,
}

impl Word {
    fn is(&self, name: &str) -> bool {
        self.text.eq_ignore_ascii_case(name)
    }

    fn is_view(&self, names: &[String]) -> bool {
        names.binary_search(&self.text.to_ascii_lowercase()).is_ok()
    }
}

/// The names in an SQL text: no keywords are told apart; texts and comments are left out.
fn words(sql: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = |from: usize, to: &str| {
            rest.get(from..).and_then(|tail| tail.find(to)).map_or(rest.len(), |at| from + at + to.len())
        };
        let length = match first {
            '\'' => end(1, "'"),
            '"' => {
                let length = end(1, "\"");
                let text = rest[1..length].trim_end_matches('"').to_owned();
                found.push(Word { text });
                length
            }
            '-' if rest.starts_with("--") => end(0, "\n"),
            '/' if rest.starts_with("/*") => end(2, "*/"),
            c if is_name(c) => {
                let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
                found.push(Word { text: rest[..length].to_owned() });
                length
            }
            c => c.len_utf8(),
        };
        rest = &rest[length..];
    }
    found
}

impl Database {
    /// Makes `views` the views of the database, and those that queries read.
    ///
    /// When the text of one changed, or one is missing or no longer wanted, all are dropped and
    /// made again in one transaction. Each is then read once, so that a view that cannot work is
    /// found here.
    /// Errors: those of [`Views::new`], a view that reads a table for which no visibility is
    /// defined, and what the database says of a text.
    pub async fn install_views(&self, views: &[View], schema: &'static Schema) -> Result<(), DatabaseError> {
        let views = Arc::new(Views::new(self.engine(), schema, views)?);
        let installed = Arc::clone(&views);
        self.transact("install views", move |tx| Box::pin(async move { tx.install(&installed).await }))
            .await?;
        self.set_views(views);
        Ok(())
    }
}

impl Tx {
    async fn run_own(&mut self, text: String) -> Result<(), DatabaseError> {
        let operation = self.operation;
        let ran = self.command(own_text(text)).await;
        ran.map_err(|source| DatabaseError::Statement { operation, source })
    }

    async fn install(&mut self, views: &Views) -> Result<(), DatabaseError> {
        self.fix_statistics().await?;
        let mut wanted: Vec<(String, Vec<u8>)> = views
            .views
            .iter()
            .map(|view| (view.name.to_owned(), blake3::hash(view.sql.as_bytes()).as_bytes().to_vec()))
            .collect();
        wanted.sort();
        let mut found = Vec::new();
        for row in self.rows("SELECT name, hash FROM views ORDER BY name", bind![]).await? {
            found.push((row.text("name")?, row.bytes("hash")?));
        }
        found.sort();
        if found == wanted {
            return Ok(());
        }
        self.check_tables(views).await?;
        for (name, _) in &found {
            self.run_own(self.engine.drop_view(name)).await?;
        }
        self.execute("DELETE FROM views", bind![]).await?;
        for view in &views.views {
            let name = view.name;
            let cause = |error: DatabaseError| match error {
                DatabaseError::Statement { source, .. } => {
                    DatabaseError::View { view: name.to_owned(), cause: format!("cannot be made: {source}") }
                }
                other => other,
            };
            self.run_own(format!("CREATE VIEW \"{name}\" AS {}", view.sql)).await.map_err(cause)?;
            self.run_own(format!("SELECT * FROM \"{name}\" LIMIT 0")).await.map_err(cause)?;
        }
        for (name, hash) in wanted {
            self.execute("INSERT INTO views (name, hash) VALUES ($1, $2)", bind![name, hash]).await?;
        }
        Ok(())
    }

    /// Every table that a view reads must say which of its rows are visible to whom.
    async fn check_tables(&mut self, views: &Views) -> Result<(), DatabaseError> {
        let rows = self.rows(self.engine.list_tables(), bind![]).await?;
        for row in rows {
            let table = row.text("name")?;
            if TABLES.iter().any(|known| known.name == table) {
                continue;
            }
            for view in &views.views {
                if words(view.sql).iter().any(|word| word.is(&table)) {
                    return refuse(
                        view.name,
                        format!("reads the table {table}, and nothing says who may see its rows"),
                    );
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{View, Views, words};
    use crate::Engine;

    fn views(texts: &[(&'static str, &'static str)]) -> Result<Views, String> {
        static SCHEMA: std::sync::LazyLock<restock_cim::Schema> = std::sync::LazyLock::new(Default::default);
        let views: Vec<View> =
            texts.iter().map(|(name, sql)| View { name, sql, sql_postgres: None }).collect();
        Views::new(Engine::Sqlite, &SCHEMA, &views).map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_found_outside_of_texts_and_comments() {
        let found = words(
            r#"SELECT a.x AS "X y", 'FROM b' -- c
            /* d */ FROM "E" JOIN main.f_1"#,
        );
        let found: Vec<&str> = found.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(found, ["SELECT", "a", "x", "AS", "X y", "FROM", "E", "JOIN", "main", "f_1"]);
    }

    #[test]
    fn a_view_stands_after_those_it_reads() {
        let views = views(&[
            ("C", r#"SELECT * FROM "b""#),
            ("B", r#"SELECT * FROM "A", targets"#),
            ("A", "SELECT * FROM packages"),
        ]);
        let views = views.expect("an order exists");
        let (read, tables) = views.closure(["C"]);
        assert_eq!(read.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["A", "B", "C"]);
        assert_eq!(tables, ["packages", "targets"]);
        assert_eq!(views.closure(["A"]).1, ["packages"]);
        assert_eq!((views.find("c"), views.find("D")), (Some("C"), None));
    }

    #[test]
    fn what_cannot_be_restricted_is_refused() {
        for (texts, cause) in [
            (&[("A", "SELECT * FROM main.packages")] as &[_], "names a table with its schema"),
            (&[("A", r#"SELECT * FROM "B""#), ("B", r#"SELECT * FROM "A""#)], "reads a view that reads it"),
            (&[("A", "SELECT 1"), ("a", "SELECT 1")], "stands there twice"),
        ] {
            let error = views(texts).err().unwrap_or_default();
            assert!(error.contains(cause), "{error}");
        }
    }
}

//! A running query and the rows that come of it.

use std::sync::Arc;
use std::time::Duration;

use restock_cim::{Class, Instance, Value};
use restock_names::Zone;

use super::compile::{Allowed, PRODUCT_ROWS_MAX, Statement};
use super::connections::Incoming;
use super::decode::Decoder;
use super::{QueryFailed, connections};
use crate::{Database, DatabaseError, Views};

/// How long a query may work when nothing else is said.
const DEADLINE: Duration = Duration::from_secs(30);

/// How a query is run.
#[derive(Debug, Clone)]
pub struct QueryOptions {
    /// How long the database may work on it. Time in which the rows wait for their reader does
    /// not count, but has the same limit for each batch of rows.
    pub deadline: Duration,
    /// Whether lazy properties are read: a Get reads them, a query does not.
    pub reads_lazy: bool,
    /// The site's zone, in which properties declared `LocalTime` are shown.
    pub zone: Arc<Zone>,
}

impl Default for QueryOptions {
    fn default() -> Self {
        Self { deadline: DEADLINE, reads_lazy: false, zone: Arc::new(Zone::utc()) }
    }
}

/// The rows of a query, in order, as the database finds them.
///
/// Rows that were not taken yet are few: the database waits. Dropping this value stops the query.
#[derive(Debug)]
pub struct Rows {
    class: Arc<Class>,
    batch: std::vec::IntoIter<Instance>,
    incoming: Incoming,
    is_over: bool,
}

impl Rows {
    /// The class of the rows; rows of a query over several classes may be of its subclasses.
    pub fn class(&self) -> &Arc<Class> {
        &self.class
    }

    /// The next row; `None` after the last one, and after a failure.
    pub async fn next(&mut self) -> Option<Result<Instance, QueryFailed>> {
        loop {
            if let Some(instance) = self.batch.next() {
                return Some(Ok(instance));
            }
            if self.is_over {
                return None;
            }
            match self.incoming.next().await {
                Some(Ok(batch)) => (self.is_over, self.batch) = (batch.is_last, batch.rows.into_iter()),
                failed => {
                    self.is_over = true;
                    // Rows that end without a last batch must not look as if they were all.
                    return Some(Err(failed.and_then(Result::err).unwrap_or(QueryFailed::SlowReader)));
                }
            }
        }
    }

    /// All rows that are left.
    ///
    /// Errors: the first failure. The caller knows that the rows are few.
    pub async fn all(mut self) -> Result<Vec<Instance>, QueryFailed> {
        let mut instances = Vec::new();
        while let Some(row) = self.next().await {
            instances.push(row?);
        }
        Ok(instances)
    }
}

impl Database {
    /// Runs `query` over everything that was committed before this call; `name` labels errors.
    ///
    /// Limits: the deadline of `options`; [`PRODUCT_ROWS_MAX`] rows where classes are joined
    /// without comparing their properties; 16 queries at once, more wait, and waiting counts.
    /// Errors: the limits, and no connection. What fails later comes among the rows.
    pub async fn query(
        &self,
        name: &'static str,
        query: Allowed,
        options: QueryOptions,
    ) -> Result<Rows, QueryFailed> {
        let views = self.views().ok_or(DatabaseError::Closed(name))?;
        let products = query.products(&views);
        if !products.is_empty() {
            let mut options = options.clone();
            options.reads_lazy = false;
            self.check_products(name, products, &views, &options).await?;
        }
        let statement = query.sql(&views, options.reads_lazy);
        self.run(name, statement, &views, &options).await
    }

    async fn run(
        &self,
        name: &'static str,
        statement: Statement,
        views: &Views,
        options: &QueryOptions,
    ) -> Result<Rows, QueryFailed> {
        let class = statement.layout.class();
        let decoder = Decoder::new(statement.layout, Arc::clone(&options.zone), views.schema);
        let work = connections::Work {
            name,
            text: statement.text,
            values: statement.values,
            decoder,
            deadline: options.deadline,
        };
        let incoming = self.queries().start(work).await?;
        Ok(Rows { class, batch: Vec::new().into_iter(), incoming, is_over: false })
    }

    /// Counts the factors of each product.
    async fn check_products(
        &self,
        name: &'static str,
        products: Vec<Vec<Statement>>,
        views: &Views,
        options: &QueryOptions,
    ) -> Result<(), QueryFailed> {
        for factors in products {
            let mut product: u64 = 1;
            for statement in factors {
                let class = statement.layout.class();
                let counted = Class { properties: vec![count_property(&class)], ..Class::clone(&class) };
                let mut statement = statement;
                statement.layout = super::compile::Layout::Count(Arc::new(counted));
                let rows = self.run(name, statement, views, options).await?.all().await?;
                let count = rows.first().and_then(|row| match row.get("Count") {
                    Some(Value::Unsigned(count)) => Some(*count),
                    _ => None,
                });
                product = product.saturating_mul(count.unwrap_or(0));
            }
            if product > PRODUCT_ROWS_MAX {
                return Err(QueryFailed::Product(product));
            }
        }
        Ok(())
    }
}

fn count_property(class: &Class) -> restock_cim::Property {
    restock_cim::Property {
        name: "Count".into(),
        data_type: restock_cim::DataType::of(restock_cim::CimType::UInt64),
        default: Value::Null,
        qualifiers: Vec::new(),
        origin: class.name.clone(),
    }
}

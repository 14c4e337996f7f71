//! A transaction in progress: statements with bound values, rows with checked columns.

use std::collections::BTreeSet;
use std::sync::Arc;

use restock_names::{
    Clock, ContentVersion, Digest, DistributionPointName, Epoch, LinkPolicy, PackageId, SiteCode,
    SourceVersion, Timestamp,
};
use sqlx::any::{AnyArguments, AnyRow, AnyTypeInfoKind};
use sqlx::{AnyConnection, Arguments, Column as _, Row as _, SqlSafeStr, ValueRef as _};

use crate::error::is_conflict;
use crate::replica::Kind;
use crate::{DatabaseError, Engine, StopCause, Wake, Why};

/// The values bound to a statement's `$1`, `$2`, ….
macro_rules! bind {
    ($($value:expr),* $(,)?) => { vec![$($crate::tx::Value::from($value)),*] };
}
pub(crate) use bind;

/// One transaction. Its statements are methods in the module of each table.
///
/// Everything read through one `Tx` is of one moment. Nothing of a [`crate::Database::transact`]
/// is in force before that call returns `Ok`.
pub struct Tx {
    pub(crate) connection: AnyConnection,
    pub(crate) engine: Engine,
    pub(crate) operation: &'static str,
    pub(crate) wakes: Vec<Wake>,
    /// A statement met a concurrent change or a failed disk: the whole transaction is void.
    pub(crate) spoiled: Option<sqlx::Error>,
    /// Objects whose rows may have changed: written before the commit.
    pub(crate) touched: BTreeSet<(Kind, String)>,
    /// Objects that a neighbour told in this transaction.
    pub(crate) applied: BTreeSet<(Kind, String)>,
    /// Tells when objects are written.
    pub(crate) clock: Option<Arc<dyn Clock>>,
    /// Numbers of changes taken for what is kept next.
    pub(crate) reserved: std::ops::Range<u64>,
    /// The time that was named last in this transaction.
    pub(crate) noted_now: Option<Timestamp>,
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("operation", &self.operation).finish_non_exhaustive()
    }
}

impl Tx {
    pub(crate) fn new(connection: AnyConnection, engine: Engine) -> Self {
        Self {
            connection,
            engine,
            operation: "none",
            wakes: Vec::new(),
            spoiled: None,
            touched: BTreeSet::new(),
            applied: BTreeSet::new(),
            clock: None,
            reserved: 0..0,
            noted_now: None,
        }
    }

    /// Wakes the loop that watches `wake` once this transaction is committed.
    pub fn wake(&mut self, wake: Wake) {
        if !self.wakes.contains(&wake) {
            self.wakes.push(wake);
        }
    }

    /// Runs a statement; returns the number of rows it changed.
    pub(crate) async fn execute(
        &mut self,
        sql: impl SqlSafeStr,
        values: Vec<Value>,
    ) -> Result<u64, DatabaseError> {
        sqlx::query_with(sql, arguments(values))
            .execute(&mut self.connection)
            .await
            .map(|done| done.rows_affected())
            .map_err(|source| self.failed(source))
    }

    /// Runs a query; at most one row is wanted.
    pub(crate) async fn row(
        &mut self,
        sql: impl SqlSafeStr,
        values: Vec<Value>,
    ) -> Result<Option<Row>, DatabaseError> {
        let operation = self.operation;
        // All rows are read, so that the statement has ended before the next begins.
        let rows = sqlx::query_with(sql, arguments(values))
            .fetch_all(&mut self.connection)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(rows.into_iter().next().map(|row| Row { row, operation }))
    }

    /// Runs a query; returns all rows, which the query itself must limit.
    pub(crate) async fn rows(
        &mut self,
        sql: impl SqlSafeStr,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, DatabaseError> {
        let operation = self.operation;
        let rows = sqlx::query_with(sql, arguments(values))
            .fetch_all(&mut self.connection)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(rows.into_iter().map(|row| Row { row, operation }).collect())
    }

    fn failed(&mut self, source: sqlx::Error) -> DatabaseError {
        let operation = self.operation;
        if is_conflict(&source) {
            self.spoiled = Some(source);
            DatabaseError::Busy(operation, 1)
        } else if let Some(cause) = StopCause::of(&source) {
            self.spoiled = Some(source);
            DatabaseError::Stopped(cause)
        } else {
            DatabaseError::Statement { operation, source }
        }
    }

    /// Runs a statement of one word, without values.
    pub(crate) async fn command(&mut self, sql: impl SqlSafeStr) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(sql).execute(&mut self.connection).await.map(|_| ())
    }

    /// The next number of the counter `name`, from 1 on.
    pub(crate) async fn next_number(&mut self, name: &'static str) -> Result<u64, DatabaseError> {
        let row = self
            .row(
                "INSERT INTO counters (name, value) VALUES ($1, 1)
                 ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
                bind![name],
            )
            .await?;
        row.map_or(Ok(1), |row| row.u64("value"))
    }
}

/// A value bound to a statement.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

fn arguments(values: Vec<Value>) -> AnyArguments {
    let mut arguments = AnyArguments::default();
    for value in values {
        match value {
            Value::Int(v) => arguments.add(v),
            Value::Text(v) => arguments.add(v),
            Value::Bytes(v) => arguments.add(v),
        }
        .expect("integers, text and bytes can always be bound");
    }
    arguments
}

macro_rules! value_from {
    ($($type:ty => |$v:ident| $value:expr;)*) => {
        $(impl From<$type> for Value { fn from($v: $type) -> Self { $value } })*
    };
}

value_from! {
    i64 => |v| Self::Int(Some(v));
    u32 => |v| Self::Int(Some(v.into()));
    u64 => |v| Self::Int(Some(i64::try_from(v).unwrap_or(i64::MAX)));
    bool => |v| Self::Int(Some(v.into()));
    Option<i64> => |v| Self::Int(v);
    Option<u64> => |v| Self::Int(v.map(|v| i64::try_from(v).unwrap_or(i64::MAX)));
    Option<u32> => |v| Self::Int(v.map(i64::from));
    Timestamp => |v| Self::Int(Some(v.0));
    Option<Timestamp> => |v| Self::Int(v.map(|v| v.0));
    SourceVersion => |v| Self::Int(Some(v.0.into()));
    Epoch => |v| Self::Int(Some(v.0.into()));
    &str => |v| Self::Text(Some(v.to_owned()));
    String => |v| Self::Text(Some(v));
    &String => |v| Self::Text(Some(v.clone()));
    Option<String> => |v| Self::Text(v);
    PackageId => |v| Self::Text(Some(v.as_str().to_owned()));
    Option<PackageId> => |v| Self::Text(v.map(|v| v.as_str().to_owned()));
    SiteCode => |v| Self::Text(Some(v.as_str().to_owned()));
    LinkPolicy => |v| Self::Text(Some(v.as_str().to_owned()));
    &DistributionPointName => |v| Self::Text(Some(v.as_str().to_owned()));
    Vec<u8> => |v| Self::Bytes(Some(v));
    Option<Vec<u8>> => |v| Self::Bytes(v);
    &[u8] => |v| Self::Bytes(Some(v.to_vec()));
    Digest => |v| Self::Bytes(Some(v.0.to_vec()));
    Option<Digest> => |v| Self::Bytes(v.map(|v| v.0.to_vec()));
    Option<&Why> => |v| Self::Text(v.map(|v| serde_json::to_string(v).expect("a reason is plain data")));
}

/// A row of an answer.
pub(crate) struct Row {
    row: AnyRow,
    operation: &'static str,
}

impl Row {
    fn get<'r, T>(&'r self, column: &'static str) -> Result<T, DatabaseError>
    where
        T: sqlx::Decode<'r, sqlx::Any> + sqlx::Type<sqlx::Any>,
    {
        self.row
            .try_get(column)
            .map_err(|source| DatabaseError::Statement { operation: self.operation, source })
    }

    pub(crate) fn refuse(&self, column: &'static str, found: impl std::fmt::Debug) -> DatabaseError {
        DatabaseError::Value { operation: self.operation, column, found: format!("{found:.80?}") }
    }

    pub(crate) fn i64(&self, column: &'static str) -> Result<i64, DatabaseError> {
        self.get(column)
    }

    pub(crate) fn u64(&self, column: &'static str) -> Result<u64, DatabaseError> {
        let found = self.i64(column)?;
        u64::try_from(found).map_err(|_unfit| self.refuse(column, found))
    }

    pub(crate) fn u32(&self, column: &'static str) -> Result<u32, DatabaseError> {
        let found = self.i64(column)?;
        u32::try_from(found).map_err(|_unfit| self.refuse(column, found))
    }

    pub(crate) fn i32(&self, column: &'static str) -> Result<i32, DatabaseError> {
        let found = self.i64(column)?;
        i32::try_from(found).map_err(|_unfit| self.refuse(column, found))
    }

    pub(crate) fn bool(&self, column: &'static str) -> Result<bool, DatabaseError> {
        Ok(self.i64(column)? != 0)
    }

    pub(crate) fn i64_or_none(&self, column: &'static str) -> Result<Option<i64>, DatabaseError> {
        self.get(column)
    }

    pub(crate) fn u32_or_none(&self, column: &'static str) -> Result<Option<u32>, DatabaseError> {
        self.i64_or_none(column)?.map(|_| self.u32(column)).transpose()
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp, DatabaseError> {
        self.i64(column).map(Timestamp)
    }

    pub(crate) fn time_or_none(&self, column: &'static str) -> Result<Option<Timestamp>, DatabaseError> {
        Ok(self.i64_or_none(column)?.map(Timestamp))
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String, DatabaseError> {
        self.get(column)
    }

    pub(crate) fn text_or_none(&self, column: &'static str) -> Result<Option<String>, DatabaseError> {
        self.get(column)
    }

    pub(crate) fn bytes(&self, column: &'static str) -> Result<Vec<u8>, DatabaseError> {
        self.get(column)
    }

    pub(crate) fn bytes_or_none(&self, column: &'static str) -> Result<Option<Vec<u8>>, DatabaseError> {
        self.get(column)
    }

    /// Appends every column: name, a letter for the type, text, each ended by a zero byte.
    pub(crate) fn write_all(&self, bytes: &mut Vec<u8>) -> Result<(), DatabaseError> {
        let failed = |source| DatabaseError::Statement { operation: self.operation, source };
        for column in self.row.columns() {
            let place = column.ordinal();
            bytes.extend_from_slice(column.name().as_bytes());
            bytes.push(0);
            let kind = self.row.try_get_raw(place).map_err(failed)?.type_info().kind();
            match kind {
                AnyTypeInfoKind::Null => bytes.push(b'n'),
                AnyTypeInfoKind::Text => {
                    let text: Option<String> = self.row.try_get(place).map_err(failed)?;
                    bytes.push(b't');
                    bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
                }
                AnyTypeInfoKind::Blob => {
                    let blob: Option<Vec<u8>> = self.row.try_get(place).map_err(failed)?;
                    bytes.push(b'b');
                    bytes.extend(
                        blob.unwrap_or_default().iter().flat_map(|byte| format!("{byte:02x}").into_bytes()),
                    );
                }
                _ => {
                    let number: Option<i64> = self.row.try_get(place).map_err(failed)?;
                    bytes.push(b'i');
                    bytes.extend_from_slice(number.unwrap_or_default().to_string().as_bytes());
                }
            }
            bytes.push(0);
        }
        Ok(())
    }

    /// A column whose text has a type of its own: an ID, a name, an enum.
    pub(crate) fn parse<T: std::str::FromStr>(&self, column: &'static str) -> Result<T, DatabaseError> {
        let text = self.text(column)?;
        text.parse().map_err(|_unfit| self.refuse(column, text))
    }

    pub(crate) fn version(&self, column: &'static str) -> Result<SourceVersion, DatabaseError> {
        self.u32(column).map(SourceVersion)
    }

    pub(crate) fn epoch(&self, column: &'static str) -> Result<Epoch, DatabaseError> {
        self.u32(column).map(Epoch)
    }

    pub(crate) fn digest(&self, column: &'static str) -> Result<Digest, DatabaseError> {
        let bytes = self.bytes(column)?;
        bytes.try_into().map(Digest).map_err(|found: Vec<u8>| self.refuse(column, found))
    }

    pub(crate) fn digest_or_none(&self, column: &'static str) -> Result<Option<Digest>, DatabaseError> {
        let bytes: Option<Vec<u8>> = self.get(column)?;
        let digest = |found: Vec<u8>| {
            found.try_into().map(Digest).map_err(|found: Vec<u8>| self.refuse(column, found))
        };
        bytes.map(digest).transpose()
    }

    pub(crate) fn why(&self, column: &'static str) -> Result<Option<Why>, DatabaseError> {
        match self.text_or_none(column)? {
            None => Ok(None),
            Some(text) => serde_json::from_str(&text).map(Some).map_err(|_unfit| self.refuse(column, text)),
        }
    }

    /// A list of texts kept as JSON.
    pub(crate) fn texts(&self, column: &'static str) -> Result<Vec<String>, DatabaseError> {
        let text = self.text(column)?;
        serde_json::from_str(&text).map_err(|_unfit| self.refuse(column, text))
    }

    /// The content version in the columns `package_id`, `epoch` and `version`.
    pub(crate) fn content_version(&self) -> Result<ContentVersion, DatabaseError> {
        Ok(ContentVersion {
            package: self.parse("package_id")?,
            epoch: self.epoch("epoch")?,
            version: self.version("version")?,
        })
    }
}

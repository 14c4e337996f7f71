//! Before the commit: writes the objects whose rows say something else than their last state.

use std::collections::BTreeSet;

use restock_names::{SiteCode, Timestamp};
use serde_json::Value;

use super::object::{Kind, OBJECT_BYTES_MAX, Object};
use super::{Told, kinds};
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx, Wake};

/// The counter behind [`Object::clock`].
const CLOCK: &str = "replica_clock";
/// The counter behind the numbers of changes.
const SEQUENCE: &str = "replica_seq";

/// About as many bytes as an object has beside its key and body.
const FRAME_BYTES: usize = 128;

/// How often rows that were changed while objects were written are looked at again.
const ROUNDS_MAX: usize = 8;

/// An object as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) object: Object,
    pub(crate) seq: u64,
    /// About as many bytes as the object has on its way.
    pub(crate) length: usize,
}

pub(crate) fn stored(row: &Row) -> Result<Stored, DatabaseError> {
    let word = row.text("kind")?;
    let (key, body) = (row.text("object_key")?, row.text_or_none("body")?);
    let length = FRAME_BYTES + key.len() + body.as_ref().map_or(0, String::len);
    let parsed: Option<Value> = body
        .map(|text| serde_json::from_str(&text).map_err(|_unfit| row.refuse("body", text)))
        .transpose()?;
    Ok(Stored {
        object: Object {
            kind: Kind::of_word(&word).ok_or_else(|| row.refuse("kind", word))?,
            key,
            clock: row.u64("clock")?,
            writer: row.parse("writer")?,
            at: row.time("written_at")?,
            body: parsed,
        },
        seq: row.u64("seq")?,
        length,
    })
}

impl Tx {
    /// True when objects are written here: there is a link, or was one. A site that left goes on noting
    /// what it deletes, so that it does not come back when the site joins again.
    async fn shares(&mut self) -> Result<bool, DatabaseError> {
        let row = self
            .row("SELECT 1 AS one FROM site_links UNION ALL SELECT 1 AS one FROM replicas LIMIT 1", bind![])
            .await?;
        Ok(row.is_some())
    }

    /// Writes what was touched in this transaction. Nothing where there never was a link.
    pub(crate) async fn flush_replicas(&mut self) -> Result<(), DatabaseError> {
        // What a neighbour has just told is not told again as this site's word, unless nobody else may
        // tell it.
        self.forget_applied();
        if self.touched.is_empty() {
            self.applied.clear();
            return Ok(());
        }
        if !self.shares().await? {
            self.touched.clear();
            self.applied.clear();
            return Ok(());
        }
        let own = self.own_code().await?;
        for _ in 0..ROUNDS_MAX {
            let touched = std::mem::take(&mut self.touched);
            if touched.is_empty() {
                break;
            }
            self.write_objects(own, touched).await?;
            self.forget_applied();
        }
        self.touched.clear();
        self.applied.clear();
        Ok(())
    }

    fn forget_applied(&mut self) {
        let applied = &self.applied;
        if !applied.is_empty() {
            self.touched.retain(|object| object.0.has_one_writer() || !applied.contains(object));
        }
    }

    async fn write_objects(
        &mut self,
        own: SiteCode,
        touched: BTreeSet<(Kind, String)>,
    ) -> Result<(), DatabaseError> {
        let mut changed = Vec::new();
        for (kind, key) in touched {
            let told = kinds::told(self, kind, &key).await?;
            let before = self.replica(kind, &key).await?;
            let body = match (told, &before) {
                (Told::Others, _) => continue,
                // A wish for a target that never was here is answered by the tombstone of its state: whoever
                // shows it waits for that.
                (Told::Gone, None) if kind != Kind::State => continue,
                // With a package goes what belongs to it, without a word for each.
                _ if self.goes_with_package(kind, &key).await? => continue,
                (Told::Gone, _) => None,
                (Told::Body(body), _) => Some(body),
            };
            if let Some(before) = &before
                && (before.object.body == body || before.object.body.is_none() && kind.ends_for_good())
            {
                continue;
            }
            changed.push((kind, key, body));
        }
        if changed.is_empty() {
            return Ok(());
        }
        let clock = self.next_number(CLOCK).await?;
        self.reserve_changes(changed.len()).await?;
        let at = self.written_at();
        let mut written = Vec::with_capacity(changed.len());
        for (kind, key, body) in changed {
            let object = Object { kind, key, clock, writer: own, at, body };
            let length = object.encode().to_string().len();
            if length > OBJECT_BYTES_MAX {
                // It would stop the link that carries it. What others have of it stays.
                tracing::error!(
                    kind = object.kind.as_str(),
                    key = object.key,
                    length,
                    "{} {} is too large to be shared with other sites",
                    object.kind.as_str(),
                    object.key
                );
                continue;
            }
            self.keep_replica(&object, None).await?;
            written.push((kind, object.key));
        }
        self.reserved = 0..0;
        self.wake(Wake::Sites);
        self.release_waiting(&written).await
    }

    /// True for what belongs to a package that is deleted.
    async fn goes_with_package(&mut self, kind: Kind, key: &str) -> Result<bool, DatabaseError> {
        let Some(package) = kind.package(key) else { return Ok(false) };
        Ok(self.package(package).await?.is_none() || self.is_package_gone(package).await?)
    }

    /// The state of an object, deleted or not; `None` when there never was one here.
    pub(crate) async fn replica(&mut self, kind: Kind, key: &str) -> Result<Option<Stored>, DatabaseError> {
        let row = self
            .row(
                "SELECT kind, object_key, clock, writer, written_at, body, seq FROM replicas
                 WHERE kind = $1 AND object_key = $2",
                bind![kind.as_str(), key],
            )
            .await?;
        row.as_ref().map(stored).transpose()
    }

    /// Keeps a state under the next number. With the end of a package all else about it goes.
    pub(crate) async fn keep_replica(
        &mut self,
        object: &Object,
        came_from: Option<SiteCode>,
    ) -> Result<(), DatabaseError> {
        let seq = match self.reserved.next() {
            Some(seq) => seq,
            None => self.next_number(SEQUENCE).await?,
        };
        let package = object.kind.package(&object.key);
        self.execute(
            "INSERT INTO replicas (kind, object_key, clock, writer, written_at, body, seq, came_from, package_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (kind, object_key) DO UPDATE SET object_key = EXCLUDED.object_key,
                 clock = EXCLUDED.clock, writer = EXCLUDED.writer, written_at = EXCLUDED.written_at,
                 body = EXCLUDED.body, seq = EXCLUDED.seq, came_from = EXCLUDED.came_from,
                 package_id = EXCLUDED.package_id, deleted_at = NULL",
            bind![
                object.kind.as_str(),
                &object.key,
                object.clock,
                object.writer,
                object.at,
                object.body.as_ref().map(Value::to_string),
                seq,
                came_from.map(|site| site.to_string()),
                package
            ],
        )
        .await?;
        if object.kind == Kind::Package && object.body.is_none() {
            self.execute("DELETE FROM replicas WHERE package_id = $1", bind![&object.key]).await?;
        }
        Ok(())
    }

    /// Takes the next `count` numbers of changes at once, for what is kept next. Those that are not
    /// used are never given: numbers may be skipped.
    pub(crate) async fn reserve_changes(&mut self, count: usize) -> Result<(), DatabaseError> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let row = self
            .row(
                "INSERT INTO counters (name, value) VALUES ($1, $2)
                 ON CONFLICT (name) DO UPDATE SET value = counters.value + EXCLUDED.value RETURNING value",
                bind![SEQUENCE, count],
            )
            .await?;
        let last = row.map_or(Ok(count), |row| row.u64("value"))?;
        self.reserved = last - count + 1..last + 1;
        Ok(())
    }

    /// Raises the site's clock to `seen` if it is lower; returns what it shows then.
    pub(crate) async fn raise_clock(&mut self, seen: u64) -> Result<u64, DatabaseError> {
        self.raise_counter(CLOCK, seen).await
    }

    /// Raises a counter to `least` if it is lower; returns its value then.
    pub(crate) async fn raise_counter(
        &mut self,
        name: &'static str,
        least: u64,
    ) -> Result<u64, DatabaseError> {
        let row = self
            .row(
                "INSERT INTO counters (name, value) VALUES ($1, $2)
                 ON CONFLICT (name) DO UPDATE SET value =
                     CASE WHEN counters.value < EXCLUDED.value THEN EXCLUDED.value ELSE counters.value END
                 RETURNING value",
                bind![name, least],
            )
            .await?;
        row.map_or(Ok(least), |row| row.u64("value"))
    }

    /// The highest number given to a change, 0 before the first.
    pub(crate) async fn last_change(&mut self) -> Result<u64, DatabaseError> {
        let row = self.row("SELECT value FROM counters WHERE name = $1", bind![SEQUENCE]).await?;
        row.map_or(Ok(0), |row| row.u64("value"))
    }

    /// When it is: by the database's clock, else the time somebody named last in this transaction.
    pub(crate) fn written_at(&self) -> Timestamp {
        self.clock.as_ref().map(|clock| clock.now()).or(self.noted_now).unwrap_or_default()
    }

    /// Writes every object that this site would write: with the first link, in its transaction.
    pub async fn replicate_everything(&mut self) -> Result<(), DatabaseError> {
        for (kind, _) in Kind::ALL {
            for key in kinds::keys(self, kind).await? {
                self.touch(kind, key);
            }
        }
        self.wake(Wake::Sites);
        Ok(())
    }
}

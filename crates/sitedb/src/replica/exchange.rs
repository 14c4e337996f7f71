//! What a neighbour is sent, and how far both have followed each other.

use restock_names::{SiteCode, Timestamp};
use serde_json::Value;

use super::flush::stored;
use super::object::{Direction, Kind};
use super::{Backlog, Facts, NextChanges};
use crate::hierarchy::LinkRow;
use crate::tx::bind;
use crate::{DatabaseError, Engine, Tx, Wake};

/// Objects looked at for one answer, at most.
const LOOKED_AT_MAX: u32 = 1_000;
/// What a database that was put back adds to its clock, so that what people change from then on is
/// newer than what it wrote before and has forgotten.
const CLOCK_LEAP: u64 = 1 << 20;
/// Likewise for the numbers of jobs, which distribution points remember.
const JOB_LEAP: u64 = 1 << 20;
/// Tombstones stay at least this long after the cleaning saw them first.
const TOMBSTONE_KEPT_US: i64 = 30 * 24 * 60 * 60 * 1_000_000;
/// Tombstones and waiting objects looked at in one cleaning.
const CLEANED_MAX: u32 = 10_000;

impl Tx {
    /// What this site tells `peer` when they meet.
    pub async fn replica_facts(&mut self, peer: SiteCode) -> Result<Facts, DatabaseError> {
        let link = self.link(peer).await?;
        Ok(Facts {
            incarnation: self.incarnation().await?,
            received_incarnation: link.as_ref().map(|link| link.incarnation.clone()).unwrap_or_default(),
            received: link.map_or(0, |link| link.received),
            last: self.last_change().await?,
        })
    }

    /// This site's database, as neighbours know it; empty before the first link.
    pub async fn incarnation(&mut self) -> Result<String, DatabaseError> {
        let row = self.row("SELECT incarnation FROM site", bind![]).await?;
        row.map_or(Ok(String::new()), |row| row.text("incarnation"))
    }

    /// Makes this database another one to its neighbours: they send and are sent everything again.
    /// For a database that was put back to an earlier state; returns the text that names it.
    ///
    /// At the top of the hierarchy what is sent downwards only is what the others take over again.
    pub async fn new_incarnation(&mut self) -> Result<String, DatabaseError> {
        let random = match self.engine {
            Engine::Sqlite => "SELECT lower(hex(randomblob(16))) AS random",
            Engine::Postgres => "SELECT replace(CAST(gen_random_uuid() AS text), '-', '') AS random",
        };
        let row = self.row(random, bind![]).await?;
        let text = row.map_or(Ok(String::new()), |row| row.text("random"))?;
        self.execute("UPDATE site SET incarnation = $1", bind![&text]).await?;
        self.execute("UPDATE site_links SET received = 0, acknowledged = 0", bind![]).await?;
        let clock = self.raise_clock(0).await? + CLOCK_LEAP;
        self.raise_clock(clock).await?;
        self.execute("UPDATE counters SET value = value + $1 WHERE name = 'job'", bind![JOB_LEAP]).await?;
        if !self.links().await?.iter().any(|link| link.is_above) {
            let [first, second, third] = Kind::going(Direction::Down);
            self.execute(
                "UPDATE replicas SET clock = $1, writer = (SELECT s.site_code FROM site s)
                 WHERE kind IN ($2, $3, $4)",
                bind![clock, first, second, third],
            )
            .await?;
        }
        self.wake(Wake::Sites);
        Ok(text)
    }

    /// Changes above `after` for `peer`, of about `bytes_max` bytes and at least one; none when it has
    /// all, or there is no link.
    ///
    /// What came from it is not sent back to it, and what only goes up or down not the other way.
    pub async fn next_changes(
        &mut self,
        peer: SiteCode,
        after: u64,
        bytes_max: usize,
    ) -> Result<NextChanges, DatabaseError> {
        let Some(link) = self.link(peer).await?.filter(|link| !link.is_revoked) else {
            return Ok(NextChanges { through: after, changes: Vec::new() });
        };
        let last = self.last_change().await?;
        let [first, second, third] = withheld(&link);
        let rows = self
            .rows(
                "SELECT kind, object_key, clock, writer, written_at, body, seq FROM replicas
                 WHERE seq > $1 AND (came_from IS NULL OR came_from <> $2) AND kind NOT IN ($3, $4, $5)
                 ORDER BY seq LIMIT $6",
                bind![after, peer, first, second, third, LOOKED_AT_MAX],
            )
            .await?;
        let is_all = rows.len() < usize::try_from(LOOKED_AT_MAX).unwrap_or(usize::MAX);
        if rows.is_empty() {
            return Ok(NextChanges { through: last.max(after), changes: Vec::new() });
        }
        let beyond = self.hierarchy().await?.beyond(peer);
        let (mut through, mut bytes) = (after, 0);
        let mut changes: Vec<(u64, Value)> = Vec::new();
        for row in &rows {
            let stored = stored(row)?;
            // What only a site on that side may say reaches it from there, also after it was put back;
            // of itself it is told what it has said before.
            let is_echo =
                stored.object.one_writer().is_some_and(|site| site != peer && beyond.contains(&site));
            if !is_echo {
                let length = stored.length;
                if !changes.is_empty() && bytes + length > bytes_max {
                    return Ok(NextChanges { through, changes });
                }
                bytes += length;
                changes.push((stored.seq, stored.object.encode()));
            }
            through = stored.seq;
        }
        Ok(NextChanges { through: if is_all { last.max(after) } else { through }, changes })
    }

    /// Every object that all sites have, in the form that travels, by kind and key: equal everywhere
    /// once all changes have arrived. For checks; it reads the whole table.
    pub async fn replicas_shared(&mut self) -> Result<Vec<Value>, DatabaseError> {
        let rows = self
            .rows(
                "SELECT kind, object_key, clock, writer, written_at, body, seq FROM replicas
                 ORDER BY kind, object_key",
                bind![],
            )
            .await?;
        let mut shared = Vec::with_capacity(rows.len());
        for row in &rows {
            let object = stored(row)?.object;
            if object.kind.direction() == Direction::All {
                shared.push(object.encode());
            }
        }
        Ok(shared)
    }

    /// Notes that `peer` has applied everything up to `last`. False when no change ever had that
    /// number here: this database was put back unnoticed. It is then another one, as after
    /// [`Tx::begin_recovery`], and the connection is to begin anew.
    pub async fn changes_acknowledged(&mut self, peer: SiteCode, last: u64) -> Result<bool, DatabaseError> {
        if last > self.last_change().await? {
            tracing::error!(site = %peer, last, "site {peer} has more of this site's changes than there are: the database was put back");
            let now = self.written_at();
            self.begin_recovery(now).await?;
            return Ok(false);
        }
        self.execute("UPDATE site_links SET acknowledged = $2 WHERE peer = $1", bind![peer, last]).await?;
        Ok(true)
    }

    /// What `peer` still has to be sent.
    pub async fn backlog(&mut self, peer: SiteCode) -> Result<Backlog, DatabaseError> {
        let Some(link) = self.link(peer).await? else { return Ok(Backlog { objects: 0, oldest_at: None }) };
        let [first, second, third] = withheld(&link);
        let row = self
            .row(
                "SELECT COUNT(*) AS objects, MIN(CASE WHEN written_at > 0 THEN written_at END) AS oldest
                 FROM replicas
                 WHERE seq > $1 AND (came_from IS NULL OR came_from <> $2) AND kind NOT IN ($3, $4, $5)",
                bind![link.acknowledged, peer, first, second, third],
            )
            .await?;
        row.map_or(Ok(Backlog { objects: 0, oldest_at: None }), |row| {
            Ok(Backlog { objects: row.u64("objects")?, oldest_at: row.time_or_none("oldest")? })
        })
    }

    /// Follows the database `incarnation` of `peer`: one that is not the one known before is to be
    /// sent everything, also what came from it.
    pub(crate) async fn follow_database(
        &mut self,
        peer: SiteCode,
        incarnation: &str,
    ) -> Result<(), DatabaseError> {
        let changed = self
            .execute(
                "UPDATE site_links SET incarnation = $2, received = 0, acknowledged = 0
                 WHERE peer = $1 AND incarnation <> $2",
                bind![peer, incarnation],
            )
            .await?;
        if changed == 1 {
            self.execute("UPDATE replicas SET came_from = NULL WHERE came_from = $1", bind![peer]).await?;
        }
        Ok(())
    }

    /// Removes tombstones that every neighbour has and that 30 days have passed over, and what has
    /// waited as long for something that never came; a bounded part of it. Returns how many.
    pub async fn clean_replicas(&mut self, now: Timestamp) -> Result<u64, DatabaseError> {
        let before = Timestamp(now.0.saturating_sub(TOMBSTONE_KEPT_US));
        let links = self.links().await?;
        let acknowledged = links.iter().filter(|link| !link.is_revoked).map(|link| link.acknowledged).min();
        let acknowledged = acknowledged.unwrap_or(u64::MAX);
        self.execute(
            "UPDATE replicas SET deleted_at = $1 WHERE seq IN
                 (SELECT seq FROM replicas WHERE body IS NULL AND deleted_at IS NULL ORDER BY seq LIMIT $2)",
            bind![now, CLEANED_MAX],
        )
        .await?;
        self.execute("UPDATE replicas_waiting SET seen_at = $1 WHERE seen_at IS NULL", bind![now]).await?;
        // The row of a package that is deleted everywhere else stays while a distribution point has it.
        let removed = self
            .execute(
                "DELETE FROM replicas WHERE seq IN
                     (SELECT seq FROM replicas WHERE body IS NULL AND deleted_at < $1 AND seq <= $2
                          AND (kind <> 'package' OR NOT EXISTS
                              (SELECT 1 FROM packages p WHERE p.package_id = replicas.object_key))
                      ORDER BY seq LIMIT $3)",
                bind![before, acknowledged, CLEANED_MAX],
            )
            .await?;
        let waited = self.execute("DELETE FROM replicas_waiting WHERE seen_at < $1", bind![before]).await?;
        Ok(removed + waited)
    }
}

/// The kinds that are not sent over a link.
fn withheld(link: &LinkRow) -> [&'static str; 3] {
    Kind::going(if link.is_above { Direction::Down } else { Direction::Up })
}

impl Kind {
    /// The words of the kinds that go one way only, for a statement; empty words fill it up.
    fn going(direction: Direction) -> [&'static str; 3] {
        let mut words = [""; 3];
        let found = Self::ALL.iter().filter(|(kind, _)| kind.direction() == direction);
        for (place, (_, word)) in words.iter_mut().zip(found) {
            *place = word;
        }
        words
    }
}

//! What a neighbour is sent, and what becomes of what it sends.

use restock_names::SiteCode;

use super::{AppliedChanges, Backlog, Facts, Incoming, NextChanges};
use crate::tx::bind;
use crate::{DatabaseError, Engine, Tx};

impl Tx {
    /// What this site tells `peer` when they meet.
    pub async fn replica_facts(&mut self, peer: SiteCode) -> Result<Facts, DatabaseError> {
        let link = self.link(peer).await?;
        Ok(Facts {
            incarnation: self.incarnation().await?,
            received_incarnation: link.as_ref().map(|link| link.incarnation.clone()).unwrap_or_default(),
            received: link.map_or(0, |link| link.received),
        })
    }

    /// This site's database, as neighbours know it; empty before it was first made up.
    pub async fn incarnation(&mut self) -> Result<String, DatabaseError> {
        let row = self.row("SELECT incarnation FROM site", bind![]).await?;
        row.map_or(Ok(String::new()), |row| row.text("incarnation"))
    }

    /// Makes this database another one to its neighbours: they send and are sent everything again.
    /// For a database that was put back to an earlier state.
    pub async fn new_incarnation(&mut self) -> Result<String, DatabaseError> {
        let random = match self.engine {
            Engine::Sqlite => "SELECT lower(hex(randomblob(16))) AS random",
            Engine::Postgres => "SELECT replace(CAST(gen_random_uuid() AS text), '-', '') AS random",
        };
        let row = self.row(random, bind![]).await?;
        let text = row.map_or(Ok(String::new()), |row| row.text("random"))?;
        self.execute("UPDATE site SET incarnation = $1", bind![&text]).await?;
        Ok(text)
    }

    /// Changes above `after` for `peer`, of about `bytes_max` bytes and at least one.
    pub async fn next_changes(
        &mut self,
        _peer: SiteCode,
        after: u64,
        _bytes_max: usize,
    ) -> Result<NextChanges, DatabaseError> {
        Ok(NextChanges { through: after, changes: Vec::new() })
    }

    /// Applies changes of a neighbour.
    pub async fn apply_changes(&mut self, _incoming: Incoming<'_>) -> Result<AppliedChanges, DatabaseError> {
        Ok(AppliedChanges::default())
    }

    /// Notes that `peer` has applied everything up to `last`. False when `last` was never given
    /// here: this database was put back, and has become another one; the connection is to begin anew.
    pub async fn changes_acknowledged(&mut self, peer: SiteCode, last: u64) -> Result<bool, DatabaseError> {
        self.execute("UPDATE site_links SET acknowledged = $2 WHERE peer = $1", bind![peer, last]).await?;
        Ok(true)
    }

    /// What `peer` still has to be sent.
    pub async fn backlog(&mut self, _peer: SiteCode) -> Result<Backlog, DatabaseError> {
        Ok(Backlog { objects: 0, oldest_at: None })
    }

    /// Follows the database `incarnation` of `peer`: one that is not the one known before is to be
    /// sent everything.
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
}

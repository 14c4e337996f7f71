//! Versions that were published, wherever that was, and what this site fetches of them.
//!
//! A row is the newest version of a package that is known here, with the owner's signed statement.
//! Where it is newer than what is stored here and somebody here or below wants it, the fetch loop
//! brings its content ([`Tx::fetches_due`], [`Tx::content_arrived`]); a site that only passes content
//! on holds it as a draft with a lease.
//!
//! What it does not do: it checks no signature and moves no bytes. Source: docs/formats/replicas.md.

use std::collections::BTreeSet;

use restock_names::{ContentVersion, PackageId, SiteCode, Timestamp};

use crate::copies::{COPY_STORED, Copy};
use crate::replica::Kind;
use crate::state::Event;
use crate::target::Context;
use crate::tx::{Row, bind};
use crate::version::{self, Version};
use crate::{DatabaseError, Tx, Wake, Why, message};

/// The newest version of a package that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// What was published. What its making cost is as the publishing site told.
    pub version: Version,
    /// The site that signed it.
    pub signer: SiteCode,
    /// The statement, as `restock_content::statement::Statement` encodes it.
    pub statement: Vec<u8>,
    /// Failed attempts to fetch its content since it was announced.
    pub attempts: u32,
    /// No attempt starts before.
    pub next_attempt: Timestamp,
    /// When it may be dropped, of a draft.
    pub lease_until: Option<Timestamp>,
    /// Whether its content is held for sites below, and is not this site's version.
    pub is_draft: bool,
    /// Why its content is not here, where more is known than that.
    pub why: Option<Why>,
}

impl Announced {
    /// A version as it is announced: nothing was tried yet.
    pub fn new(version: Version, signer: SiteCode, statement: Vec<u8>) -> Self {
        let next_attempt = Timestamp(0);
        Self {
            version,
            signer,
            statement,
            attempts: 0,
            next_attempt,
            lease_until: None,
            is_draft: false,
            why: None,
        }
    }
}

macro_rules! select {
    ($($rest:tt)+) => {
        concat!(
            "SELECT a.package_id, a.epoch, a.version, a.root, a.root_length, a.pages, a.entries, a.chunks, a.bytes,
                a.files, a.bytes_read, a.chunks_new, a.bytes_new, a.published_at, a.duration_ms, a.signer,
                a.statement, a.attempts, a.next_attempt, a.is_draft, a.lease_until, a.why
             FROM announced a ",
            $($rest)+
        )
    };
}

/// What is wanted here of the versions `a` with their packages `p`, as [`Tx::fetches_due`] says; `$2` is
/// [`COPY_STORED`].
macro_rules! wanted {
    () => {
        "p.is_deleting = 0 AND (a.epoch > p.epoch OR a.epoch = p.epoch AND a.version > p.stored_version)
         AND EXISTS (SELECT 1 FROM targets t JOIN distribution_points d ON d.name = t.point
                 JOIN sites s ON s.site_code = d.site_code
             WHERE t.package_id = a.package_id AND s.is_below = 1
               AND t.state NOT IN ('removal_asked', 'removal_retrying', 'removal_failed')
               AND (a.is_draft = 0 OR s.site_code = (SELECT own.site_code FROM site own))
               AND (s.next_hop = '' OR s.next_hop <> COALESCE(
                       (SELECT g.next_hop FROM sites g WHERE g.site_code = a.signer), '')
                   AND NOT EXISTS (SELECT 1 FROM copies c
                       WHERE c.package_id = a.package_id AND c.site = s.site_code AND c.state = $2
                         AND (c.epoch > a.epoch OR c.epoch = a.epoch AND c.version >= a.version))))"
    };
}

fn announced(row: &Row) -> Result<Announced, DatabaseError> {
    Ok(Announced {
        version: version::version(row)?,
        signer: row.parse("signer")?,
        statement: row.bytes("statement")?,
        attempts: row.u32("attempts")?,
        next_attempt: row.time("next_attempt")?,
        lease_until: row.time_or_none("lease_until")?,
        is_draft: row.bool("is_draft")?,
        why: row.why("why")?,
    })
}

impl Tx {
    /// The newest version of a package that is known here.
    pub async fn announced(&mut self, id: PackageId) -> Result<Option<Announced>, DatabaseError> {
        let row = self.row(select!("WHERE a.package_id = $1"), bind![id]).await?;
        row.as_ref().map(announced).transpose()
    }

    /// The packages of which a version is known.
    pub(crate) async fn announced_packages(&mut self) -> Result<Vec<String>, DatabaseError> {
        self.rows("SELECT package_id FROM announced ORDER BY package_id", bind![])
            .await?
            .iter()
            .map(|row| row.text("package_id"))
            .collect()
    }

    /// Lets the package follow a version that was announced: its number is the package's, and what
    /// serves an older one counts as installed no more.
    pub(crate) async fn follow_version(
        &mut self,
        content: ContentVersion,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute(
            "UPDATE packages SET source_version = $2 WHERE package_id = $1",
            bind![content.package, content.version],
        )
        .await?;
        self.raise_version_floor(content.package, content.version).await?;
        let (Some(package), Some(refresh)) =
            (self.package(content.package).await?, self.refresh(content.package).await?)
        else {
            return Ok(());
        };
        let own = self.own_code().await?;
        let context = Context::new(&package, &refresh, own, now);
        self.tell_of_version(&context).await
    }

    /// Keeps the newest version of a package, or how far its content is: the caller has checked that
    /// it is not older than the one there. The site that publishes calls this in that transaction.
    pub async fn put_announced(&mut self, a: &Announced) -> Result<(), DatabaseError> {
        let mut bound = version::values(&a.version);
        bound.extend(bind![
            a.signer,
            a.statement.clone(),
            a.attempts,
            a.next_attempt,
            a.is_draft,
            a.lease_until,
            a.why.as_ref()
        ]);
        self.execute(
            "INSERT INTO announced (package_id, epoch, version, root, root_length, pages, entries, chunks, bytes,
                 files, bytes_read, chunks_new, bytes_new, published_at, duration_ms, signer, statement, attempts,
                 next_attempt, is_draft, lease_until, why)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                 $21, $22)
             ON CONFLICT (package_id) DO UPDATE SET epoch = EXCLUDED.epoch, version = EXCLUDED.version,
                 root = EXCLUDED.root, root_length = EXCLUDED.root_length, pages = EXCLUDED.pages,
                 entries = EXCLUDED.entries, chunks = EXCLUDED.chunks, bytes = EXCLUDED.bytes,
                 files = EXCLUDED.files, bytes_read = EXCLUDED.bytes_read, chunks_new = EXCLUDED.chunks_new,
                 bytes_new = EXCLUDED.bytes_new, published_at = EXCLUDED.published_at,
                 duration_ms = EXCLUDED.duration_ms, signer = EXCLUDED.signer,
                 statement = EXCLUDED.statement, attempts = EXCLUDED.attempts,
                 next_attempt = EXCLUDED.next_attempt, is_draft = EXCLUDED.is_draft,
                 lease_until = EXCLUDED.lease_until, why = EXCLUDED.why",
            bound,
        )
        .await?;
        self.touch(Kind::Version, a.version.content.package.as_str());
        self.wake(Wake::Fetch);
        Ok(())
    }

    /// Versions whose content is wanted here and may be fetched at `now`: by priority of the package,
    /// then longest waiting; at most `limit`.
    ///
    /// Wanted is what is newer than what is stored here, of a package that stays, and targeted at a
    /// distribution point of this site or of one below it, unless that one has it, or lies on the way to the
    /// site that made the version: it gets it there, and asks here when it does not. A draft is not fetched
    /// again unless a distribution point of this site wants it.
    pub async fn fetches_due(&mut self, now: Timestamp, limit: u32) -> Result<Vec<Announced>, DatabaseError> {
        self.rows(
            select!(
                "JOIN packages p ON p.package_id = a.package_id WHERE a.next_attempt <= $1 AND ",
                wanted!(),
                " ORDER BY p.priority, a.next_attempt, a.package_id LIMIT $3"
            ),
            bind![now, COPY_STORED, limit],
        )
        .await?
        .iter()
        .map(announced)
        .collect()
    }

    /// How many versions wait to be fetched, and when the next becomes due after `now`.
    pub async fn fetch_queue(&mut self, now: Timestamp) -> Result<(u64, Option<Timestamp>), DatabaseError> {
        let row = self
            .row(
                concat!(
                    "SELECT COUNT(*) AS waiting,
                         MIN(CASE WHEN a.next_attempt > $1 THEN a.next_attempt END) AS next_due
                     FROM announced a JOIN packages p ON p.package_id = a.package_id WHERE a.is_draft = 0 AND ",
                    wanted!()
                ),
                bind![now, COPY_STORED],
            )
            .await?;
        row.map_or(Ok((0, None)), |row| Ok((row.u64("waiting")?, row.time_or_none("next_due")?)))
    }

    /// Makes fetches that wait for another attempt due at `now`: a neighbour has come back.
    pub async fn fetches_retry_now(&mut self, now: Timestamp) -> Result<(), DatabaseError> {
        self.execute("UPDATE announced SET next_attempt = $1 WHERE next_attempt > $1", bind![now])
            .await
            .map(|_| ())
    }

    /// Versions held for sites below, by package.
    pub async fn drafts(&mut self) -> Result<Vec<Announced>, DatabaseError> {
        self.rows(select!("WHERE a.is_draft = 1 ORDER BY a.package_id"), bind![])
            .await?
            .iter()
            .map(announced)
            .collect()
    }

    /// True when the package is targeted at a distribution point of one of `sites`, and stays there.
    pub async fn is_wanted_at(
        &mut self,
        package: PackageId,
        sites: &BTreeSet<SiteCode>,
    ) -> Result<bool, DatabaseError> {
        let rows = self
            .rows(
                "SELECT DISTINCT d.site_code FROM targets t JOIN distribution_points d ON d.name = t.point
                 WHERE t.package_id = $1
                   AND t.state NOT IN ('removal_asked', 'removal_retrying', 'removal_failed')",
                bind![package],
            )
            .await?;
        for row in rows {
            if sites.contains(&row.parse("site_code")?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes a version whose content has arrived the stored one, if it is still the newest: its row,
    /// its distribution points, the site's copy, messages 2311 and 2301. False when the package has
    /// moved on.
    pub async fn content_arrived(
        &mut self,
        arrived: &Announced,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        let content = arrived.version.content;
        let id = content.package;
        self.noted_now = Some(now);
        let newest = self.announced(id).await?.map(|known| (known.version.content, known.version.root));
        let (Some(package), Some(refresh)) = (self.package(id).await?, self.refresh(id).await?) else {
            return Ok(false);
        };
        let is_newer = (content.epoch, content.version) > (package.epoch, package.stored_version);
        if newest != Some((content, arrived.version.root)) || package.is_deleting || !is_newer {
            return Ok(false);
        }
        self.execute(
            "UPDATE packages SET stored_version = $2, epoch = $3, last_refresh_at = $4 WHERE package_id = $1",
            bind![id, content.version, content.epoch, now],
        )
        .await?;
        // The same version may have been stored before the site forgot it.
        self.execute(
            "DELETE FROM versions WHERE package_id = $1 AND epoch = $2 AND version = $3",
            bind![id, content.epoch, content.version],
        )
        .await?;
        self.insert_version(&Version { published_at: now, ..arrived.version.clone() }).await?;
        self.execute(
            "UPDATE announced SET attempts = 0, is_draft = 0, lease_until = NULL, why = NULL WHERE package_id = $1",
            bind![id],
        )
        .await?;
        let own = self.own_code().await?;
        let (epoch, version) = (content.epoch, content.version);
        let stored = Copy { package: id, site: own, epoch, version, state: COPY_STORED, why: None, at: now };
        self.put_copy(&stored).await?;
        self.raise(&message::updated(id, version), now).await?;
        let Some(package) = self.package(id).await? else { return Ok(false) };
        let context = Context::new(&package, &refresh, own, now);
        for mut target in self.targets_of_package(id).await? {
            let covers = refresh.requested;
            let kept = target.facts.has_given_up.then(|| target.why.clone()).flatten();
            let why = kept.filter(|_| target.facts.skip_until >= covers);
            let _refused = self.apply(&mut target, &context, Event::Published { covers }, why).await?;
        }
        self.raise(&message::processed(id, &package.name), now).await?;
        self.wake(Wake::Distribute);
        self.wake(Wake::Fetch);
        Ok(true)
    }
}

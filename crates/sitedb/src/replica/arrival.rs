//! What becomes of the changes a neighbour sends: one transaction, object by object.
//!
//! An object is refused alone: it is logged, raised as a status message and skipped, and the others
//! are applied. One that refers to something that has not arrived waits in `replicas_waiting`. So no
//! object, and no order of them, can hold up a link.

use std::collections::VecDeque;

use restock_names::{PackageId, SiteCode, Timestamp};
use serde_json::Value;

use super::kinds::{self, version};
use super::merge::compare;
use super::object::{Direction, Kind, Object};
use super::{
    AppliedChanges, Arrival, CheckedVersion, Incoming, RefusedObject, StatementCheck, Taken, Writer,
};
use crate::hierarchy::{Hierarchy, SiteRow};
use crate::tx::bind;
use crate::{DatabaseError, Tx, Wake, Why, message};

/// A clock is believed to be this far ahead of the own one, at most.
const CLOCK_JUMP_MAX: u64 = 1 << 32;
/// Objects of one neighbour that may wait for others.
const WAITING_MAX: u64 = 100_000;
/// Refusals of one transaction that are raised as status messages; all are logged and returned.
const MESSAGES_MAX: usize = 16;

/// What is known of the sites around while objects are taken: read once, and again when it is another.
struct Around {
    /// The neighbour above.
    above: Option<SiteCode>,
    tree: Option<Hierarchy>,
}

/// What became of one object.
enum Fate {
    /// Its state stands, and rows say so.
    Applied,
    /// Nothing that was not known.
    Known,
    /// It waits for this.
    Waits(Kind, String),
    Refused(Why),
    /// It may be acceptable once this is another.
    RefusedUntil(Why, Kind, String),
}

impl Tx {
    /// Applies changes of a neighbour, and notes how far it was followed.
    ///
    /// Nothing is applied when there is no link to it, or when changes before these are missing.
    pub async fn apply_changes(&mut self, incoming: Incoming<'_>) -> Result<AppliedChanges, DatabaseError> {
        let peer = incoming.peer;
        let mut applied = AppliedChanges::default();
        let Some(link) = self.link(peer).await?.filter(|link| !link.is_revoked) else {
            let why = Why::new("LINK_UNKNOWN", format!("there is no link to site {peer}"));
            applied.refused.push(RefusedObject { kind: String::new(), key: String::new(), why });
            return Ok(applied);
        };
        let received = if link.incarnation == incoming.incarnation {
            link.received
        } else {
            self.follow_database(peer, incoming.incarnation).await?;
            0
        };
        if incoming.first > received + 1 {
            applied.is_gap = true;
            return Ok(applied);
        }
        if incoming.last <= received {
            // A batch that came twice, or late: what has changed since is known.
            applied.replayed = u64::try_from(incoming.objects.len()).unwrap_or(u64::MAX);
            return Ok(applied);
        }
        // Sites and packages first: what refers to them need not wait.
        let mut objects: Vec<(Option<Kind>, Value)> =
            incoming.objects.into_iter().map(|object| (kind_of(&object), object)).collect();
        objects.sort_by_key(|(kind, _)| Kind::ALL.iter().position(|(known, _)| Some(*known) == *kind));
        let queue = objects.into_iter().map(|(_, object)| (peer, object)).collect();
        self.arrive_all(queue, incoming.check, incoming.now, &mut applied).await?;
        self.execute(
            "UPDATE site_links SET received = $2 WHERE peer = $1 AND received < $2",
            bind![peer, incoming.last],
        )
        .await?;
        Ok(applied)
    }

    /// Takes what waited for objects that this site has just written.
    pub(crate) async fn release_waiting(&mut self, written: &[(Kind, String)]) -> Result<(), DatabaseError> {
        let mut queue = VecDeque::new();
        for (kind, key) in written {
            if matches!(kind, Kind::Site | Kind::Point | Kind::Group | Kind::Scope | Kind::Role) {
                queue.extend(self.waiting_for(*kind, key).await?);
            }
        }
        if queue.is_empty() {
            return Ok(());
        }
        let now = self.written_at();
        self.arrive_all(queue, &Unchecked, now, &mut AppliedChanges::default()).await
    }

    async fn arrive_all(
        &mut self,
        mut queue: VecDeque<(SiteCode, Value)>,
        check: &dyn StatementCheck,
        now: Timestamp,
        applied: &mut AppliedChanges,
    ) -> Result<(), DatabaseError> {
        self.noted_now = Some(now);
        if queue.is_empty() {
            return Ok(());
        }
        let own = self.own_code().await?;
        let clock = self.raise_clock(0).await?;
        let mut around = Around { above: self.site_above().await?, tree: None };
        let (mut highest, mut has_changed, mut is_in_savepoint) = (clock, false, false);
        // Nothing waits, most of the time: then nothing is looked for.
        let mut has_waiting = self.has_waiting().await?;
        self.reserve_changes(queue.len()).await?;
        while let Some((from, value)) = queue.pop_front() {
            let arrival = Arrival { own, peer: from, check, now };
            let object = match Object::decode(&value) {
                Ok(object) if object.clock > clock.saturating_add(CLOCK_JUMP_MAX) => {
                    let text = format!("the clock {} lies too far ahead", object.clock);
                    self.refuse(applied, &value, Why::new("CLOCK_JUMP", text), &arrival).await?;
                    continue;
                }
                Ok(object) => object,
                Err(why) => {
                    self.refuse(applied, &value, why, &arrival).await?;
                    continue;
                }
            };
            if has_waiting {
                self.forget_waiting(&object, from).await?;
            }
            self.savepoint(&mut is_in_savepoint).await?;
            match self.arrive_alone(&object, &arrival, &mut around).await? {
                Fate::Applied => {
                    has_changed = true;
                    highest = highest.max(object.clock);
                    if object.kind == Kind::Site {
                        let before: Option<SiteCode> = object.key.parse().ok();
                        let tree = around.tree.take();
                        let before = before.and_then(|code| tree.as_ref()?.sites.get(&code));
                        let before = before.map(|site| (site.root_public_key.clone(), site.key_list.clone()));
                        applied.key_lists_changed |= before != self.site_keys(&object.key).await?;
                    }
                    if has_waiting {
                        queue.extend(self.waiting_for(object.kind, &object.key).await?);
                    }
                }
                Fate::Known => {
                    highest = highest.max(object.clock);
                    applied.replayed += 1;
                }
                Fate::Waits(kind, key) => {
                    has_waiting = true;
                    if self.wait(&object, from, kind, &key).await? {
                        applied.waiting += 1;
                    } else {
                        let text = format!("more than {WAITING_MAX} objects wait for what is not here");
                        self.refuse(applied, &value, Why::new("WAITING_FULL", text), &arrival).await?;
                    }
                }
                Fate::Refused(why) => self.refuse(applied, &value, why, &arrival).await?,
                Fate::RefusedUntil(why, kind, key) => {
                    has_waiting = true;
                    self.wait(&object, from, kind, &key).await?;
                    self.refuse(applied, &value, why, &arrival).await?;
                }
            }
        }
        if is_in_savepoint {
            self.in_object("RELEASE object").await?;
        }
        self.reserved = 0..0;
        if highest > clock {
            self.raise_clock(highest).await?;
        }
        if has_changed {
            self.wake(Wake::Sites);
        }
        Ok(())
    }

    /// Begins the savepoint of the next object. What was done since the one before began stays.
    async fn savepoint(&mut self, is_in_savepoint: &mut bool) -> Result<(), DatabaseError> {
        if std::mem::replace(is_in_savepoint, true) {
            // One command, one way to the database and back.
            self.in_object("RELEASE object; SAVEPOINT object").await
        } else {
            self.in_object("SAVEPOINT object").await
        }
    }

    async fn in_object(&mut self, command: &'static str) -> Result<(), DatabaseError> {
        let operation = self.operation;
        self.command(command).await.map_err(|source| DatabaseError::Statement { operation, source })
    }

    /// An object in a savepoint of its own: a statement that fails refuses it, and nothing else.
    async fn arrive_alone(
        &mut self,
        object: &Object,
        arrival: &Arrival<'_>,
        around: &mut Around,
    ) -> Result<Fate, DatabaseError> {
        let (undo, fate) = match self.arrive(object, arrival, around).await {
            Err(error) if self.spoiled.is_some() => return Err(error),
            Err(error @ (DatabaseError::Statement { .. } | DatabaseError::Value { .. })) => {
                tracing::warn!(kind = object.kind.as_str(), key = object.key, %error, "an object could not be applied");
                (true, Fate::Refused(Why::new("OBJECT_FAILED", error.to_string())))
            }
            Err(error) => return Err(error),
            // What a refusal notes stays: the number of a version, an alarm.
            Ok(fate) => (matches!(fate, Fate::Waits(..)), fate),
        };
        if undo {
            self.in_object("ROLLBACK TO object").await?;
        }
        Ok(fate)
    }

    async fn arrive(
        &mut self,
        object: &Object,
        arrival: &Arrival<'_>,
        around: &mut Around,
    ) -> Result<Fate, DatabaseError> {
        let from = arrival.peer;
        let is_above = around.above == Some(from);
        let is_astray = match object.kind.direction() {
            Direction::All => false,
            Direction::Down => !is_above,
            Direction::Up => is_above,
        };
        if is_astray {
            let word = object.kind.as_str();
            let text = format!("objects of kind {word} do not come from site {from}");
            return Ok(Fate::Refused(Why::new("OBJECT_DIRECTION", text)));
        }
        if object.kind.belongs_to_package() {
            let Some(package) = object.kind.package(&object.key) else {
                let text = "the key names no package".to_owned();
                return Ok(Fate::Refused(Why::new("OBJECT_FORM", text)));
            };
            if self.is_package_gone(package).await? {
                return Ok(Fate::Known);
            }
            if object.body.is_some() && self.package(package).await?.is_none() {
                return Ok(Fate::Waits(Kind::Package, package.to_string()));
            }
        }
        let before = self.replica(object.kind, &object.key).await?.map(|stored| stored.object);
        if object.kind == Kind::Version {
            if let Some(fate) = self.judge_version(before.as_ref(), object, arrival).await? {
                return Ok(fate);
            }
        } else if let Some(before) = &before {
            // What stands above stands here, whatever this site has made of it: an account that is
            // disabled there must not go on here because its row was changed here once more.
            let order = compare(object, before);
            let stands_above = object.kind.direction() == Direction::Down && order.is_ne();
            if order.is_le() && !stands_above {
                return Ok(Fate::Known);
            }
        }
        let mut is_own = false;
        match kinds::writer(self, object).await? {
            Writer::Any => {}
            Writer::WaitsFor(kind, key) => return Ok(Fate::Waits(kind, key)),
            Writer::Site(site)
                if site == arrival.own && object.kind != Kind::Site && object.writer != site =>
            {
                let text = format!("what only site {site} writes came as of site {}", object.writer);
                return Ok(Fate::Refused(Why::new("OBJECT_WRITER", text)));
            }
            // Told before this database was put back: the truth stands in the rows, and is told anew.
            Writer::Site(site) if site == arrival.own && object.kind != Kind::Refresh => {
                self.keep_replica(object, Some(from)).await?;
                self.touch(object.kind, object.key.as_str());
                return Ok(Fate::Known);
            }
            Writer::Site(site) if site == arrival.own => is_own = true,
            Writer::Site(site) => {
                let tree = self.tree(around).await?;
                if !tree.sites.contains_key(&site) {
                    return Ok(Fate::Waits(Kind::Site, site.to_string()));
                }
                // A site that has moved tells of the site it stands below by then.
                let moved =
                    (object.kind == Kind::Site).then(|| object.fields().parse("parent").ok()).flatten();
                let sides = [Some(site), moved].map(|site| site.and_then(|site| tree.next_hop(site)));
                let is_liar = object.kind != Kind::Site && object.writer != site;
                if is_liar || !sides.contains(&Some(from)) {
                    let text = format!(
                        "what only site {site} writes came from site {from}, as of site {}",
                        object.writer
                    );
                    return Ok(Fate::Refused(Why::new("OBJECT_WRITER", text)));
                }
            }
        }
        Ok(match kinds::take(self, object, arrival).await? {
            Taken::Outdone => {
                self.keep_replica(object, Some(from)).await?;
                self.touch(object.kind, object.key.as_str());
                Fate::Applied
            }
            Taken::Done => {
                self.keep_replica(object, Some(from)).await?;
                if !is_own {
                    self.applied.insert((object.kind, object.key.clone()));
                }
                Fate::Applied
            }
            Taken::WaitsFor(kind, key) => Fate::Waits(kind, key),
            Taken::Refused(why) => {
                // Its rows say what they said before.
                self.in_object("ROLLBACK TO object").await?;
                Fate::Refused(why)
            }
        })
    }

    /// Decides over a version by its number and its signature; `None` when it is to be taken.
    async fn judge_version(
        &mut self,
        before: Option<&Object>,
        object: &Object,
        arrival: &Arrival<'_>,
    ) -> Result<Option<Fate>, DatabaseError> {
        Ok(match version::judge(self, before, object, arrival).await? {
            version::Judged::Higher => None,
            version::Judged::Known => Some(Fate::Known),
            version::Judged::WaitsFor(site) => Some(Fate::Waits(Kind::Site, site.to_string())),
            version::Judged::Refused(why) => Some(Fate::Refused(why)),
            version::Judged::Unsigned(site, why) => {
                Some(Fate::RefusedUntil(why, Kind::Site, site.to_string()))
            }
        })
    }

    /// The sites around, as they were before the first object of their kind was taken or after the last.
    async fn tree<'a>(&mut self, around: &'a mut Around) -> Result<&'a Hierarchy, DatabaseError> {
        let tree = match around.tree.take() {
            Some(tree) => tree,
            None => self.hierarchy().await?,
        };
        Ok(around.tree.insert(tree))
    }

    /// The neighbour above, if there is one.
    async fn site_above(&mut self) -> Result<Option<SiteCode>, DatabaseError> {
        Ok(self.links().await?.into_iter().find(|link| link.is_above).map(|link| link.peer))
    }

    /// True when the package was deleted: its tombstone is here.
    pub(crate) async fn is_package_gone(&mut self, package: PackageId) -> Result<bool, DatabaseError> {
        let row = self
            .row(
                "SELECT 1 AS one FROM replicas WHERE kind = 'package' AND object_key = $1 AND body IS NULL",
                bind![package],
            )
            .await?;
        Ok(row.is_some())
    }

    async fn site_keys(&mut self, code: &str) -> Result<Option<(String, Vec<u8>)>, DatabaseError> {
        let Ok(code) = code.parse() else { return Ok(None) };
        Ok(self.site_row(code).await?.map(|site| (site.root_public_key, site.key_list)))
    }

    async fn has_waiting(&mut self) -> Result<bool, DatabaseError> {
        Ok(self.row("SELECT 1 AS one FROM replicas_waiting LIMIT 1", bind![]).await?.is_some())
    }

    /// Puts an object aside until what it refers to is here; false when too many wait.
    async fn wait(
        &mut self,
        object: &Object,
        from: SiteCode,
        kind: Kind,
        key: &str,
    ) -> Result<bool, DatabaseError> {
        let row =
            self.row("SELECT COUNT(*) AS waiting FROM replicas_waiting WHERE peer = $1", bind![from]).await?;
        if row.map_or(Ok(0), |row| row.u64("waiting"))? >= WAITING_MAX {
            return Ok(false);
        }
        self.execute(
            "INSERT INTO replicas_waiting (kind, object_key, peer, for_kind, for_key, object)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (kind, object_key, peer) DO UPDATE SET for_kind = EXCLUDED.for_kind,
                 for_key = EXCLUDED.for_key, object = EXCLUDED.object, seen_at = NULL",
            bind![object.kind.as_str(), &object.key, from, kind.as_str(), key, object.encode().to_string()],
        )
        .await?;
        Ok(true)
    }

    /// A neighbour's word about an object takes the place of what it said before.
    async fn forget_waiting(&mut self, object: &Object, from: SiteCode) -> Result<(), DatabaseError> {
        self.execute(
            "DELETE FROM replicas_waiting WHERE kind = $1 AND object_key = $2 AND peer = $3",
            bind![object.kind.as_str(), &object.key, from],
        )
        .await
        .map(|_| ())
    }

    /// Takes out what waits for an object that is here, with the neighbour each came from.
    pub(crate) async fn waiting_for(
        &mut self,
        kind: Kind,
        key: &str,
    ) -> Result<Vec<(SiteCode, Value)>, DatabaseError> {
        let rows = self
            .rows(
                "DELETE FROM replicas_waiting WHERE for_kind = $1 AND for_key = $2 RETURNING peer, object",
                bind![kind.as_str(), key],
            )
            .await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let text = row.text("object")?;
            let object = serde_json::from_str(&text).map_err(|_unfit| row.refuse("object", text))?;
            found.push((row.parse("peer")?, object));
        }
        Ok(found)
    }

    async fn refuse(
        &mut self,
        applied: &mut AppliedChanges,
        value: &Value,
        why: Why,
        arrival: &Arrival<'_>,
    ) -> Result<(), DatabaseError> {
        let from = arrival.peer;
        let field = |name: &str, most: usize| -> String {
            let text = value.get(name).and_then(Value::as_str).unwrap_or_default();
            text[..text.floor_char_boundary(most)].to_owned()
        };
        let refused = RefusedObject { kind: field("kind", 80), key: field("key", 200), why };
        tracing::warn!(
            site = %from,
            kind = refused.kind,
            key = refused.key,
            rule = refused.why.rule,
            "an object of site {from} was refused: {}",
            refused.why.text
        );
        if applied.refused.len() < MESSAGES_MAX {
            let package = Kind::of_word(&refused.kind).and_then(|kind| match kind {
                Kind::Package => refused.key.parse().ok(),
                kind => kind.package(&refused.key),
            });
            if let Some(package) = package {
                let message =
                    message::object_refused(package, from, &refused.kind, &refused.key, &refused.why);
                self.raise(&message, arrival.now).await?;
            }
        }
        applied.refused.push(refused);
        Ok(())
    }
}

fn kind_of(object: &Value) -> Option<Kind> {
    object.get("kind").and_then(Value::as_str).and_then(Kind::of_word)
}

/// Where nobody can check a signature: versions go on waiting.
struct Unchecked;

impl StatementCheck for Unchecked {
    fn check(&self, signer: &SiteRow, _statement: &[u8]) -> Result<CheckedVersion, Why> {
        Err(Why::new("MANIFEST_SIGNATURE", format!("waits for the keys of site {}", signer.code)))
    }
}

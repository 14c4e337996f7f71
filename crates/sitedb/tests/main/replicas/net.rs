//! Sites in one process, each with a database of its own, and what travels between them by hand.

use std::collections::BTreeMap;
use std::path::PathBuf;

use restock_names::{ContentVersion, Digest, PackageId, SiteCode, Timestamp};
use restock_sitedb::announced::Announced;
use restock_sitedb::hierarchy::{LinkRow, STATUS_ACTIVE, SiteRow, SiteType};
use restock_sitedb::refresh::Refresh;
use restock_sitedb::replica::{AppliedChanges, CheckedVersion, Incoming, StatementCheck};
use restock_sitedb::site::Site;
use restock_sitedb::version::Version;
use restock_sitedb::{Database, DatabaseError, Tx, Why};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::samples::{NOW, package, site};
use crate::server::Fresh;

/// A statement of these tests says who signed it and what, in JSON; whoever has a key list is
/// believed.
pub(crate) struct Checks;

impl StatementCheck for Checks {
    fn check(&self, signer: &SiteRow, statement: &[u8]) -> Result<CheckedVersion, Why> {
        let bad = || Why::new("MANIFEST_FORMAT", "no statement");
        let said: Value = serde_json::from_slice(statement).map_err(|_unfit| bad())?;
        let number = |field: &str| said.get(field).and_then(Value::as_u64).ok_or_else(bad);
        if said["site"] != json!(signer.code) || signer.key_list.is_empty() {
            return Err(Why::new("MANIFEST_SIGNATURE", "another site signed it"));
        }
        let small = |field: &str| number(field).map(|number| u32::try_from(number).unwrap());
        Ok(CheckedVersion {
            content: ContentVersion {
                package: said["package"].as_str().unwrap().parse().unwrap(),
                epoch: restock_names::Epoch(small("epoch")?),
                version: restock_names::SourceVersion(small("version")?),
            },
            root: Digest([u8::try_from(number("root")? % 251).unwrap(); 32]),
            root_length: 7,
            pages: 1,
            entries: number("root")?,
            chunks: 1,
            bytes: 1,
        })
    }
}

/// A version of which `root` tells the content, and the statement for it.
pub(crate) fn signed(content: ContentVersion, signer: SiteCode, root: u64) -> Announced {
    let statement = json!({
        "site": signer,
        "package": content.package,
        "epoch": content.epoch,
        "version": content.version,
        "root": root,
    });
    let version = Version {
        content,
        root: Digest([u8::try_from(root % 251).unwrap(); 32]),
        root_length: 7,
        pages: 1,
        entries: root,
        chunks: 1,
        bytes: 1,
        files: 1,
        bytes_read: 1,
        chunks_new: 1,
        bytes_new: 1,
        published_at: NOW,
        duration_ms: 1,
    };
    Announced::new(version, signer, serde_json::to_vec(&statement).unwrap())
}

pub(crate) fn row(code: SiteCode, parent: Option<SiteCode>) -> SiteRow {
    SiteRow {
        code,
        parent,
        site_type: SiteType::Primary,
        name: format!("site {code}"),
        server_name: String::new(),
        url: String::new(),
        software: String::new(),
        root_public_key: format!("key of {code}"),
        key_list: code.as_bytes().to_vec(),
        ca_fingerprint: String::new(),
        status: STATUS_ACTIVE,
    }
}

fn link(peer: SiteCode, is_above: bool) -> LinkRow {
    LinkRow {
        peer,
        is_above,
        fingerprint: "f".to_owned(),
        root_public_key: format!("key of {peer}"),
        url: String::new(),
        incarnation: String::new(),
        received: 0,
        acknowledged: 0,
        is_revoked: false,
        connected_to: None,
        last_seen_at: None,
        joined_at: NOW,
        why: None,
    }
}

/// Runs a change that cannot be refused.
#[macro_export]
macro_rules! change {
    ($database:expr, |$tx:ident| $body:expr) => {
        $database
            .transact("test", move |$tx: &mut Tx| Box::pin(async move { Ok::<_, DatabaseError>($body) }))
            .await
            .unwrap()
    };
}

/// One site.
pub(crate) struct Node {
    pub(crate) code: SiteCode,
    pub(crate) database: Database,
    file: PathBuf,
    backups: Vec<PathBuf>,
    _folder: TempDir,
}

impl Node {
    /// A site with no link, on SQLite.
    pub(crate) async fn new(code: SiteCode) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("site.db");
        let database = Database::open_file(&file).await.unwrap();
        let node = Self { code, database, file, backups: Vec::new(), _folder: folder };
        node.found().await;
        node
    }

    /// A site on a database that was opened elsewhere.
    pub(crate) async fn on(code: SiteCode, fresh: &Fresh) -> Self {
        let folder = TempDir::new().unwrap();
        let (file, backups) = (folder.path().join("none"), Vec::new());
        let node = Self { code, database: fresh.database.clone(), file, backups, _folder: folder };
        node.found().await;
        node
    }

    async fn found(&self) {
        let code = self.code;
        let own = Site { code, root_public_key: format!("key of {code}"), ..site() };
        change!(self.database, |tx| {
            tx.insert_site(&own).await?;
            tx.put_site(&row(code, None)).await?;
        });
    }

    pub(crate) async fn restart(&mut self) {
        self.database.close().await;
        self.database = Database::open_file(&self.file).await.unwrap();
    }

    pub(crate) async fn back_up(&mut self) {
        let copy = self.file.with_extension(format!("copy{}", self.backups.len()));
        assert!(self.database.copy_to(&copy).await.unwrap());
        self.backups.push(copy);
    }

    /// Puts a backup back, as the command does, or by merely copying the file.
    pub(crate) async fn restore(&mut self, which: usize, is_told: bool) -> bool {
        let Some(copy) = self.backups.get(which % self.backups.len().max(1)).cloned() else { return false };
        self.database.close().await;
        for end in ["", "-wal", "-shm"] {
            let file = PathBuf::from(format!("{}{end}", self.file.display()));
            if file.exists() {
                std::fs::remove_file(&file).unwrap();
            }
        }
        std::fs::copy(&copy, &self.file).unwrap();
        self.database = Database::open_file(&self.file).await.unwrap();
        if is_told {
            change!(self.database, |tx| tx.begin_recovery(NOW).await?);
        }
        true
    }

    /// Adds a package made here.
    pub(crate) async fn add_package(&self) -> PackageId {
        let code = self.code;
        change!(self.database, |tx| {
            let number = u32::try_from(tx.next_package_number().await?).unwrap();
            let id = PackageId::new(code, number).unwrap();
            tx.insert_package(&restock_sitedb::package::Package { id, source_site: code, ..package(1) })
                .await?;
            tx.insert_refresh(id, &Refresh::of_creation(NOW)).await?;
            id
        })
    }

    /// Runs the oldest request there is, if this site owns such a package; returns what was published.
    pub(crate) async fn publish(&self, root: u64) -> Option<Announced> {
        let code = self.code;
        change!(self.database, |tx| {
            let Some(id) = tx.refresh_due(NOW).await? else { return Ok(None) };
            let mut refresh = tx.refresh(id).await?.unwrap();
            refresh.claim("me", NOW, std::time::Duration::from_secs(60)).unwrap();
            let Some((epoch, version)) = tx.next_publish(id).await? else { return Ok(None) };
            let before = tx.package(id).await?.unwrap();
            let content = ContentVersion { package: id, epoch, version };
            assert!(tx.publish_version(id, before.source_version, (epoch, version), NOW).await?);
            let announced = signed(content, code, root);
            tx.insert_version(&announced.version).await?;
            tx.put_announced(&announced).await?;
            refresh.published(NOW);
            tx.update_refresh(id, &refresh).await?;
            Some(announced)
        })
    }

    /// Asks for a refresh of a package known here.
    pub(crate) async fn ask(&self, id: PackageId) {
        let code = self.code;
        change!(self.database, |tx| {
            let (Some(package), Some(refresh)) = (tx.package(id).await?, tx.refresh(id).await?) else {
                return Ok(());
            };
            if !package.is_deleting {
                tx.request_refresh(&package, refresh, code, NOW, None).await?;
            }
        });
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl for<'t> FnOnce(&'t mut Tx) -> futures_util::future::BoxFuture<'t, Result<T, DatabaseError>>
        + Send
        + 'static,
    ) -> T {
        self.database.read("test", look).await.unwrap()
    }
}

/// Makes `child` stand below `parent`.
pub(crate) async fn join(parent: &Node, child: &Node) {
    let (above, below) = (parent.code, child.code);
    change!(parent.database, |tx| {
        tx.put_site(&row(below, Some(above))).await?;
        tx.put_link(&link(below, false)).await?;
        tx.replicate_everything().await?;
    });
    let above_row = parent.read(move |tx| Box::pin(tx.site_row(above))).await.unwrap();
    change!(child.database, |tx| {
        tx.put_site(&above_row).await?;
        tx.put_site(&row(below, Some(above))).await?;
        tx.put_link(&link(above, true)).await?;
        tx.replicate_everything().await?;
    });
}

/// Changes on their way.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) from: SiteCode,
    pub(crate) incarnation: String,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) objects: Vec<Value>,
}

/// What the two say when they meet, and what the one then sends the other; `None` when it has
/// nothing, or has found that its database was put back.
pub(crate) async fn collect(from: &Node, to: &Node, bytes_max: usize) -> Option<Batch> {
    let (source, target) = (from.code, to.code);
    let said = to.read(move |tx| Box::pin(tx.replica_facts(source))).await;
    let (peer, of_peer) = (said.incarnation.clone(), (said.received_incarnation.clone(), said.received));
    let after = change!(from.database, |tx| {
        tx.link_connected(target, "me", (&peer, None), NOW).await?;
        let own = tx.replica_facts(target).await?.incarnation;
        let after = if of_peer.0 == own { of_peer.1 } else { 0 };
        tx.changes_acknowledged(target, after).await?.then_some((own, after))
    });
    let (incarnation, after) = after?;
    let next = from.read(move |tx| Box::pin(tx.next_changes(target, after, bytes_max))).await;
    let objects = next.changes.into_iter().map(|(_, object)| object).collect::<Vec<_>>();
    (next.through > after).then_some(Batch {
        from: source,
        incarnation,
        first: after + 1,
        last: next.through,
        objects,
    })
}

pub(crate) async fn deliver(to: &Node, batch: &Batch, now: Timestamp) -> AppliedChanges {
    let batch = batch.clone();
    change!(to.database, |tx| {
        let Batch { from, incarnation, first, last, objects } = batch.clone();
        tx.apply_changes(Incoming {
            peer: from,
            incarnation: &incarnation,
            first,
            last,
            objects,
            check: &Checks,
            now,
        })
        .await?
    })
}

/// The state of every object that all sites share, and what rows say of packages.
pub(crate) async fn shared(node: &Node) -> BTreeMap<String, String> {
    node.read(|tx| {
        Box::pin(async move {
            let mut found = BTreeMap::new();
            for object in tx.replicas_shared().await? {
                let name =
                    format!("{}/{}", object["kind"].as_str().unwrap(), object["key"].as_str().unwrap());
                found.insert(name, object.to_string());
            }
            for p in tx.packages().await? {
                let refresh = tx.refresh(p.id).await?.unwrap();
                let announced = tx.announced(p.id).await?.map(|a| (a.version.content, a.version.root));
                let said = format!(
                    "{} {} {} {} {:?} {}",
                    p.name,
                    p.source_site,
                    p.source_version,
                    p.is_deleting,
                    announced,
                    refresh.is_pending()
                );
                found.insert(format!("row/{}", p.id), said);
            }
            for t in tx.targets().await? {
                let said = format!("{} {}", t.facts.state.as_str(), t.facts.serving);
                found.insert(format!("target row/{}/{}", t.package, t.point), said);
            }
            Ok(found)
        })
    })
    .await
}

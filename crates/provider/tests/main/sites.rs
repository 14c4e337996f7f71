//! Several sites: each has a database and a provider of its own, and what one changes the others are
//! sent. Loops, links and distribution points are played by hand.

mod hidden;
mod methods;
mod owners;
mod rows;
mod status;

use restock_cim::{Name, Value};
use restock_names::{ContentVersion, Digest, PackageId, SiteCode};
use restock_provider::{Caller, MethodAnswer, MethodCall, Put, PutForm, Refusal};
use restock_sitedb::announced::Announced;
use restock_sitedb::copies::{COPY_SENDING, COPY_STORED, Copy};
use restock_sitedb::hierarchy::{LinkRow, STATUS_ACTIVE, SiteRow, SiteType};
use restock_sitedb::replica::{CheckedVersion, Facts, Incoming, StatementCheck};
use restock_sitedb::version::Version;
use restock_sitedb::{DatabaseError, Tx, Why};

use crate::views::world::{NOW, World};

/// A statement of a test: signer, package, epoch, version and bytes in words.
struct Words;

impl StatementCheck for Words {
    fn check(&self, signer: &SiteRow, statement: &[u8]) -> Result<CheckedVersion, Why> {
        let text = String::from_utf8(statement.to_vec()).unwrap();
        let words: Vec<&str> = text.split(' ').collect();
        if words[0] != signer.code.as_str() {
            return Err(Why::new("SIGNATURE", format!("{} did not sign it", signer.code)));
        }
        Ok(CheckedVersion {
            content: ContentVersion {
                package: words[1].parse().unwrap(),
                epoch: restock_names::Epoch(words[2].parse().unwrap()),
                version: restock_names::SourceVersion(words[3].parse().unwrap()),
            },
            root: Digest([7; 32]),
            root_length: 100,
            pages: 1,
            entries: 1,
            chunks: 1,
            bytes: words[4].parse().unwrap(),
        })
    }
}

/// Sites that are linked as a tree; the first is the top.
pub(crate) struct Sites {
    pub(crate) worlds: Vec<World>,
}

pub(crate) fn code(text: &str) -> SiteCode {
    text.parse().unwrap()
}

fn row(world: &World, site_type: SiteType, parent: Option<SiteCode>) -> SiteRow {
    let own = world.code;
    SiteRow {
        code: own,
        parent,
        site_type,
        name: format!("site {own}"),
        server_name: format!("{}.example", own.as_str().to_lowercase()),
        url: String::new(),
        software: "restock 0.1.0".to_owned(),
        root_public_key: "root".to_owned(),
        key_list: vec![1],
        ca_fingerprint: "ca".to_owned(),
        status: STATUS_ACTIVE,
    }
}

fn link(peer: SiteCode, is_above: bool) -> LinkRow {
    LinkRow {
        peer,
        is_above,
        fingerprint: "f".to_owned(),
        root_public_key: "root".to_owned(),
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

impl Sites {
    /// Sites by code, type, site above and names of distribution points; every site above stands
    /// before those below it.
    pub(crate) async fn new(tree: &[(&str, SiteType, Option<&str>, &[&'static str])]) -> Self {
        let mut sites = Self { worlds: Vec::new() };
        for (own, site_type, parent, points) in tree {
            let world = World::at(code(own), points).await;
            let (own, site_type, parent) =
                (row(&world, *site_type, parent.map(code)), *site_type, parent.map(code));
            let kept = own.clone();
            world
                .change(move |tx| {
                    Box::pin(async move {
                        tx.set_site_type(site_type).await?;
                        tx.put_site(&kept).await
                    })
                })
                .await;
            if let Some(parent) = parent {
                let above = sites.at(parent.as_str());
                let below = own.clone();
                above.change(move |tx| Box::pin(async move { join(tx, below, false).await })).await;
                let site = above
                    .database()
                    .read("site", move |tx| Box::pin(async move { tx.site_row(parent).await }));
                let site: Result<_, DatabaseError> = site.await;
                let site = site.unwrap().unwrap();
                world.change(move |tx| Box::pin(async move { join(tx, site, true).await })).await;
            }
            sites.worlds.push(world);
        }
        sites.sync().await;
        sites
    }

    /// A primary XYZ with DP01 and DP02, and below it a primary ABC with DP11.
    pub(crate) async fn two() -> Self {
        let primary = SiteType::Primary;
        Self::new(&[("XYZ", primary, None, &["DP01", "DP02"]), ("ABC", primary, Some("XYZ"), &["DP11"])])
            .await
    }

    /// A central CAS, below it the primaries XYZ with DP01 and ABC with DP11, and below ABC a
    /// secondary SEC with DP21.
    pub(crate) async fn four() -> Self {
        Self::new(&[
            ("CAS", SiteType::Central, None, &[]),
            ("XYZ", SiteType::Primary, Some("CAS"), &["DP01"]),
            ("ABC", SiteType::Primary, Some("CAS"), &["DP11"]),
            ("SEC", SiteType::Secondary, Some("ABC"), &["DP21"]),
        ])
        .await
    }

    pub(crate) fn at(&self, site: &str) -> &World {
        self.worlds.iter().find(|world| world.code.as_str() == site).unwrap()
    }

    /// Sends what there is to send until nobody has anything more to say.
    pub(crate) async fn sync(&self) {
        for _round in 0..40 {
            let mut sent = 0;
            for from in &self.worlds {
                for to in &self.worlds {
                    sent += send(from, to).await;
                }
            }
            if sent == 0 {
                return;
            }
        }
        panic!("the sites never stop sending");
    }

    /// Removes a site at the one above it, which does not talk to it any more.
    pub(crate) async fn remove(&self, site: &str) {
        let site = code(site);
        let mut above = None;
        for world in &self.worlds {
            let known: Result<_, DatabaseError> = world
                .database()
                .read("site", move |tx| Box::pin(async move { tx.site_row(site).await }))
                .await;
            above = above.or(known.unwrap().and_then(|row| row.parent));
        }
        let above = self.at(above.expect("it stands below another").as_str());
        above
            .change(move |tx| {
                Box::pin(async move {
                    assert!(tx.remove_site(site).await?);
                    tx.delete_link(site).await.map(|_| ())
                })
            })
            .await;
        self.sync().await;
    }

    /// Lets the site `site` fetch the newest version of a package from wherever it is.
    pub(crate) async fn fetch(&self, site: &str, id: PackageId) {
        self.sync().await;
        let world = self.at(site);
        let now = world.now();
        world
            .change(move |tx| {
                Box::pin(async move {
                    let announced = tx.announced(id).await?.expect("a version is known");
                    assert!(tx.content_arrived(&announced, now).await?);
                    Ok(())
                })
            })
            .await;
        self.sync().await;
    }
}

async fn join(tx: &mut Tx, site: SiteRow, is_above: bool) -> Result<(), DatabaseError> {
    tx.put_site(&site).await?;
    tx.put_link(&link(site.code, is_above)).await?;
    tx.replicate_everything().await
}

async fn facts(tx: &mut Tx, peer: SiteCode) -> Result<(bool, Facts), DatabaseError> {
    Ok((tx.link(peer).await?.is_some(), tx.replica_facts(peer).await?))
}

/// Sends one batch; returns how many objects it had.
async fn send(from: &World, to: &World) -> usize {
    let (sender, receiver) = (from.code, to.code);
    let read: Result<_, DatabaseError> =
        to.database().read("facts", move |tx| Box::pin(facts(tx, sender))).await;
    let (is_linked, known) = read.unwrap();
    if !is_linked {
        return 0;
    }
    let read: Result<_, DatabaseError> =
        from.database().read("facts", move |tx| Box::pin(facts(tx, receiver))).await;
    let incarnation = read.unwrap().1.incarnation;
    let after = if known.received_incarnation == incarnation { known.received } else { 0 };
    let next: Result<_, DatabaseError> = from
        .database()
        .read("changes", move |tx| Box::pin(async move { tx.next_changes(receiver, after, 1 << 20).await }))
        .await;
    let next = next.unwrap();
    let (count, through) = (next.changes.len(), next.through);
    if count == 0 {
        return 0;
    }
    let now = to.now();
    let objects: Vec<_> = next.changes.into_iter().map(|(_, object)| object).collect();
    let applied: Result<_, DatabaseError> = to
        .database()
        .transact("apply", move |tx| {
            let (objects, incarnation) = (objects.clone(), incarnation.clone());
            Box::pin(async move {
                tx.link_connected(sender, "test", (&incarnation, None), now).await?;
                let (first, last) = (after + 1, through);
                let incoming = Incoming {
                    peer: sender,
                    incarnation: &incarnation,
                    first,
                    last,
                    objects,
                    check: &Words,
                    now,
                };
                tx.apply_changes(incoming).await
            })
        })
        .await;
    let applied = applied.unwrap();
    assert_eq!((applied.refused, applied.is_gap), (vec![], false), "{sender} to {receiver}");
    let done: Result<(), DatabaseError> = from
        .database()
        .transact("acknowledged", move |tx| {
            Box::pin(async move { tx.changes_acknowledged(receiver, through).await.map(|_| ()) })
        })
        .await;
    done.unwrap();
    count
}

impl World {
    /// Publishes the refresh that is due at the site that owns the package, announced with a statement
    /// as the refresh loop does; false when none was due.
    pub(crate) async fn publish_announced(&self, id: PackageId, bytes: u64) -> bool {
        let (now, own) = (self.now(), self.code);
        let done = self.publish(id, bytes).await;
        if done {
            self.change(move |tx| {
                Box::pin(async move {
                    let version: Version = tx.newest_version(id).await?.expect("it was published");
                    let content = version.content;
                    let words =
                        format!("{own} {id} {} {} {bytes}", content.epoch.0, content.version.0).into_bytes();
                    tx.put_announced(&Announced::new(version, own, words)).await?;
                    let (epoch, version, state) = (content.epoch, content.version, COPY_STORED);
                    tx.put_copy(&Copy { package: id, site: own, epoch, version, state, why: None, at: now })
                        .await
                })
            })
            .await;
        }
        done
    }

    /// Notes that content is on its way to this site.
    pub(crate) async fn receiving(&self, id: PackageId) {
        let (now, site) = (self.now(), self.code);
        self.change(move |tx| {
            Box::pin(async move {
                let announced = tx.announced(id).await?.expect("a version is known");
                let (epoch, version) = (announced.version.content.epoch, announced.version.content.version);
                let state = COPY_SENDING;
                tx.put_copy(&Copy { package: id, site, epoch, version, state, why: None, at: now }).await
            })
        })
        .await;
    }

    pub(crate) async fn call(
        &self,
        caller: &Caller,
        path: &str,
        method: &str,
        arguments: &[(&str, Value)],
    ) -> Result<MethodAnswer, Refusal> {
        let call = MethodCall {
            path: path.parse().unwrap(),
            method: Name::from(method),
            arguments: crate::objects::named(arguments),
        };
        self.provider.invoke(caller, call).await
    }

    /// Calls a method of a package, as everybody who may.
    pub(crate) async fn of_package(
        &self,
        id: PackageId,
        method: &str,
        arguments: &[(&str, Value)],
    ) -> Result<MethodAnswer, Refusal> {
        let caller = Caller::local("test");
        self.call(&caller, &crate::objects::package_path(id), method, arguments).await
    }

    pub(crate) async fn put(
        &self,
        class: &str,
        form: PutForm,
        values: &[(&str, Value)],
    ) -> Result<(), Refusal> {
        let put = Put { class: Name::from(class), path: None, values: crate::objects::named(values), form };
        self.provider.put(&Caller::local("test"), put).await.map(|_| ())
    }
}

/// The NAL path of a distribution point.
pub(crate) fn nal(site: &str, point: &str) -> String {
    format!(r#"["Display=\\{point}\"]MSWNET:["SMS_SITE={site}"]\\{point}\"#)
}

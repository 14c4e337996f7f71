//! Two sites over loopback: the one above is a [`World`], the one below joins it with a token.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use restock_content::files::DiskFiles;
use restock_content::library::{Library, Role};
use restock_content::statement::KeyList;
use restock_names::{ContentVersion, DistributionPointName, SiteCode, SystemClock};
use restock_transfer::{
    Backoff, Batch, Change, Connection, EnrolRequest, EnrolSiteRequest, EnrolmentToken, Fingerprint, Hello,
    LinkError, Links, NextChanges, Progress, Received, Refusal, ReplicaFacts, Report, Run, SiteEnrolled,
    SiteHello, SiteSide, SiteTrust, SiteUpstream, SiteUrl, TokenKind, UpstreamLink, UpstreamLinkConfig, join,
};
use serde_json::Value;

use crate::world::{World, run};

pub(crate) fn code(text: &str) -> SiteCode {
    text.parse().unwrap()
}

/// What one site remembers of its neighbours, in memory.
#[derive(Debug, Default)]
pub(crate) struct Replica {
    pub(crate) incarnation: Mutex<String>,
    /// This site's changes: the number stands for the position.
    pub(crate) log: Mutex<Vec<Value>>,
    pub(crate) applied: Mutex<BTreeMap<SiteCode, Received>>,
    pub(crate) objects: Mutex<Vec<Value>>,
    pub(crate) batches: Mutex<Vec<(u64, u64)>>,
    pub(crate) acknowledged: Mutex<Vec<u64>>,
    pub(crate) refuse: Mutex<Vec<Refusal>>,
    pub(crate) enrolled: Mutex<BTreeMap<SiteCode, (Fingerprint, SiteEnrolled)>>,
    pub(crate) requests: Mutex<Vec<EnrolSiteRequest>>,
    pub(crate) tokens: Mutex<BTreeMap<restock_names::Digest, SiteCode>>,
    pub(crate) hellos: Mutex<Vec<(SiteCode, SiteHello, KeyList)>>,
    pub(crate) key_lists: Mutex<Vec<KeyList>>,
    pub(crate) causes: Mutex<Vec<String>>,
    pub(crate) forbids: Mutex<bool>,
    pub(crate) sent: Mutex<u64>,
}

impl Replica {
    pub(crate) fn new(incarnation: &str) -> Arc<Self> {
        let this = Self::default();
        *this.incarnation.lock().unwrap() = incarnation.to_owned();
        Arc::new(this)
    }

    pub(crate) fn write(&self, objects: impl IntoIterator<Item = Value>) {
        self.log.lock().unwrap().extend(objects);
    }

    pub(crate) fn applied_of(&self, peer: &str) -> u64 {
        self.applied.lock().unwrap().get(&code(peer)).map_or(0, |received| received.sequence)
    }

    pub(crate) fn facts(&self, peer: SiteCode) -> ReplicaFacts {
        let received = self.applied.lock().unwrap().get(&peer).cloned().unwrap_or_default();
        ReplicaFacts { incarnation: self.incarnation.lock().unwrap().clone(), received, last: None }
    }

    pub(crate) fn next(&self, after: u64) -> NextChanges {
        let log = self.log.lock().unwrap();
        let changes: Vec<Change> = (1..)
            .zip(log.iter())
            .filter(|(sequence, _)| *sequence > after)
            .take(100)
            .map(|(sequence, object)| Change { sequence, object: object.clone() })
            .collect();
        NextChanges { through: changes.last().map_or(after, |change| change.sequence), changes }
    }

    pub(crate) fn take(&self, peer: SiteCode, batch: Batch) -> Result<(), Refusal> {
        if let Some(refusal) = self.refuse.lock().unwrap().pop() {
            return Err(refusal);
        }
        self.batches.lock().unwrap().push((batch.first, batch.last));
        self.objects.lock().unwrap().extend(batch.objects);
        let received = Received { incarnation: batch.incarnation, sequence: batch.last };
        self.applied.lock().unwrap().insert(peer, received);
        Ok(())
    }

    pub(crate) fn redeem(&self, request: EnrolSiteRequest) -> Result<(), Refusal> {
        match self.tokens.lock().unwrap().get(&request.token_hash) {
            None => return Err(Refusal::new("TOKEN_UNKNOWN", "no such token")),
            Some(site) if *site != request.site => {
                return Err(Refusal::new("TOKEN_NAME", "the token is for another site"));
            }
            Some(_) => {}
        }
        let enrolled = SiteEnrolled { root_key: request.root_key };
        self.enrolled.lock().unwrap().insert(request.site, (request.fingerprint, enrolled));
        self.requests.lock().unwrap().push(request);
        Ok(())
    }
}

/// The side of a site that has no points.
pub(crate) struct BelowSide(pub(crate) Arc<Replica>);

macro_rules! sites {
    ($replica:expr) => {
        async fn replica_facts(&self, peer: SiteCode) -> Result<ReplicaFacts, Refusal> {
            Ok($replica(self).facts(peer))
        }
        async fn site_connected(
            &self,
            peer: SiteCode,
            hello: SiteHello,
            keys: KeyList,
            _remote: Option<SocketAddr>,
        ) -> Result<(), Refusal> {
            $replica(self).hellos.lock().unwrap().push((peer, hello, keys));
            Ok(())
        }
        async fn site_key_list(&self, _peer: SiteCode, keys: KeyList) -> Result<(), Refusal> {
            $replica(self).key_lists.lock().unwrap().push(keys);
            Ok(())
        }
        async fn site_disconnected(&self, _peer: SiteCode, cause: &LinkError, _retry: Option<Duration>) {
            $replica(self).causes.lock().unwrap().push(cause.code().to_owned());
        }
        async fn next_changes(&self, _peer: SiteCode, after: u64) -> Result<NextChanges, Refusal> {
            Ok($replica(self).next(after))
        }
        async fn take_changes(&self, peer: SiteCode, batch: Batch) -> Result<(), Refusal> {
            $replica(self).take(peer, batch)
        }
        async fn changes_acknowledged(&self, _peer: SiteCode, last: u64) -> Result<(), Refusal> {
            $replica(self).acknowledged.lock().unwrap().push(last);
            Ok(())
        }
        async fn authorise_site_pull(&self, peer: SiteCode, content: &ContentVersion) -> Result<(), Refusal> {
            match *$replica(self).forbids.lock().unwrap() {
                true => Err(Refusal::new("NOT_AUTHORISED", format!("{peer} may not have {content}"))),
                false => Ok(()),
            }
        }
        fn site_pull_ended(&self, _peer: SiteCode, _content: &ContentVersion, sent: u64, _received: u64) {
            *$replica(self).sent.lock().unwrap() += sent;
        }
    };
}
pub(crate) use sites;

impl SiteSide for BelowSide {
    async fn is_enrolled(&self, _: &DistributionPointName, _: Fingerprint) -> Result<bool, Refusal> {
        Ok(false)
    }
    async fn enrol(&self, _: EnrolRequest) -> Result<(), Refusal> {
        Err(Refusal::new("TOKEN_UNKNOWN", "no"))
    }
    async fn connected(
        &self,
        _: &DistributionPointName,
        _: Connection,
        _: Hello,
        _: SocketAddr,
    ) -> Result<(), Refusal> {
        Ok(())
    }
    async fn disconnected(&self, _: &DistributionPointName) {}
    async fn report(&self, _: &DistributionPointName, _: Report) -> Result<(), Refusal> {
        Ok(())
    }
    fn progress(&self, _: &DistributionPointName, _: Progress) {}
    async fn authorise_pull(&self, _: &DistributionPointName, _: &ContentVersion) -> Result<(), Refusal> {
        Err(Refusal::new("NOT_AUTHORISED", "no"))
    }
    sites!(|this: &Self| Arc::clone(&this.0));
}

/// A site below, with its own authority, keys and library.
pub(crate) struct Below {
    pub(crate) trust: Arc<SiteTrust>,
    pub(crate) upstream: Arc<SiteUpstream>,
    pub(crate) library: Arc<Library>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) links: Links,
    pub(crate) run: Run,
}

impl World {
    /// The keys of another site, in `site-CODE`.
    pub(crate) fn site_keys(&self, site: &str) -> Arc<SiteTrust> {
        let folder = self.path(&format!("site-{site}"));
        Arc::new(SiteTrust::create(&folder, code(site), &SystemClock).unwrap())
    }

    pub(crate) fn site_token(&self, site: &str) -> EnrolmentToken {
        let token = self.trust.new_token(TokenKind::Site, &site.parse().unwrap()).unwrap();
        self.side.replica.tokens.lock().unwrap().insert(token.hash(), code(site));
        token
    }

    /// A site that has joined this one; its enrolment lies in `upstream-CODE`.
    pub(crate) async fn below(&self, site: &str) -> Below {
        self.below_at(site, &self.url()).await
    }

    /// As [`Self::below`], but it reaches the site above at `url` from then on.
    pub(crate) async fn below_at(&self, site: &str, url: &SiteUrl) -> Below {
        let trust = self.site_keys(site);
        let folder = self.path(&format!("upstream-{site}"));
        let own = "restock://below.example:8720".parse().unwrap();
        let joined = join(&self.url(), &self.site_token(site), &folder, &trust, &own).await.unwrap();
        drop(joined);
        let file = folder.join("site.json");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace(&self.url().to_string(), &url.to_string())).unwrap();
        let upstream = Arc::new(SiteUpstream::open(&folder, &trust).unwrap());
        let library = self.path(&format!("library-{site}"));
        let library = Arc::new(Library::create(Arc::new(DiskFiles), &library, Role::Site).unwrap());
        let (replica, links) = (Replica::new(&format!("{site}-1")), Links::new());
        Below { trust, upstream, library, replica, links, run: run() }
    }
}

impl Below {
    pub(crate) fn start(&self) -> UpstreamLink {
        let retry = Backoff { first: Duration::from_millis(10), most: Duration::from_millis(100) };
        self.start_with(UpstreamLinkConfig {
            retry,
            ping: Duration::from_millis(200),
            ..UpstreamLinkConfig::default()
        })
    }

    pub(crate) fn start_with(&self, config: UpstreamLinkConfig) -> UpstreamLink {
        UpstreamLink::start(
            config,
            Arc::clone(&self.upstream),
            Arc::clone(&self.library),
            Arc::new(BelowSide(Arc::clone(&self.replica))),
            self.links.clone(),
            &self.run,
        )
    }
}

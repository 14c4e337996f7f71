//! What the link asks a site: rights, enrolments, what to send and what to keep.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use restock_content::statement::{KeyList, PublicKey};
use restock_names::{ContentVersion, Digest, DistributionPointName, SiteCode, Timestamp};

use crate::drafts::Draft;
use crate::site_message::{Batch, NextChanges, ReplicaFacts, SiteHello};
use crate::token::TokenKind;
use crate::{Connection, Fingerprint, Hello, LinkError, Progress, Refusal, Report, SiteUrl};

/// What a site decides and remembers about its points and the sites next to it. Links call it from
/// many tasks.
///
/// The methods about sites have defaults: a site that is alone takes none below it. `peer` is the
/// site at the other end, whether above or below.
pub trait SiteSide: Send + Sync + 'static {
    /// Is `fingerprint` the key enrolled for `name`, and the point not removed? Asked once for each
    /// connection.
    fn is_enrolled(
        &self,
        name: &DistributionPointName,
        fingerprint: Fingerprint,
    ) -> impl Future<Output = Result<bool, Refusal>> + Send;

    /// Redeems a token and enrols the key, in one transaction.
    ///
    /// Refusals: `TOKEN_UNKNOWN`, `TOKEN_USED`, `TOKEN_EXPIRED`, `TOKEN_NAME`. The same token with
    /// the same key again, after a lost answer, may be accepted.
    fn enrol(&self, request: EnrolRequest) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// A control connection is up, and jobs can be sent to it: notes what the point says about itself
    /// and sends its open jobs again. The point's reports are taken after this returned; an older
    /// connection of it may still be ending.
    fn connected(
        &self,
        name: &DistributionPointName,
        connection: Connection,
        hello: Hello,
        remote: SocketAddr,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// The control connection is gone. No newer one had taken its place then; one may have since.
    fn disconnected(&self, name: &DistributionPointName) -> impl Future<Output = ()> + Send;

    /// Takes a report. `Ok` means that it is durable: only then it is acknowledged. The same report
    /// may come again.
    ///
    /// A transient refusal makes the point send it again, any other makes it forget the report.
    fn report(
        &self,
        name: &DistributionPointName,
        report: Report,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Notes how far a job is. Must not wait.
    fn progress(&self, name: &DistributionPointName, progress: Progress);

    /// May the point fetch this version now: is it targeted, and the version current or being
    /// distributed?
    fn authorise_pull(
        &self,
        name: &DistributionPointName,
        content: &ContentVersion,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// The draft that is to become this version, if the point may follow it: is it targeted?
    ///
    /// Refusals: `DRAFT_UNKNOWN`, when there is none any more, and any that speaks against the point.
    fn authorise_draft(
        &self,
        _name: &DistributionPointName,
        content: &ContentVersion,
    ) -> impl Future<Output = Result<Arc<Draft>, Refusal>> + Send {
        let text = format!("{content} is not in the making here");
        async { Err(Refusal::new("DRAFT_UNKNOWN", text)) }
    }

    /// A pull connection has ended, having moved this many bytes. Must not wait.
    fn pull_ended(
        &self,
        name: &DistributionPointName,
        content: &ContentVersion,
        wire_sent: u64,
        wire_received: u64,
    ) {
        tracing::debug!(point = %name, package.id = %content.package, wire_sent, wire_received, "pull connection ended");
    }

    /// Is `fingerprint` the key enrolled for the site below, and the site not revoked? Then what is
    /// kept of it. Asked once for each connection and once for each renewal.
    fn is_site_enrolled(
        &self,
        _site: SiteCode,
        _fingerprint: Fingerprint,
    ) -> impl Future<Output = Result<Option<SiteEnrolled>, Refusal>> + Send {
        async { Ok(None) }
    }

    /// Redeems a token and enrols a site below, in one transaction. Form and signatures of the
    /// request are checked, and that the site is not this one; that it is not above this one is not.
    ///
    /// Refusals: as of [`Self::enrol`], and any that speaks against the site's place.
    fn enrol_site(&self, _request: EnrolSiteRequest) -> impl Future<Output = Result<(), Refusal>> + Send {
        async { Err(Refusal::new("TOKEN_UNKNOWN", "this site takes no sites below it")) }
    }

    /// What this site says about itself to `peer`, asked when a control connection begins. The
    /// sequence received may lie below what was applied, never above.
    fn replica_facts(&self, _peer: SiteCode) -> impl Future<Output = Result<ReplicaFacts, Refusal>> + Send {
        async { Err(Refusal::new("NOT_SUPPORTED", "this site exchanges nothing with other sites")) }
    }

    /// A control connection with `peer` is up. `keys` is its key list, signed by the pinned root key;
    /// of two lists the one with the higher serial is to be kept.
    fn site_connected(
        &self,
        _peer: SiteCode,
        _hello: SiteHello,
        _keys: KeyList,
        _remote: Option<SocketAddr>,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        async { Ok(()) }
    }

    /// `peer` sent a newer key list over its open connection, signed by the pinned root key.
    fn site_key_list(
        &self,
        _peer: SiteCode,
        _keys: KeyList,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        async { Ok(()) }
    }

    /// The control connection with `peer` is gone, or could not be made; a connection to the site
    /// above is tried again after `retry_in`. No newer one had taken its place then.
    fn site_disconnected(
        &self,
        _peer: SiteCode,
        _cause: &LinkError,
        _retry_in: Option<Duration>,
    ) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Changes with numbers above `after` that `peer` is to have, in rising order; none when it has
    /// all. Asked again after [`crate::Links::wake_sites`] and after each acknowledgement.
    fn next_changes(
        &self,
        _peer: SiteCode,
        after: u64,
    ) -> impl Future<Output = Result<NextChanges, Refusal>> + Send {
        async move { Ok(NextChanges { through: after, changes: Vec::new() }) }
    }

    /// Applies changes of `peer` in one transaction, with the number and the incarnation to tell in
    /// the next [`Self::replica_facts`]. `Ok` means that it is durable. What is in them may have come
    /// before.
    ///
    /// A refusal ends the connection with that reason; they come again on the next one.
    fn take_changes(
        &self,
        _peer: SiteCode,
        _batch: Batch,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        async { Err(Refusal::new("NOT_SUPPORTED", "this site takes no changes")) }
    }

    /// `peer` has applied everything up to `last`. A number below an earlier one means that it has
    /// lost what lies between.
    fn changes_acknowledged(
        &self,
        _peer: SiteCode,
        _last: u64,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        async { Ok(()) }
    }

    /// May `peer` fetch this version from this site now?
    fn authorise_site_pull(
        &self,
        peer: SiteCode,
        content: &ContentVersion,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        let refusal = Refusal::new("NOT_AUTHORISED", format!("site {peer} may not fetch {content}"));
        async { Err(refusal) }
    }

    /// A pull connection of `peer` has ended, having moved this many bytes. Must not wait.
    fn site_pull_ended(&self, peer: SiteCode, content: &ContentVersion, wire_sent: u64, wire_received: u64) {
        tracing::debug!(site = %peer, package.id = %content.package, wire_sent, wire_received, "pull connection ended");
    }
}

/// Who fetches a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Puller {
    /// A distribution point of this site.
    Point(DistributionPointName),
    /// A site next to this one.
    Site(SiteCode),
}

impl fmt::Display for Puller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Point(name) => name.fmt(f),
            Self::Site(site) => write!(f, "site {site}"),
        }
    }
}

/// What a site keeps of one below it, as far as the link checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteEnrolled {
    /// The root key it was enrolled with: its key lists must be signed by it.
    pub root_key: PublicKey,
}

/// A machine that wants to become a distribution point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolRequest {
    /// SHA-256 of the token's secret.
    pub token_hash: Digest,
    /// What it wants to be.
    pub kind: TokenKind,
    /// The name it wants.
    pub name: DistributionPointName,
    /// SHA-256 of its public key.
    pub fingerprint: Fingerprint,
    /// When its certificate ends; it is renewed before.
    pub expires_at: Timestamp,
    /// Where it connects from.
    pub remote: SocketAddr,
}

/// A site that wants to stand below this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolSiteRequest {
    /// SHA-256 of the token's secret.
    pub token_hash: Digest,
    /// Its code, which the token must name.
    pub site: SiteCode,
    /// SHA-256 of the public key of its link.
    pub fingerprint: Fingerprint,
    /// When its certificate ends; it is renewed before.
    pub expires_at: Timestamp,
    /// Its root key, to be pinned.
    pub root_key: PublicKey,
    /// Its key list, signed by that key.
    pub key_list: KeyList,
    /// SHA-256 of its authority's certificate, as it says.
    pub authority: Fingerprint,
    /// Where its own link listens, as it says.
    pub url: SiteUrl,
    /// Where it connects from.
    pub remote: SocketAddr,
}

//! Content on the wire: the link between a site, its distribution points and the sites next to it.
//!
//! A site listens ([`SiteLink`]); a distribution point enrols once with a token ([`enrol`]), keeps a
//! control connection ([`DpLink`]) on which jobs are pushed and reports acknowledged, and fetches a
//! content version over several connections ([`pull`]). Every connection is mutual TLS 1.3 with the
//! site's own authority ([`SiteTrust`], [`DpIdentity`]).
//!
//! A site joins another one with a token too ([`join`], [`SiteUpstream`]) and keeps a connection to
//! it ([`UpstreamLink`]) on which both send each other what changed; content is fetched either way.
//!
//! What is fetched, in which order and how it is verified is decided by `restock_content::transfer`;
//! this crate moves the bytes. It stores nothing but keys and certificates, decides no rights (the
//! site's [`SiteSide`] does) and activates nothing (the point's [`DpSide`] does).
//!
//! Source: docs/formats/link.md.

mod authority;
mod backoff;
mod content_tls;
mod content_token;
mod deltas;
mod door_certificate;
mod dp_identity;
mod dp_link;
mod drafts;
mod enrol;
mod enrolment;
mod error;
mod frame;
mod identity;
mod join;
mod links;
mod message;
mod pull;
mod replicate;
mod sealing_key;
mod secret;
mod serve;
mod site_link;
mod site_message;
mod site_trust;
mod stream;
mod tls;
mod token;
mod upstream;
mod upstream_link;

pub use backoff::Backoff;
pub use content_tls::{content_tls, holder_of};
pub use content_token::{content_token_text, parse_content_token};
pub use door_certificate::DoorCertificate;
pub use dp_identity::DpIdentity;
pub use dp_link::{DpLink, DpLinkConfig, DpSide, HelloFacts};
pub use drafts::{Draft, Drafts, OpenDraft};
pub use enrol::{EnrolError, enrol};
pub use enrolment::move_site;
pub use error::LinkError;
#[doc(hidden)]
pub use frame::fuzz_one as fuzz_frames;
pub use identity::{Fingerprint, Identity, IdentityError, SiteUrl, SiteUrlError};
pub use join::join;
pub use links::{Connection, Holder, Links, Registration, SiteCounts};
#[doc(hidden)]
pub use message::fuzz_one as fuzz_messages;
pub use message::{
    Hello, Job, JobId, JobKind, PROTOCOL, Progress, Refusal, Report, ReportState, Totals, Welcome,
};
pub use pull::{PullError, PullOptions, PullProgress, PullReport, PullSource, follow, pull, pull_repair};
pub use replicate::{Incoming, Outgoing, Verdict};
pub use secret::TrustError;
pub use site_link::{
    EnrolRequest, EnrolSiteRequest, LinkLimits, Puller, SiteEnrolled, SiteLink, SiteLinkConfig, SiteSide,
};
pub use site_message::{
    Batch, CHANGE_BYTES_MAX, Change, Changes, NextChanges, Received, ReplicaFacts, SiteHello,
};
pub use site_trust::{Rotation, SiteTrust};
pub use token::{EnrolmentToken, TokenError, TokenKind};
pub use upstream::SiteUpstream;
pub use upstream_link::{UpstreamLink, UpstreamLinkConfig};

use std::sync::Arc;

use restock_names::Clock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What every long-running part of the link is started with.
#[derive(Debug, Clone)]
pub struct Run {
    /// Where time is read.
    pub clock: Arc<dyn Clock>,
    /// Where tasks are spawned, so that a shutdown waits for them.
    pub tracker: TaskTracker,
    /// Ends everything started with it.
    pub cancel: CancellationToken,
}

impl Run {
    /// The same clock and tracker with a token that is cancelled with this one's, or alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { cancel: self.cancel.child_token(), ..self.clone() }
    }
}

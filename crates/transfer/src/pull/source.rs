//! Whom a version is fetched from, and how a connection to it comes about.

use std::sync::Arc;
use std::time::Duration;

use restock_names::ContentVersion;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::stream::{Reader, Writer, connect};
use crate::{DpIdentity, Holder, LinkError, Links, SiteUpstream};

/// How long a holder may take to open a connection.
const GRANT_TIMEOUT: Duration = Duration::from_secs(30);

/// The holder a version is fetched from.
#[derive(Debug, Clone)]
pub enum PullSource {
    /// A distribution point fetches from its site.
    Point(Arc<DpIdentity>),
    /// A site fetches from the one above it.
    Above(Arc<SiteUpstream>),
    /// A site fetches from one below it or from a point, which opens the connections when it is asked to
    /// over its control connection.
    Below(Links, Holder),
}

impl From<&Arc<DpIdentity>> for PullSource {
    fn from(identity: &Arc<DpIdentity>) -> Self {
        Self::Point(Arc::clone(identity))
    }
}

impl From<&Arc<SiteUpstream>> for PullSource {
    fn from(upstream: &Arc<SiteUpstream>) -> Self {
        Self::Above(Arc::clone(upstream))
    }
}

/// What ends a connection from outside, and who hears that it has ended.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) token: CancellationToken,
    /// Dropped with the connection.
    _held: Option<oneshot::Sender<()>>,
}

impl PullSource {
    /// A connection on which `content` may be asked for.
    pub(super) async fn connect(&self, content: ContentVersion) -> Result<(Reader, Writer, Cut), LinkError> {
        let open = |(reader, writer)| (reader, writer, Cut { token: CancellationToken::new(), _held: None });
        match self {
            Self::Point(identity) => {
                connect(identity.url(), identity.site(), identity.client_config()).await.map(open)
            }
            Self::Above(upstream) => {
                connect(upstream.url(), upstream.parent(), upstream.client_config()).await.map(open)
            }
            Self::Below(links, holder) => {
                let mut wish = links.want(holder, content)?;
                let after = GRANT_TIMEOUT;
                let handed = tokio::time::timeout(after, &mut wish.handed)
                    .await
                    .map_err(|_elapsed| LinkError::Timeout { what: "open a connection to serve on", after })?
                    .map_err(|_gone| LinkError::NotConnected { holder: holder.clone() })?;
                Ok((handed.reader, handed.writer, Cut { token: handed.cut, _held: Some(handed.held) }))
            }
        }
    }
}

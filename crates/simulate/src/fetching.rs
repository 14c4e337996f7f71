//! How a simulated site fetches from its neighbour: production rights and machines, no sockets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use restock_content::library::Library;
use restock_content::statement::Statement;
use restock_content::transfer::AcceptedStatement;
use restock_site::{Fetch, FetchError, Fetched, Neighbour, Side};
use restock_sitedb::announced::Announced;
use restock_transfer::SiteSide;

use crate::content::{MoveError, receive_into};
use crate::image;
use crate::network::{Network, Place};

/// A site whose content others may ask for.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) side: Side,
    pub(crate) library: Arc<Library>,
}

/// What fetches of all sites share.
#[derive(Debug)]
pub(crate) struct Shared {
    network: Mutex<Network>,
    holders: Mutex<Vec<Option<Holder>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(network: Network, sites: usize) -> Arc<Self> {
        Arc::new(Self { network: Mutex::new(network), holders: Mutex::new(vec![None; sites]) })
    }

    pub(crate) fn network(&self) -> MutexGuard<'_, Network> {
        lock(&self.network)
    }

    /// Lets others fetch from a site, or from nobody there.
    pub(crate) fn set_holder(&self, site: usize, holder: Option<Holder>) {
        lock(&self.holders)[site] = holder;
    }

    pub(crate) fn holder(&self, site: usize) -> Option<Holder> {
        lock(&self.holders)[site].clone()
    }
}

/// Fetches for one site.
#[derive(Debug)]
pub(crate) struct SimFetch {
    pub(crate) site: usize,
    pub(crate) library: Arc<Library>,
    pub(crate) shared: Arc<Shared>,
}

fn down(text: &str) -> FetchError {
    FetchError { rule: "LINK_DOWN".to_owned(), text: text.to_owned(), is_transient: true }
}

impl Fetch for SimFetch {
    async fn fetch(&self, what: &Announced, from: Neighbour) -> Result<Fetched, FetchError> {
        let Some(source) = (0..image::PLAN.len()).find(|site| image::code(*site) == from.site()) else {
            return Err(down("there is no such site"));
        };
        if !self.shared.network().connects(Place::Site(self.site), Place::Site(source)) {
            return Err(down("the site is not reached"));
        }
        let Some(holder) = self.shared.holder(source) else { return Err(down("the site does not run")) };
        let content = what.version.content;
        let allowed = holder.side.authorise_site_pull(image::code(self.site), &content).await;
        if let Err(refusal) = allowed {
            let is_transient = refusal.is_transient;
            return Err(FetchError { rule: refusal.code, text: refusal.text, is_transient });
        }
        let statement =
            Statement::decode(&what.statement).map(AcceptedStatement::from_library).map_err(|error| {
                FetchError {
                    rule: "MANIFEST_FORMAT".to_owned(),
                    text: error.to_string(),
                    is_transient: false,
                }
            })?;
        let mut fate = || self.shared.network().frame();
        match receive_into(&self.library, &holder.library, &statement, &mut fate) {
            Ok(moved) => Ok(Fetched { wire_received: moved.bytes, raw_bytes: moved.bytes }),
            Err(error) => Err(FetchError {
                rule: "CONTENT".to_owned(),
                text: error.to_string(),
                // As `PullError::is_transient` decides.
                is_transient: !matches!(error, MoveError::Receive(_) | MoveError::Format(_)),
            }),
        }
    }
}

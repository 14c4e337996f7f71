//! Which sites below are connected, and what was counted.

use std::collections::BTreeMap;

use restock_names::SiteCode;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Connection, Links};
use crate::message::Message;

/// Messages that wait for one site's connection, at most.
const COMMANDS_MAX: usize = 256;

/// Sites below, and the exchange with all neighbours.
#[derive(Debug, Default)]
pub(super) struct Sites {
    peers: BTreeMap<SiteCode, Peer>,
    counts: BTreeMap<SiteCode, SiteCounts>,
}

#[derive(Debug, Default)]
struct Peer {
    control: Option<Control>,
    /// Every connection of the site, ended together when it is disconnected.
    all: CancellationToken,
}

#[derive(Debug)]
struct Control {
    connection: Connection,
    commands: mpsc::Sender<Message>,
    cancel: CancellationToken,
}

/// A control connection's side of the registry.
#[derive(Debug)]
pub(crate) struct SiteRegistration {
    pub(crate) commands: mpsc::Receiver<Message>,
    pub(crate) cancel: CancellationToken,
    connection: Connection,
}

/// What was exchanged with a neighbour since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SiteCounts {
    /// Objects the neighbour acknowledged.
    pub objects_sent: u64,
    /// Objects taken from it.
    pub objects_received: u64,
    /// Bytes of the changes sent, before TLS.
    pub bytes_sent: u64,
    /// Changes that came again and had no effect.
    pub replayed: u64,
    /// Changes that came before others they follow, and were asked for again.
    pub gaps: u64,
}

impl Sites {
    /// Where messages for the site's control connection go, while it is up.
    pub(super) fn commands(&self, site: SiteCode) -> Option<&mpsc::Sender<Message>> {
        let control = self.peers.get(&site).and_then(|peer| peer.control.as_ref());
        control.map(|control| &control.commands)
    }
}

impl Links {
    /// Is the control connection of the site below up?
    pub fn is_site_connected(&self, site: SiteCode) -> bool {
        self.lock().sites.peers.get(&site).is_some_and(|peer| peer.control.is_some())
    }

    /// The sites below whose control connections are up.
    pub fn sites_connected(&self) -> Vec<SiteCode> {
        let registry = self.lock();
        let peers = registry.sites.peers.iter();
        peers.filter(|(_, peer)| peer.control.is_some()).map(|(site, _)| *site).collect()
    }

    /// Ends every connection of a site below, for example because it was revoked. It may come back
    /// only if it is still enrolled.
    pub fn disconnect_site(&self, site: SiteCode) {
        if let Some(peer) = self.lock().sites.peers.remove(&site) {
            peer.all.cancel();
        }
    }

    /// Tells the connections to all neighbours, above and below, that there may be changes to send.
    pub fn wake_sites(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// What was exchanged with a neighbour, above or below.
    pub fn site_counts(&self, site: SiteCode) -> SiteCounts {
        self.lock().sites.counts.get(&site).copied().unwrap_or_default()
    }

    pub(crate) fn count(&self, site: SiteCode, add: impl FnOnce(&mut SiteCounts)) {
        add(self.lock().sites.counts.entry(site).or_default());
    }

    /// The token that ends every connection of a site below.
    pub(crate) fn site_token(&self, site: SiteCode) -> CancellationToken {
        self.lock().sites.peers.entry(site).or_default().all.clone()
    }

    /// Takes up a control connection under `all`, the token its connection was identified with. An
    /// older connection of the same site is ended.
    pub(crate) fn register_site(&self, site: SiteCode, all: &CancellationToken) -> SiteRegistration {
        let mut registry = self.lock();
        registry.connections += 1;
        let connection = Connection(registry.connections);
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let cancel = all.child_token();
        let control = Control { connection, commands: sender, cancel: cancel.clone() };
        // One that was disconnected since it was identified ends at once, and is not taken up.
        if !all.is_cancelled() {
            let peer = registry.sites.peers.entry(site).or_default();
            if let Some(older) = peer.control.replace(control) {
                older.cancel.cancel();
            }
        }
        SiteRegistration { commands, cancel, connection }
    }

    /// Forgets a control connection. Returns false when a newer one has taken its place.
    pub(crate) fn unregister_site(&self, site: SiteCode, registration: &SiteRegistration) -> bool {
        let mut registry = self.lock();
        let Some(peer) = registry.sites.peers.get_mut(&site) else { return true };
        let control = peer.control.as_ref();
        let is_current = control.is_none_or(|control| control.connection == registration.connection);
        if is_current {
            peer.control = None;
        }
        is_current
    }
}

#[cfg(test)]
mod tests {
    use super::super::Links;

    #[test]
    fn a_site_disconnected_while_it_is_being_identified_does_not_come_up() {
        let (links, site) = (Links::new(), "ABC".parse().unwrap());
        let all = links.site_token(site);
        links.disconnect_site(site);
        let late = links.register_site(site, &all);
        assert!(late.cancel.is_cancelled() && !links.is_site_connected(site));
        let all = links.site_token(site);
        let older = links.register_site(site, &all);
        let newer = links.register_site(site, &all);
        assert!(older.cancel.is_cancelled() && !newer.cancel.is_cancelled());
        assert!(!links.unregister_site(site, &older) && links.is_site_connected(site));
        links.disconnect_site(site);
        assert!(newer.cancel.is_cancelled() && links.sites_connected().is_empty());
        assert!(links.unregister_site(site, &newer));
    }
}

//! Which sites below are connected, what is wanted from them, and what was counted.

use std::collections::{BTreeMap, HashMap};

use restock_names::{ContentVersion, SiteCode};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Connection, Links};
use crate::LinkError;
use crate::message::Message;
use crate::stream::{Reader, Writer};

/// Messages that wait for one site's connection, at most.
const COMMANDS_MAX: usize = 256;

/// Sites below, and the exchange with all neighbours.
#[derive(Debug, Default)]
pub(super) struct Sites {
    peers: BTreeMap<SiteCode, Peer>,
    counts: BTreeMap<SiteCode, SiteCounts>,
    wishes: HashMap<(SiteCode, u64), (ContentVersion, oneshot::Sender<Handed>)>,
    /// Wishes there ever were.
    tickets: u64,
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

/// A connection that a site below opened to serve on.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    /// Cancelled when the site is disconnected.
    pub(crate) cut: CancellationToken,
    /// Dropped when the connection is not used any more.
    pub(crate) held: oneshot::Sender<()>,
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

/// A wish for content; forgotten when it is dropped.
#[derive(Debug)]
pub(crate) struct Wish {
    links: Links,
    site: SiteCode,
    ticket: u64,
    pub(crate) handed: oneshot::Receiver<Handed>,
}

impl Drop for Wish {
    fn drop(&mut self) {
        self.links.lock().sites.wishes.remove(&(self.site, self.ticket));
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

    /// Asks a site below to open a connection on which it serves `content`.
    ///
    /// Errors: [`LinkError::NotConnected`].
    pub(crate) fn want(&self, site: SiteCode, content: ContentVersion) -> Result<Wish, LinkError> {
        let mut registry = self.lock();
        let sites = &mut registry.sites;
        let control = sites.peers.get(&site).and_then(|peer| peer.control.as_ref());
        let control = control.ok_or(LinkError::NotConnected { site })?;
        sites.tickets += 1;
        let ticket = sites.tickets;
        let asked = control.commands.try_send(Message::PullWanted { ticket, content });
        asked.map_err(|_full_or_gone| LinkError::NotConnected { site })?;
        let (sender, handed) = oneshot::channel();
        sites.wishes.insert((site, ticket), (content, sender));
        Ok(Wish { links: self.clone(), site, ticket, handed })
    }

    /// Who waits for this connection of a site below, if anybody does.
    pub(crate) fn take_wish(
        &self,
        site: SiteCode,
        ticket: u64,
        content: &ContentVersion,
    ) -> Option<oneshot::Sender<Handed>> {
        let mut registry = self.lock();
        let (wanted, sender) = registry.sites.wishes.remove(&(site, ticket))?;
        (wanted == *content).then_some(sender)
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

    #[test]
    fn a_wish_is_granted_once_to_the_site_and_version_it_names() {
        let content = |version: u32| restock_names::ContentVersion {
            package: "XYZ00001".parse().unwrap(),
            epoch: restock_names::Epoch::FIRST,
            version: restock_names::SourceVersion(version),
        };
        let (links, site, other) = (Links::new(), "ABC".parse().unwrap(), "DEF".parse().unwrap());
        assert!(links.want(site, content(1)).is_err(), "it is not connected");
        let _up = links.register_site(site, &links.site_token(site));
        let wish = links.want(site, content(1)).unwrap();
        assert!(links.take_wish(other, wish.ticket, &content(1)).is_none());
        assert!(links.take_wish(site, wish.ticket, &content(1)).is_some());
        assert!(links.take_wish(site, wish.ticket, &content(1)).is_none());
        let wish = links.want(site, content(1)).unwrap();
        assert!(links.take_wish(site, wish.ticket, &content(2)).is_none());
        let wish = links.want(site, content(1)).unwrap();
        let ticket = wish.ticket;
        drop(wish);
        assert!(links.take_wish(site, ticket, &content(1)).is_none());
    }
}

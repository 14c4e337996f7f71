//! The exchange between neighbours, message by message, with the link's own window machine.

use std::time::Duration;

use restock_content::statement::KeyList;
use restock_transfer::{LinkError, ReplicaFacts, SiteHello, SiteSide};

use super::{Event, NeighbourMessage, World};
use crate::error::SimulateError;
use crate::exchange::{self, HeardAs, Talk};
use crate::network::Place;

/// A neighbour that says nothing for this long is given up, in microseconds.
const IDLE: i64 = 45_000_000;
/// The longest pause before a site connects again.
const RECONNECT: Duration = Duration::from_secs(8);
/// The longest pause between a change and the look for it: what comes meanwhile goes with it.
const PUMP: Duration = Duration::from_millis(900);

/// Objects after which the versions that a site shows are looked at.
const SHOWN: [&str; 3] = ["package", "owner", "version"];

/// One end of a connection between sites.
#[derive(Debug)]
pub(crate) struct End {
    connection: u64,
    /// What this end said about itself, until it has heard the other.
    ours: ReplicaFacts,
    talk: Option<Talk>,
    heard: i64,
    /// The serial number of the key list that was sent.
    keys_serial: u32,
    pump_waits: bool,
}

/// A link between a site and the one above it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) parent: usize,
    pub(crate) child: usize,
    upper: Option<End>,
    lower: Option<End>,
    /// The newest connection that the site above took, also in an earlier life: what comes twice opens
    /// none again.
    opened: u64,
}

impl Link {
    pub(crate) fn new(parent: usize, child: usize) -> Self {
        Self { parent, child, upper: None, lower: None, opened: 0 }
    }

    fn end(&mut self, upper: bool) -> &mut Option<End> {
        if upper { &mut self.upper } else { &mut self.lower }
    }

    fn end_of(&self, upper: bool) -> Option<&End> {
        if upper { self.upper.as_ref() } else { self.lower.as_ref() }
    }

    /// Is this the connection of that end?
    pub(crate) fn is_at(&self, connection: u64, upper: bool) -> bool {
        self.end_of(upper).is_some_and(|end| end.connection == connection)
    }

    /// Are both ends on one connection with nothing on its way?
    pub(crate) fn is_quiet(&self) -> bool {
        let quiet = |end: &Option<End>| {
            let end = end.as_ref()?;
            let talk = end.talk.as_ref()?;
            (talk.is_quiet() && !end.pump_waits).then_some(end.connection)
        };
        quiet(&self.upper).is_some() && quiet(&self.upper) == quiet(&self.lower)
    }

    fn site(&self, upper: bool) -> usize {
        if upper { self.parent } else { self.child }
    }

    /// Forgets what a process knew that ended.
    pub(crate) fn forget(&mut self, site: usize) -> bool {
        if self.parent == site {
            self.upper = None;
        }
        if self.child == site {
            self.lower = None;
        }
        self.child == site
    }
}

impl World {
    /// A site connects to the one above it, unless it is connected.
    pub(super) async fn connect_link(&mut self, at: usize) -> Result<(), SimulateError> {
        let (parent, child) = (self.links[at].parent, self.links[at].child);
        if self.links[at].lower.is_some() {
            return Ok(());
        }
        let Some(running) = &self.sites[child].running else { return Ok(()) };
        let is_reached = self.sites[parent].running.is_some()
            && self.shared.network().connects(Place::Site(child), Place::Site(parent));
        if !is_reached {
            self.soon(RECONNECT, Event::Connect { link: at });
            return Ok(());
        }
        let Ok(ours) = running.side.replica_facts(self.sites[parent].code).await else {
            self.soon(RECONNECT, Event::Connect { link: at });
            return Ok(());
        };
        let hello = self.hello_of(child, &ours);
        let connection = self.next_connection();
        self.links[at].lower = Some(self.end(connection, ours, None, child));
        self.tell_neighbour(at, connection, true, NeighbourMessage::Hello(hello));
        self.after_step(child);
        Ok(())
    }

    fn end(&self, connection: u64, ours: ReplicaFacts, talk: Option<Talk>, site: usize) -> End {
        let keys_serial = self.key_list(site).serial;
        End { connection, ours, talk, heard: self.time.now(), keys_serial, pump_waits: false }
    }

    fn key_list(&self, site: usize) -> KeyList {
        let running = self.sites[site].running.as_ref().expect("asked of running sites only");
        (*running.site.shared_trust().key_list()).clone()
    }

    fn hello_of(&self, site: usize, ours: &ReplicaFacts) -> SiteHello {
        exchange::hello(self.sites[site].code, ours, self.key_list(site).encode())
    }

    fn tell_neighbour(&mut self, link: usize, connection: u64, upwards: bool, message: NeighbourMessage) {
        let (parent, child) = (Place::Site(self.links[link].parent), Place::Site(self.links[link].child));
        let way = if upwards { (child, parent) } else { (parent, child) };
        let event = || Event::Neighbour { link, connection, upwards, message: message.clone() };
        let broken = |upper| Event::LinkBroken { link, connection, upper };
        self.send(way, (connection, upwards), false, event, broken);
    }

    /// A message has come to the upper or lower end.
    pub(super) async fn neighbour_heard(
        &mut self,
        at: usize,
        connection: u64,
        upper: bool,
        message: NeighbourMessage,
    ) -> Result<(), SimulateError> {
        let site = self.links[at].site(upper);
        if self.sites[site].running.is_none() {
            return Ok(());
        }
        if let NeighbourMessage::Hello(hello) = message {
            return self.hello_heard(at, connection, hello).await;
        }
        let now = self.time.now();
        let peer = self.sites[self.links[at].site(!upper)].code;
        let Some(end) = self.links[at].end(upper).as_mut().filter(|end| end.connection == connection) else {
            return Ok(());
        };
        end.heard = now;
        let side = self.sites[site].running.as_ref().expect("looked at above").side.clone();
        match message {
            NeighbourMessage::Hello(_) => {}
            NeighbourMessage::Closed => self.drop_end(at, upper, "the other end closed").await?,
            NeighbourMessage::Welcome(_) if end.talk.is_some() => {}
            NeighbourMessage::Welcome(welcome) => {
                let made = Talk::between(&end.ours, &welcome);
                let Some(keys) = self.checked_keys(self.links[at].parent, &welcome.key_list) else {
                    return self.drop_end(at, upper, "a key list that is not signed").await;
                };
                if side.site_connected(peer, welcome, keys, None).await.is_err() {
                    return self.drop_end(at, upper, "the site is busy").await;
                }
                if let Some(end) = self.links[at].end(upper) {
                    end.talk = Some(made);
                }
                self.note(Place::Site(site), format_args!("is connected to {peer}"));
                self.pump_soon(at, upper);
            }
            NeighbourMessage::Keys(keys) => {
                let other = self.links[at].site(!upper);
                if let Some(keys) = self.checked_keys(other, &keys)
                    && side.site_key_list(peer, keys).await.is_err()
                {
                    return self.drop_end(at, upper, "the site is busy").await;
                }
            }
            NeighbourMessage::Window(text) => self.window_heard(at, upper, connection, &text).await?,
            NeighbourMessage::Acknowledged(last) => {
                let Some(talk) = &mut end.talk else { return Ok(()) };
                match talk.acknowledged(&side, peer, last).await {
                    Err(cause) => return self.drop_end(at, upper, &cause).await,
                    Ok(false) => {}
                    Ok(true) => self.pump_soon(at, upper),
                }
            }
        }
        self.after_step(site);
        Ok(())
    }

    /// A site below says hello.
    async fn hello_heard(
        &mut self,
        at: usize,
        connection: u64,
        hello: SiteHello,
    ) -> Result<(), SimulateError> {
        let (parent, child) = (self.links[at].parent, self.links[at].child);
        if self.links[at].opened >= connection {
            // Twice, or overtaken by a newer connection.
            return Ok(());
        }
        let code = self.sites[child].code;
        let side = self.sites[parent].running.as_ref().expect("looked at by the caller").side.clone();
        let key = self.sites[child].running.as_ref().and_then(|child| child.link_key());
        let enrolled = match key {
            Some(key) => side.is_site_enrolled(code, key).await,
            None => return Ok(()),
        };
        let keys = self.checked_keys(child, &hello.key_list);
        let (Ok(Some(_)), Some(keys)) = (enrolled, keys) else {
            self.note(Place::Site(parent), format_args!("refuses {code}"));
            self.tell_neighbour(at, connection, false, NeighbourMessage::Closed);
            return Ok(());
        };
        let connected = match side.replica_facts(code).await {
            Ok(facts) => {
                let remote = Some(([127, 0, 0, 1], 1).into());
                side.site_connected(code, hello.clone(), keys, remote).await.map(|()| facts)
            }
            Err(refusal) => Err(refusal),
        };
        let Ok(ours) = connected else {
            self.tell_neighbour(at, connection, false, NeighbourMessage::Closed);
            return Ok(());
        };
        let welcome = self.hello_of(parent, &ours);
        let made = Talk::between(&ours, &hello);
        self.links[at].opened = connection;
        self.links[at].upper = Some(self.end(connection, ours, Some(made), parent));
        self.note(Place::Site(parent), format_args!("is connected to {code}"));
        self.tell_neighbour(at, connection, false, NeighbourMessage::Welcome(welcome));
        self.pump_soon(at, true);
        self.after_step(parent);
        Ok(())
    }

    /// The key list of a site, if the root key its neighbours pinned has signed it.
    fn checked_keys(&self, site: usize, list: &[u8]) -> Option<KeyList> {
        let list = KeyList::decode(list).ok()?;
        (list.site == self.sites[site].code && list.verify(&self.roots[site]).is_ok()).then_some(list)
    }

    async fn window_heard(
        &mut self,
        at: usize,
        upper: bool,
        connection: u64,
        text: &[u8],
    ) -> Result<(), SimulateError> {
        let (site, peer) = (self.links[at].site(upper), self.sites[self.links[at].site(!upper)].code);
        let side = self.sites[site].running.as_ref().expect("looked at by the caller").side.clone();
        let Some(end) = self.links[at].end(upper) else { return Ok(()) };
        let Some(talk) = &mut end.talk else {
            return self.drop_end(at, upper, "changes come before the welcome").await;
        };
        let heard = match talk.take(&side, peer, text).await {
            Err(cause) => return self.drop_end(at, upper, &cause).await,
            Ok(heard) => heard,
        };
        let what = match heard.as_what {
            HeardAs::Applied => "takes",
            HeardAs::Known => {
                self.shared.network().fired.count("replayed");
                "knows"
            }
            HeardAs::Gap => {
                self.shared.network().fired.count("gap");
                "lacks what comes before"
            }
        };
        self.note(Place::Site(site), format_args!("{what} {peer}'s changes to {}", heard.answer));
        self.tell_neighbour(at, connection, !upper, NeighbourMessage::Acknowledged(heard.answer));
        if SHOWN.iter().any(|kind| heard.kinds.contains(*kind)) { self.observe(site).await } else { Ok(()) }
    }

    /// There is something to send at `site`.
    pub(super) fn changes_at(&mut self, site: usize) {
        for at in 0..self.links.len() {
            for upper in [true, false] {
                if self.links[at].site(upper) != site {
                    continue;
                }
                if let Some(talk) = self.links[at].end(upper).as_mut().and_then(|end| end.talk.as_mut()) {
                    talk.looks = true;
                    self.pump_soon(at, upper);
                }
            }
        }
    }

    fn pump_soon(&mut self, at: usize, upper: bool) {
        let Some(end) = self.links[at].end(upper).as_mut().filter(|end| !end.pump_waits) else { return };
        end.pump_waits = true;
        let connection = end.connection;
        self.soon(PUMP, Event::Pump { link: at, connection, upper });
    }

    /// Sends the next window, as the link does.
    pub(super) async fn pump(
        &mut self,
        at: usize,
        connection: u64,
        upper: bool,
    ) -> Result<(), SimulateError> {
        let (site, peer) = (self.links[at].site(upper), self.sites[self.links[at].site(!upper)].code);
        let Some(running) = &self.sites[site].running else { return Ok(()) };
        let side = running.side.clone();
        let Some(end) = self.links[at].end(upper).as_mut().filter(|end| end.connection == connection) else {
            return Ok(());
        };
        end.pump_waits = false;
        let Some(talk) = end.talk.as_mut().filter(|talk| talk.is_due()) else { return Ok(()) };
        match talk.window(&side, peer).await {
            Err(cause) => self.drop_end(at, upper, &cause).await,
            Ok(None) => Ok(()),
            Ok(Some(window)) => {
                self.tell_neighbour(at, connection, !upper, NeighbourMessage::Window(window));
                Ok(())
            }
        }
    }

    /// One end gives its connection up.
    pub(super) async fn drop_end(
        &mut self,
        at: usize,
        upper: bool,
        cause: &str,
    ) -> Result<(), SimulateError> {
        let (site, peer) = (self.links[at].site(upper), self.sites[self.links[at].site(!upper)].code);
        let Some(end) = self.links[at].end(upper).take() else { return Ok(()) };
        self.note(Place::Site(site), format_args!("gives up its connection to {peer}: {cause}"));
        if let Some(running) = &self.sites[site].running {
            let retry = (!upper).then_some(RECONNECT);
            running.side.site_disconnected(peer, &LinkError::Closed, retry).await;
        }
        self.tell_neighbour(at, end.connection, !upper, NeighbourMessage::Closed);
        if !upper {
            self.soon(RECONNECT, Event::Connect { link: at });
        }
        self.after_step(site);
        Ok(())
    }

    /// Ends that hear nothing give up; key lists that changed are sent.
    pub(super) async fn tick_links(&mut self) -> Result<(), SimulateError> {
        let now = self.time.now();
        for at in 0..self.links.len() {
            for upper in [true, false] {
                let (site, other) = (self.links[at].site(upper), self.links[at].site(!upper));
                let (here, there) = (Place::Site(site), Place::Site(other));
                if self.is_paused(here) || self.sites[site].running.is_none() {
                    continue;
                }
                let Some(connection) = self.links[at].end_of(upper).map(|end| end.connection) else {
                    continue;
                };
                let is_heard = self.links[at].is_at(connection, !upper)
                    && !self.is_paused(there)
                    && self.shared.network().reaches(there, here);
                let serial = self.key_list(site).serial;
                let Some(end) = self.links[at].end(upper) else { continue };
                if is_heard {
                    end.heard = now;
                }
                if now - end.heard > IDLE {
                    self.drop_end(at, upper, "nothing is heard").await?;
                    continue;
                }
                if end.talk.is_some() && end.keys_serial < serial {
                    end.keys_serial = serial;
                    let keys = self.key_list(site).encode();
                    self.tell_neighbour(at, connection, !upper, NeighbourMessage::Keys(keys));
                }
            }
        }
        Ok(())
    }
}

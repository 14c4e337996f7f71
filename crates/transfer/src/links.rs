//! Which distribution points and sites are connected to a site, and how to reach them.

mod sites;
mod wishes;

pub use sites::SiteCounts;
pub(crate) use wishes::Handed;
pub use wishes::Holder;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use restock_names::{ContentVersion, DistributionPointName};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::Job;

/// Jobs that wait for one point's connection, at most.
const JOBS_MAX: usize = 1024;
/// Versions one point's connection is still to be asked for, at most.
const WANTS_MAX: usize = 64;
/// Drafts one point's connection is still to be told of, at most.
const DRAFTS_MAX: usize = 64;

/// The registry of connected points. Clones share it: one goes to [`crate::SiteLink::start`], others
/// to whoever sends jobs.
#[derive(Debug, Clone, Default)]
pub struct Links {
    registry: Arc<Mutex<Registry>>,
    /// Rises when there may be changes for the sites next to this one.
    changed: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Registry {
    points: BTreeMap<DistributionPointName, Point>,
    sites: sites::Sites,
    wishes: wishes::Wishes,
    /// Control connections there ever were.
    connections: u64,
}

/// One control connection; no other of its registry is equal to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Connection(u64);

#[derive(Debug, Default)]
struct Point {
    control: Option<Control>,
    /// Every connection of the point, ended together when it is disconnected.
    all: CancellationToken,
}

#[derive(Debug)]
struct Control {
    connection: Connection,
    jobs: mpsc::Sender<Job>,
    drafts: mpsc::Sender<ContentVersion>,
    wants: mpsc::Sender<(u64, ContentVersion)>,
    /// Said that it serves its site when asked to.
    serves: bool,
    cancel: CancellationToken,
}

/// A control connection's side of the registry.
#[derive(Debug)]
pub struct Registration {
    /// The jobs to send over it.
    pub jobs: mpsc::Receiver<Job>,
    /// Drafts to tell of over it.
    pub drafts: mpsc::Receiver<ContentVersion>,
    /// Versions to ask for over it, each with the number of the wish.
    pub wants: mpsc::Receiver<(u64, ContentVersion)>,
    /// Cancelled when the connection is to end.
    pub cancel: CancellationToken,
    /// Which connection it is.
    pub connection: Connection,
}

impl Links {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hands a job to a point's connection.
    ///
    /// Returns false when the point is not connected or has too many jobs waiting; the caller sends
    /// again when it connects.
    pub fn send(&self, name: &DistributionPointName, job: Job) -> bool {
        self.send_if(name, job, |_| true)
    }

    /// As [`Self::send`] to this connection only: false also when another has taken its place.
    pub fn send_on(&self, name: &DistributionPointName, connection: Connection, job: Job) -> bool {
        self.send_if(name, job, |control| control.connection == connection)
    }

    fn send_if(&self, name: &DistributionPointName, job: Job, is_it: impl Fn(&Control) -> bool) -> bool {
        let registry = self.lock();
        let control = registry.points.get(name).and_then(|point| point.control.as_ref());
        control.is_some_and(|control| is_it(control) && control.jobs.try_send(job).is_ok())
    }

    /// Tells a point over this connection of a version in the making, which it may follow.
    ///
    /// Returns false when another connection has taken its place or too much waits: it is no harm not
    /// to be told.
    pub fn tell_draft(
        &self,
        name: &DistributionPointName,
        connection: Connection,
        content: ContentVersion,
    ) -> bool {
        let registry = self.lock();
        let control = registry.points.get(name).and_then(|point| point.control.as_ref());
        control.is_some_and(|control| {
            control.connection == connection && control.drafts.try_send(content).is_ok()
        })
    }

    /// Is the point's control connection up?
    pub fn is_connected(&self, name: &DistributionPointName) -> bool {
        self.lock().points.get(name).is_some_and(|point| point.control.is_some())
    }

    /// The points whose control connections are up.
    pub fn connected(&self) -> Vec<DistributionPointName> {
        let registry = self.lock();
        let points = registry.points.iter();
        points.filter(|(_, point)| point.control.is_some()).map(|(name, _)| name.clone()).collect()
    }

    /// Ends every connection of a point, for example because it was removed. It may come back only
    /// if it is still enrolled.
    pub fn disconnect(&self, name: &DistributionPointName) {
        if let Some(point) = self.lock().points.remove(name) {
            point.all.cancel();
        }
    }

    /// Takes up a control connection. An older one of the same point is ended: its peer is gone or
    /// about to be. [`crate::SiteLink`] does it for its connections; a driver that carries messages
    /// itself does it in its place.
    pub fn register(&self, name: &DistributionPointName) -> Registration {
        let mut registry = self.lock();
        registry.connections += 1;
        let connection = Connection(registry.connections);
        let point = registry.points.entry(name.clone()).or_default();
        let (sender, jobs) = mpsc::channel(JOBS_MAX);
        let cancel = point.all.child_token();
        let (told, drafts) = mpsc::channel(DRAFTS_MAX);
        let (wanted, wants) = mpsc::channel(WANTS_MAX);
        let control = Control {
            connection,
            jobs: sender,
            drafts: told,
            wants: wanted,
            serves: false,
            cancel: cancel.clone(),
        };
        if let Some(older) = point.control.replace(control) {
            older.cancel.cancel();
        }
        Registration { jobs, drafts, wants, cancel, connection }
    }

    /// Notes that the point at this connection serves its site when it is asked to.
    pub(crate) fn note_serving(&self, name: &DistributionPointName, connection: Connection) {
        let mut registry = self.lock();
        let control = registry.points.get_mut(name).and_then(|point| point.control.as_mut());
        if let Some(control) = control.filter(|control| control.connection == connection) {
            control.serves = true;
        }
    }

    /// Forgets a control connection. Returns false when a newer one has taken its place.
    pub fn unregister(&self, name: &DistributionPointName, registration: &Registration) -> bool {
        let mut registry = self.lock();
        let Some(point) = registry.points.get_mut(name) else { return true };
        let is_current =
            point.control.as_ref().is_none_or(|control| control.connection == registration.connection);
        if is_current {
            point.control = None;
        }
        is_current
    }

    /// The token that ends a point's other connections.
    pub(crate) fn token(&self, name: &DistributionPointName) -> CancellationToken {
        self.lock().points.entry(name.clone()).or_default().all.child_token()
    }

    /// Hears of [`Self::wake_sites`].
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().expect("no code panics while holding this lock")
    }
}

#[cfg(test)]
mod tests {
    use restock_names::{ContentVersion, Epoch, SourceVersion};

    use super::Links;
    use crate::{Job, JobId, JobKind};

    #[test]
    fn the_newest_connection_of_a_point_gets_its_jobs() {
        let content = ContentVersion {
            package: "XYZ00001".parse().unwrap(),
            epoch: Epoch::FIRST,
            version: SourceVersion(1),
        };
        let job = Job {
            job_id: JobId(1),
            kind: JobKind::Remove,
            content,
            statement: Vec::new(),
            is_public: false,
            name: String::new(),
            share: None,
        };
        let links = Links::new();
        let name = "DP01".parse().unwrap();
        assert!(!links.send(&name, job.clone()));
        let older = links.register(&name);
        let mut newer = links.register(&name);
        assert!(older.cancel.is_cancelled());
        assert!(!links.unregister(&name, &older));
        assert!(links.is_connected(&name));
        assert!(links.send(&name, job.clone()));
        assert_eq!(newer.jobs.try_recv().unwrap(), job);
        assert!(!links.send_on(&name, older.connection, job.clone()), "its place is taken");
        assert!(links.send_on(&name, newer.connection, job.clone()));
        let pull = links.token(&name);
        links.disconnect(&name);
        assert!(pull.is_cancelled() && newer.cancel.is_cancelled());
        assert_eq!(links.connected(), []);
        assert!(links.unregister(&name, &newer));
        // One that joins again after it was disconnected is not taken for the one before.
        let again = links.register(&name);
        assert!(!links.unregister(&name, &newer) && links.is_connected(&name));
        assert!(links.unregister(&name, &again));
    }
}

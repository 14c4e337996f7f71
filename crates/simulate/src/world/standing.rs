//! What a site and its distribution points say to each other.

use std::time::Duration;

use restock_transfer::{JobKind, LinkError, SiteSide};

use super::{Event, PointMessage, World};
use crate::content::MoveError;
use crate::error::SimulateError;
use crate::image;
use crate::network::Place;
use crate::node::Standing;
use crate::point::{Next, Step};

/// Who says nothing for this long is given up, in microseconds.
const IDLE: i64 = 45_000_000;
/// The longest pause before a point connects again.
const RECONNECT: Duration = Duration::from_secs(8);

impl World {
    /// A point connects to its site, unless it is connected.
    pub(super) fn connect_point(&mut self, at: usize) {
        let point = &self.points[at];
        if !point.is_up || point.connection.is_some() {
            return;
        }
        let (here, there) = (Place::Point(at), Place::Site(point.site));
        let is_reached =
            self.sites[point.site].running.is_some() && self.shared.network().connects(here, there);
        if !is_reached {
            self.soon(RECONNECT, Event::PointConnect { point: at });
            return;
        }
        let connection = self.next_connection();
        let now = self.time.now();
        let point = &mut self.points[at];
        point.connection = Some(connection);
        point.heard = now;
        let hello = point.hello();
        self.tell_standing(at, connection, PointMessage::Hello(hello));
    }

    fn tell_standing(&mut self, at: usize, connection: u64, message: PointMessage) {
        let (point, site) = (Place::Point(at), Place::Site(self.points[at].site));
        let upwards = matches!(message, PointMessage::Hello(_) | PointMessage::Report(..));
        let way = if upwards { (point, site) } else { (site, point) };
        let event = || Event::Standing { point: at, connection, message: message.clone() };
        let broken = |at_site| Event::PointBroken { point: at, connection, at_site };
        let is_ordered = matches!(message, PointMessage::Job(_) | PointMessage::Keys(_));
        self.send(way, (connection, upwards), is_ordered, event, broken);
        if let PointMessage::Job(job) = &message
            && job.kind == JobKind::Install
        {
            let after = self.shared.network().echo();
            if let Some(after) = after {
                let message = PointMessage::Echo(job.clone());
                self.schedule.after(after, Event::Standing { point: at, connection, message });
            }
        }
    }

    /// A message has come to a site or to a point.
    pub(super) async fn standing_heard(
        &mut self,
        at: usize,
        connection: u64,
        message: PointMessage,
    ) -> Result<(), SimulateError> {
        let (site, now) = (self.points[at].site, self.time.now());
        match message {
            PointMessage::Hello(hello) => self.point_says_hello(at, connection, hello).await?,
            PointMessage::Report(sequence, report) => {
                let Some(running) = &mut self.sites[site].running else { return Ok(()) };
                let Some(standing) = running.points.get_mut(&at).filter(|s| s.connection == connection)
                else {
                    return Ok(());
                };
                standing.heard = now;
                let side = running.side.clone();
                let (name, what) = (self.points[at].name.clone(), (report.content, report.state));
                let taken = side.report(&name, report).await;
                let is_taken = !taken.is_err_and(|refusal| refusal.is_transient);
                self.note(Place::Site(site), format_args!("hears from {name}: {} {:?}", what.0, what.1));
                self.tell_standing(at, connection, PointMessage::Taken(sequence, is_taken));
                self.after_step(site);
            }
            _ if self.points[at].connection != Some(connection) || !self.points[at].is_up => {}
            PointMessage::Welcome(keys) => {
                self.points[at].heard = now;
                let next = self.points[at].welcomed(&keys);
                self.take_up(at, next);
                self.send_reports(at);
            }
            PointMessage::Keys(keys) => {
                let next = self.points[at].take_keys(&keys);
                self.take_up(at, next);
            }
            PointMessage::Job(job) => {
                self.points[at].heard = now;
                self.note(Place::Point(at), format_args!("gets {:?} {}", job.kind, job.content));
                if job.kind == JobKind::Remove {
                    self.removal_heard(at, job.content.package).await?;
                }
                let next = self.points[at].job(job);
                self.take_up(at, next);
                self.send_reports(at);
            }
            PointMessage::Echo(job) => {
                // Only one that would take the point back says something about it.
                let held = self.points[at].held.get(&job.content.package).map(|held| held.content);
                if held.is_some_and(|held| held > job.content) {
                    self.shared.network().fired.count("overtaken job");
                    self.note(Place::Point(at), format_args!("hears again of {}", job.content));
                    let next = self.points[at].job(job);
                    self.take_up(at, next);
                    self.send_reports(at);
                }
            }
            PointMessage::Taken(sequence, is_taken) => self.points[at].answered(sequence, is_taken),
        }
        Ok(())
    }

    async fn point_says_hello(
        &mut self,
        at: usize,
        connection: u64,
        hello: restock_transfer::Hello,
    ) -> Result<(), SimulateError> {
        let (site, now, name) = (self.points[at].site, self.time.now(), self.points[at].name.clone());
        let Some(running) = &mut self.sites[site].running else { return Ok(()) };
        if running.points.get(&at).is_some_and(|standing| standing.connection >= connection) {
            return Ok(());
        }
        let key = image::fingerprint(&name).parse().expect("a hash is a fingerprint");
        if !running.side.is_enrolled(&name, key).await.unwrap_or(false) {
            return Ok(());
        }
        let registration = running.site.links().register(&name);
        let remote = ([127, 0, 0, 1], 1).into();
        let keys = running.site.shared_trust().key_list();
        let standing = Standing { connection, registration, heard: now, keys_serial: keys.serial };
        let made = standing.registration.connection;
        running.points.insert(at, standing);
        let side = running.side.clone();
        if side.connected(&name, made, hello, remote).await.is_err() {
            return self.standing_broken(at, connection, true).await;
        }
        self.note(Place::Site(site), format_args!("is connected to {name}"));
        self.tell_standing(at, connection, PointMessage::Welcome(keys.encode()));
        self.after_step(site);
        Ok(())
    }

    /// One end of a point's connection ends.
    pub(super) async fn standing_broken(
        &mut self,
        at: usize,
        connection: u64,
        at_site: bool,
    ) -> Result<(), SimulateError> {
        if !at_site {
            let point = &mut self.points[at];
            if point.is_up && point.connection == Some(connection) {
                point.connection = None;
                self.soon(RECONNECT, Event::PointConnect { point: at });
            }
            return Ok(());
        }
        let (site, name) = (self.points[at].site, self.points[at].name.clone());
        let Some(running) = &mut self.sites[site].running else { return Ok(()) };
        if running.points.get(&at).is_none_or(|standing| standing.connection != connection) {
            return Ok(());
        }
        if let Some(standing) = running.points.remove(&at)
            && running.site.links().unregister(&name, &standing.registration)
        {
            let side = running.side.clone();
            side.disconnected(&name).await;
            self.note(Place::Site(site), format_args!("has lost {name}"));
        }
        self.after_step(site);
        Ok(())
    }

    /// Hands the jobs that wait at a site to the network, each after the keys it may be signed with.
    pub(super) fn send_jobs(&mut self, site: usize) {
        let Some(running) = &mut self.sites[site].running else { return };
        let keys = running.site.shared_trust().key_list();
        let mut messages = Vec::new();
        for (point, standing) in &mut running.points {
            while let Ok(job) = standing.registration.jobs.try_recv() {
                if standing.keys_serial < keys.serial {
                    standing.keys_serial = keys.serial;
                    messages.push((*point, standing.connection, PointMessage::Keys(keys.encode())));
                }
                messages.push((*point, standing.connection, PointMessage::Job(job)));
            }
        }
        for (point, connection, message) in messages {
            self.tell_standing(point, connection, message);
        }
    }

    fn send_reports(&mut self, at: usize) {
        let Some(connection) = self.points[at].connection else { return };
        for (sequence, report) in self.points[at].unsent() {
            self.tell_standing(at, connection, PointMessage::Report(sequence, report));
        }
    }

    fn take_up(&mut self, at: usize, next: Vec<Next>) {
        for next in next {
            let more = self.random.time(Duration::ZERO, next.after);
            self.schedule.after(next.after + more, Event::PointStep { point: at, next });
        }
    }

    /// A point takes a step of a job.
    pub(super) async fn step_point(&mut self, at: usize, next: Next) -> Result<(), SimulateError> {
        if !self.points[at].is_up {
            return Ok(());
        }
        let before = self.points[at].held.get(&next.package).map(|held| held.content);
        let followed = match self.points[at].step(next.package, next.stage, next.turn) {
            Step::Went(followed) => followed,
            Step::Fetch(content) => match self.fetch_to(at, content).await {
                Ok(frames) => {
                    self.note(Place::Point(at), format_args!("has fetched {content}, {frames} frames"));
                    self.points[at].fetched(next.package)
                }
                Err((why, is_transient)) => {
                    // The rest of the sentence may hold digests.
                    let code = why.split(':').next().unwrap_or_default();
                    self.note(Place::Point(at), format_args!("has not fetched {content}: {code}"));
                    self.points[at].attempt_failed(next.package, &why, is_transient)
                }
            },
        };
        self.point_observed(at, next.package, before);
        self.take_up(at, followed);
        if self.points[at].connection.is_some() {
            self.send_reports(at);
        }
        Ok(())
    }

    /// A point asks its site for permission and fetches.
    async fn fetch_to(
        &mut self,
        at: usize,
        content: restock_names::ContentVersion,
    ) -> Result<u64, (String, bool)> {
        let (site, name) = (self.points[at].site, self.points[at].name.clone());
        let statement = self.points[at].statement(content.package);
        if statement.as_ref().is_some_and(|statement| self.points[at].memory.has_all(statement.root)) {
            // As `pull` does: where nothing is lacking nobody is asked.
            return Ok(0);
        }
        let is_reached = self.shared.network().connects(Place::Point(at), Place::Site(site));
        let holder = self.shared.holder(site).filter(|_| is_reached);
        let Some(holder) = holder else { return Err((LinkError::Closed.to_string(), true)) };
        holder
            .side
            .authorise_pull(&name, &content)
            .await
            .map_err(|refusal| (format!("{}: {}", refusal.code, refusal.text), refusal.is_transient))?;
        let Some(statement) = statement else {
            return Err(("INTERNAL: no statement".to_owned(), false));
        };
        let shared = std::sync::Arc::clone(&self.shared);
        let mut fate = || shared.network().frame();
        self.points[at]
            .memory
            .receive(&holder.library, &statement, &mut fate)
            .map(|moved| moved.frames)
            .map_err(|error| {
                (error.to_string(), !matches!(error, MoveError::Receive(_) | MoveError::Format(_)))
            })
    }

    /// Ends that hear nothing give up; keys that changed and reports without answer are sent.
    pub(super) async fn tick_points(&mut self) -> Result<(), SimulateError> {
        let now = self.time.now();
        for at in 0..self.points.len() {
            let site = self.points[at].site;
            let (here, there) = (Place::Point(at), Place::Site(site));
            let lower = self.points[at].connection.filter(|_| self.points[at].is_up);
            let upper = self.sites[site].running.as_ref().and_then(|running| {
                running.points.get(&at).map(|standing| (standing.connection, standing.keys_serial))
            });
            let is_one = lower.is_some() && lower == upper.map(|(connection, _)| connection);
            let (down, up) = {
                let network = self.shared.network();
                (network.reaches(there, here), network.reaches(here, there))
            };
            if let Some(connection) = lower
                && !self.is_paused(here)
            {
                if is_one && down && !self.is_paused(there) {
                    self.points[at].heard = now;
                }
                if now - self.points[at].heard > IDLE {
                    self.standing_broken(at, connection, false).await?;
                } else if now % 30_000_000 < 10_000_000 {
                    self.points[at].send_again();
                    self.send_reports(at);
                }
            }
            if let Some((connection, sent)) = upper
                && !self.is_paused(there)
                && let Some(running) = &mut self.sites[site].running
                && let Some(standing) = running.points.get_mut(&at)
            {
                let is_lower_awake = self.points[at].paused_until <= now;
                if is_one && up && is_lower_awake {
                    standing.heard = now;
                }
                let keys = running.site.shared_trust().key_list();
                if now - standing.heard > IDLE {
                    self.standing_broken(at, connection, true).await?;
                } else if sent < keys.serial {
                    standing.keys_serial = keys.serial;
                    self.tell_standing(at, connection, PointMessage::Keys(keys.encode()));
                }
            }
        }
        Ok(())
    }
}

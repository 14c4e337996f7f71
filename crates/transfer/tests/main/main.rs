//! The link over real sockets: enrolment, control connections, pulls, repair, hostile peers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod control;
mod decoders;
mod deltas;
mod drafts;
mod enrolment;
mod heads;
mod hierarchy;
mod hostile;
mod hostile_deltas;
mod hostile_manifests;
mod hostile_parent;
mod hostile_point;
mod hostile_sites;
mod log;
mod lost;
mod peer;
mod pulls;
mod rotation;
mod rows;
mod sites;
mod strangers;
mod world;

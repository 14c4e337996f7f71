//! The link over real sockets: enrolment, control connections, pulls, repair, hostile peers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod control;
mod decoders;
mod enrolment;
mod hierarchy;
mod hostile;
mod hostile_sites;
mod peer;
mod pulls;
mod sites;
mod strangers;
mod world;

//! The link over real sockets: enrolment, control connections, pulls, repair, hostile peers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod control;
mod decoders;
mod enrolment;
mod hostile;
mod peer;
mod pulls;
mod strangers;
mod world;

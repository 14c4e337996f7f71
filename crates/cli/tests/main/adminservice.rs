//! The AdminService of the built binary: real clients, and what hostile ones send.

mod access;
pub(crate) mod clients;
pub(crate) mod door;
mod hostile;
mod objects;
mod pages;
mod requests;
mod strangers;

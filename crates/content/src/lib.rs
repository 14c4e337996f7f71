//! The content library: what a package's content is, how it is stored, checked and moved.
//!
//! A refresh turns a source folder into a [`snapshot`]: files are cut into chunks ([`chunk`]),
//! named by digest ([`hash`]), stored in packs ([`pack`], [`library`]) and listed in a paged
//! [`manifest`] that a signed [`statement`] makes a content version. [`transfer`] decides what a
//! holder lacks and in which order it is fetched.
//!
//! Everything here is plain, blocking file work: no sockets, no runtime. All writing goes through
//! [`files::Files`], so that tests can cut every write once.

pub mod chunk;
pub mod codec;
pub mod delta;
pub mod diff;
pub mod files;
pub mod get;
pub mod hash;
pub mod library;
pub mod manifest;
pub mod pack;
pub mod plan;
pub mod snapshot;
pub mod statement;
pub mod transfer;

//! The built binary: arguments, a whole site, refusals, the demo.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admin;
mod adminservice;
mod arguments;
mod cimom;
mod commands;
mod content_token;
mod demo;
mod doors;
mod library;
mod links;
mod negotiate;
mod netns_sites;
mod objects;
mod offline;
mod package_settings;
mod refusals;
mod sites;
mod support;
mod whole_site;
mod wsman;

//! A distribution point at its boundary: real sockets, real clients, a real library, a real link.

mod clients;
mod damage;
mod http;
mod jobs;
mod listing;
mod site;
mod support;
mod switching;
mod versions;

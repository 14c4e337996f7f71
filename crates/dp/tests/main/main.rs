//! A distribution point at its boundary: real sockets, real clients, a real library.

mod clients;
mod damage;
mod http;
mod listing;
mod support;
mod switching;

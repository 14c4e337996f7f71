//! A distribution point at its boundary: real sockets, real clients, a real library, a real link.

mod clients;
mod damage;
mod drafts;
mod http;
mod jobs;
mod listing;
mod serving_rfc9110;
mod serving_rights;
mod serving_slow;
mod share;
mod share_jobs;
mod site;
mod support;
mod switching;
mod versions;

//! CIM-XML at the door of a running site: published clients, and what hostile ones send.

mod clients;
mod context;
mod hostile;
mod messages;

//! The languages of the front doors as codecs: what a request means, and what an answer looks like.
//!
//! [`odata`] is the language of the AdminService, [`cimxml`] that of WBEM clients, [`wsman`]
//! WS-Management; [`xml`] is what the latter two are written in.
//!
//! What it does not do: no I/O, no clock, no rights; it knows declarations, never rows.

pub mod cimxml;
pub mod ntlm;
pub mod odata;
pub mod spnego;
pub mod wsman;
pub mod xml;

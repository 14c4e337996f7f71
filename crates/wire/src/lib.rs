//! The languages of the front doors as codecs: what a request means, and what an answer looks like.
//!
//! [`odata`] is the language of the AdminService.
//!
//! What it does not do: no I/O, no clock, no rights; it knows declarations, never rows.

pub mod odata;

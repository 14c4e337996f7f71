//! Sockets for management requests: the AdminService.
//!
//! What it does not do: no SQL, no rights, no files.

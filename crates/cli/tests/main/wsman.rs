//! WS-Management of the built binary: real clients, and what hostile ones send.

mod clients;
mod envelopes;
mod hostile;

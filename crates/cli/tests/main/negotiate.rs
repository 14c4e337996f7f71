//! Signing in at the management doors with NTLM and with certificates, to the built binary.

mod certificates;
mod ntlm;

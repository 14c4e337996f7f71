//! Signing in at the management doors with NTLM, Kerberos and certificates, to the built binary.

mod certificates;
#[cfg(feature = "kerberos")]
mod kerberos;
mod ntlm;
mod principals;
#[cfg(feature = "kerberos")]
mod realm;

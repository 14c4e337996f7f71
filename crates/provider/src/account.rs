//! Who somebody is: accounts, passwords, tokens, certificates, NTLM secrets, principals, and signing in.
//!
//! [`Accounts`] turns a name with a password or a proof, a token, a certificate or a principal of
//! Kerberos, into a [`SignedIn`]. Passwords are kept as argon2id; a run costs 19 MiB and tens of milliseconds, so there is a back-off that decides
//! before it, a queue that is short, and a memory of credentials that were right a moment ago.
//!
//! What it does not do: it knows no protocol of a door, and decides no rights (`rights`).
//! Source: docs/rights.md, "Signing in".

mod back_off;
mod certificate;
mod hashing;
mod memory;
mod name;
mod ntlm;
mod principal;
mod sealing;
mod secret;
mod sign_in;
mod token;

pub use back_off::BackOffLimits;
pub use certificate::PersonCertificate;
pub use hashing::hash_password;
pub use name::{AccountName, AccountNameError};
pub use ntlm::NtlmIdentity;
pub use principal::PrincipalIdentity;
pub use sealing::{NtSecret, SealingKey};
pub use secret::{Secret, random_ntlm_secret, random_password};
pub use sign_in::{Accounts, SignInRefusal, SignedIn};
pub use token::TokenText;

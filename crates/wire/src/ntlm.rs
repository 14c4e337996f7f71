//! NTLM version 2 as an acceptor sees it: messages, the proof of a secret, session keys, sealing.
//!
//! [`Challenged`] answers a client's first message and reads its last one into a [`Claim`];
//! [`Claim::prove`] compares the proof with an [`NtHash`] and gives the [`Session`] whose keys sign
//! and seal. Randomness and time are arguments.
//!
//! Strict on purpose: version 2 alone, Unicode and extended session security alone; every challenge
//! carries a time, so that every client owes a message integrity code (MIC), and it is compared
//! after the proof, never instead of it.
//!
//! What it does not do: it is no client, speaks no older version, knows no account and no transport.
//! Source: \[MS-NLMP\], sections 2.2, 3.1.5, 3.2.5, 3.3.2 and 3.4; RFC 5929, section 4, and RFC 2744,
//! section 3.11, for channel bindings.

mod accept;
mod keys;
mod message;
mod seal;
mod target_info;

#[cfg(test)]
mod published;
#[cfg(test)]
pub(crate) mod tests;

pub use accept::{Challenged, Claim, ServerNames, Terms, end_point_binding};
pub use keys::NtHash;
pub use message::{Authenticate, Negotiate};
pub use seal::Session;

/// How every message begins.
pub const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// The longest message that is looked at, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Why a message is refused. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NtlmError {
    /// It is no message of this protocol, or its parts lie outside it.
    #[error("NTLM_FORMAT: {0}")]
    Format(&'static str),
    /// It asks for less than is required here.
    #[error("NTLM_WEAK: {0}")]
    Weak(&'static str),
    /// Nobody can sign in so.
    #[error("UNAUTHORIZED: nobody signs in here with what the client offers")]
    NotTaken,
    /// It was made for another server.
    #[error(
        "NTLM_TARGET: the sign-in was made for another service than this one; sign in by a name of this service"
    )]
    Target,
    /// It is not bound to the TLS connection it came on.
    #[error(
        "EPA_REQUIRED: over TLS a sign-in with NTLM is bound to the server's certificate (tls-server-end-point)"
    )]
    ChannelBinding,
}

/// Negotiation flags. Source: \[MS-NLMP\] 2.2.2.5.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// Texts are UTF-16.
    pub const UNICODE: Self = Self(0x0000_0001);
    /// The challenge names the target.
    pub const REQUEST_TARGET: Self = Self(0x0000_0004);
    /// Messages can be signed.
    pub const SIGN: Self = Self(0x0000_0010);
    /// Messages can be sealed.
    pub const SEAL: Self = Self(0x0000_0020);
    /// NTLM is used.
    pub const NTLM: Self = Self(0x0000_0200);
    /// The client is nobody.
    pub const ANONYMOUS: Self = Self(0x0000_0800);
    /// A signature is always there.
    pub const ALWAYS_SIGN: Self = Self(0x0000_8000);
    /// The target is a server.
    pub const TARGET_TYPE_SERVER: Self = Self(0x0002_0000);
    /// Keys of their own for each direction.
    pub const EXTENDED_SESSION_SECURITY: Self = Self(0x0008_0000);
    /// The challenge describes the target.
    pub const TARGET_INFO: Self = Self(0x0080_0000);
    /// A version follows the flags.
    pub const VERSION: Self = Self(0x0200_0000);
    /// 128-bit keys.
    pub const KEY_128: Self = Self(0x2000_0000);
    /// The client chooses the session key.
    pub const KEY_EXCHANGE: Self = Self(0x4000_0000);
    /// 56-bit keys.
    pub const KEY_56: Self = Self(0x8000_0000);

    /// True when all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl std::fmt::Debug for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Flags({:#010x})", self.0)
    }
}

/// One fuzz case: any bytes as each of the messages a client sends. Nothing may panic.
pub fn fuzz_one(bytes: &[u8]) {
    let names = ServerNames { computer: "SITE".to_owned(), domain: "XYZ".to_owned(), dns: "site".to_owned() };
    let begun = Challenged::answer(bytes, &names, [7; 8], restock_names::Timestamp(0));
    if let Err(error) = begun {
        assert!(error.to_string().contains(": "), "a refusal has its code");
    }
    let negotiate = message::negotiate_bytes(Flags(u32::MAX));
    let challenged = Challenged::answer(&negotiate, &names, [7; 8], restock_names::Timestamp(0))
        .expect("a message with every flag can be answered");
    let terms = Terms { binding: None, is_own_host: &|_| true };
    if let Ok(claim) = challenged.claim(bytes, &terms) {
        assert!(claim.prove(&NtHash([0; 16])).is_none(), "nobody guesses a proof");
    }
}

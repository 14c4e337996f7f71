//! A sign-in from the client's first message to the proof.
//!
//! Source: \[MS-NLMP\] 3.2.5.1.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use restock_names::Timestamp;

use super::keys::{hmac_md5, is_hmac_md5, md5, rc4_once};
use super::message::{Authenticate, Negotiate, array, challenge_bytes, utf16, utf16_bytes, without_mic};
use super::target_info::{
    CHANNEL_BINDINGS, COMPUTER, DNS_COMPUTER, DOMAIN, FLAG_MIC, FLAGS, TARGET_NAME, TIME, TargetInfo,
};
use super::{Flags, NtHash, NtlmError, Session};

/// Bytes of the proof before what it covers.
const PROOF_BYTES: usize = 16;
/// Bytes of an answer to the challenge by the rules of version 1.
const VERSION_1_BYTES: usize = 24;
/// Bytes before the target's description in what the proof covers.
const COVERED_HEAD: usize = 28;
/// From 1601 to 1970 in units of 100 ns.
const EPOCH_SHIFT: i64 = 116_444_736_000_000_000;

/// Classes of services that a client may have meant: `HTTP/host`, `WSMAN/host`, `HOST/host`.
const SERVICES: [&str; 3] = ["HTTP", "WSMAN", "HOST"];

/// What both ends must be able to do.
const REQUIRED: Flags = Flags::UNICODE.with(Flags::NTLM).with(Flags::EXTENDED_SESSION_SECURITY);
/// What is granted to a client that asks for it.
const OFFERED: Flags = Flags::SIGN
    .with(Flags::SEAL)
    .with(Flags::ALWAYS_SIGN)
    .with(Flags::KEY_128)
    .with(Flags::KEY_56)
    .with(Flags::KEY_EXCHANGE);
/// What a challenge always has.
const ALWAYS: Flags = REQUIRED
    .with(Flags::REQUEST_TARGET)
    .with(Flags::TARGET_TYPE_SERVER)
    .with(Flags::TARGET_INFO)
    .with(Flags::VERSION);

/// How the server is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerNames {
    /// The computer's short name, in upper case.
    pub computer: String,
    /// What stands for a domain.
    pub domain: String,
    /// The computer's name in DNS.
    pub dns: String,
}

/// What a sign-in must fulfil beside the proof.
pub struct Terms<'a> {
    /// The channel binding of the TLS connection; `None` without TLS. See [`end_point_binding`].
    pub binding: Option<[u8; 16]>,
    /// Whether a host, by name or address, is this service.
    pub is_own_host: &'a (dyn Fn(&str) -> bool + Sync),
}

impl std::fmt::Debug for Terms<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terms").field("binding", &self.binding).finish_non_exhaustive()
    }
}

/// The binding to a TLS server whose certificate has this hash (SHA-256 for the usual ones).
///
/// MD5 over `gss_channel_bindings_struct` without addresses. Source: RFC 5929, section 4.
pub fn end_point_binding(certificate_hash: &[u8]) -> [u8; 16] {
    let application = [b"tls-server-end-point:", certificate_hash].concat();
    let length = u32::try_from(application.len()).unwrap_or(u32::MAX).to_le_bytes();
    md5(&[&[0; 16], &length, &application])
}

/// A sign-in that waits for the client's last message.
#[derive(Debug, Clone)]
pub struct Challenged {
    flags: Flags,
    server_challenge: [u8; 8],
    computer: String,
    target_info: TargetInfo,
    negotiate: Vec<u8>,
    message: Vec<u8>,
}

impl Challenged {
    /// Answers a client's first message with a challenge. `server_challenge` is random.
    ///
    /// The challenge has a time, so the client owes a MIC.
    pub fn answer(
        negotiate: &[u8],
        names: &ServerNames,
        server_challenge: [u8; 8],
        now: Timestamp,
    ) -> Result<Self, NtlmError> {
        let asked = Negotiate::parse(negotiate)?.flags;
        let flags = ALWAYS.with(asked.and(OFFERED));
        let time = now.0.saturating_mul(10).saturating_add(EPOCH_SHIFT);
        let target_info = TargetInfo::default()
            .with(DOMAIN, utf16_bytes(&names.domain))
            .with(COMPUTER, utf16_bytes(&names.computer))
            .with(DNS_COMPUTER, utf16_bytes(&names.dns))
            .with(TIME, time.to_le_bytes().to_vec());
        let message = challenge_bytes(flags, server_challenge, &names.computer, &target_info);
        let (computer, negotiate) = (names.computer.clone(), negotiate.to_vec());
        Ok(Self { flags, server_challenge, computer, target_info, negotiate, message })
    }

    /// The challenge, as it is sent.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Reads the client's last message. Everything is checked here that needs no secret.
    pub fn claim(&self, authenticate: &[u8], terms: &Terms<'_>) -> Result<Claim, NtlmError> {
        let read = Authenticate::parse(authenticate)?;
        if read.flags.has(Flags::ANONYMOUS) || read.user.is_empty() {
            return Err(NtlmError::Weak("nobody signs in as nobody"));
        }
        match read.nt.len() {
            0 => {
                return Err(NtlmError::Weak(
                    "the LAN Manager's rules are not followed here; use NTLM version 2",
                ));
            }
            VERSION_1_BYTES => {
                return Err(NtlmError::Weak("NTLM version 1 is not spoken here; use version 2"));
            }
            _ => {}
        }
        if !read.flags.has(REQUIRED) {
            return Err(NtlmError::Weak("extended session security is required"));
        }
        let short = NtlmError::Format("the answer to the challenge is too short");
        let proof = array(read.nt, 0).ok_or(short.clone())?;
        let covered = read.nt.get(PROOF_BYTES..).ok_or(short.clone())?;
        if covered.first_chunk::<2>() != Some(&[1, 1]) {
            return Err(NtlmError::Format("the answer to the challenge is not of version 2"));
        }
        let said = TargetInfo::parse(covered.get(COVERED_HEAD..).ok_or(short)?)?;
        let mic = self.mic(&read, &said)?;
        self.check_target(&said, terms)?;
        if let Some(binding) = terms.binding
            && said.get(CHANNEL_BINDINGS) != Some(&binding)
        {
            return Err(NtlmError::ChannelBinding);
        }
        // A client that was not offered something cannot take it.
        let flags = read.flags.and(self.flags);
        let session_key = match read.session_key {
            key if flags.has(Flags::KEY_EXCHANGE) && (flags.has(Flags::SIGN) || flags.has(Flags::SEAL)) => {
                let key = key.try_into();
                Some(key.map_err(|_other_length| NtlmError::Format("the session key has not 16 bytes"))?)
            }
            _ => None,
        };
        Ok(Claim {
            user: read.user,
            domain: read.domain,
            flags,
            server_challenge: self.server_challenge,
            proof,
            covered: covered.to_vec(),
            session_key,
            mic,
            messages: [self.negotiate.clone(), self.message.clone(), without_mic(authenticate)].concat(),
        })
    }

    /// The MIC, which every client owes because the challenge has a time.
    fn mic(&self, read: &Authenticate<'_>, said: &TargetInfo) -> Result<[u8; 16], NtlmError> {
        let flags = said.get(FLAGS).and_then(|bytes| array(bytes, 0)).map_or(0, u32::from_le_bytes);
        if flags & FLAG_MIC == 0 {
            return Err(NtlmError::Weak(
                "a message integrity code (MIC) is required, for the challenge has a time",
            ));
        }
        read.mic.ok_or(NtlmError::Format("the message says that it has a MIC, and has none"))
    }

    /// Refuses what was made for another server: the proof covers the description of the server
    /// whose challenge the client saw, and the name by which the client asked for it.
    fn check_target(&self, said: &TargetInfo, terms: &Terms<'_>) -> Result<(), NtlmError> {
        let is_as_sent = |kind| said.get(kind) == self.target_info.get(kind);
        if ![DOMAIN, COMPUTER, DNS_COMPUTER, TIME].into_iter().all(is_as_sent) {
            return Err(NtlmError::Target);
        }
        // Absent or empty where the client was not told a name; TLS or sealing binds it all the same.
        let target = utf16(said.get(TARGET_NAME).unwrap_or_default())?;
        let Some((service, host)) = target.split_once('/') else {
            return if target.is_empty() { Ok(()) } else { Err(NtlmError::Target) };
        };
        let is_own = host.eq_ignore_ascii_case(&self.computer) || (terms.is_own_host)(host);
        match SERVICES.iter().any(|known| known.eq_ignore_ascii_case(service)) && is_own {
            true => Ok(()),
            false => Err(NtlmError::Target),
        }
    }
}

/// Who a client says it is, with its proof. `Debug` shows the names alone.
pub struct Claim {
    /// The user.
    pub user: String,
    /// The user's domain; often empty.
    pub domain: String,
    flags: Flags,
    server_challenge: [u8; 8],
    proof: [u8; 16],
    /// What the proof covers beside the challenge.
    covered: Vec<u8>,
    /// The encrypted key, when the client chose one.
    session_key: Option<[u8; 16]>,
    mic: [u8; 16],
    /// What the MIC covers.
    messages: Vec<u8>,
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim")
            .field("user", &self.user)
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}

impl Claim {
    /// The session, when the client knows the secret behind `hash` and no message was changed.
    pub fn prove(&self, hash: &NtHash) -> Option<Session> {
        let key = hash.proof_key(&self.user, &self.domain);
        if !is_hmac_md5(&key, &[&self.server_challenge, &self.covered], &self.proof) {
            return None;
        }
        let base = hmac_md5(&key, &[&self.proof]);
        let exported = match self.session_key {
            Some(encrypted) => rc4_once(&base, encrypted),
            None => base,
        };
        is_hmac_md5(&exported, &[&self.messages], &self.mic).then(|| Session::new(&exported, self.flags))
    }
}

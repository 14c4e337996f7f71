//! The three messages of a sign-in.
//!
//! Source: \[MS-NLMP\] 2.2.1.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::target_info::TargetInfo;
use super::{Flags, MESSAGE_BYTES_MAX, NtlmError, SIGNATURE};

/// Bytes before the payload of a challenge with a version.
const CHALLENGE_HEAD: usize = 56;
/// Bytes of the shortest head of the client's last message: neither version nor MIC.
const AUTHENTICATE_HEAD_MIN: usize = 64;
/// Where the MIC lies in the client's last message, and where its payload can begin after it.
const MIC_AT: usize = 72;
const MIC_END: usize = 88;
/// Windows Server 2019, protocol revision 15: some clients refuse a challenge without a version.
const VERSION: [u8; 8] = [10, 0, 0x63, 0x45, 0, 0, 0, 15];

/// The client's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiate {
    /// What the client can do.
    pub flags: Flags,
}

/// The client's last message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticate<'a> {
    /// What both ends do.
    pub flags: Flags,
    /// The answer to the challenge by the LAN Manager's rules.
    pub lm: &'a [u8],
    /// The answer to the challenge; in version 2 the proof and what it covers.
    pub nt: &'a [u8],
    /// The domain of the user, as it went into the proof.
    pub domain: String,
    /// The user, as it went into the proof.
    pub user: String,
    /// The session key the client chose, encrypted.
    pub session_key: &'a [u8],
    /// The bytes in the place of the MIC, when there is one.
    pub mic: Option<[u8; 16]>,
}

pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn number_16(bytes: &[u8], at: usize) -> Option<usize> {
    array(bytes, at).map(u16::from_le_bytes).map(usize::from)
}

fn number_32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

/// Checks how a message begins, its kind and its length.
fn check_kind(bytes: &[u8], kind: u32) -> Result<(), NtlmError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(NtlmError::Format("a message has more than 8 KiB"));
    }
    if !bytes.starts_with(SIGNATURE) {
        return Err(NtlmError::Format("a message does not begin as NTLM messages do"));
    }
    match number_32(bytes, SIGNATURE.len()) {
        Some(found) if found == kind => Ok(()),
        Some(_) => Err(NtlmError::Format("a message of another kind was due")),
        None => Err(NtlmError::Format("a message ends too early")),
    }
}

/// The part of a message that the descriptor at `at` points to: length, capacity, offset.
fn part(bytes: &[u8], at: usize, head: usize) -> Result<(usize, &[u8]), NtlmError> {
    let outside = NtlmError::Format("a part of a message lies outside it");
    let length = number_16(bytes, at).ok_or(outside.clone())?;
    let offset = at.checked_add(4).and_then(|at| number_32(bytes, at)).ok_or(outside.clone())?;
    if length == 0 {
        // Clients put anything into the offset of what is not there.
        return Ok((usize::MAX, &[]));
    }
    let offset = usize::try_from(offset).map_err(|_too_large| outside.clone())?;
    if offset < head {
        return Err(outside);
    }
    let end = offset.checked_add(length).ok_or(outside.clone())?;
    Ok((offset, bytes.get(offset..end).ok_or(outside)?))
}

pub(super) fn utf16(bytes: &[u8]) -> Result<String, NtlmError> {
    let units = bytes.chunks_exact(2);
    let is_whole = units.remainder().is_empty();
    let units = units.map(|pair| u16::from_le_bytes(array(pair, 0).unwrap_or_default()));
    let text: Result<String, _> = char::decode_utf16(units).collect();
    match text {
        Ok(text) if is_whole => Ok(text),
        _ => Err(NtlmError::Format("a text is not UTF-16")),
    }
}

pub(super) fn utf16_bytes(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

impl Negotiate {
    /// Reads a message. What it says of domain and workstation is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, NtlmError> {
        check_kind(bytes, 1)?;
        let flags = number_32(bytes, 12).ok_or(NtlmError::Format("a message ends too early"))?;
        Ok(Self { flags: Flags(flags) })
    }
}

/// The shortest first message of a client with these flags.
pub(super) fn negotiate_bytes(flags: Flags) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(flags.0.to_le_bytes());
    bytes.extend([0; 16]);
    bytes
}

/// The server's message.
pub(super) fn challenge_bytes(
    flags: Flags,
    server_challenge: [u8; 8],
    target: &str,
    target_info: &TargetInfo,
) -> Vec<u8> {
    let (target, info) = (utf16_bytes(target), target_info.to_bytes());
    let length =
        |bytes: &[u8]| u16::try_from(bytes.len()).expect("names of a machine are short").to_le_bytes();
    let offset = |at: usize| u32::try_from(at).expect("names of a machine are short").to_le_bytes();
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend(2_u32.to_le_bytes());
    bytes.extend([length(&target), length(&target)].concat());
    bytes.extend(offset(CHALLENGE_HEAD));
    bytes.extend(flags.0.to_le_bytes());
    bytes.extend(server_challenge);
    bytes.extend([0; 8]);
    bytes.extend([length(&info), length(&info)].concat());
    bytes.extend(offset(CHALLENGE_HEAD.saturating_add(target.len())));
    bytes.extend(VERSION);
    bytes.extend(target);
    bytes.extend(info);
    bytes
}

impl<'a> Authenticate<'a> {
    /// Reads a message. Texts that are not Unicode are refused as weak, for the flag says that the
    /// client would rather not.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NtlmError> {
        check_kind(bytes, 3)?;
        let flags = number_32(bytes, 60).ok_or(NtlmError::Format("a message ends too early"))?;
        let flags = Flags(flags);
        if !flags.has(Flags::UNICODE) {
            return Err(NtlmError::Weak("texts of a message are not Unicode"));
        }
        let mut payload = usize::MAX;
        let mut take = |at: usize| -> Result<&'a [u8], NtlmError> {
            let (offset, part) = part(bytes, at, AUTHENTICATE_HEAD_MIN)?;
            payload = payload.min(offset);
            Ok(part)
        };
        let (lm, nt) = (take(12)?, take(20)?);
        let (domain, user, _workstation) = (take(28)?, take(36)?, take(44)?);
        let session_key = take(52)?;
        // The head says nowhere how long it is: the MIC is there when nothing else is in its place.
        let mic = if payload >= MIC_END { array(bytes, MIC_AT) } else { None };
        Ok(Self { flags, lm, nt, domain: utf16(domain)?, user: utf16(user)?, session_key, mic })
    }
}

/// The message with nothing in the place of its MIC, which is how the MIC covers it.
pub(super) fn without_mic(bytes: &[u8]) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    if let Some(mic) = copy.get_mut(MIC_AT..MIC_END) {
        mic.fill(0);
    }
    copy
}

//! Tokens: what a client offers, and what both ends answer.
//!
//! Source: RFC 4178, section 4.2.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::der::{take, take_if, wrap};
use crate::ntlm::NtlmError;

/// 1.3.6.1.5.5.2
const SPNEGO: &[u8] = &[0x2b, 6, 1, 5, 5, 2];
/// 1.3.6.1.4.1.311.2.2.10
pub(super) const NTLM: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 2, 10];
/// 1.2.840.113554.1.2.2
pub(super) const KERBEROS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2];
/// 1.2.840.48018.1.2.2: Kerberos too, as clients of Windows call it in their lists.
pub(super) const KERBEROS_OF_WINDOWS: &[u8] = &[0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 1, 2, 2];

/// Mechanisms that a client may offer.
const MECHANISMS_MAX: usize = 16;

const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;
const APPLICATION: u8 = 0x60;
/// Tags by place.
const PLACE_0: u8 = 0xa0;
const PLACE_1: u8 = 0xa1;
const PLACE_2: u8 = 0xa2;
const PLACE_3: u8 = 0xa3;

/// Reading of tokens.
pub(super) struct Token;

/// `NegTokenInit`: the client's first token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct First<'a> {
    /// The list of mechanisms with its head, which codes cover.
    pub(super) list: &'a [u8],
    pub(super) mechanisms: Vec<&'a [u8]>,
    pub(super) token: Option<&'a [u8]>,
}

/// `NegTokenResp`: each further token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response<'a> {
    pub(super) token: Option<&'a [u8]>,
    /// `mechListMIC`
    pub(super) code: Option<&'a [u8]>,
}

impl Token {
    pub(super) fn first(bytes: &[u8]) -> Result<First<'_>, NtlmError> {
        first(bytes).ok_or(NtlmError::Format("a token is neither SPNEGO's first nor of NTLM"))
    }

    pub(super) fn response(bytes: &[u8]) -> Result<Response<'_>, NtlmError> {
        response(bytes).ok_or(NtlmError::Format("a token is no answer of SPNEGO"))
    }
}

/// True for a token of Kerberos that no list of mechanisms wraps (RFC 4121, section 4.1).
pub(super) fn is_plain_kerberos(bytes: &[u8]) -> bool {
    let oid = take(bytes, APPLICATION).and_then(|(body, _)| take(body, OID));
    oid.is_some_and(|(oid, _)| oid == KERBEROS)
}

/// The mechanism of a list, when it is Kerberos by one of its names.
pub(super) fn kerberos(oid: &[u8]) -> Option<&'static [u8]> {
    [KERBEROS, KERBEROS_OF_WINDOWS].into_iter().find(|known| *known == oid)
}

fn first(bytes: &[u8]) -> Option<First<'_>> {
    let (body, _) = take(bytes, APPLICATION)?;
    let (oid, body) = take(body, OID)?;
    if oid != SPNEGO {
        return None;
    }
    let (body, _) = take(take(body, PLACE_0)?.0, SEQUENCE)?;
    let (list, mut body) = take(body, PLACE_0)?;
    let (mut each, _) = take(list, SEQUENCE)?;
    let mut mechanisms = Vec::new();
    while !each.is_empty() {
        let (oid, rest) = take(each, OID)?;
        mechanisms.push(oid);
        each = rest;
        if mechanisms.len() > MECHANISMS_MAX {
            return None;
        }
    }
    let _flags = take_if(&mut body, PLACE_1)?;
    let token = octets(take_if(&mut body, PLACE_2)?)?;
    Some(First { list, mechanisms, token })
}

fn response(bytes: &[u8]) -> Option<Response<'_>> {
    let (mut body, _) = take(take(bytes, PLACE_1)?.0, SEQUENCE)?;
    let _state = take_if(&mut body, PLACE_0)?;
    let _mechanism = take_if(&mut body, PLACE_1)?;
    let token = octets(take_if(&mut body, PLACE_2)?)?;
    let code = octets(take_if(&mut body, PLACE_3)?)?;
    Some(Response { token, code })
}

/// The bytes in a place that may be empty; `None` when something else is there.
#[expect(clippy::option_option, reason = "not there, and not readable, are two things")]
fn octets(place: Option<&[u8]>) -> Option<Option<&[u8]>> {
    match place {
        None => Some(None),
        Some(place) => take(place, OCTETS).map(|(bytes, _)| Some(bytes)),
    }
}

/// How far a negotiation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Complete,
    Incomplete,
    /// A code over the list of mechanisms is wanted.
    RequestCode,
}

/// The server's `NegTokenResp`.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) state: State,
    /// Says which mechanism is taken; only the first answer does.
    pub(super) mechanism: Option<&'a [u8]>,
    pub(super) token: Option<&'a [u8]>,
    pub(super) code: Option<&'a [u8]>,
}

impl Answer<'_> {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let state = match self.state {
            State::Complete => 0,
            State::Incomplete => 1,
            State::RequestCode => 3,
        };
        let mut body = wrap(PLACE_0, &[&wrap(ENUMERATED, &[&[state]])]);
        if let Some(mechanism) = self.mechanism {
            body.extend(wrap(PLACE_1, &[&wrap(OID, &[mechanism])]));
        }
        if let Some(token) = self.token {
            body.extend(wrap(PLACE_2, &[&wrap(OCTETS, &[token])]));
        }
        if let Some(code) = self.code {
            body.extend(wrap(PLACE_3, &[&wrap(OCTETS, &[code])]));
        }
        wrap(PLACE_1, &[&wrap(SEQUENCE, &[&body])])
    }
}

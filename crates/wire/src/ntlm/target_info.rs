//! What a challenge says of the server, and what a client says of it in its proof.
//!
//! Source: \[MS-NLMP\] 2.2.2.1.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::NtlmError;
use super::message::array;

/// Pairs at most; ten kinds are known.
const PAIRS_MAX: usize = 32;

/// Kinds of pairs.
pub(super) const COMPUTER: u16 = 1;
pub(super) const DOMAIN: u16 = 2;
pub(super) const DNS_COMPUTER: u16 = 3;
pub(super) const FLAGS: u16 = 6;
pub(super) const TIME: u16 = 7;
pub(super) const TARGET_NAME: u16 = 9;
pub(super) const CHANNEL_BINDINGS: u16 = 10;
const END: u16 = 0;

/// In the pair [`FLAGS`]: the message has a MIC.
pub(super) const FLAG_MIC: u32 = 2;

/// Pairs of a kind and its bytes, each kind at most once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TargetInfo(Vec<(u16, Vec<u8>)>);

impl TargetInfo {
    /// Appends a pair.
    pub(super) fn with(mut self, kind: u16, bytes: Vec<u8>) -> Self {
        self.0.push((kind, bytes));
        self
    }

    /// The bytes of a kind.
    pub(super) fn get(&self, kind: u16) -> Option<&[u8]> {
        self.0.iter().find(|(found, _)| *found == kind).map(|(_, bytes)| bytes.as_slice())
    }

    /// Reads pairs up to the one that ends them; what follows it is padding.
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, NtlmError> {
        let mut pairs: Vec<(u16, Vec<u8>)> = Vec::new();
        loop {
            let head: [u8; 4] =
                array(bytes, 0).ok_or(NtlmError::Format("the target's description has no end"))?;
            let [k0, k1, l0, l1] = head;
            let (kind, length) = (u16::from_le_bytes([k0, k1]), usize::from(u16::from_le_bytes([l0, l1])));
            if kind == END {
                return Ok(Self(pairs));
            }
            let end = length.saturating_add(head.len());
            let value = bytes.get(head.len()..end);
            let value =
                value.ok_or(NtlmError::Format("a part of the target's description lies outside it"))?;
            if pairs.len() >= PAIRS_MAX || pairs.iter().any(|(known, _)| *known == kind) {
                return Err(NtlmError::Format("the target's description says something twice"));
            }
            pairs.push((kind, value.to_vec()));
            bytes = bytes.get(end..).unwrap_or_default();
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, value) in &self.0 {
            let length = u16::try_from(value.len()).expect("names of a machine are short");
            bytes.extend(kind.to_le_bytes());
            bytes.extend(length.to_le_bytes());
            bytes.extend(value);
        }
        bytes.extend([0; 4]);
        bytes
    }
}

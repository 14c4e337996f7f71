//! The published examples of \[MS-NLMP\] 4.2.4, NTLM version 2 authentication.

use super::accept::end_point_binding;
use super::keys::{hmac_md5, rc4_once};
use super::message::{Authenticate, challenge_bytes};
use super::target_info::{COMPUTER, DOMAIN, TargetInfo};
use super::{Flags, NtHash, NtlmError, Session};

const SERVER_CHALLENGE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
const FLAGS: Flags = Flags(0xe288_8235);

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// What the proof of 4.2.4.1.3 covers beside the challenge (`temp`).
fn covered() -> Vec<u8> {
    bytes(
        "0101000000000000 0000000000000000 aaaaaaaaaaaaaaaa 00000000
         02000c0044006f006d00610069006e00 01000c00530065007200760065007200 00000000 00000000",
    )
}

/// The client's last message of 4.2.4.3.
fn authenticate() -> Vec<u8> {
    bytes(
        "4e544c4d53535000 03000000 180018006c000000 5400540084000000 0c000c0048000000
         0800080054000000 100010005c000000 10001000d8000000 358288e2 0501280a0000000f
         44006f006d00610069006e00 55007300650072 00 43004f004d0050005500540045005200
         86c35097ac9cec102554764a57cccc19 aaaaaaaaaaaaaaaa 68cd0ab851e51c96aabc927bebef6a1c
         0101000000000000 0000000000000000 aaaaaaaaaaaaaaaa 00000000
         02000c0044006f006d00610069006e00 01000c00530065007200760065007200 00000000 00000000
         c5dad2544fc979909 4ce1ce90bc9d03e",
    )
}

#[test]
fn keys_and_proof_are_the_published_ones() {
    let hash = NtHash::of_secret("Password");
    assert_eq!(hash.0.to_vec(), bytes("a4f49c406510bdcab6824ee7c30fd852"), "4.2.2.1.2, NTOWFv1");
    let key = hash.proof_key("User", "Domain");
    assert_eq!(key.to_vec(), bytes("0c868a403bfd7a93a3001ef22ef02e3f"), "4.2.4.1.1, NTOWFv2");
    let proof = hmac_md5(&key, &[&SERVER_CHALLENGE, &covered()]);
    assert_eq!(proof.to_vec(), bytes("68cd0ab851e51c96aabc927bebef6a1c"), "4.2.4.2.2, NTProofStr");
    let base = hmac_md5(&key, &[&proof]);
    assert_eq!(base.to_vec(), bytes("8de40ccadbc14a82f15cb0ad0de95ca3"), "4.2.4.1.2, SessionBaseKey");
    let encrypted = rc4_once(&base, [0x55; 16]);
    assert_eq!(encrypted.to_vec(), bytes("c5dad2544fc9799094ce1ce90bc9d03e"), "4.2.4.2.3");
}

#[test]
fn the_published_messages_are_read_and_written() {
    let message = authenticate();
    let read = Authenticate::parse(&message).unwrap();
    assert_eq!((read.domain.as_str(), read.user.as_str(), read.flags), ("Domain", "User", FLAGS));
    assert_eq!(read.lm, bytes("86c35097ac9cec102554764a57cccc19 aaaaaaaaaaaaaaaa"));
    assert_eq!(read.nt[..16], bytes("68cd0ab851e51c96aabc927bebef6a1c"));
    assert_eq!(read.nt[16..], covered());
    assert_eq!(read.session_key, bytes("c5dad2544fc9799094ce1ce90bc9d03e"));
    assert_eq!(read.mic, None, "its payload begins where a MIC would be");
    let pair = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let info = TargetInfo::default().with(DOMAIN, pair("Domain")).with(COMPUTER, pair("Server"));
    let written = challenge_bytes(Flags(0xe28a_8233), SERVER_CHALLENGE, "Server", &info);
    let published = bytes(
        "4e544c4d53535000 02000000 0c000c0038000000 33828ae2 0123456789abcdef 0000000000000000
         2400240044000000 060070170000000f 530065007200760065007200
         02000c0044006f006d00610069006e00 01000c00530065007200760065007200 00000000",
    );
    assert_eq!(written[..48], published[..48]);
    assert_eq!(written[56..], published[56..], "only the version differs");
}

#[test]
fn a_message_is_sealed_as_published() {
    let message: Vec<u8> = "Plaintext".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let sealed = bytes("54e50165bf1936dc996020c1811b0f06fb5f");
    let signature: [u8; 16] = bytes("010000007fb38ec5c55d497600000000").try_into().unwrap();
    let session = || Session::new(&[0x55; 16], FLAGS);
    assert!(session().can_seal());
    assert_eq!(session().open(&signature, &sealed), Some(message));
    let mut changed = sealed.clone();
    changed[3] ^= 1;
    assert_eq!(session().open(&signature, &changed), None);
    let mut repeated = session();
    repeated.open(&signature, &sealed).unwrap();
    assert_eq!(repeated.open(&signature, &sealed), None);
}

#[test]
fn version_1_of_the_examples_is_weak() {
    // 4.2.2.3: the client's last message with an answer of 24 bytes.
    let message = bytes(
        "4e544c4d53535000 03000000 180018006c000000 1800180084000000 0c000c0048000000
         0800080054000000 100010005c000000 100010009c000000 358280e2 0501280a0000000f
         44006f006d00610069006e00 5500730065007200 43004f004d0050005500540045005200
         98def7b87f88aa5dafe2df779688a172def11c7d5ccdef13 67c43011f30298a2ad35ece64f16331c44bdbed927841f94
         518822b1b3f350c8958682ecbb3e3cb7",
    );
    let challenged = super::tests::challenged();
    let terms = super::Terms { binding: None, is_own_host: &|_| true };
    let refused = challenged.claim(&message, &terms).unwrap_err();
    assert!(matches!(refused, NtlmError::Weak(_)), "{refused}");
}

#[test]
fn a_binding_covers_the_certificate() {
    // Computed with another implementation (pyspnego) for a hash of 32 bytes of 0x07.
    assert_eq!(end_point_binding(&[7; 32]).to_vec(), bytes("b1a3c6580100729194d4b9487c9edceb"));
}

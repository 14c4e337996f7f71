//! Sign-ins against a client that is written here, with everything it can get wrong.

use proptest::prelude::*;
use restock_names::Timestamp;

use super::keys::{hmac_md5, rc4_once};
use super::message::{negotiate_bytes, utf16_bytes, without_mic};
use super::target_info::{CHANNEL_BINDINGS, COMPUTER, FLAG_MIC, FLAGS, TARGET_NAME, TIME, TargetInfo};
use super::{Challenged, Flags, NtHash, NtlmError, ServerNames, Session, Terms, fuzz_one};

const SECRET: &str = "correct horse";
const ASKED: Flags = Flags(0xe208_8235);

pub(super) fn challenged() -> Challenged {
    let names =
        ServerNames { computer: "SITE".to_owned(), domain: "XYZ".to_owned(), dns: "site.example".to_owned() };
    let negotiate = negotiate_bytes(ASKED);
    Challenged::answer(&negotiate, &names, [3; 8], Timestamp(1_700_000_000_000_000)).unwrap()
}

/// What a client does; the default is right.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    user: &'static str,
    secret: &'static str,
    flags: Flags,
    target: Option<&'static str>,
    binding: Option<[u8; 16]>,
    says_mic: bool,
    /// Bits of the MIC that are turned.
    mic_change: u8,
    /// A computer name other than the challenge's.
    other_computer: bool,
    without_time: bool,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            user: "Anna",
            secret: SECRET,
            flags: ASKED,
            target: Some("HTTP/site.example"),
            binding: None,
            says_mic: true,
            mic_change: 0,
            other_computer: false,
            without_time: false,
        }
    }
}

/// The session key every client here chooses.
const SESSION_KEY: [u8; 16] = [0x55; 16];

impl Client {
    /// The first message.
    pub(crate) fn negotiate() -> Vec<u8> {
        negotiate_bytes(ASKED)
    }

    pub(crate) fn hash() -> NtHash {
        NtHash::of_secret(SECRET)
    }

    /// The keys after a sign-in.
    pub(crate) fn session() -> Session {
        Session::new(&SESSION_KEY, ASKED)
    }

    /// The last message.
    pub(crate) fn authenticate(&self, challenged: &Challenged) -> Vec<u8> {
        let challenge = challenged.message();
        let at = usize::try_from(u32::from_le_bytes(challenge[44..48].try_into().unwrap())).unwrap();
        let mut said = TargetInfo::default();
        let sent = TargetInfo::parse(&challenge[at..]).unwrap();
        for kind in 1..8 {
            let changed = self.other_computer && kind == COMPUTER;
            match sent.get(kind) {
                Some(_) if kind == TIME && self.without_time => {}
                Some(_) if changed => said = said.with(kind, utf16_bytes("OTHER")),
                Some(bytes) => said = said.with(kind, bytes.to_vec()),
                None => {}
            }
        }
        if self.says_mic {
            said = said.with(FLAGS, FLAG_MIC.to_le_bytes().to_vec());
        }
        if let Some(target) = self.target {
            said = said.with(TARGET_NAME, utf16_bytes(target));
        }
        if let Some(binding) = self.binding {
            said = said.with(CHANNEL_BINDINGS, binding.to_vec());
        }
        let covered =
            [&[1, 1, 0, 0, 0, 0, 0, 0][..], &[9; 8], &[5; 8], &[0; 4], &said.to_bytes(), &[0; 4]].concat();
        let key = NtHash::of_secret(self.secret).proof_key(self.user, "");
        let proof = hmac_md5(&key, &[&[3; 8], &covered]);
        let session_key = SESSION_KEY;
        let encrypted = rc4_once(&hmac_md5(&key, &[&proof]), session_key);
        let parts = [
            vec![0; 24],
            [&proof[..], &covered].concat(),
            Vec::new(),
            utf16_bytes(self.user),
            Vec::new(),
            encrypted.to_vec(),
        ];
        let mut message = b"NTLMSSP\0\x03\0\0\0".to_vec();
        let mut offset = 88;
        for part in &parts {
            let length = u16::try_from(part.len()).unwrap().to_le_bytes();
            message.extend([length, length].concat());
            message.extend(u32::try_from(offset).unwrap().to_le_bytes());
            offset += part.len();
        }
        message.extend(self.flags.0.to_le_bytes());
        message.extend([0; 8 + 16]);
        message.extend(parts.concat());
        let negotiate = negotiate_bytes(ASKED);
        let mut mic = hmac_md5(&session_key, &[&negotiate, challenge, &without_mic(&message)]);
        mic[0] ^= self.mic_change;
        message[72..88].copy_from_slice(&mic);
        message
    }
}

fn terms(binding: Option<[u8; 16]>) -> Terms<'static> {
    Terms { binding, is_own_host: &|host| host.eq_ignore_ascii_case("site.example") }
}

fn signed_in(client: &Client, binding: Option<[u8; 16]>) -> Result<Option<Session>, NtlmError> {
    let challenged = challenged();
    let claim = challenged.claim(&client.authenticate(&challenged), &terms(binding))?;
    assert_eq!((claim.user.as_str(), claim.domain.as_str()), (client.user, ""));
    Ok(claim.prove(&NtHash::of_secret(SECRET)))
}

#[test]
fn who_knows_the_secret_signs_in_and_nobody_else() {
    assert!(signed_in(&Client::default(), None).unwrap().is_some());
    let right = Client { binding: Some([4; 16]), ..Client::default() };
    assert!(signed_in(&right, Some([4; 16])).unwrap().is_some());
    assert!(signed_in(&Client { target: None, ..Client::default() }, None).unwrap().is_some());
    assert!(signed_in(&Client { target: Some("wsman/SITE"), ..Client::default() }, None).unwrap().is_some());
    let wrong = Client { secret: "wrong", ..Client::default() };
    assert!(signed_in(&wrong, None).unwrap().is_none());
    let changed = Client { mic_change: 1, ..Client::default() };
    assert!(signed_in(&changed, None).unwrap().is_none(), "a message on the way was changed");
}

#[test]
fn a_proof_is_good_for_one_challenge_only() {
    let first = challenged();
    let message = Client::default().authenticate(&first);
    let names =
        ServerNames { computer: "SITE".to_owned(), domain: "XYZ".to_owned(), dns: "site.example".to_owned() };
    let at = Timestamp(1_700_000_000_000_000);
    let second = Challenged::answer(&negotiate_bytes(ASKED), &names, [4; 8], at).unwrap();
    let claim = second.claim(&message, &terms(None)).unwrap();
    assert!(claim.prove(&NtHash::of_secret(SECRET)).is_none());
}

#[test]
fn what_is_weak_or_meant_for_others_is_refused_whatever_the_secret() {
    let right = Client::default;
    let no_unicode = Flags(ASKED.0 & !Flags::UNICODE.0);
    let no_security = Flags(ASKED.0 & !Flags::EXTENDED_SESSION_SECURITY.0);
    let rows: [(&str, Client, Option<[u8; 16]>, &str); 11] = [
        ("no MIC", Client { says_mic: false, ..right() }, None, "NTLM_WEAK"),
        ("anonymous", Client { flags: ASKED.with(Flags::ANONYMOUS), ..right() }, None, "NTLM_WEAK"),
        ("no name", Client { user: "", ..right() }, None, "NTLM_WEAK"),
        ("no Unicode", Client { flags: no_unicode, ..right() }, None, "NTLM_WEAK"),
        ("no extended security", Client { flags: no_security, ..right() }, None, "NTLM_WEAK"),
        ("another host", Client { target: Some("HTTP/evil.example"), ..right() }, None, "NTLM_TARGET"),
        ("another service", Client { target: Some("cifs/site.example"), ..right() }, None, "NTLM_TARGET"),
        ("another computer", Client { other_computer: true, ..right() }, None, "NTLM_TARGET"),
        ("the time taken out", Client { without_time: true, ..right() }, None, "NTLM_TARGET"),
        ("no binding", right(), Some([4; 16]), "EPA_REQUIRED"),
        ("a wrong binding", Client { binding: Some([5; 16]), ..right() }, Some([4; 16]), "EPA_REQUIRED"),
    ];
    for (what, client, binding, code) in rows {
        for secret in [SECRET, "wrong"] {
            let refused = signed_in(&Client { secret, ..client.clone() }, binding).err();
            let text = refused.map(|refused| refused.to_string()).unwrap_or_default();
            assert!(text.starts_with(&format!("{code}: ")), "{what}: {text}");
        }
    }
}

#[test]
fn messages_cut_anywhere_or_pointing_outside_themselves_are_refused() {
    let challenged = challenged();
    let whole = Client::default().authenticate(&challenged);
    for length in 0..whole.len() {
        let refused = challenged.claim(&whole[..length], &terms(None)).err();
        assert!(matches!(refused, Some(NtlmError::Format(_))), "{length}: {refused:?}");
    }
    for field in [12, 20, 28, 36, 44, 52] {
        for (length, offset) in [(1, u32::MAX), (u16::MAX, 88), (8, 0), (8, 63), (2, 8_000)] {
            let mut bad = whole.clone();
            bad[field..field + 2].copy_from_slice(&u16::to_le_bytes(length));
            bad[field + 4..field + 8].copy_from_slice(&u32::to_le_bytes(offset));
            let refused = challenged.claim(&bad, &terms(None)).err();
            assert!(matches!(refused, Some(NtlmError::Format(_))), "{field} {offset}: {refused:?}");
        }
    }
    let long = [whole, vec![0; 8 * 1024]].concat();
    assert!(matches!(challenged.claim(&long, &terms(None)), Err(NtlmError::Format(_))));
}

#[test]
fn sealed_messages_open_in_their_order_and_only_once() {
    let mut session = signed_in(&Client::default(), None).unwrap().unwrap();
    let (first, second) = (session.close(b"one"), session.close(b"two"));
    assert_eq!((&first.0[12..], &second.0[12..]), (&[0, 0, 0, 0][..], &[1, 0, 0, 0][..]));
    assert_ne!(first.1, b"one");
    assert_eq!(session.open(&first.0, &first.1), None, "keys of the two directions differ");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        fuzz_one(&bytes);
    }

    #[test]
    fn a_changed_byte_is_noticed(at in 0_usize..600, bit in 0_u32..8) {
        let challenged = challenged();
        let mut message = Client::default().authenticate(&challenged);
        let at = at % message.len();
        message[at] ^= 1 << bit;
        fuzz_one(&message);
        // The workstation and the capacities of parts are covered by the MIC alone, which is enough.
        let proved = challenged
            .claim(&message, &terms(None))
            .is_ok_and(|claim| claim.prove(&NtHash::of_secret(SECRET)).is_some());
        prop_assert!(!proved, "byte {}", at);
    }
}

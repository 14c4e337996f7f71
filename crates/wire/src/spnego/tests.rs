//! Whole negotiations and sealed bodies.

use proptest::prelude::*;
use restock_names::Timestamp;

use super::der::wrap;
use super::token::{KERBEROS, KERBEROS_OF_WINDOWS, NTLM};
use super::{Acceptor, Offer, SealedBody, SealedBy, Step, Takes, fuzz_one, sealed_body};
use crate::ntlm::tests::Client;
use crate::ntlm::{Challenged, NtHash, NtlmError, ServerNames, Terms};

fn names() -> ServerNames {
    ServerNames { computer: "SITE".to_owned(), domain: "XYZ".to_owned(), dns: "site.example".to_owned() }
}

fn list(mechanisms: &[&[u8]]) -> Vec<u8> {
    let each: Vec<Vec<u8>> = mechanisms.iter().map(|oid| wrap(6, &[oid])).collect();
    wrap(0x30, &[&each.concat()])
}

fn first(mechanisms: &[&[u8]], token: Option<&[u8]>) -> Vec<u8> {
    let token = token.map(|token| wrap(0xa2, &[&wrap(4, &[token])])).unwrap_or_default();
    let body = wrap(0x30, &[&wrap(0xa0, &[&list(mechanisms)]), &token]);
    wrap(0x60, &[&wrap(6, &[&[0x2b, 6, 1, 5, 5, 2]]), &wrap(0xa0, &[&body])])
}

fn response(token: &[u8], code: Option<&[u8]>) -> Vec<u8> {
    let code = code.map(|code| wrap(0xa3, &[&wrap(4, &[code])])).unwrap_or_default();
    wrap(0xa1, &[&wrap(0x30, &[&wrap(0xa2, &[&wrap(4, &[token])]), &code])])
}

/// One end, with the other end's tokens made by hand.
struct Conversation {
    acceptor: Acceptor,
    names: ServerNames,
    takes: Takes,
}

impl Conversation {
    fn new() -> Self {
        Self::taking(Takes { ntlm: true, kerberos: false })
    }

    fn taking(takes: Takes) -> Self {
        Self { acceptor: Acceptor::default(), names: names(), takes }
    }

    fn step(&mut self, token: &[u8]) -> Result<Step, NtlmError> {
        let now = Timestamp(1_700_000_000_000_000);
        let offer = Offer { names: &self.names, server_challenge: [3; 8], now, takes: self.takes };
        self.acceptor.step(
            token,
            &offer,
            &Terms { binding: None, is_own_host: &|host| host == "site.example" },
        )
    }

    fn answer(&mut self, token: &[u8]) -> Vec<u8> {
        match self.step(token).unwrap() {
            Step::Continue(answer) => answer,
            other => panic!("{other:?}"),
        }
    }
}

/// The state of an answer, and whether it names the mechanism.
fn state(answer: &[u8]) -> (u8, bool) {
    let at = answer.windows(4).position(|window| window[..2] == [0xa0, 3] && window[2] == 0x0a).unwrap();
    (answer[at + 4], answer.windows(NTLM.len()).any(|window| window == NTLM))
}

#[test]
fn ntlm_signs_in_wrapped_or_plain_and_as_second_choice_only_with_a_code() {
    let negotiate = Client::negotiate();
    let rows: [(&str, &[&[u8]], bool, bool); 5] = [
        ("first choice", &[NTLM, KERBEROS], true, true),
        ("first choice, code of the client", &[NTLM], true, true),
        ("first choice, no code", &[NTLM], false, true),
        ("second choice", &[KERBEROS, NTLM], true, true),
        ("second choice, no code", &[KERBEROS, NTLM], false, false),
    ];
    for (what, mechanisms, has_code, is_right) in rows {
        let mut conversation = Conversation::new();
        let is_first = mechanisms[0] == NTLM;
        let token: &[u8] = if is_first { &negotiate } else { b"a ticket" };
        let mut answer = conversation.answer(&first(mechanisms, Some(token)));
        assert_eq!(state(&answer), (if is_first { 1 } else { 3 }, true), "{what}");
        if !is_first {
            answer = conversation.answer(&response(&negotiate, None));
            assert_eq!(state(&answer), (1, false), "{what}");
        }
        let at = answer.windows(8).position(|window| window == b"NTLMSSP\0").unwrap();
        let challenged =
            Challenged::answer(&negotiate, &names(), [3; 8], Timestamp(1_700_000_000_000_000)).unwrap();
        assert_eq!(&answer[at..], challenged.message(), "{what}");
        let message = Client::default().authenticate(&challenged);
        let code = Client::session().code_of_client_for_tests(&list(mechanisms));
        let last = response(&message, has_code.then_some(&code[..]));
        let Ok(Step::Claimed(claim)) = conversation.step(&last) else { panic!("{what}") };
        assert_eq!(claim.user(), "Anna");
        let proved = claim.prove(&Client::hash());
        assert_eq!(proved.is_some(), is_right, "{what}");
        if let Some((_, token)) = proved {
            let token = token.unwrap();
            assert_eq!(state(&token), (0, false), "{what}");
            assert_eq!(token.windows(2).any(|window| window == [0xa3, 0x12]), has_code, "{what}");
        }
        assert!(claim.prove(&NtHash([0; 16])).is_none(), "{what}");
    }
    let mut plain = Conversation::new();
    let answer = plain.answer(&negotiate);
    assert!(answer.starts_with(b"NTLMSSP\0"));
    let challenged =
        Challenged::answer(&negotiate, &names(), [3; 8], Timestamp(1_700_000_000_000_000)).unwrap();
    let Ok(Step::Claimed(claim)) = plain.step(&Client::default().authenticate(&challenged)) else { panic!() };
    let (_, token) = claim.prove(&Client::hash()).unwrap();
    assert_eq!(token, None);
    let again = plain.step(&negotiate);
    assert!(matches!(again, Err(NtlmError::Format(_))), "a sign-in that is over takes nothing more");
}

#[test]
fn a_last_message_without_a_first_one_and_lists_without_ntlm_are_refused() {
    let challenged =
        Challenged::answer(&Client::negotiate(), &names(), [3; 8], Timestamp(1_700_000_000_000_000)).unwrap();
    let message = Client::default().authenticate(&challenged);
    let rows =
        [message.clone(), response(&message, None), first(&[KERBEROS], None), first(&[], None), Vec::new()];
    for token in rows {
        assert!(matches!(Conversation::new().step(&token), Err(NtlmError::Format(_))), "{token:?}");
    }
}

#[test]
fn kerberos_is_taken_as_first_choice_wrapped_or_plain_and_its_answer_goes_in_the_same_form() {
    let takes = Takes { ntlm: true, kerberos: true };
    let ticket = |conversation: &mut Conversation, token: &[u8]| match conversation.step(token).unwrap() {
        Step::Ticket(ticket) => ticket,
        other => panic!("{other:?}"),
    };
    let named = |answer: &[u8], oid: &[u8]| answer.windows(oid.len()).any(|window| window == oid);
    let plain = wrap(0x60, &[&wrap(6, &[KERBEROS]), b"\x01\x00and so on"]);
    for oid in [KERBEROS, KERBEROS_OF_WINDOWS] {
        // With the list, and after it.
        let mut conversation = Conversation::taking(takes);
        let found = ticket(&mut conversation, &first(&[oid, KERBEROS, NTLM], Some(&plain)));
        assert_eq!(found.token(), plain);
        let answer = found.answer(Some(b"a reply")).unwrap();
        assert_eq!(state(&answer), (0, false));
        assert!(named(&answer, oid) && named(&answer, b"a reply"), "{answer:x?}");
        assert!(!named(&found.answer(None).unwrap(), b"a reply"));
        assert!(matches!(conversation.step(&plain), Err(NtlmError::Format(_))), "it is over");
        let mut conversation = Conversation::taking(takes);
        let answer = conversation.answer(&first(&[oid, NTLM], None));
        assert!(state(&answer) == (1, false) && named(&answer, oid), "{answer:x?}");
        let found = ticket(&mut conversation, &response(&plain, None));
        assert_eq!(found.token(), plain);
        assert!(!named(&found.answer(Some(b"a reply")).unwrap(), oid), "it is named once");
    }
    let found = ticket(&mut Conversation::taking(takes), &plain);
    assert_eq!((found.token(), found.answer(None)), (&plain[..], None));
    assert_eq!(found.answer(Some(b"a reply")).unwrap(), b"a reply");
    // Another first choice leads to NTLM; where nothing is taken, nothing is.
    let answer = Conversation::taking(takes).answer(&first(&[NTLM, KERBEROS], Some(&Client::negotiate())));
    assert_eq!(state(&answer), (1, true));
    let neither = Takes { ntlm: false, kerberos: false };
    for takes in [neither, Takes { kerberos: true, ..neither }] {
        for token in [Client::negotiate().to_vec(), first(&[NTLM, KERBEROS], None), first(&[NTLM], None)] {
            let refused = Conversation::taking(takes).step(&token);
            assert!(matches!(refused, Err(NtlmError::NotTaken)), "{refused:?}");
        }
    }
    for token in [plain.clone(), first(&[KERBEROS], Some(&plain))] {
        assert!(Conversation::taking(neither).step(&token).is_err(), "{token:x?}");
    }
}

#[test]
fn a_sealed_body_is_read_as_clients_write_it() {
    let head = "multipart/encrypted;protocol=\"application/HTTP-SPNEGO-session-encrypted\";boundary=\"Encrypted Boundary\"";
    let body = [
        &b"--Encrypted Boundary\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n"[..],
        b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=5\r\n",
        b"--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n",
        &[16, 0, 0, 0],
        &[9; 16],
        b"\r\n--x",
        b"--Encrypted Boundary--\r\n",
    ]
    .concat();
    let read = SealedBody::parse(head, &body).unwrap();
    assert_eq!(read.original_type, "application/soap+xml;charset=UTF-8");
    assert_eq!((read.length, read.signature, read.data), (5, &[9; 16][..], &b"\r\n--x"[..]));
    assert_eq!(read.by, SealedBy::Spnego);
    assert!(SealedBody::is_sealed(head) && !SealedBody::is_sealed("application/soap+xml"));
    for (from, to) in [
        ("Length=5", "Length=4"),
        ("SPNEGO", "Kerberos"),
        ("--Encrypted Boundary--", ""),
        ("octet", "\r\nctet"),
    ] {
        let bad = String::from_utf8_lossy(&body).replacen(from, to, 1);
        assert!(SealedBody::parse(head, bad.as_bytes()).is_err(), "{from}");
    }
    for length in 0..body.len() - 2 {
        assert!(SealedBody::parse(head, &body[..length]).is_err(), "{length}");
    }
    assert!(SealedBody::parse("multipart/encrypted", &body).is_err());
}

proptest! {
    #[test]
    fn sealed_answers_are_read_back(
        data in proptest::collection::vec(any::<u8>(), 0..300),
        signature in proptest::collection::vec(any::<u8>(), 16..100),
        by in prop_oneof![Just(SealedBy::Spnego), Just(SealedBy::Kerberos)],
    ) {
        let (head, body) = sealed_body(by, "application/soap+xml;charset=UTF-8", &signature, &data);
        let read = SealedBody::parse(&head, &body).unwrap();
        prop_assert_eq!(read.original_type, "application/soap+xml;charset=UTF-8");
        prop_assert_eq!((read.length, read.signature, read.data), (data.len(), &signature[..], &data[..]));
        prop_assert_eq!(read.by, by);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0_usize..80) {
        fuzz_one(&bytes);
        let mut token = first(&[KERBEROS, NTLM], Some(&Client::negotiate()));
        let (at, value) = (at % token.len(), bytes.first().copied().unwrap_or_default());
        token[at] = value;
        fuzz_one(&token);
        fuzz_one(&token[..at]);
    }
}

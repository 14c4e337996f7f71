//! SPNEGO as an acceptor speaks it, and bodies that are sealed with what it agreed on.
//!
//! [`Acceptor`] takes the tokens of one connection, wrapped or plain, and ends in a [`Claim`] of NTLM
//! that [`Claim::prove`] turns into a [`Session`] with the last token to send, or in a [`Ticket`] of
//! Kerberos. [`SealedBody`] is the form in which WS-Management clients send sealed bodies.
//!
//! Kerberos is taken when it is the client's first choice. NTLM may be any choice: where the client
//! would rather have another, both ends must show that nobody changed the list of mechanisms
//! (`mechListMIC`).
//!
//! What it does not do: it is no client, reads no ticket, knows no account and no HTTP.
//! Source: RFC 4178; RFC 4559; \[MS-SPNG\], 3.3.5.1; \[MS-WSMV\], 2.2.9.1.

mod body;
mod der;
mod token;

#[cfg(test)]
mod tests;

use restock_names::Timestamp;

use crate::ntlm::{self, Challenged, NtHash, NtlmError, ServerNames, Session, Terms};

pub use body::{BodyError, SealedBody, SealedBy, sealed_body};

use token::{Answer, State, Token};

/// The tokens of one connection until somebody has signed in.
#[derive(Debug, Default)]
pub struct Acceptor {
    stage: Stage,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Fresh,
    /// The mechanisms are agreed on; NTLM's first message is due.
    Agreed(Mechanisms),
    /// Kerberos is agreed on; its token is due.
    AwaitsTicket,
    /// NTLM's last message is due.
    Challenged(Box<Challenged>, Option<Mechanisms>),
    /// It came to an end; nothing more is taken.
    Over,
}

/// What the client offered.
#[derive(Debug, Clone)]
struct Mechanisms {
    /// The list as it was sent, which the codes cover.
    list: Vec<u8>,
    /// NTLM was the client's first choice.
    is_first: bool,
}

/// What a token led to.
#[derive(Debug)]
pub enum Step {
    /// This token is sent, and another awaited.
    Continue(Vec<u8>),
    /// The client says who it is.
    Claimed(Box<Claim>),
    /// The client brings a token of Kerberos, which shows who it is.
    Ticket(Ticket),
}

/// A token of Kerberos, not looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    token: Vec<u8>,
    wrapping: Wrapping,
}

/// In which form a token of Kerberos came, and the answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrapping {
    /// None.
    Plain,
    /// SPNEGO; the answer names the mechanism when no answer did before.
    Wrapped { mechanism: Option<&'static [u8]> },
}

impl Ticket {
    /// The token, for whoever has the keys (RFC 4121, section 4.1).
    pub fn token(&self) -> &[u8] {
        &self.token
    }

    /// The last token to send. `reply`: what the mechanism itself answers, which shows the client
    /// that the server has the key; `None` when the client did not ask for it.
    pub fn answer(&self, reply: Option<&[u8]>) -> Option<Vec<u8>> {
        match self.wrapping {
            Wrapping::Plain => reply.map(<[u8]>::to_vec),
            Wrapping::Wrapped { mechanism } => {
                Some(Answer { state: State::Complete, mechanism, token: reply, code: None }.to_bytes())
            }
        }
    }
}

/// Who a client says it is, with its proof.
#[derive(Debug)]
pub struct Claim {
    ntlm: ntlm::Claim,
    mechanisms: Option<Mechanisms>,
    code: Option<Vec<u8>>,
}

/// What the acceptor itself brings to a sign-in.
#[derive(Debug, Clone)]
pub struct Offer<'a> {
    /// How the server is called.
    pub names: &'a ServerNames,
    /// Eight random bytes, never used before.
    pub server_challenge: [u8; 8],
    /// The time.
    pub now: Timestamp,
    /// Which mechanisms are taken.
    pub takes: Takes,
}

/// The mechanisms that somebody can sign in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Takes {
    /// NTLM.
    pub ntlm: bool,
    /// Kerberos.
    pub kerberos: bool,
}

impl Acceptor {
    /// Takes the client's next token.
    ///
    /// Errors: [`NtlmError`]; the sign-in has failed and begins anew with another acceptor.
    pub fn step(&mut self, token: &[u8], offer: &Offer<'_>, terms: &Terms<'_>) -> Result<Step, NtlmError> {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        let (next, step) = match stage {
            Stage::Fresh => begin(token, offer)?,
            Stage::Agreed(mechanisms) => {
                let message = Token::response(token)?.token;
                let message = message.ok_or(NtlmError::Format("a token brings no message of NTLM"))?;
                challenge(message, offer, Some(mechanisms), false)?
            }
            Stage::AwaitsTicket => {
                let token = Token::response(token)?.token;
                let token = token.ok_or(NtlmError::Format("a token brings nothing of Kerberos"))?;
                let wrapping = Wrapping::Wrapped { mechanism: None };
                (Stage::Over, Step::Ticket(Ticket { token: token.to_vec(), wrapping }))
            }
            Stage::Challenged(challenged, mechanisms) => {
                let (message, code) = match &mechanisms {
                    None => (token, None),
                    Some(_) => {
                        let response = Token::response(token)?;
                        let message =
                            response.token.ok_or(NtlmError::Format("a token brings no message of NTLM"))?;
                        (message, response.code.map(<[u8]>::to_vec))
                    }
                };
                let ntlm = challenged.claim(message, terms)?;
                (Stage::Over, Step::Claimed(Box::new(Claim { ntlm, mechanisms, code })))
            }
            Stage::Over => return Err(NtlmError::Format("the sign-in is over; begin another")),
        };
        self.stage = next;
        Ok(step)
    }
}

/// The first token: plain NTLM or Kerberos, or a list of mechanisms.
fn begin(token: &[u8], offer: &Offer<'_>) -> Result<(Stage, Step), NtlmError> {
    if token.starts_with(ntlm::SIGNATURE) {
        return challenge(token, offer, None, false);
    }
    if offer.takes.kerberos && token::is_plain_kerberos(token) {
        let ticket = Ticket { token: token.to_vec(), wrapping: Wrapping::Plain };
        return Ok((Stage::Over, Step::Ticket(ticket)));
    }
    let first = Token::first(token)?;
    if let Some(kerberos) = first.mechanisms.first().and_then(|oid| token::kerberos(oid))
        && offer.takes.kerberos
    {
        let mechanism = Some(kerberos);
        return Ok(match first.token {
            Some(token) => {
                let wrapping = Wrapping::Wrapped { mechanism };
                (Stage::Over, Step::Ticket(Ticket { token: token.to_vec(), wrapping }))
            }
            None => {
                let answer = Answer { state: State::Incomplete, mechanism, token: None, code: None };
                (Stage::AwaitsTicket, Step::Continue(answer.to_bytes()))
            }
        });
    }
    if !offer.takes.ntlm {
        return Err(NtlmError::NotTaken);
    }
    let place = first.mechanisms.iter().position(|oid| *oid == token::NTLM);
    let place = place.ok_or(NtlmError::Format("NTLM is not among the mechanisms the client offers"))?;
    let mechanisms = Mechanisms { list: first.list.to_vec(), is_first: place == 0 };
    match first.token {
        // What comes with the list is for the client's first choice.
        Some(message) if mechanisms.is_first => challenge(message, offer, Some(mechanisms), true),
        _ => {
            let state = if mechanisms.is_first { State::Incomplete } else { State::RequestCode };
            let answer = Answer { state, mechanism: Some(token::NTLM), token: None, code: None };
            Ok((Stage::Agreed(mechanisms), Step::Continue(answer.to_bytes())))
        }
    }
}

fn challenge(
    message: &[u8],
    offer: &Offer<'_>,
    mechanisms: Option<Mechanisms>,
    names_mechanism: bool,
) -> Result<(Stage, Step), NtlmError> {
    if !offer.takes.ntlm {
        return Err(NtlmError::NotTaken);
    }
    let challenged = Challenged::answer(message, offer.names, offer.server_challenge, offer.now)?;
    let answer = match mechanisms {
        None => challenged.message().to_vec(),
        Some(_) => {
            let token = Some(challenged.message());
            let mechanism = names_mechanism.then_some(token::NTLM);
            Answer { state: State::Incomplete, mechanism, token, code: None }.to_bytes()
        }
    };
    Ok((Stage::Challenged(Box::new(challenged), mechanisms), Step::Continue(answer)))
}

impl Claim {
    /// The user.
    pub fn user(&self) -> &str {
        &self.ntlm.user
    }

    /// The user's domain; often empty.
    pub fn domain(&self) -> &str {
        &self.ntlm.domain
    }

    /// The session and the last token to send, when the client knows the secret behind `hash` and
    /// nothing was changed on the way. Plain NTLM has no last token.
    pub fn prove(&self, hash: &NtHash) -> Option<(Session, Option<Vec<u8>>)> {
        let mut session = self.ntlm.prove(hash)?;
        let Some(mechanisms) = &self.mechanisms else { return Some((session, None)) };
        let code = match &self.code {
            Some(code) if session.is_code_of_client(&mechanisms.list, code) => {
                Some(session.code_of_server(&mechanisms.list))
            }
            None if mechanisms.is_first => None,
            _ => return None,
        };
        let code = code.as_ref().map(<[u8; 16]>::as_slice);
        let answer = Answer { state: State::Complete, mechanism: None, token: None, code };
        Some((session, Some(answer.to_bytes())))
    }
}

/// One fuzz case: any bytes as tokens and as sealed bodies. Nothing may panic.
pub fn fuzz_one(bytes: &[u8]) {
    let names = ServerNames { computer: "SITE".to_owned(), domain: "XYZ".to_owned(), dns: "site".to_owned() };
    let terms = Terms { binding: None, is_own_host: &|_| true };
    for kerberos in [false, true] {
        let takes = Takes { ntlm: true, kerberos };
        let offer = Offer { names: &names, server_challenge: [7; 8], now: Timestamp(0), takes };
        let mut acceptor = Acceptor::default();
        for token in [bytes, bytes] {
            match acceptor.step(token, &offer, &terms) {
                Ok(Step::Claimed(claim)) => {
                    assert!(claim.prove(&NtHash([0; 16])).is_none(), "nobody guesses a proof");
                }
                Ok(Step::Ticket(ticket)) => {
                    assert!(kerberos, "nobody asked for tickets");
                    assert!(ticket.token().len() <= token.len(), "a ticket lies within its token");
                }
                Ok(Step::Continue(_)) | Err(_) => {}
            }
        }
    }
    let _any = Token::response(bytes);
    if let Ok(body) = SealedBody::parse("multipart/encrypted;boundary=\"Encrypted Boundary\"", bytes) {
        assert!(body.data.len() < bytes.len(), "what is sealed lies within the body");
    }
}

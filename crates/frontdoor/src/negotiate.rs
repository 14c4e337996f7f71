//! Signing a connection in with NTLM or Kerberos, wrapped in SPNEGO or not.
//!
//! The state belongs to the TCP connection: [`Negotiation`] lives as long as it. A sign-in takes one
//! request with a token in `Authorization` (Kerberos) or two (NTLM); the requests that follow on the
//! same connection carry none, and each is looked up again, so that rights are those of the moment.
//!
//! Over TLS a sign-in is bound to the server's certificate. Without TLS it is good for sealed bodies
//! alone ([`Sealing`]).
//!
//! What it does not do: it reads no message itself (`restock_wire::spnego` and `kerberos` do) and
//! finds no secret and no account (`restock_provider::account` does).
//! Source: docs/rights.md, "NTLM" and "Kerberos"; RFC 4559; \[MS-WSMV\], 2.2.9.1.

mod sealing;
mod ticket;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use restock_provider::account::{NtlmIdentity, PrincipalIdentity, SignedIn};
use restock_wire::ntlm::{NtHash, NtlmError, ServerNames, Session, Terms};
use restock_wire::spnego::{Acceptor, Offer, SealedBy, Step, Takes};

use crate::authenticate::{NotSignedIn, refused_sign_in, unauthorized};
use crate::handler::{Handler, Peer};
use crate::kerberos::Context;
use crate::refused::{Refused, split_code};
use crate::socket::Shared;
pub(crate) use sealing::{NotSealed, Sealing};

/// How the first message of a sign-in begins in the wrapped form.
const FIRST_WRAPPED: u8 = 0x60;

/// The scheme under which tokens come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Negotiate,
    Ntlm,
}

impl Scheme {
    /// The scheme and the token of an `Authorization`; `None` for other schemes.
    pub(crate) fn of(value: &str) -> Option<(Self, &str)> {
        let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
        let scheme = match scheme {
            _ if scheme.eq_ignore_ascii_case("Negotiate") => Self::Negotiate,
            _ if scheme.eq_ignore_ascii_case("NTLM") => Self::Ntlm,
            _ => return None,
        };
        Some((scheme, token.trim()))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Negotiate => "Negotiate",
            Self::Ntlm => "NTLM",
        }
    }

    fn header(self, token: &[u8]) -> Option<HeaderValue> {
        HeaderValue::from_str(&format!("{} {}", self.name(), STANDARD.encode(token))).ok()
    }
}

/// How far a connection is with signing in.
#[derive(Debug, Default)]
pub(crate) struct Negotiation(Mutex<Stage>);

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Nobody,
    UnderWay(Acceptor),
    SignedIn(Box<Connected>),
}

/// Who is signed in on a connection, and its keys.
#[derive(Debug)]
struct Connected {
    identity: Identity,
    session: Keys,
}

/// Who is signed in on a connection, and by what.
#[derive(Debug, Clone)]
pub(crate) enum Identity {
    Ntlm(NtlmIdentity),
    Kerberos(PrincipalIdentity),
}

/// The keys that bodies are sealed with.
#[derive(Debug)]
enum Keys {
    Ntlm(Box<Session>),
    Kerberos(Context),
}

impl Keys {
    fn open(&mut self, by: SealedBy, signature: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Ntlm(session) if by == SealedBy::Spnego => session.open(signature.try_into().ok()?, sealed),
            Self::Ntlm(_) => None,
            Self::Kerberos(context) => context.open(signature, sealed),
        }
    }

    fn close(&mut self, message: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        match self {
            Self::Ntlm(session) => {
                let (signature, sealed) = session.close(message);
                Some((signature.to_vec(), sealed))
            }
            Self::Kerberos(context) => context.close(message),
        }
    }
}

impl Negotiation {
    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.0.lock().expect("no code panics while holding this lock")
    }

    /// Who is signed in on the connection.
    pub(crate) fn identity(&self) -> Option<Identity> {
        match &*self.stage() {
            Stage::SignedIn(connected) => Some(connected.identity.clone()),
            _ => None,
        }
    }

    /// Somebody is signed in from here on.
    fn enter(&self, identity: Identity, session: Keys) {
        *self.stage() = Stage::SignedIn(Box::new(Connected { identity, session }));
    }

    /// Nobody is signed in any more.
    pub(crate) fn forget(&self) {
        *self.stage() = Stage::Nobody;
    }

    /// The acceptor for a token: a first message begins anew, whatever went before.
    fn acceptor(&self, token: &[u8]) -> Acceptor {
        let is_first = token.first() == Some(&FIRST_WRAPPED) || token.get(8) == Some(&1);
        match std::mem::take(&mut *self.stage()) {
            Stage::UnderWay(acceptor) if !is_first => acceptor,
            _ => Acceptor::default(),
        }
    }

    /// Opens a sealed message. `None`: nobody is signed in, or it does not fit.
    fn open(&self, by: SealedBy, signature: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        match &mut *self.stage() {
            Stage::SignedIn(connected) => connected.session.open(by, signature, sealed),
            _ => None,
        }
    }

    fn close(&self, message: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        match &mut *self.stage() {
            Stage::SignedIn(connected) => connected.session.close(message),
            _ => None,
        }
    }
}

/// Somebody who has signed in by a token.
#[derive(Debug)]
pub(crate) struct Negotiated {
    pub(crate) signed_in: SignedIn,
    pub(crate) by: Mechanism,
    /// The last token to send.
    pub(crate) last: Option<HeaderValue>,
}

/// What somebody signed in by on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Ntlm,
    Kerberos,
}

impl Mechanism {
    /// The refusal of a body that is not sealed, where it must be.
    pub(crate) fn unsealed(self) -> Refused {
        let (code, name) = match self {
            Self::Ntlm => ("NTLM_UNSEALED", "NTLM"),
            Self::Kerberos => ("KERBEROS_UNSEALED", "Kerberos"),
        };
        let text = format!(
            "without TLS a sign-in with {name} is good for sealed bodies alone; seal them, or use HTTPS"
        );
        Refused::transport(403, code, text)
    }
}

/// Takes the next token of a connection. Somebody has signed in, with a last token to send or none.
///
/// Errors: [`NotSignedIn`], also while the sign-in goes on.
pub(crate) async fn step(
    handler: &Handler,
    shared: &Arc<Shared>,
    peer: Peer,
    (scheme, token, takes): (Scheme, &str, Takes),
) -> Result<Negotiated, NotSignedIn> {
    let negotiation = shared.negotiation();
    let token = match STANDARD.decode(token) {
        Ok(token) if !token.is_empty() => token,
        _ => {
            negotiation.forget();
            return Err(refuse(&NtlmError::Format("a token is base64 of at least one byte"), peer, takes));
        }
    };
    let mut acceptor = negotiation.acceptor(&token);
    let mut server_challenge = [0; 8];
    getrandom::fill(&mut server_challenge).map_err(|error| {
        tracing::error!(target: "adminservice", %error, "the machine gave no randomness");
        NotSignedIn::now(Refused::later(503, "BUSY", "nobody can sign in at the moment", 5))
    })?;
    let offer = Offer { names: &handler.ntlm_names, server_challenge, now: handler.now(), takes };
    let is_own_host = |host: &str| is_own_host(handler, host, peer.local.ip());
    let terms = Terms { binding: shared.binding(), is_own_host: &is_own_host };
    let claim = match acceptor.step(&token, &offer, &terms).map_err(|error| refuse(&error, peer, takes))? {
        Step::Claimed(claim) => claim,
        Step::Ticket(ticket) => return ticket::enter(handler, shared, peer, (scheme, &ticket)).await,
        Step::Continue(answer) => {
            *negotiation.stage() = Stage::UnderWay(acceptor);
            let mut refused = Refused::transport(401, "UNAUTHORIZED", "the sign-in goes on");
            refused.headers.extend(scheme.header(&answer).map(|value| (WWW_AUTHENTICATE, value)));
            return Err(NotSignedIn::after_body(refused));
        }
    };
    let names = (claim.user(), claim.domain());
    let signed_in = handler
        .accounts
        .sign_in_ntlm(names, peer.remote.ip().to_canonical(), |secret| claim.prove(&NtHash(secret.reveal())));
    let (signed_in, identity, (session, last)) =
        signed_in.await.map_err(|refusal| NotSignedIn::after_body(refused_sign_in(refusal)))?;
    if !peer.is_tls && !session.can_seal() {
        let weak = "without TLS only sealed bodies are taken; agree on sealing with 128-bit keys";
        return Err(refuse(&NtlmError::Weak(weak), peer, takes));
    }
    negotiation.enter(Identity::Ntlm(identity), Keys::Ntlm(Box::new(session)));
    let last = last.and_then(|token| scheme.header(&token));
    Ok(Negotiated { signed_in, by: Mechanism::Ntlm, last })
}

/// A sign-in that cannot go on: 401 with the code.
fn refuse(error: &NtlmError, peer: Peer, takes: Takes) -> NotSignedIn {
    let text = error.to_string();
    let (_, description) = split_code(&text);
    let (code, description) = match error {
        NtlmError::Format(_) if !takes.ntlm => {
            ("KERBEROS_FORMAT", "a token is one of Kerberos, wrapped in SPNEGO or not, in base64")
        }
        NtlmError::Format(_) => ("NTLM_FORMAT", description),
        NtlmError::Weak(_) => ("NTLM_WEAK", description),
        NtlmError::Target => ("NTLM_TARGET", description),
        NtlmError::ChannelBinding => ("EPA_REQUIRED", description),
        NtlmError::NotTaken => return NotSignedIn::after_body(unauthorized()),
    };
    tracing::info!(target: "adminservice", code, client = %peer.remote.ip(), "a sign-in was refused");
    NotSignedIn::after_body(Refused::transport(401, code, description))
}

/// True when a client that asked for `host` meant this service.
fn is_own_host(handler: &Handler, host: &str, local: IpAddr) -> bool {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => address.to_canonical() == local.to_canonical(),
        Err(_name) => handler.known.is_own(host, local),
    }
}

/// How this server is called in a challenge.
///
/// `host`: the name by which clients resolve it. `site`: its code, which stands for a domain.
pub(crate) fn names(host: &str, site: &str) -> ServerNames {
    /// The longest name of a computer.
    const COMPUTER_CHARS_MAX: usize = 15;
    let short = host.split('.').next().unwrap_or_default();
    ServerNames {
        computer: short.chars().take(COMPUTER_CHARS_MAX).collect::<String>().to_uppercase(),
        domain: site.to_owned(),
        dns: host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Scheme, names};

    #[test]
    fn tokens_come_under_two_schemes() {
        assert_eq!(Scheme::of("negotiate  YII="), Some((Scheme::Negotiate, "YII=")));
        assert_eq!(Scheme::of("NTLM TlRM"), Some((Scheme::Ntlm, "TlRM")));
        assert_eq!(Scheme::of("Negotiate"), Some((Scheme::Negotiate, "")));
        assert_eq!(Scheme::of("Basic x"), None);
    }

    #[test]
    fn a_computer_has_a_short_name_in_upper_case() {
        let names = names("a-very-long-machine-name.example", "XYZ");
        assert_eq!((names.computer.as_str(), names.domain.as_str()), ("A-VERY-LONG-MAC", "XYZ"));
        assert_eq!(names.dns, "a-very-long-machine-name.example");
    }
}

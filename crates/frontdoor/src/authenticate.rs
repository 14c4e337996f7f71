//! Who asks: from the `Authorization` header, the connection or the client's certificate to a caller.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, USER_AGENT, WWW_AUTHENTICATE};
use restock_provider::Caller;
use restock_provider::account::{Secret, SignInRefusal, SignedIn};
use restock_wire::spnego::Takes;

use crate::handler::{Handler, Peer};
use crate::negotiate::{self, Identity, Mechanism, Negotiated, Scheme, Sealing};
use crate::refused::Refused;
use crate::route::Route;
use crate::socket::Shared;

/// Characters of `User-Agent` that are kept.
const APPLICATION_MAX: usize = 100;

/// The way to sign in that belongs to a connection.
const NEGOTIATE: &str = "Negotiate";

/// What a header offers.
enum Credential<'h> {
    Password(String, Secret),
    Token(String),
    Message(Scheme, &'h str),
}

/// Somebody who has signed in, for one request.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) caller: Caller,
    /// What the answer says of it.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Only a sealed body is taken: signed in with this, and no TLS protects the connection.
    pub(crate) must_be_sealed: Option<Mechanism>,
    /// The body may be sealed.
    pub(crate) may_be_sealed: bool,
}

/// Why nobody has signed in.
#[derive(Debug)]
pub(crate) struct NotSignedIn {
    pub(crate) refused: Refused,
    /// The request's body is read first, so that the connection can go on.
    pub(crate) reads_body: bool,
}

impl NotSignedIn {
    pub(crate) fn now(refused: Refused) -> Self {
        Self { refused, reads_body: false }
    }

    pub(crate) fn after_body(refused: Refused) -> Self {
        Self { refused, reads_body: true }
    }
}

/// Signs in by what the headers, the connection or the client's certificate offer.
///
/// Errors: 401 for everything that is not a right password, proof or certificate or a valid token,
/// whatever the reason; 403 for a certificate of the link; 429 and 503 with `Retry-After`.
pub(crate) async fn sign_in(
    handler: &Handler,
    shared: &Arc<Shared>,
    (peer, route): (Peer, Route),
    headers: &HeaderMap,
    correlation: &str,
) -> Result<Entered, NotSignedIn> {
    if shared.certificate().is_some_and(|certificate| certificate.is_of_link) {
        return Err(NotSignedIn::now(Refused::transport(
            403,
            "IDENTITY",
            "the certificate of a site or a distribution point opens no management door",
        )));
    }
    let found = find(handler, shared, (peer, route), headers).await;
    let found = match found {
        Err(mut not)
            if not.refused.http == 401
                && !not.refused.headers.iter().any(|(name, _)| name == WWW_AUTHENTICATE) =>
        {
            let ways = ways(handler, peer, route).await;
            // Who negotiates sends the request again on the same connection, which must go on.
            not.reads_body |= ways.iter().any(|(_, way)| way == NEGOTIATE);
            not.refused.headers.extend(ways);
            Err(not)
        }
        found => found,
    };
    let Found { signed_in, by, last } = found?;
    let SignedIn { account, admin_id, rights } = signed_in;
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let application = text(USER_AGENT.as_str()).unwrap_or("Unknown");
    let caller = Caller {
        account,
        admin_id: Some(admin_id),
        rights,
        door: route.door(),
        address: peer.remote.ip().to_canonical().to_string(),
        application: application.chars().take(APPLICATION_MAX).collect(),
        correlation: correlation.to_owned(),
        request_id: text("repeatability-request-id").map(str::to_owned),
        versions: Vec::new(),
    };
    Ok(Entered {
        caller,
        headers: last.into_iter().map(|value| (WWW_AUTHENTICATE, value)).collect(),
        must_be_sealed: by.filter(|_| !peer.is_tls),
        may_be_sealed: by.is_some() && Sealing::is_announced(headers),
    })
}

struct Found {
    signed_in: SignedIn,
    /// Whose keys the connection has.
    by: Option<Mechanism>,
    /// The last token of a sign-in.
    last: Option<HeaderValue>,
}

async fn find(
    handler: &Handler,
    shared: &Arc<Shared>,
    (peer, route): (Peer, Route),
    headers: &HeaderMap,
) -> Result<Found, NotSignedIn> {
    let refused = |refusal| NotSignedIn::now(refused_sign_in(refusal));
    let plain = |signed_in| Found { signed_in, by: None, last: None };
    let accounts = &handler.accounts;
    if !headers.contains_key(AUTHORIZATION) {
        let (again, by) = match shared.negotiation().identity() {
            Some(Identity::Ntlm(identity)) if takes_ntlm(route) => {
                (Some(accounts.sign_in_again(&identity).await), Mechanism::Ntlm)
            }
            Some(Identity::Kerberos(identity)) => {
                (Some(accounts.sign_in_principal_again(&identity).await), Mechanism::Kerberos)
            }
            _ => (None, Mechanism::Ntlm),
        };
        if let Some(again) = again {
            return match again {
                Ok(signed_in) => Ok(Found { signed_in, by: Some(by), last: None }),
                Err(refusal) => {
                    shared.negotiation().forget();
                    Err(refused(refusal))
                }
            };
        }
        let Some(certificate) = shared.certificate() else {
            return Err(NotSignedIn::now(unauthorized()));
        };
        return accounts.sign_in_certificate(certificate).await.map(plain).map_err(refused);
    }
    let credential = offered(headers).ok_or_else(|| NotSignedIn::now(unauthorized()))?;
    if peer.is_sealed_only && !matches!(credential, Credential::Message(..)) {
        return Err(NotSignedIn::now(Refused::transport(
            403,
            "TLS_REQUIRED",
            "no password and no token is taken without TLS; sign in with NTLM or Kerberos and sealed bodies, or use HTTPS",
        )));
    }
    match credential {
        Credential::Password(name, password) => {
            let address = peer.remote.ip().to_canonical();
            accounts.sign_in(&name, &password, address).await.map(plain).map_err(refused)
        }
        Credential::Token(token) => accounts.sign_in_token(&token).await.map(plain).map_err(refused),
        Credential::Message(scheme, token) => {
            let ntlm = takes_ntlm(route)
                && accounts.offers_ntlm().await.map_err(|error| refused(SignInRefusal::Database(error)))?;
            let takes = Takes { ntlm, kerberos: handler.kerberos.is_some() && scheme == Scheme::Negotiate };
            if !takes.ntlm && !takes.kerberos {
                return Err(NotSignedIn::now(unauthorized()));
            }
            let negotiated = negotiate::step(handler, shared, peer, (scheme, token, takes)).await?;
            let Negotiated { signed_in, by, last } = negotiated;
            Ok(Found { signed_in, by: Some(by), last })
        }
    }
}

/// Clients of CIM-XML know passwords and certificates, and some of them tickets.
fn takes_ntlm(route: Route) -> bool {
    route != Route::Cimom
}

/// 401 without a word of how to sign in, which is added when it is known.
pub(crate) fn unauthorized() -> Refused {
    let mut refused = Refused::unauthorized();
    refused.headers.clear();
    refused
}

/// The ways to sign in that a 401 names.
async fn ways(handler: &Handler, peer: Peer, route: Route) -> Vec<(HeaderName, HeaderValue)> {
    let is_ntlm = takes_ntlm(route)
        && handler.accounts.offers_ntlm().await.unwrap_or_else(|error| {
            tracing::error!(target: "adminservice", %error, "whether NTLM is offered is not to be read");
            false
        });
    let mut ways = Vec::new();
    if is_ntlm || handler.kerberos.is_some() {
        ways.push((WWW_AUTHENTICATE, HeaderValue::from_static(NEGOTIATE)));
    }
    // WS-Management clients take the wrapped form alone.
    if is_ntlm && route == Route::Service {
        ways.push((WWW_AUTHENTICATE, HeaderValue::from_static("NTLM")));
    }
    if !peer.is_sealed_only {
        ways.extend(Refused::unauthorized().headers);
    }
    ways
}

/// A refusal to sign somebody in.
pub(crate) fn refused_sign_in(refusal: SignInRefusal) -> Refused {
    match refusal {
        SignInRefusal::Unauthorized => unauthorized(),
        SignInRefusal::TooMany(wait) => {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Refused::later(
                429,
                "TOO_MANY_ATTEMPTS",
                "too many attempts to sign in; wait before the next",
                seconds,
            )
        }
        SignInRefusal::Busy => Refused::later(503, "BUSY", "too many sign in at the moment", 1),
        SignInRefusal::Database(error) => {
            tracing::error!(target: "adminservice", error = &error as &dyn std::error::Error, "nobody can sign in");
            Refused::later(503, "BUSY", "nobody can sign in at the moment", 5)
        }
    }
}

/// The one credential offered; `None` when there is none, more than one, or one of another kind.
fn offered(headers: &HeaderMap) -> Option<Credential<'_>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
    if let Some((scheme, token)) = Scheme::of(value) {
        return Some(Credential::Message(scheme, token));
    }
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("Bearer") {
        return Some(Credential::Token(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some(Credential::Password(name.to_owned(), Secret::new(password)))
}

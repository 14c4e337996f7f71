//! Who asks: from the `Authorization` header to a caller.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, USER_AGENT};
use restock_provider::account::{Accounts, Secret, SignInRefusal, SignedIn};
use restock_provider::{Caller, Door};

use crate::refused::Refused;

/// Characters of `User-Agent` that are kept.
const APPLICATION_MAX: usize = 100;

/// What a header offers.
enum Credential {
    Password(String, Secret),
    Token(String),
}

/// Signs in by what the headers offer.
///
/// Errors: 401 for everything that is not a right password or a valid token, whatever the reason;
/// 429 and 503 with `Retry-After`.
pub(crate) async fn sign_in(
    accounts: &Accounts,
    headers: &HeaderMap,
    address: IpAddr,
    correlation: &str,
) -> Result<Caller, Refused> {
    let credential = offered(headers).ok_or_else(Refused::unauthorized)?;
    let signed_in = match credential {
        Credential::Password(name, password) => accounts.sign_in(&name, &password, address).await,
        Credential::Token(token) => accounts.sign_in_token(&token).await,
    };
    let SignedIn { account, admin_id, rights } = signed_in.map_err(refused)?;
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let application = text(USER_AGENT.as_str()).unwrap_or("Unknown");
    Ok(Caller {
        account,
        admin_id: Some(admin_id),
        rights,
        door: Door::AdminService,
        address: address.to_string(),
        application: application.chars().take(APPLICATION_MAX).collect(),
        correlation: correlation.to_owned(),
        request_id: text("repeatability-request-id").map(str::to_owned),
    })
}

fn refused(refusal: SignInRefusal) -> Refused {
    match refusal {
        SignInRefusal::Unauthorized => Refused::unauthorized(),
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
fn offered(headers: &HeaderMap) -> Option<Credential> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
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

//! One request from its head to its answer.
//!
//! The order is the rule: framing, method, host, origin, then who asks, and only then what the
//! URL and the body say. Until somebody has signed in, they learn that a service is there and
//! nothing more.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use restock_names::{Clock, Escaped, Timestamp};
use restock_provider::account::Accounts;
use restock_provider::{Caller, Provider};
use restock_wire::ntlm::ServerNames;
use restock_wire::odata::ErrorBody;

use crate::cimom::{self, Cimom};
use crate::config::{DoorLimits, Doors};
use crate::content::{BodyFault, Content, Sent, read_body};
use crate::correlation;
use crate::documents::Documents;
use crate::host::Known;
use crate::kerberos::Kerberos;
use crate::negotiate::{NotSealed, Sealing};
use crate::page::Seal;
use crate::qualifiers::{Handles, Qualifiers};
use crate::refused::{Mapping, Refused};
use crate::route::Route;
use crate::socket::Shared;
use crate::wsman::{self, WsMan};
use crate::{authenticate, service};

/// Characters of a URL that the log shows.
const LOGGED_MAX: usize = 500;

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) is_tls: bool,
    /// Only sealed bodies are taken on the listener.
    pub(crate) is_sealed_only: bool,
    /// What is spoken on the listener.
    pub(crate) doors: Doors,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) provider: Provider,
    pub(crate) accounts: Accounts,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: DoorLimits,
    pub(crate) known: Known,
    pub(crate) documents: Documents,
    pub(crate) mapping: Mapping,
    pub(crate) seal: Arc<Seal>,
    pub(crate) cimom: Cimom,
    pub(crate) wsman: WsMan,
    pub(crate) handles: Handles,
    /// The keys of Kerberos, where it is configured.
    pub(crate) kerberos: Option<Kerberos>,
    /// How this server is called in a sign-in with NTLM.
    pub(crate) ntlm_names: ServerNames,
    /// `root\sms\site_XYZ`
    pub(crate) namespace: String,
}

/// A request that was signed in, with what answering it needs.
pub(crate) struct Asked {
    pub(crate) parts: Parts,
    pub(crate) caller: Caller,
    /// `https://host:port`.
    pub(crate) origin: String,
    pub(crate) body: Vec<u8>,
    /// What the request says of its context.
    pub(crate) qualifiers: Qualifiers,
}

/// An answer without what all answers have.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) content: Content,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    pub(crate) fn new(status: StatusCode, content_type: &'static str, content: Content) -> Self {
        Self { status, content_type, content, headers: Vec::new() }
    }

    pub(crate) fn json(status: StatusCode, text: String) -> Self {
        Self::new(status, service::JSON, Content::Text(text.into()))
    }

    pub(crate) fn empty(status: StatusCode) -> Self {
        Self::new(status, "", Content::Empty)
    }

    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

impl Handler {
    pub(crate) fn limits(&self) -> &DoorLimits {
        &self.limits
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Answers one request; refusals are answers too.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
        shared: Arc<Shared>,
    ) -> Response<Sent> {
        let busy = shared.begin();
        let correlation = correlation::id();
        let (parts, body) = request.into_parts();
        let (method, url) = (parts.method.clone(), shown_url(&parts));
        let route = Route::of(&method, parts.uri.path(), peer.doors);
        let mut signed = Signed::default();
        let answered = match shared.next_request() {
            Some(violation) => Err(Refused::framing(&violation)),
            None => self.dispatch(route, parts, body, (peer, &shared), &correlation, &mut signed).await,
        };
        let mut response = match answered {
            Ok(answer) => {
                let mut response = Response::new(Sent::new(answer.content, Arc::clone(&shared), busy));
                *response.status_mut() = answer.status;
                if !answer.content_type.is_empty() {
                    let value = HeaderValue::from_static(answer.content_type);
                    response.headers_mut().insert(CONTENT_TYPE, value);
                }
                response.headers_mut().extend(answer.headers);
                response
            }
            Err(refused) => refusal(route, &refused, &correlation, Arc::clone(&shared), busy),
        };
        response.headers_mut().extend(signed.headers);
        if let Some(sealing) = signed.sealing
            && let Err(not_sealed) = sealing.close(&mut response).await
        {
            response = unsealed(route, not_sealed, &sealing, &correlation, &shared).await;
        }
        let status = response.status();
        let done = Completed {
            status,
            method: method.as_str(),
            url: &url,
            account: &signed.account,
            client: peer.remote.ip(),
            correlation: &correlation,
        };
        done.log(route);
        add_common(&mut response, route, &correlation);
        response
    }

    async fn dispatch(
        &self,
        route: Option<Route>,
        mut parts: Parts,
        body: Incoming,
        (peer, shared): (Peer, &Arc<Shared>),
        correlation: &str,
        signed: &mut Signed,
    ) -> Result<Answer, Refused> {
        let route = route.ok_or_else(|| {
            Refused::transport(404, "NOT_FOUND", "this listener serves nothing at that path").closing()
        })?;
        if !route.knows(&parts.method) {
            return Err(Refused::method(&parts.method, route.methods()).closing());
        }
        let authority = self.known.authority(&parts, peer.local)?;
        let origin = format!("{}://{authority}", if peer.is_tls { "https" } else { "http" });
        self.known.check_origin(&parts.method, &parts.headers, &origin)?;
        if parts.method == Method::OPTIONS {
            return Ok(Answer::empty(StatusCode::NO_CONTENT).with(http::header::ALLOW, route.methods()));
        }
        if route == Route::WsMan && wsman::is_identify(&parts.headers) {
            let body = self.body(body).await?;
            return wsman::identify(self, &parts.headers, &body);
        }
        let entered = authenticate::sign_in(self, shared, (peer, route), &parts.headers, correlation).await;
        let entered = match entered {
            Ok(entered) => entered,
            Err(not) => {
                if not.reads_body {
                    self.body(body).await?;
                }
                return Err(not.refused);
            }
        };
        entered.caller.account.clone_into(&mut signed.account);
        signed.headers.extend(entered.headers);
        let mut body = self.body(body).await?;
        if entered.may_be_sealed {
            let (sealing, opened) = Sealing::open(shared, &mut parts.headers, &body)?;
            (signed.sealing, body) = (Some(sealing), opened);
        } else if let Some(mechanism) = entered.must_be_sealed
            && !(route == Route::WsMan && body.is_empty())
        {
            return Err(mechanism.unsealed());
        }
        let mut caller = entered.caller;
        let qualifiers = self.handles.read(&parts.headers, &mut caller, self.clock.monotonic());
        let qualifiers =
            qualifiers.map_err(|e| Refused::transport(400, "CONTEXT_QUALIFIER", e.to_string()))?;
        let asked = Asked { parts, caller, origin, body, qualifiers };
        match route {
            Route::Service => {
                if !asked.body.is_empty() && !service::is_json(&asked.parts.headers) {
                    return Err(Refused::transport(
                        415,
                        "CONTENT_TYPE",
                        "a body is JSON; say so with Content-Type: application/json",
                    ));
                }
                self.serve(asked).await
            }
            Route::WsMan => wsman::serve(self, asked).await,
            Route::Cimom => cimom::serve(self, asked).await,
        }
    }

    async fn body(&self, body: Incoming) -> Result<Vec<u8>, Refused> {
        read_body(body, &self.limits).await.map_err(|fault| self.body_refused(fault))
    }

    fn body_refused(&self, fault: BodyFault) -> Refused {
        match fault {
            BodyFault::TooLarge => Refused::transport(
                413,
                "BODY_TOO_LARGE",
                format!("the body has more than {} bytes; send less at once", self.limits.body_bytes_max),
            ),
            BodyFault::TooSlow => Refused::transport(
                408,
                "BODY_RATE",
                format!("the body comes with fewer than {} bytes a second", self.limits.body_rate_min),
            ),
            BodyFault::Broken => {
                Refused::transport(400, "BAD_FRAMING", "the body does not end as it was announced")
            }
        }
        .closing()
    }
}

/// Path and query as they were sent, shortened.
fn shown_url(parts: &Parts) -> String {
    let url = parts.uri.path_and_query().map_or("", |url| url.as_str());
    let mut shown: String = url.chars().take(LOGGED_MAX).collect();
    if shown.len() < url.len() {
        shown.push('…');
    }
    // Where a page ended is nobody's business but the client's.
    match shown.find("$skiptoken=") {
        Some(at) => format!("{}…", &shown[..at + "$skiptoken=".len()]),
        None => shown,
    }
}

/// What signing in adds to an answer.
#[derive(Default)]
struct Signed {
    /// The account; empty when nobody has signed in.
    account: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    sealing: Option<Sealing>,
}

/// What is answered in place of an answer that could not be sealed.
async fn unsealed(
    route: Option<Route>,
    why: NotSealed,
    sealing: &Sealing,
    correlation: &str,
    shared: &Arc<Shared>,
) -> Response<Sent> {
    let refused = match why {
        NotSealed::TooLarge => Refused::transport(
            413,
            "SEALED_TOO_LARGE",
            "the answer is too large to be sealed; ask for less at once, or for pages",
        ),
        NotSealed::Broken => {
            shared.reset();
            Refused::transport(500, "FAILED", "the answer could not be finished").closing()
        }
    };
    let mut response = refusal(route, &refused, correlation, Arc::clone(shared), shared.begin());
    if why == NotSealed::TooLarge && sealing.close(&mut response).await.is_err() {
        shared.reset();
    }
    response
}

/// What the log of a door says of a request.
struct Completed<'r> {
    status: StatusCode,
    method: &'r str,
    url: &'r str,
    account: &'r str,
    client: std::net::IpAddr,
    correlation: &'r str,
}

/// The same line for the target of each door: a target is fixed when the program is built.
macro_rules! completed {
    ($target:literal, $done:expr) => {
        tracing::info!(
            target: $target,
            status = $done.status.as_u16(),
            method = %Escaped($done.method.as_bytes()),
            url = %Escaped($done.url.as_bytes()),
            user = %Escaped($done.account.as_bytes()),
            client = %$done.client,
            correlation = %$done.correlation,
            "Completing request with response code [{}] reason [{}]",
            $done.status.as_u16(),
            $done.status.canonical_reason().unwrap_or("Unknown")
        )
    };
}

impl Completed<'_> {
    fn log(&self, route: Option<Route>) {
        match route {
            Some(Route::Service) | None => completed!("adminservice", self),
            Some(Route::WsMan) => completed!("wsman", self),
            Some(Route::Cimom) => completed!("cimxml", self),
        }
    }
}

fn refusal(
    route: Option<Route>,
    refused: &Refused,
    correlation: &str,
    shared: Arc<Shared>,
    busy: crate::socket::Busy,
) -> Response<Sent> {
    let (content_type, text) = match route {
        Some(Route::Cimom) => cimom::refusal(refused, correlation),
        Some(Route::WsMan) => wsman::refusal(refused, correlation),
        Some(Route::Service) | None => {
            let body = ErrorBody {
                http: refused.http,
                code: refused.code,
                description: &refused.description,
                status: refused.status.as_deref(),
                return_value: refused.return_value,
                correlation,
            };
            (service::JSON, body.to_json())
        }
    };
    let content = Content::Text(Bytes::from(text));
    let mut response = Response::new(Sent::new(content, shared, busy));
    *response.status_mut() = StatusCode::from_u16(refused.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in &refused.headers {
        headers.append(name, value.clone());
    }
    if refused.closes {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What every answer says.
fn add_common(response: &mut Response<Sent>, route: Option<Route>, correlation: &str) {
    let headers = response.headers_mut();
    let mut add = |name, value| headers.insert(name, HeaderValue::from_static(value));
    add(X_CONTENT_TYPE_OPTIONS, "nosniff");
    add(CACHE_CONTROL, "no-store");
    add(REFERRER_POLICY, "no-referrer");
    add(http::header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    if matches!(route, Some(Route::Service) | None) {
        add(http::header::VARY, "Authorization, Prefer, OData-Version, OData-MaxVersion");
        add(HeaderName::from_static("odata-version"), "4.0");
    }
    add(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if let Ok(value) = HeaderValue::from_str(correlation) {
        headers.insert(HeaderName::from_static("x-correlation-id"), value);
    }
}

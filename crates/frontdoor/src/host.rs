//! Who may be asked for what: names of this service, and pages of other origins.
//!
//! A page in somebody's browser can send requests to any name. So a request must ask for a name
//! of this service, and one that changes things must not come from a page of another origin.
//! Source: docs/formats/adminservice.md, "Browsers".

use std::net::{IpAddr, SocketAddr};

use http::header::{HOST, HeaderName, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};
use restock_names::Escaped;

use crate::refused::Refused;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Names and origins of one service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// In lower case, addresses without brackets.
    names: Vec<String>,
    origins: Vec<String>,
}

impl Known {
    pub(crate) fn new(names: &[String], origins: &[String]) -> Self {
        let names = names.iter().map(|name| folded(name)).filter(|name| !name.is_empty()).collect();
        let origins = origins.iter().map(|o| o.trim_end_matches('/').to_ascii_lowercase()).collect();
        Self { names, origins }
    }

    /// The authority that was asked for, as written: `host` or `host:port`.
    ///
    /// Errors: none or two `Host` headers (400); a name that is not of this service, in `Host` or in
    /// an absolute target (421).
    pub(crate) fn authority(&self, parts: &Parts, local: SocketAddr) -> Result<String, Refused> {
        let mut hosts = parts.headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(
                Refused::transport(400, "HOST", "a request carries exactly one Host header").closing()
            );
        };
        let host = host.to_str().unwrap_or_default();
        let target = parts.uri.authority().map(http::uri::Authority::as_str);
        for asked in std::iter::once(host).chain(target) {
            if !self.is_own(asked, local.ip()) {
                let shown: String = asked.chars().take(100).collect();
                let text = format!(
                    "{} is no name of this service; ask for one that names in [admin_service] lists",
                    Escaped(shown.as_bytes())
                );
                return Err(Refused::transport(421, "HOST_UNKNOWN", text));
            }
        }
        if target.is_some_and(|target| {
            folded(name_of(target).unwrap_or("")) != folded(name_of(host).unwrap_or(""))
        }) {
            return Err(Refused::transport(
                421,
                "HOST_UNKNOWN",
                "the request's target and its Host name two services",
            ));
        }
        Ok(host.to_owned())
    }

    /// True when an authority, with a port or without, is a name or address of this service.
    pub(crate) fn is_own(&self, authority: &str, local: IpAddr) -> bool {
        let Some(name) = name_of(authority) else { return false };
        let name = folded(name);
        let address = name.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        address == Some(local.to_canonical())
            || self.names.contains(&name)
            || (local.to_canonical().is_loopback() && name == "localhost")
    }

    /// Refuses what a page of another origin sends to change things (403).
    pub(crate) fn check_origin(
        &self,
        method: &Method,
        headers: &HeaderMap,
        own_origin: &str,
    ) -> Result<(), Refused> {
        if *method == Method::GET || *method == Method::HEAD || *method == Method::OPTIONS {
            return Ok(());
        }
        let refuse = |what: &str| Err(Refused::transport(403, "ORIGIN", format!("{what}; nothing was done")));
        for origin in headers.get_all(ORIGIN) {
            let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
            if origin != own_origin.to_ascii_lowercase() && !self.origins.contains(&origin) {
                return refuse("the request comes from a page of an origin that is not known here");
            }
        }
        for site in headers.get_all(&SEC_FETCH_SITE) {
            if site != "same-origin" && site != "none" {
                return refuse("the request comes from a page of another site");
            }
        }
        Ok(())
    }
}

/// The name or address of an authority, without port and brackets. `None` when it is neither.
fn name_of(authority: &str) -> Option<&str> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        return is_port(rest).then_some(address);
    }
    let name = match authority.split_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) => return None,
        None => authority,
    };
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)))
        .then_some(name)
}

fn is_port(rest: &str) -> bool {
    rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

fn folded(name: &str) -> String {
    name.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::Known;

    fn status(target: &str, hosts: &[&str]) -> u16 {
        let known = Known::new(&["Site.example".to_owned(), "[fd00::1]".to_owned()], &[]);
        let mut request = Request::get(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        match known.authority(&parts, "127.0.0.1:1".parse().unwrap()) {
            Ok(_) => 200,
            Err(refused) => refused.http,
        }
    }

    #[test]
    fn only_names_of_this_service_are_answered() {
        for (target, hosts, want) in [
            ("/", &["site.EXAMPLE:8724"][..], 200),
            ("/", &["site.example."], 200),
            ("/", &["localhost"], 200),
            ("/", &["127.0.0.1:9"], 200),
            ("/", &["[fd00::1]:9"], 200),
            ("http://site.example/", &["site.example"], 200),
            ("/", &["evil.example"], 421),
            ("/", &["site.example.evil"], 421),
            ("/", &["user@site.example"], 421),
            ("/", &["site.example:x"], 421),
            ("/", &["10.0.0.1"], 421),
            ("/", &[""], 421),
            ("http://evil.example/", &["site.example"], 421),
            ("http://localhost/", &["site.example"], 421),
            ("/", &[], 400),
            ("/", &["site.example", "site.example"], 400),
        ] {
            assert_eq!(status(target, hosts), want, "{target} {hosts:?}");
        }
    }
}

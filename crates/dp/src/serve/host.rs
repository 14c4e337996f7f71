//! Which names a request may ask for. Pure.
//!
//! A page in somebody's browser can be led to any address by any name, so a request must ask for a
//! name of this service. Source: RFC 9112 section 3.2; docs/formats/serving.md, "Host".

use std::net::IpAddr;

use super::head::Head;

/// The names of a service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts {
    is_any: bool,
    /// In lower case, without brackets.
    names: Vec<String>,
}

/// Why a request asks for nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostError {
    /// None, or two.
    Count,
    /// Of another service.
    Unknown,
}

impl Hosts {
    /// `names` as they are configured; `*` stands for every name.
    pub(crate) fn new(names: &[String]) -> Self {
        let names: Vec<String> = names.iter().map(|name| folded(name)).collect();
        Self { is_any: names.iter().any(|name| name == "*"), names }
    }

    /// Checks what `head` asks for on a connection to `local`, and returns the path of its target.
    ///
    /// Always known: the address the connection came to, and `localhost` on a loopback address.
    pub(crate) fn path<'a>(&self, head: &'a Head, local: IpAddr) -> Result<&'a str, HostError> {
        let host = head.only("host");
        if host.is_none() && (head.is_http_11 || head.has("host")) {
            return Err(HostError::Count);
        }
        let (authority, path) = split(head.target());
        let host = host.map(|host| std::str::from_utf8(host).unwrap_or_default());
        let asked = host.into_iter().chain(authority);
        if asked.into_iter().any(|asked| !self.is_own(asked, local)) {
            return Err(HostError::Unknown);
        }
        Ok(path)
    }

    fn is_own(&self, authority: &str, local: IpAddr) -> bool {
        let Some(name) = name_of(authority) else { return false };
        if self.is_any {
            return true;
        }
        let local = local.to_canonical();
        if name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical() == local) {
            return true;
        }
        let name = folded(name);
        self.names.contains(&name) || (local.is_loopback() && name == "localhost")
    }
}

/// The authority and the path of a target; the path without its query.
fn split(target: &str) -> (Option<&str>, &str) {
    let is_absolute = target.get(..7).is_some_and(|s| s.eq_ignore_ascii_case("http://"));
    let is_absolute_tls = target.get(..8).is_some_and(|s| s.eq_ignore_ascii_case("https://"));
    let (authority, rest) = match (is_absolute, is_absolute_tls) {
        (false, false) => (None, target),
        (is_plain, _) => {
            let rest = &target[if is_plain { 7 } else { 8 }..];
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            (Some(&rest[..end]), if end == rest.len() { "/" } else { &rest[end..] })
        }
    };
    (authority, rest.split(['?', '#']).next().unwrap_or_default())
}

/// The name or address of an authority, without port and brackets. `None` when it is neither.
fn name_of(authority: &str) -> Option<&str> {
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let is_right = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        return is_right.then_some(address);
    }
    let name = match authority.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) => return None,
        None => authority,
    };
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    (!name.is_empty() && name.bytes().all(is_name)).then_some(name)
}

fn folded(name: &str) -> String {
    name.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::{HostError, Hosts};
    use crate::serve::head::Head;

    fn path(names: &[&str], target: &str, hosts: &[&str]) -> Result<String, HostError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let hosts: String = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
        let text = format!("GET {target} HTTP/1.1\r\n{hosts}\r\n");
        let head = Head::parse(text.as_bytes(), 0, 4096).expect("a head").expect("whole").0;
        Hosts::new(&names).path(&head, "127.0.0.1".parse().expect("an address")).map(str::to_owned)
    }

    #[test]
    fn a_request_asks_for_a_name_of_this_service() {
        let (count, unknown) = (Err(HostError::Count), Err(HostError::Unknown));
        let names = ["DP01.example.org.", "2001:db8::1"];
        for (target, hosts, want) in [
            ("/a?b", &["127.0.0.1:8721"][..], Ok("/a")),
            ("/a", &["localhost"], Ok("/a")),
            ("/a", &["dp01.EXAMPLE.org:80"], Ok("/a")),
            ("/a", &["[2001:db8::1]:80"], Ok("/a")),
            ("http://dp01.example.org/a?b", &["dp01.example.org"], Ok("/a")),
            ("http://dp01.example.org", &["dp01.example.org"], Ok("/")),
            ("*", &["localhost"], Ok("*")),
            ("/a", &[], count),
            ("/a", &["localhost", "localhost"], count),
            ("/a", &["evil.example"], unknown),
            ("/a", &["127.0.0.2"], unknown),
            ("/a", &[""], unknown),
            ("/a", &["localhost:x"], unknown),
            ("/a", &["local host"], unknown),
            ("http://evil.example/a", &["localhost"], unknown),
            ("http://localhost@evil.example/a", &["localhost"], unknown),
        ] {
            assert_eq!(path(&names, target, hosts), want.map(str::to_owned), "{target} {hosts:?}");
        }
        assert_eq!(path(&["*"], "/a", &["whatever.example"]), Ok("/a".to_owned()));
        assert_eq!(path(&["*"], "/a", &["a b"]), Err(HostError::Unknown));
    }
}

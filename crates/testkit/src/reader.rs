//! A client of a distribution point: one GET on a connection of its own.
//!
//! It is told by the length that was announced whether an answer came whole; an answer that breaks off is
//! an error. It follows nothing and keeps nothing.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    /// The HTTP status.
    pub status: u16,
    /// The body, as long as announced.
    pub body: Vec<u8>,
}

/// The URL path of a file of a package. `file`: its path as bytes.
pub fn content_path(package: &str, file: &[u8]) -> String {
    let mut path = format!("/SMS_DP_SMSPKG$/{package}/");
    for byte in file {
        match byte {
            b'/' | b'-' | b'_' | b'.' => path.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => path.push(char::from(*byte)),
            byte => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

/// Gets `path`. Errors: no connection, an answer that is none, or one that broke off.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Got> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(bytes)
}

fn parse(mut bytes: Vec<u8>) -> io::Result<Got> {
    let fail = |what: &str| io::Error::new(io::ErrorKind::UnexpectedEof, what.to_owned());
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| fail("no whole head"))?;
    let body = bytes.split_off(head + 4);
    let head = String::from_utf8_lossy(&bytes);
    let status =
        head.split(' ').nth(1).and_then(|text| text.parse().ok()).ok_or_else(|| fail("no status"))?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    if length.is_some_and(|length| length != body.len()) {
        return Err(fail("the body broke off"));
    }
    Ok(Got { status, body })
}

#[test]
fn an_answer_that_breaks_off_is_no_answer() {
    let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab".to_vec();
    assert_eq!(parse(whole.clone()).expect("whole"), Got { status: 200, body: b"ab".to_vec() });
    for length in 0..whole.len() {
        assert!(parse(whole[..length].to_vec()).is_err(), "{length} bytes");
    }
    assert_eq!(content_path("P", b"a b/\xe9"), "/SMS_DP_SMSPKG$/P/a%20b/%E9");
}

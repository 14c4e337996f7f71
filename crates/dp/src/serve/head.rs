//! The head of a request: request line and header lines, read strictly. Pure.
//!
//! What two readers could understand differently is refused: bare line feeds, folded lines, blanks
//! before a colon, control characters. Source: RFC 9112 sections 2 to 5.

use restock_names::Escaped;

/// More header lines than this are refused.
pub(crate) const LINES_MAX: usize = 100;

/// A range within the bytes of a head, which are far fewer than 4 GiB.
type Span = (u32, u32);

/// A request's head.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    method: Span,
    target: Span,
    /// HTTP/1.1 or a later 1.x; else 1.0.
    pub(crate) is_http_11: bool,
    lines: Vec<(Span, Span)>,
}

/// Why bytes are not a head. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    #[error("REQUEST_SYNTAX: {0}")]
    Syntax(&'static str),
    #[error(
        "HEADERS_TOO_LARGE: the request line and headers have more than {bytes_max} bytes or {LINES_MAX} lines; send fewer"
    )]
    TooLarge { bytes_max: usize },
    #[error("HTTP_VERSION: {} is not spoken here; use HTTP/1.1", Escaped(.0))]
    Version(Vec<u8>),
}

impl Head {
    /// Reads the head at the start of `input`, of which the first `seen` bytes were looked at before
    /// and hold no end.
    ///
    /// Returns the head and its length, `None` while its end is missing. Limit: `bytes_max`.
    pub(crate) fn parse(
        input: &[u8],
        seen: usize,
        bytes_max: usize,
    ) -> Result<Option<(Self, usize)>, HeadError> {
        // Empty lines before a request are left over from the one before (RFC 9112 section 2.2).
        let skipped = match input {
            [b'\r', b'\n', b'\r', b'\n', ..] => 4,
            [b'\r', b'\n', ..] => 2,
            _ => 0,
        };
        let head = &input[skipped..];
        if head.first().is_some_and(|b| !is_token(*b) && *b != b'\r') {
            return Err(HeadError::Syntax("a request begins with its method"));
        }
        let Some(length) = end_of_head(head, seen.saturating_sub(skipped))? else {
            return match head.len() > bytes_max {
                true => Err(HeadError::TooLarge { bytes_max }),
                false => Ok(None),
            };
        };
        if length > bytes_max {
            return Err(HeadError::TooLarge { bytes_max });
        }
        Self::of(&head[..length]).map(|head| Some((head, skipped + length))).map_err(|error| match error {
            HeadError::TooLarge { .. } => HeadError::TooLarge { bytes_max },
            error => error,
        })
    }

    /// Reads a whole head, the empty line at its end included.
    fn of(bytes: &[u8]) -> Result<Self, HeadError> {
        let span = |from: usize, to: usize| (from as u32, to as u32);
        let line_end = position(bytes, b'\r').unwrap_or(bytes.len());
        let line = &bytes[..line_end];
        let broken = HeadError::Syntax("the request line is not METHOD TARGET HTTP/1.1");
        let Some(method_end) = position(line, b' ') else { return Err(broken) };
        let target_start = method_end + 1;
        let Some(target_length) = position(&line[target_start..], b' ') else { return Err(broken) };
        let target_end = target_start + target_length;
        let (method, target) = (&line[..method_end], &line[target_start..target_end]);
        if method.is_empty() || !method.iter().all(|b| is_token(*b)) {
            return Err(broken);
        }
        if target.is_empty() || !target.iter().all(|b| (0x21..=0x7e).contains(b)) {
            return Err(HeadError::Syntax("the target has bytes that a URL escapes"));
        }
        let is_http_11 = match &line[target_end + 1..] {
            b"HTTP/1.0" => false,
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => true,
            other @ [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
                return Err(HeadError::Version(other.to_vec()));
            }
            _ => return Err(broken),
        };
        let mut lines = Vec::with_capacity(8);
        let mut at = line_end + 2;
        while at + 2 < bytes.len() {
            let end = at + position(&bytes[at..], b'\r').unwrap_or(bytes.len() - at);
            let line = &bytes[at..end];
            let colon = position(line, b':').ok_or(HeadError::Syntax("a header line has no colon"))?;
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
                return Err(HeadError::Syntax("a header's name has a blank or another forbidden character"));
            }
            if value.iter().any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f) {
                return Err(HeadError::Syntax("a header's value has a control character"));
            }
            if lines.len() == LINES_MAX {
                return Err(HeadError::TooLarge { bytes_max: 0 });
            }
            let blank = |b: &u8| *b == b' ' || *b == b'\t';
            let from = at + colon + 1 + value.iter().take_while(|b| blank(b)).count();
            let to = (end - value.iter().rev().take_while(|b| blank(b)).count()).max(from);
            lines.push((span(at, at + colon), span(from, to)));
            at = end + 2;
        }
        let (method, target) = (span(0, method_end), span(target_start, target_end));
        Ok(Self { bytes: bytes.to_vec(), method, target, is_http_11, lines })
    }

    /// The method, as it was sent.
    pub(crate) fn method(&self) -> &str {
        self.text(self.method)
    }

    /// The target, as it was sent.
    pub(crate) fn target(&self) -> &str {
        self.text(self.target)
    }

    /// The values of all header lines of this name, in order.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let wanted = move |line: &&(Span, Span)| self.part(line.0).eq_ignore_ascii_case(name.as_bytes());
        self.lines.iter().filter(wanted).map(|line| self.part(line.1))
    }

    /// The value of the first header line of this name.
    pub(crate) fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The value of the only header line of this name; `None` when there is none or more than one.
    pub(crate) fn only(&self, name: &str) -> Option<&[u8]> {
        let mut all = self.all(name);
        all.next().filter(|_| all.next().is_none())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// Whether a header that is a list of words (`Connection`) holds `word`.
    pub(crate) fn lists(&self, name: &str, word: &str) -> bool {
        let mut words = self.all(name).flat_map(|value| value.split(|b| *b == b','));
        words.any(|found| found.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    }

    fn part(&self, (from, to): Span) -> &[u8] {
        &self.bytes[from as usize..to as usize]
    }

    fn text(&self, span: Span) -> &str {
        std::str::from_utf8(self.part(span)).expect("method and target were found to be ASCII")
    }
}

/// The length of a head whose end is in `bytes`. Every line feed follows a carriage return.
fn end_of_head(bytes: &[u8], seen: usize) -> Result<Option<usize>, HeadError> {
    let mut at = seen;
    while let Some(found) = position(&bytes[at..], b'\n') {
        let end = at + found + 1;
        if end < 2 || bytes[end - 2] != b'\r' {
            return Err(HeadError::Syntax("a line ends with a line feed alone; lines end with CR LF"));
        }
        if end >= 4 && &bytes[end - 4..end] == b"\r\n\r\n" {
            return Ok(Some(end));
        }
        at = end;
    }
    Ok(None)
}

fn position(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|b| *b == wanted)
}

/// A character of a method or a header's name (RFC 9110, "token").
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Fuzz target: any bytes are refused or read without a panic, and a head does not depend on how its
/// bytes arrived.
#[doc(hidden)]
pub fn fuzz_one(bytes: &[u8]) {
    let whole = Head::parse(bytes, 0, 4_096).map(|found| found.map(|(head, length)| (head.bytes, length)));
    let mut seen = 0;
    for end in 0..=bytes.len() {
        match Head::parse(&bytes[..end], seen, 4_096) {
            Ok(None) => seen = end,
            found => {
                let found = found.map(|found| found.map(|(head, length)| (head.bytes, length)));
                assert!(found.is_err() == whole.is_err() && (found.is_err() || found == whole));
                return;
            }
        }
    }
    assert_eq!(whole, Ok(None));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Head, HeadError, LINES_MAX, fuzz_one};
    use proptest::prelude::{any, prop, proptest};

    /// A head with these header lines.
    pub(crate) fn head(lines: &[(&str, &str)]) -> Head {
        let lines: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        Head::parse(text.as_bytes(), 0, 1 << 20).expect("a head").expect("whole").0
    }

    fn code(bytes: &[u8]) -> String {
        match Head::parse(bytes, 0, 32 * 1024) {
            Ok(None) => "more".to_owned(),
            Ok(Some((head, length))) => {
                format!("{} {} {} {length}", head.method(), head.target(), head.is_http_11)
            }
            Err(error) => error.to_string().split(':').next().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn a_head_is_its_request_line_and_its_header_lines() {
        assert_eq!(code(b"GET /a%20b?c HTTP/1.1\r\nHost: x\r\n\r\nrest"), "GET /a%20b?c true 34");
        assert_eq!(code(b"\r\nGET * HTTP/1.0\r\n\r\n"), "GET * false 20");
        assert_eq!(code(b"PROPFIND / HTTP/1.2\r\n\r\n"), "PROPFIND / true 23");
        for end in 0..17 {
            assert_eq!(code(&b"GET / HTTP/1.1\r\n\r\n"[..end]), "more", "{end}");
        }
        let head = head(&[("A", " \tone\t "), ("a", ""), ("B", "x, Close ,y"), ("C", "\u{e9}")]);
        assert_eq!(head.all("a").collect::<Vec<_>>(), [&b"one"[..], b""]);
        assert_eq!((head.first("A"), head.only("A")), (Some(&b"one"[..]), None));
        assert_eq!(head.only("c"), Some("\u{e9}".as_bytes()));
        assert!(head.lists("b", "close") && !head.lists("b", "clos") && !head.has("d"));
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        for bytes in [
            &b"GET / HTTP/1.1\nHost: x\n\n"[..],
            b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
            b"\nGET / HTTP/1.1\r\n\r\n",
            b"GET  / HTTP/1.1\r\n\r\n",
            b"GET /  HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1 \r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET /a b HTTP/1.1\r\n\r\n",
            b"GET /\xc0\xae HTTP/1.1\r\n\r\n",
            b"GET /\0 HTTP/1.1\r\n\r\n",
            b"GET / http/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
            b"GET / HTTP/1.1\r\n A: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            b"GET / HTTP/1.1\r\n: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\0\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
            b"GET / HTTP/1.1\r\nAb\r\n\r\n",
            b"\x16\x03\x01",
            b" GET / HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(code(bytes), "REQUEST_SYNTAX", "{}", bytes.escape_ascii());
        }
        assert_eq!(code(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "HTTP_VERSION");
    }

    #[test]
    fn heads_have_limits() {
        let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(33 * 1024));
        assert_eq!(code(long.as_bytes()), "HEADERS_TOO_LARGE");
        assert_eq!(code(&long.as_bytes()[..33 * 1024]), "HEADERS_TOO_LARGE", "also before its end");
        let lines = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert!(Head::parse(lines(LINES_MAX).as_bytes(), 0, 32 * 1024).is_ok_and(|found| found.is_some()));
        let error = Head::parse(lines(LINES_MAX + 1).as_bytes(), 0, 32 * 1024).map(drop);
        assert_eq!(error, Err(HeadError::TooLarge { bytes_max: 32 * 1024 }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_the_same_however_they_arrive(
            start in prop::sample::select(vec!["", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nA: b\r\n"]),
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            end in prop::sample::select(vec!["", "\r\n\r\n"]),
        ) {
            fuzz_one(&[start.as_bytes(), &bytes, end.as_bytes()].concat());
        }
    }
}

//! Where requests begin and end on a connection, decided once and strictly.
//!
//! Two readers that disagree about the end of a request let one request hide in another. So every
//! head is held back until it is whole and passes the rules here; the HTTP library behind sees
//! only heads whose framing has one meaning. Pure: bytes in, bytes and verdicts out.
//!
//! Source: RFC 9112, sections 2.2, 5, 6 and 11.2.

/// What the framing allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FramingLimits {
    /// Request line and header lines with their ends, in bytes.
    pub(crate) head_bytes_max: usize,
    /// Header lines of one head.
    pub(crate) headers_max: usize,
}

/// Why the rest of a connection cannot be read. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("HEADERS_TOO_LARGE: the request's head has more than {0} bytes; send fewer or shorter headers")]
    HeadTooLarge(usize),
    #[error("HEADERS_TOO_MANY: the request has more than {0} headers; send fewer")]
    TooManyHeaders(usize),
    #[error("BAD_FRAMING: a line of the head does not end with CR LF")]
    LineEnd,
    #[error(
        "BAD_FRAMING: a header line has no name, a space before its colon, or goes on from the line before"
    )]
    HeaderLine,
    #[error("BAD_FRAMING: Content-Length is not one whole number that 64 bits hold")]
    ContentLength,
    #[error("BAD_FRAMING: Content-Length and Transfer-Encoding stand together; send one of them")]
    TwoLengths,
    #[error("BAD_FRAMING: the only Transfer-Encoding here is chunked, in HTTP/1.1")]
    TransferEncoding,
}

impl Violation {
    pub(crate) fn http_status(&self) -> u16 {
        match self {
            Self::HeadTooLarge(_) | Self::TooManyHeaders(_) => 431,
            _ => 400,
        }
    }
}

/// The reading side of one connection.
#[derive(Debug)]
pub(crate) struct Framing {
    limits: FramingLimits,
    state: State,
    /// The head that is not whole yet.
    head: Vec<u8>,
    /// Heads passed on.
    heads: u64,
}

#[derive(Debug)]
enum State {
    Head,
    /// So many bytes of a body are left.
    Body(u64),
    Chunked(Chunked),
    /// The end of a body cannot be found: the HTTP library will say so and close.
    Lost,
}

/// A place in a chunked body.
#[derive(Debug, Clone, Copy)]
enum Chunked {
    /// In the line with a chunk's length: the length so far, whether its digits ended, and the
    /// length of the line.
    Size { length: u64, is_over: bool, line: u32 },
    /// In a chunk's data, its CR LF included.
    Data(u64),
    /// After the last chunk: length of the present line.
    Trailer { line: u32 },
}

/// The longest line with a chunk's length or a trailer.
const CHUNK_LINE_MAX: u32 = 4096;
const FIRST_CHUNK: Chunked = Chunked::Size { length: 0, is_over: false, line: 0 };

impl Framing {
    pub(crate) fn new(limits: FramingLimits) -> Self {
        Self { limits, state: State::Head, head: Vec::new(), heads: 0 }
    }

    /// How many heads were passed on.
    pub(crate) fn heads(&self) -> u64 {
        self.heads
    }

    /// True when a head was begun and is not whole.
    pub(crate) fn is_in_head(&self) -> bool {
        matches!(self.state, State::Head) && !self.head.is_empty()
    }

    /// True when the next byte belongs to a head.
    pub(crate) fn awaits_head(&self) -> bool {
        matches!(self.state, State::Head)
    }

    /// Takes `input` and appends to `out` what may be passed on.
    ///
    /// Errors: [`Violation`]; nothing after it can be read, whatever of `out` stands.
    pub(crate) fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        while !input.is_empty() {
            let used = match &mut self.state {
                State::Head => self.feed_head(input, out)?,
                State::Body(left) => {
                    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    out.extend_from_slice(&input[..used]);
                    *left -= used as u64;
                    if *left == 0 {
                        self.state = State::Head;
                    }
                    used
                }
                State::Chunked(place) => {
                    let (used, next) = feed_chunked(*place, input);
                    out.extend_from_slice(&input[..used]);
                    self.state = next;
                    used
                }
                State::Lost => {
                    out.extend_from_slice(input);
                    input.len()
                }
            };
            input = &input[used..];
        }
        Ok(())
    }

    /// Takes bytes up to the end of the head; returns how many.
    fn feed_head(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Violation> {
        for (at, byte) in input.iter().enumerate() {
            let last = self.head.last().copied();
            if (*byte == b'\n') != (last == Some(b'\r')) || *byte == 0 {
                return Err(Violation::LineEnd);
            }
            self.head.push(*byte);
            if self.head.len() > self.limits.head_bytes_max {
                return Err(Violation::HeadTooLarge(self.limits.head_bytes_max));
            }
            // An empty line before the request line is passed over, as old clients send one.
            if self.head == b"\r\n" {
                self.head.clear();
            } else if self.head.ends_with(b"\r\n\r\n") {
                self.state = checked_head(&self.head, self.limits.headers_max)?;
                out.append(&mut self.head);
                self.heads += 1;
                return Ok(at + 1);
            } else if *byte == b'\n'
                && self.head.iter().filter(|b| **b == b'\n').count() > self.limits.headers_max + 1
            {
                return Err(Violation::TooManyHeaders(self.limits.headers_max));
            }
        }
        Ok(input.len())
    }
}

/// Checks a whole head and says what follows it.
fn checked_head(head: &[u8], headers_max: usize) -> Result<State, Violation> {
    let mut lines = head.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let request = lines.next().unwrap_or_default();
    let is_http_11 = request.ends_with(b"HTTP/1.1");
    let (mut length, mut is_chunked) = (None, false);
    let mut count = 0;
    for line in lines.filter(|line| !line.is_empty()) {
        count += 1;
        if count > headers_max {
            return Err(Violation::TooManyHeaders(headers_max));
        }
        let colon = line.iter().position(|b| *b == b':').ok_or(Violation::HeaderLine)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || name.iter().any(|b| b.is_ascii_whitespace() || b.is_ascii_control()) {
            return Err(Violation::HeaderLine);
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let number =
                std::str::from_utf8(value).ok().filter(|_| is_number).and_then(|text| text.parse().ok());
            if length.is_some() || number.is_none() {
                return Err(Violation::ContentLength);
            }
            length = number;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if is_chunked || !is_http_11 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Violation::TransferEncoding);
            }
            is_chunked = true;
        }
    }
    Ok(match (length, is_chunked) {
        (Some(_), true) => return Err(Violation::TwoLengths),
        (None, true) => State::Chunked(FIRST_CHUNK),
        (None | Some(0), false) => State::Head,
        (Some(length), false) => State::Body(length),
    })
}

/// Passes over part of a chunked body: how many bytes, and where that leads.
fn feed_chunked(mut place: Chunked, input: &[u8]) -> (usize, State) {
    let mut at = 0;
    while at < input.len() {
        let byte = input[at];
        match &mut place {
            Chunked::Size { length, is_over, line } => {
                *line += 1;
                let digit = char::from(byte).to_digit(16);
                match (byte, digit) {
                    (b'\n', _) => {
                        place = match *length {
                            0 => Chunked::Trailer { line: 0 },
                            length => match length.checked_add(2) {
                                Some(length) => Chunked::Data(length),
                                None => return (input.len(), State::Lost),
                            },
                        };
                    }
                    (_, Some(digit)) if !*is_over => match length.checked_mul(16) {
                        Some(shifted) => *length = shifted + u64::from(digit),
                        None => return (input.len(), State::Lost),
                    },
                    // An extension or the CR: of no meaning here.
                    _ if *line > 1 && *line <= CHUNK_LINE_MAX => *is_over = true,
                    _ => return (input.len(), State::Lost),
                }
                at += 1;
            }
            Chunked::Data(left) => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len() - at);
                *left -= used as u64;
                at += used;
                if *left == 0 {
                    place = FIRST_CHUNK;
                }
            }
            Chunked::Trailer { line } => {
                at += 1;
                match byte {
                    b'\n' if *line <= 1 => return (at, State::Head),
                    b'\n' => *line = 0,
                    _ if *line < CHUNK_LINE_MAX => *line += 1,
                    _ => return (input.len(), State::Lost),
                }
            }
        }
    }
    (at, State::Chunked(place))
}

/// Feeds whatever bytes come, whole and byte by byte. Never panics; the split makes no difference.
pub fn fuzz_one(bytes: &[u8]) {
    let limits = FramingLimits { head_bytes_max: 512, headers_max: 16 };
    let (mut whole, mut parts) = (Framing::new(limits), Framing::new(limits));
    let (mut out_whole, mut out_parts) = (Vec::new(), Vec::new());
    let verdict = whole.feed(bytes, &mut out_whole);
    let mut verdict_parts = Ok(());
    for byte in bytes {
        if verdict_parts.is_ok() {
            verdict_parts = parts.feed(&[*byte], &mut out_parts);
        }
    }
    assert_eq!(verdict, verdict_parts);
    assert_eq!(out_whole, out_parts);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Framing, FramingLimits, Violation};

    proptest! {
        #[test]
        fn any_bytes_are_passed_on_or_refused_however_they_are_split(
            parts in prop::collection::vec(
                prop_oneof![
                    Just("GET / HTTP/1.1\r\n".to_owned()),
                    Just("Content-Length: 3\r\n".to_owned()),
                    Just("Transfer-Encoding: chunked\r\n".to_owned()),
                    Just("\r\n".to_owned()),
                    Just("3\r\nabc\r\n0\r\n".to_owned()),
                    Just("ffffffffffffffffff\r\n".to_owned()),
                    "[\\x00-\\x7f]{0,6}",
                ],
                0..12,
            )
        ) {
            super::fuzz_one(parts.concat().as_bytes());
        }
    }

    fn limits() -> FramingLimits {
        FramingLimits { head_bytes_max: 200, headers_max: 4 }
    }

    fn verdict(input: &str) -> Result<String, Violation> {
        let mut out = Vec::new();
        let mut framing = Framing::new(limits());
        framing.feed(input.as_bytes(), &mut out)?;
        super::fuzz_one(input.as_bytes());
        Ok(format!("{} {}", framing.heads(), String::from_utf8_lossy(&out).replace("\r\n", "|")))
    }

    #[test]
    fn one_request_ends_where_the_next_begins() {
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(verdict(&get.repeat(2)), Ok(format!("2 {}", get.repeat(2).replace("\r\n", "|"))));
        assert_eq!(
            verdict("\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n"),
            Ok("1 POST / HTTP/1.1|Content-Length: 3||abc".to_owned())
        );
        assert_eq!(
            verdict(
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\na\r\n\r\n0\r\nT: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n"
            ),
            Ok("2 POST / HTTP/1.1|Transfer-Encoding: chunked||3;x=1|a||0|T: 1||GET / HTTP/1.1||".to_owned())
        );
    }

    #[test]
    fn heads_with_two_meanings_are_refused() {
        let head = |lines: &str| verdict(&format!("POST / HTTP/1.1\r\n{lines}\r\n\r\n")).unwrap_err();
        assert_eq!(head("Content-Length: 1\r\nTransfer-Encoding: chunked"), Violation::TwoLengths);
        assert_eq!(head("Transfer-Encoding: chunked\r\nContent-Length: 1"), Violation::TwoLengths);
        for length in ["-1", "+5", "18446744073709551616", "", "1, 1", "0x1", "1 1"] {
            assert_eq!(head(&format!("Content-Length: {length}")), Violation::ContentLength, "{length}");
        }
        assert_eq!(head("Content-Length: 1\r\nContent-Length: 1"), Violation::ContentLength);
        assert_eq!(head("Transfer-Encoding: gzip, chunked"), Violation::TransferEncoding);
        assert_eq!(head("Transfer-Encoding : chunked"), Violation::HeaderLine);
        assert_eq!(head("A: b\r\n c"), Violation::HeaderLine);
        assert_eq!(head("A: b\nB: c"), Violation::LineEnd);
        assert_eq!(head("A: b\rB: c"), Violation::LineEnd);
        assert_eq!(head(&format!("A: {}", "x".repeat(300))), Violation::HeadTooLarge(200));
        assert_eq!(head(&"A: b\r\n".repeat(5)), Violation::TooManyHeaders(4));
        assert_eq!(verdict("GET / HTTP/1.1\n\n"), Err(Violation::LineEnd));
    }
}

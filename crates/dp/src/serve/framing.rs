//! How long the body of a request is, and the chunked coding. Pure: bytes in, bytes out.
//!
//! Only a PROPFIND has a body that is read. Two ways to tell a length, or an unusual one, are
//! refused: they are how requests are smuggled. Source: RFC 9112 sections 6 and 7.

use super::head::Head;

/// Bytes of one line of the chunked coding, its extension included.
const LINE_BYTES_MAX: usize = 256;

/// How a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

/// Why a body cannot be delimited. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FramingError {
    #[error("BODY_FRAMING: {0}")]
    Framing(&'static str),
    #[error("TRANSFER_CODING: only the transfer coding chunked is understood")]
    Coding,
}

impl Framing {
    /// How the body of `head` is delimited; a request that does not tell has none.
    pub(crate) fn of(head: &Head) -> Result<Self, FramingError> {
        let mut lengths = head.all("content-length");
        let length = lengths.next();
        if lengths.next().is_some() {
            return Err(FramingError::Framing("there is more than one Content-Length"));
        }
        if let Some(coding) = head.first("transfer-encoding") {
            if length.is_some() {
                return Err(FramingError::Framing("Content-Length and Transfer-Encoding exclude each other"));
            }
            if !head.is_http_11 {
                return Err(FramingError::Framing("HTTP/1.0 has no Transfer-Encoding"));
            }
            return match coding.eq_ignore_ascii_case(b"chunked") && head.only("transfer-encoding").is_some() {
                true => Ok(Self::Chunked),
                false => Err(FramingError::Coding),
            };
        }
        let Some(length) = length else { return Ok(Self::Length(0)) };
        let text = std::str::from_utf8(length).unwrap_or_default();
        let is_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let length = is_digits.then(|| text.parse().ok()).flatten();
        length.map(Self::Length).ok_or(FramingError::Framing("Content-Length is not a number of bytes"))
    }

    /// True when nothing follows the head.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::Length(0)
    }
}

/// A body as it arrives.
#[derive(Debug)]
pub(crate) struct BodyReader {
    state: State,
    line: Vec<u8>,
    bytes: Vec<u8>,
    bytes_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes are missing; `is_chunk` says that a line end follows them.
    Data {
        left: u64,
        is_chunk: bool,
    },
    Size,
    DataEnd,
    Trailer,
    Done,
}

/// Why a body cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It has more bytes than wanted.
    TooLarge,
    /// The chunked coding is broken.
    Syntax,
}

impl BodyReader {
    /// Reads a body of at most `bytes_max` bytes.
    pub(crate) fn new(framing: Framing, bytes_max: usize) -> Result<Self, BodyError> {
        let state = match framing {
            Framing::Length(length) if length > bytes_max as u64 => return Err(BodyError::TooLarge),
            Framing::Length(0) => State::Done,
            Framing::Length(left) => State::Data { left, is_chunk: false },
            Framing::Chunked => State::Size,
        };
        Ok(Self { state, line: Vec::new(), bytes: Vec::new(), bytes_max })
    }

    /// Takes what belongs to the body from the start of `input`; returns how many bytes it was.
    pub(crate) fn take(&mut self, input: &[u8]) -> Result<usize, BodyError> {
        let mut at = 0;
        while self.state != State::Done && at < input.len() {
            if let State::Data { left, is_chunk } = &mut self.state {
                let count = (*left).min((input.len() - at) as u64);
                if self.bytes.len() as u64 + count > self.bytes_max as u64 {
                    return Err(BodyError::TooLarge);
                }
                // Bounded by the length of the input.
                self.bytes.extend_from_slice(&input[at..at + count as usize]);
                at += count as usize;
                *left -= count;
                if *left == 0 {
                    self.state = if *is_chunk { State::DataEnd } else { State::Done };
                }
                continue;
            }
            let byte = input[at];
            at += 1;
            self.line.push(byte);
            if byte == b'\n' {
                self.end_of_line()?;
                self.line.clear();
            } else if self.line.len() > LINE_BYTES_MAX {
                return Err(BodyError::Syntax);
            }
        }
        Ok(at)
    }

    fn end_of_line(&mut self) -> Result<(), BodyError> {
        let line = self.line.strip_suffix(b"\r\n").ok_or(BodyError::Syntax)?;
        self.state = match self.state {
            State::Size => match chunk_size(line).ok_or(BodyError::Syntax)? {
                0 => State::Trailer,
                left => State::Data { left, is_chunk: true },
            },
            State::DataEnd if line.is_empty() => State::Size,
            State::Trailer if line.is_empty() => State::Done,
            // Trailers say nothing that a listing needs.
            State::Trailer => State::Trailer,
            _ => return Err(BodyError::Syntax),
        };
        Ok(())
    }

    /// True when all of it has arrived.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// What has arrived.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The size of a chunk; what stands behind a semicolon is ignored.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|b| *b == b';').next()?;
    let is_hex = !digits.is_empty() && digits.len() <= 8 && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok()?;
    is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{BodyError, BodyReader, Framing, FramingError};
    use crate::serve::head::tests::head;
    use proptest::prelude::{any, prop, proptest};

    #[test]
    fn a_length_is_told_once_and_as_a_number() {
        let of = |lines: &[(&str, &str)]| Framing::of(&head(lines));
        assert_eq!(of(&[]), Ok(Framing::Length(0)));
        assert_eq!(of(&[("Content-Length", "12")]), Ok(Framing::Length(12)));
        assert_eq!(of(&[("Transfer-Encoding", "Chunked")]), Ok(Framing::Chunked));
        for value in ["-1", "+5", "18446744073709551616", "5, 5", "", "0x5", "5 5"] {
            let framing = of(&[("Content-Length", value)]);
            assert!(matches!(framing, Err(FramingError::Framing(_))), "{value}");
        }
        let twice = [("Content-Length", "5"), ("Content-Length", "5")];
        assert!(matches!(of(&twice), Err(FramingError::Framing(_))));
        let both = [("Content-Length", "5"), ("Transfer-Encoding", "chunked")];
        assert!(matches!(of(&both), Err(FramingError::Framing(_))));
        for value in ["gzip, chunked", "identity", "xchunked"] {
            assert_eq!(of(&[("Transfer-Encoding", value)]), Err(FramingError::Coding), "{value}");
        }
    }

    fn read(framing: Framing, input: &[u8]) -> Result<(bool, usize, Vec<u8>), BodyError> {
        let mut reader = BodyReader::new(framing, 20)?;
        let taken = reader.take(input)?;
        Ok((reader.is_done(), taken, reader.into_bytes()))
    }

    #[test]
    fn bodies_end_where_they_say_and_have_a_limit() {
        assert_eq!(read(Framing::Length(3), b"abcd"), Ok((true, 3, b"abc".to_vec())));
        assert_eq!(read(Framing::Length(5), b"abc"), Ok((false, 3, b"abc".to_vec())));
        assert_eq!(read(Framing::Length(21), b""), Err(BodyError::TooLarge));
        let coded = b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\nnext";
        assert_eq!(read(Framing::Chunked, coded), Ok((true, coded.len() - 4, b"abc0123456789".to_vec())));
        assert_eq!(read(Framing::Chunked, b"ffffffff\r\n012345678901234567890"), Err(BodyError::TooLarge));
        for broken in [
            &b"3\nabc\r\n"[..],
            b"g\r\n",
            b"\r\n",
            b"3\r\nabcd\r\n",
            b"100000000\r\n",
            b"-1\r\n",
            &[b'1'; 400],
        ] {
            assert_eq!(read(Framing::Chunked, broken), Err(BodyError::Syntax), "{}", broken.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn a_chunked_body_is_read_the_same_in_any_pieces(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..6), 0..4),
            cut in 1_usize..7,
        ) {
            let mut coded = Vec::new();
            for piece in &pieces {
                coded.extend(format!("{:x}\r\n", piece.len()).bytes());
                coded.extend(piece);
                coded.extend(b"\r\n");
            }
            coded.extend(b"0\r\n\r\n");
            let mut reader = BodyReader::new(Framing::Chunked, 100).expect("room");
            for part in coded.chunks(cut) {
                assert_eq!(reader.take(part), Ok(part.len()));
            }
            assert!(reader.is_done());
            assert_eq!(reader.into_bytes(), pieces.concat());
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut reader = BodyReader::new(Framing::Chunked, 10).expect("room");
            if let Ok(taken) = reader.take(&bytes) {
                assert!(taken <= bytes.len());
            }
        }
    }
}

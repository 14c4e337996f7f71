//! Bodies that are sealed with the keys of a sign-in.
//!
//! Source: \[MS-WSMV\] 2.2.9.1, as WS-Management clients write it: two parts of `multipart/encrypted`,
//! the second without an empty line before its bytes.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

/// The shortest signature, which is NTLM's, in bytes.
const SIGNATURE_BYTES_MIN: usize = 16;
/// The longest that is looked at; Kerberos with AES has 60.
const SIGNATURE_BYTES_MAX: usize = 256;
/// The media type of a sealed body.
const MEDIA_TYPE: &str = "multipart/encrypted";
/// What stands between the parts of an answer.
const BOUNDARY: &str = "Encrypted Boundary";
/// The longest boundary that is looked for.
const BOUNDARY_BYTES_MAX: usize = 70;
/// Header lines of a part.
const LINES_MAX: usize = 8;

/// Why a body cannot be opened. The text begins with the stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("SEALED_FORMAT: {0}")]
pub struct BodyError(&'static str);

/// What a body says it is sealed with. Clients that signed in with Kerberos say either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedBy {
    /// What was agreed on by SPNEGO, or NTLM.
    Spnego,
    /// Kerberos.
    Kerberos,
}

impl SealedBy {
    /// Its name in `protocol` and as the type of the first part.
    const fn name(self) -> &'static str {
        match self {
            Self::Spnego => "application/HTTP-SPNEGO-session-encrypted",
            Self::Kerberos => "application/HTTP-Kerberos-session-encrypted",
        }
    }

    fn named(text: &str) -> Option<Self> {
        [Self::Spnego, Self::Kerberos].into_iter().find(|by| text.eq_ignore_ascii_case(by.name()))
    }
}

/// A sealed body, not opened yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBody<'a> {
    /// What it says it is sealed with.
    pub by: SealedBy,
    /// The type of what is sealed, such as `application/soap+xml;charset=UTF-8`; empty when it is
    /// not told.
    pub original_type: &'a str,
    /// Bytes of what is sealed, as told.
    pub length: usize,
    /// The signature, 16-256 bytes.
    pub signature: &'a [u8],
    /// What is sealed.
    pub data: &'a [u8],
}

impl<'a> SealedBody<'a> {
    /// True when a `Content-Type` says that the body is sealed.
    pub fn is_sealed(content_type: &str) -> bool {
        let media_type = content_type.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case(MEDIA_TYPE)
    }

    /// Reads a body.
    ///
    /// Errors: another protocol than those of [`SealedBy`], or a form that is not the one clients send.
    pub fn parse(content_type: &'a str, body: &'a [u8]) -> Result<Self, BodyError> {
        let other = BodyError("a body is sealed by another protocol than the sign-in's");
        let by = match parameter(content_type, "protocol") {
            Some(name) => SealedBy::named(name).ok_or(other)?,
            None => SealedBy::Spnego,
        };
        let boundary =
            parameter(content_type, "boundary").ok_or(BodyError("a sealed body names no boundary"))?;
        if boundary.is_empty() || boundary.len() > BOUNDARY_BYTES_MAX {
            return Err(BodyError("the boundary of a sealed body has 1-70 bytes"));
        }
        let line = format!("--{boundary}\r\n");
        let end = format!("--{boundary}--");
        let form = BodyError("a sealed body does not have its two parts");
        let mut rest = body.strip_prefix(line.as_bytes()).ok_or(form)?;
        let (mut original_type, mut length) = ("", None);
        for _ in 0..LINES_MAX {
            if let Some(second) = rest.strip_prefix(line.as_bytes()) {
                rest = second;
                let data = sealed_part(rest, end.as_bytes()).ok_or(form)?;
                let length = length.ok_or(BodyError("a sealed body does not tell its length"))?;
                let (head, data) = data.split_first_chunk::<4>().ok_or(form)?;
                let bytes = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
                if !(SIGNATURE_BYTES_MIN..=SIGNATURE_BYTES_MAX).contains(&bytes) {
                    return Err(BodyError("the signature of a sealed body has 16-256 bytes"));
                }
                let (signature, data) = data.split_at_checked(bytes).ok_or(form)?;
                if data.len() != length {
                    return Err(BodyError("a sealed body has another length than it tells"));
                }
                return Ok(Self { by, original_type, length, signature, data });
            }
            let (text, after) = header_line(rest).ok_or(form)?;
            rest = after;
            if let Some(value) = header(text, "OriginalContent") {
                original_type = parameter_from(value, "type");
                length = value.rsplit_once("Length=").and_then(|(_, digits)| digits.trim().parse().ok());
            } else if header(text, "Content-Type").is_some_and(|found| SealedBy::named(found) != Some(by)) {
                return Err(other);
            }
        }
        Err(form)
    }
}

/// The bytes of the second part: after its header lines, before the end.
fn sealed_part<'a>(mut part: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let part_end = part.strip_suffix(b"\r\n").unwrap_or(part);
    part = part_end.strip_suffix(end)?;
    let (text, rest) = header_line(part)?;
    header(text, "Content-Type")?;
    // Mended clients write the empty line; a signature's length does not begin like one.
    Some(rest.strip_prefix(b"\r\n").unwrap_or(rest))
}

/// The next line and what follows it.
fn header_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    const LINE_BYTES_MAX: usize = 512;
    let at = bytes.windows(2).take(LINE_BYTES_MAX).position(|pair| pair == b"\r\n")?;
    let (line, rest) = bytes.split_at_checked(at)?;
    Some((std::str::from_utf8(line).ok()?, rest.strip_prefix(b"\r\n")?))
}

/// The value of a header line with this name, which may begin with white space.
fn header<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (found, value) = line.trim().split_once(':')?;
    found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
}

/// A parameter of a `Content-Type`, without quotes.
fn parameter<'a>(content_type: &'a str, name: &str) -> Option<&'a str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (found, value) = parameter.split_once('=')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

/// The media type in `type=application/soap+xml;charset=UTF-8;Length=17`.
fn parameter_from<'a>(value: &'a str, name: &str) -> &'a str {
    let rest = value.trim().strip_prefix(name).and_then(|rest| rest.trim_start().strip_prefix('='));
    let rest = rest.unwrap_or_default();
    rest.rsplit_once(";Length=").map_or("", |(media_type, _)| media_type.trim())
}

/// A sealed answer: its `Content-Type`, and its body.
pub fn sealed_body(by: SealedBy, original_type: &str, signature: &[u8], data: &[u8]) -> (String, Vec<u8>) {
    let (length, protocol) = (data.len(), by.name());
    let head = format!(
        "--{BOUNDARY}\r\n\tContent-Type: {protocol}\r\n\
         \tOriginalContent: type={original_type};Length={length}\r\n\
         --{BOUNDARY}\r\n\tContent-Type: application/octet-stream\r\n"
    );
    let end = format!("--{BOUNDARY}--\r\n");
    let signature_bytes = u32::try_from(signature.len()).unwrap_or(u32::MAX).to_le_bytes();
    let body = [head.as_bytes(), &signature_bytes, signature, data, end.as_bytes()].concat();
    (format!("{MEDIA_TYPE};protocol=\"{protocol}\";boundary=\"{BOUNDARY}\""), body)
}

//! From bytes to text: which encoding it is must be said once and in one way.
//!
//! Source: XML 1.0, 4.3.3 and appendix F; RFC 7303, section 3.

use std::borrow::Cow;

use super::Refused;

/// The encodings that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Ascii,
    /// Of the byte order that a mark says.
    Utf16,
    Utf16Le,
    Utf16Be,
}

impl Encoding {
    fn named(name: &str) -> Result<Self, Refused> {
        let all = [
            ("utf-8", Self::Utf8),
            ("utf8", Self::Utf8),
            ("us-ascii", Self::Ascii),
            ("ascii", Self::Ascii),
            ("utf-16", Self::Utf16),
            ("utf-16le", Self::Utf16Le),
            ("utf-16be", Self::Utf16Be),
        ];
        let found = all.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, encoding)| encoding).ok_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            refused(format!("the encoding {shown:?} is not read; UTF-8 is"))
        })
    }

    /// True when a document found to be in `self` may call itself `said`.
    fn may_say(self, said: Self) -> bool {
        match self {
            Self::Utf8 | Self::Ascii => matches!(said, Self::Utf8 | Self::Ascii),
            Self::Utf16 => matches!(said, Self::Utf16 | Self::Utf16Le | Self::Utf16Be),
            order => said == Self::Utf16 || said == order,
        }
    }
}

fn refused(what: impl Into<String>) -> Refused {
    Refused::Encoding(what.into())
}

/// The value of `charset` in a `Content-Type`.
pub fn charset_of(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']))
    })
}

/// The text of a document. What the transport says, the mark at its beginning and what it says of
/// itself must agree.
pub(super) fn decode<'b>(bytes: &'b [u8], charset: Option<&str>) -> Result<Cow<'b, str>, Refused> {
    let said = charset.map(Encoding::named).transpose()?;
    let (marked, bytes) = match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => (Some(Encoding::Utf8), rest),
        [0xFF, 0xFE, rest @ ..] => (Some(Encoding::Utf16Le), rest),
        [0xFE, 0xFF, rest @ ..] => (Some(Encoding::Utf16Be), rest),
        other => (None, other),
    };
    let encoding = match (marked, said) {
        (Some(marked), Some(said)) if !marked.may_say(said) => {
            return Err(refused("the mark at its beginning is not that of the encoding announced"));
        }
        (Some(marked), _) => marked,
        (None, Some(Encoding::Utf16)) => return Err(refused("UTF-16 wants a mark of its byte order")),
        (None, Some(said)) => said,
        (None, None) => Encoding::Utf8,
    };
    let text = match encoding {
        Encoding::Utf8 | Encoding::Ascii => {
            let text = std::str::from_utf8(bytes)
                .map_err(|error| refused(format!("byte {} is no UTF-8", error.valid_up_to())))?;
            if encoding == Encoding::Ascii && !text.is_ascii() {
                return Err(refused("it is announced as ASCII and is not"));
            }
            Cow::Borrowed(text)
        }
        Encoding::Utf16Be => Cow::Owned(utf16(bytes, u16::from_be_bytes)?),
        Encoding::Utf16 | Encoding::Utf16Le => Cow::Owned(utf16(bytes, u16::from_le_bytes)?),
    };
    if let Some(name) = declared(&text)
        && !encoding.may_say(Encoding::named(name)?)
    {
        return Err(refused("it calls itself by another encoding than it has"));
    }
    Ok(text)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Refused> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(refused("UTF-16 has two bytes for each unit"));
    }
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    String::from_utf16(&units).map_err(|_unpaired| refused("it is no UTF-16"))
}

/// The value of `encoding` in `<?xml … ?>`.
fn declared(text: &str) -> Option<&str> {
    let declaration = text.strip_prefix("<?xml")?;
    let (declaration, _) = declaration.split_once("?>")?;
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value.get(1..)?.split(quote).next()
}

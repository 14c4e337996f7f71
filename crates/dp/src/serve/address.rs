//! What a request path names. Pure: bytes in, an [`Address`] out.
//!
//! A path is percent-decoded **once** and then compared as bytes; nothing a client sends reaches
//! the file system. Malformed escapes (`%zz`) are ordinary bytes. Source: docs/formats/serving.md, "Paths".

use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use restock_names::{ContentVersion, EntryPath, Escaped, PackageId, PathError, SourceVersion};

/// The folder under which packages are read at their active version.
pub(crate) const PACKAGES_FOLDER: &str = "SMS_DP_SMSPKG$";

/// Everything but what a path segment may hold as it is (RFC 3986, "pchar").
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'$')
    .remove(b'!')
    .remove(b'(')
    .remove(b')')
    .remove(b'+')
    .remove(b',')
    .remove(b'=')
    .remove(b'@')
    .remove(b':');

/// What a request path names, whether it exists or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// `/`
    Root,
    /// `/SMS_DP_SMSPKG$/`
    Packages,
    /// Something in a package.
    Entry(EntryAddress),
    /// A path no content can have.
    Nothing,
}

/// A place in a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntryAddress {
    /// The package.
    pub(crate) package: PackageId,
    /// The version asked for; `None` means the active one.
    pub(crate) version: Option<SourceVersion>,
    /// The entry, `None` for the package's own folder.
    pub(crate) path: Option<EntryPath>,
    /// The path ended with `/`, so only a folder can be meant.
    pub(crate) is_folder_wanted: bool,
}

/// A path that is refused whatever the library holds. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("PATH_TRAVERSAL: \"..\" is not allowed in {}; ask for the entry by its own path", Escaped(.0))]
    Traversal(Vec<u8>),
    #[error("PATH_CONTROL_CHAR: {} contains a NUL byte, which no entry has", Escaped(.0))]
    ControlChar(Vec<u8>),
    #[error(
        "PATH_SEPARATOR: a backslash in {} hides a parent or absolute path; separate folders by /",
        Escaped(.0)
    )]
    Separator(Vec<u8>),
}

impl Address {
    /// Reads the path of a request target, without its query.
    ///
    /// Errors: `..` in any component, a NUL byte, or a backslash that hides a parent or absolute path.
    pub(crate) fn parse(path: &str) -> Result<Self, AddressError> {
        let decoded: Vec<u8> = percent_decode_str(path).collect();
        let shown = || decoded[..decoded.len().min(100)].to_vec();
        if decoded.contains(&0) {
            return Err(AddressError::ControlChar(shown()));
        }
        if decoded.split(|b| *b == b'/').any(|component| component == b"..") {
            return Err(AddressError::Traversal(shown()));
        }
        let Some(rest) = decoded.strip_prefix(b"/") else { return Ok(Self::Nothing) };
        if rest.is_empty() {
            return Ok(Self::Root);
        }
        let (first, rest) = split_component(rest);
        if !first.eq_ignore_ascii_case(PACKAGES_FOLDER.as_bytes()) {
            let Some((package, version)) = versioned_package(first) else { return Ok(Self::Nothing) };
            return Self::entry(package, Some(version), rest);
        }
        let Some(rest) = rest.filter(|rest| !rest.is_empty()) else { return Ok(Self::Packages) };
        let (name, rest) = split_component(rest);
        match parse_ascii(name) {
            Some(package) => Self::entry(package, None, rest),
            None => Ok(Self::Nothing),
        }
    }

    fn entry(
        package: PackageId,
        version: Option<SourceVersion>,
        rest: Option<&[u8]>,
    ) -> Result<Self, AddressError> {
        let mut address = EntryAddress { package, version, path: None, is_folder_wanted: true };
        let Some(rest) = rest.filter(|rest| !rest.is_empty()) else { return Ok(Self::Entry(address)) };
        let name = rest.strip_suffix(b"/");
        address.is_folder_wanted = name.is_some();
        match EntryPath::new(name.unwrap_or(rest)) {
            Ok(path) => {
                address.path = Some(path);
                Ok(Self::Entry(address))
            }
            Err(PathError::Separator(path)) => Err(AddressError::Separator(path)),
            Err(PathError::Traversal(path)) => Err(AddressError::Traversal(path)),
            Err(PathError::ControlChar(path)) => Err(AddressError::ControlChar(path)),
            Err(_) => Ok(Self::Nothing),
        }
    }
}

fn split_component(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|b| *b == b'/') {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}

fn parse_ascii<T: FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// `XYZ00001.12`: no sign and no leading zero, so that one version has one address.
fn versioned_package(name: &[u8]) -> Option<(PackageId, SourceVersion)> {
    let at = name.iter().position(|b| *b == b'.')?;
    let digits = &name[at + 1..];
    let is_canonical = digits.iter().all(u8::is_ascii_digit) && digits.first().is_some_and(|d| *d != b'0');
    is_canonical.then_some(())?;
    Some((parse_ascii(&name[..at])?, SourceVersion(parse_ascii(digits)?)))
}

/// Writes path bytes as they stand in a URL; `/` stays.
pub(crate) fn escape(path: &[u8]) -> String {
    percent_encode(path, ESCAPED).to_string()
}

/// `/XYZ00001.12/` and the entry: the address under which these bytes never change.
pub(crate) fn versioned(version: &ContentVersion, path: Option<&EntryPath>) -> String {
    format!("/{version}/{}", path.map(|p| escape(p.as_bytes())).unwrap_or_default())
}

/// `/SMS_DP_SMSPKG$/XYZ00001/` and the entry: the address that follows the active version.
pub(crate) fn unversioned(package: &PackageId, path: Option<&EntryPath>) -> String {
    format!("/{PACKAGES_FOLDER}/{package}/{}", path.map(|p| escape(p.as_bytes())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Address, versioned};
    use restock_names::{ContentVersion, EntryPath, Epoch, SourceVersion};

    fn shown(path: &str) -> String {
        match Address::parse(path) {
            Ok(Address::Entry(e)) => format!(
                "{} {} {}{}",
                e.package,
                e.version.map_or("-".into(), |v| v.to_string()),
                e.path.map_or(".".into(), |p| p.to_string()),
                if e.is_folder_wanted { " (folder)" } else { "" }
            ),
            Ok(other) => format!("{other:?}"),
            Err(error) => error.to_string().split(':').next().expect("one piece").to_owned(),
        }
    }

    #[test]
    fn a_path_names_one_place() {
        for (path, want) in [
            ("/", "Root"),
            ("/SMS_DP_SMSPKG$", "Packages"),
            ("/sms_dp_smspkg%24/", "Packages"),
            ("/SMS_DP_SMSPKG$/XYZ00001", "XYZ00001 - . (folder)"),
            ("/SMS_DP_SMSPKG$/xyz0000a/", "XYZ0000A - . (folder)"),
            ("/SMS_DP_SMSPKG$/XYZ00001/a/b%20c", "XYZ00001 - a/b c"),
            ("/SMS_DP_SMSPKG$/XYZ00001/a%2Fb/", "XYZ00001 - a/b (folder)"),
            ("/XYZ00001.12/caf%e9", "XYZ00001 12 caf\\xe9"),
            ("/XYZ00001.12", "XYZ00001 12 . (folder)"),
            ("/SMS_DP_SMSPKG$/XYZ00001/100%/%zz", "XYZ00001 - 100%/%zz"),
            ("/XYZ00001.012/a", "Nothing"),
            ("/XYZ00001.0/a", "Nothing"),
            ("/XYZ00001.+1/a", "Nothing"),
            ("/XYZ00001./a", "Nothing"),
            ("/XYZ00001.99999999999/a", "Nothing"),
            ("/XYZ00001/a", "Nothing"),
            ("/favicon.ico", "Nothing"),
            ("//SMS_DP_SMSPKG$/XYZ00001/a", "Nothing"),
            ("/SMS_DP_SMSPKG$/XYZ00001//a", "Nothing"),
            ("/SMS_DP_SMSPKG$/XYZ00001/./a", "Nothing"),
            ("/SMS_DP_SMSPKG$/XYZ00001/a//", "Nothing"),
            ("/SMS_DP_SMSPKG$/AB'1/a", "Nothing"),
            ("*", "Nothing"),
            ("", "Nothing"),
        ] {
            assert_eq!(shown(path), want, "{path}");
        }
    }

    #[test]
    fn paths_that_try_to_leave_are_refused_by_code() {
        for (path, want) in [
            ("/SMS_DP_SMSPKG$/XYZ00001/%2e%2e%2f%2e%2e%2fetc/passwd", "PATH_TRAVERSAL"),
            ("/SMS_DP_SMSPKG$/XYZ00001/../../etc/passwd", "PATH_TRAVERSAL"),
            ("/..%2f..%2fetc/passwd", "PATH_TRAVERSAL"),
            ("/SMS_DP_SMSPKG$/XYZ00001/a%00b", "PATH_CONTROL_CHAR"),
            ("/%00", "PATH_CONTROL_CHAR"),
            ("/SMS_DP_SMSPKG$/XYZ00001/a%5c..%5cb", "PATH_SEPARATOR"),
        ] {
            assert_eq!(shown(path), want, "{path}");
        }
    }

    #[test]
    fn a_double_escape_and_overlong_utf_8_are_ordinary_names() {
        assert_eq!(shown("/SMS_DP_SMSPKG$/XYZ00001/%252e%252e%252f"), "XYZ00001 - %2e%2e%2f");
        assert_eq!(shown("/SMS_DP_SMSPKG$/XYZ00001/%c0%ae%c0%ae"), "XYZ00001 - \\xc0\\xae\\xc0\\xae");
    }

    #[test]
    fn a_written_address_is_read_back() {
        let version = ContentVersion {
            package: "XYZ00001".parse().expect("valid"),
            epoch: Epoch::FIRST,
            version: SourceVersion(7),
        };
        for name in [&b"a b/c#d?e%f"[..], b"caf\xe9\xff", b"x&<>\"'", b"a\nb\x1b", b"B::Op", b"a\\b"] {
            let path = EntryPath::new(name).expect("allowed");
            let written = versioned(&version, Some(&path));
            assert!(written.bytes().all(|b| b.is_ascii_graphic()) && !written.contains(['<', '"', '#', '?']));
            let Ok(Address::Entry(read)) = Address::parse(&written) else { panic!("{written}") };
            assert_eq!((read.path, read.version), (Some(path), Some(SourceVersion(7))), "{written}");
        }
    }
}

//! Paths of entries inside a package: validated bytes, never `String`.

use std::cmp::Ordering;
use std::fmt;

use crate::Escaped;

/// The longest path in bytes and the longest component, as Linux itself holds them.
const PATH_BYTES_MAX: usize = 4_095;
const COMPONENT_BYTES_MAX: usize = 255;

/// A relative path inside a package: components joined by `/`, any bytes but NUL and `/`.
///
/// Limits: 1-4,095 bytes, components of 1-255 bytes, never `.` or `..`. Forms that Windows or a
/// mapper of paths would take for an absolute, UNC, drive or parent path are refused too.
/// Order: component by component ([`compare_paths`]), so a folder is contiguous.
/// Shown escaped. Source: docs/formats/manifest.md, "Paths".
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntryPath(Box<[u8]>);

/// Why bytes are not an entry path. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A component is `..`.
    #[error("PATH_TRAVERSAL: \"..\" is not allowed in {}", Escaped(.0))]
    Traversal(Vec<u8>),
    /// The path begins with `/`.
    #[error("PATH_ABSOLUTE: {} is absolute, a path relative to the package is wanted", Escaped(.0))]
    Absolute(Vec<u8>),
    /// The path has the form of a drive path: `C:\x`, `C:/x`, `C:x`.
    #[error("PATH_DRIVE: {} has the form of a drive path", Escaped(.0))]
    Drive(Vec<u8>),
    /// The path has the form of a UNC or device path: `\\host\share`, `//host/x`, `\\?\C:\x`.
    #[error("PATH_UNC: {} has the form of a UNC path", Escaped(.0))]
    Unc(Vec<u8>),
    /// A backslash hides a parent, absolute, UNC or drive form.
    #[error("PATH_SEPARATOR: a backslash in {} hides a parent or absolute path", Escaped(.0))]
    Separator(Vec<u8>),
    /// A NUL byte.
    #[error("PATH_CONTROL_CHAR: {} contains a NUL byte", Escaped(.0))]
    ControlChar(Vec<u8>),
    /// An empty component or `.`.
    #[error("PATH_COMPONENT: {} has an empty component or \".\"", Escaped(.0))]
    Component(Vec<u8>),
    /// Longer than Linux holds.
    #[error("NAME_TOO_LONG: {what} has {actual} bytes, at most {limit} are allowed: {}…", Escaped(.start))]
    TooLong { what: &'static str, actual: usize, limit: usize, start: Vec<u8> },
}

impl EntryPath {
    /// Checks `bytes` and takes them as a path.
    ///
    /// Errors: the first rule broken, in the order of [`PathError`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, PathError> {
        let bytes = bytes.into();
        check(&bytes)?;
        Ok(Self(bytes.into_boxed_slice()))
    }

    /// The path's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The last component.
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|b| *b == b'/').next().expect("rsplit yields at least one piece")
    }

    /// The folder that holds this entry, `None` at the package's root.
    pub fn parent(&self) -> Option<Self> {
        self.0.iter().rposition(|b| *b == b'/').map(|at| Self(self.0[..at].into()))
    }

    /// The components from the root on.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/')
    }

    /// This path with `name` beneath it.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        Self::new([&self.0, &b"/"[..], name].concat())
    }
}

fn check(path: &[u8]) -> Result<(), PathError> {
    let shown = || path[..path.len().min(200)].to_vec();
    if path.contains(&0) {
        return Err(PathError::ControlChar(shown()));
    }
    if path.starts_with(b"\\\\") || path.starts_with(b"//") {
        return Err(PathError::Unc(shown()));
    }
    if path.starts_with(b"/") {
        return Err(PathError::Absolute(shown()));
    }
    if is_drive(path) {
        return Err(PathError::Drive(shown()));
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(too_long("the path", path, PATH_BYTES_MAX));
    }
    for component in path.split(|b| *b == b'/') {
        match component {
            b".." => return Err(PathError::Traversal(shown())),
            b"" | b"." => return Err(PathError::Component(shown())),
            c if c.len() > COMPONENT_BYTES_MAX => {
                return Err(too_long("a component", c, COMPONENT_BYTES_MAX));
            }
            c if hides_a_path(c) => return Err(PathError::Separator(shown())),
            _ => {}
        }
    }
    Ok(())
}

fn too_long(what: &'static str, bytes: &[u8], limit: usize) -> PathError {
    PathError::TooLong { what, actual: bytes.len(), limit, start: bytes[..40.min(bytes.len())].to_vec() }
}

/// `C:`, `C:\x`, `c:/x` in either case; `C:x` only with a capital, because `a:stream` is a name
/// that Linux programs do use; never `B::Op`.
fn is_drive(path: &[u8]) -> bool {
    match path {
        [letter, b':', rest @ ..] if letter.is_ascii_alphabetic() => match rest.first() {
            None | Some(b'\\' | b'/') => true,
            Some(b':') => false,
            Some(_) => letter.is_ascii_uppercase(),
        },
        _ => false,
    }
}

/// True when reading the component's backslashes as separators would leave the package.
fn hides_a_path(component: &[u8]) -> bool {
    component.contains(&b'\\')
        && (component.starts_with(b"\\")
            || component.split(|b| *b == b'\\').any(|c| c == b".." || is_drive(c)))
}

/// Orders paths component by component, so that everything beneath a folder follows it directly.
pub fn compare_paths(a: &[u8], b: &[u8]) -> Ordering {
    let common = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    match (a.get(common), b.get(common)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(b'/'), Some(_)) => Ordering::Less,
        (Some(_), Some(b'/')) => Ordering::Greater,
        (Some(x), Some(y)) => x.cmp(y),
    }
}

impl Ord for EntryPath {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_paths(&self.0, &other.0)
    }
}

impl PartialOrd for EntryPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.0).fmt(f)
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::{EntryPath, PathError, compare_paths};

    fn code(path: &[u8]) -> String {
        match EntryPath::new(path) {
            Ok(p) => format!("ok {p}"),
            Err(e) => e.to_string().split(':').next().expect("a code").to_owned(),
        }
    }

    #[test]
    fn paths_that_leave_the_package_are_refused() {
        for (path, want) in [
            (&b"../../etc/passwd"[..], "PATH_TRAVERSAL"),
            (b"a/../b", "PATH_TRAVERSAL"),
            (b"/etc/passwd", "PATH_ABSOLUTE"),
            (b"C:\\x", "PATH_DRIVE"),
            (b"C:x", "PATH_DRIVE"),
            (b"\\\\host\\share\\x", "PATH_UNC"),
            (b"\\\\?\\C:\\x", "PATH_UNC"),
            (b"//host/x", "PATH_UNC"),
            (b"a\\..\\..\\b", "PATH_SEPARATOR"),
            (b"a/..\\b", "PATH_SEPARATOR"),
            (b"a/\\b", "PATH_SEPARATOR"),
            (b"a\\C:\\b", "PATH_SEPARATOR"),
            (b"a\0b", "PATH_CONTROL_CHAR"),
            (b"a//b", "PATH_COMPONENT"),
            (b"a/.", "PATH_COMPONENT"),
            (b"", "PATH_COMPONENT"),
        ] {
            assert_eq!(code(path), want, "{path:?}");
        }
        assert_eq!(code(&[b'x'; 256]), "NAME_TOO_LONG");
    }

    #[test]
    fn ordinary_names_are_kept_as_bytes() {
        for path in
            [&b"a\\b"[..], b"B::Op", b"perl/Net::HTTP.3pm", b"caf\xe9", b"a:stream", b"x/..y/...", b"a\nb"]
        {
            assert_eq!(EntryPath::new(path).expect("allowed").as_bytes(), path);
        }
    }

    #[test]
    fn a_folder_is_contiguous_in_path_order() {
        let mut paths = vec!["a.b", "a/x", "a", "a-b", "b", "a/x/y", "a/x.z"];
        paths.sort_by(|x, y| compare_paths(x.as_bytes(), y.as_bytes()));
        assert_eq!(paths, ["a", "a/x", "a/x/y", "a/x.z", "a-b", "a.b", "b"]);
    }

    #[test]
    fn a_path_knows_its_parent_and_name() {
        let path = EntryPath::new("a/b/c").expect("valid");
        assert_eq!((path.name(), path.parent().map(|p| p.to_string())), (&b"c"[..], Some("a/b".into())));
        assert_eq!(EntryPath::new("a").expect("valid").parent(), None);
        assert!(matches!(path.join(b".."), Err(PathError::Traversal(_))));
    }
}

//! Source paths as administrators write them: UNC, drive letter, absolute POSIX, or a URL.

use restock_names::Escaped;

/// The longest source path in bytes.
const BYTES_MAX: usize = 4096;

/// A well-formed source path, cut into components.
///
/// Windows forms take both separators and are compared without case; in the POSIX form a
/// backslash is part of a name. `.` and `..` are refused, so components say where the path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePath {
    form: Form,
    components: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `\\host\share\…`; the first two components are host and share.
    Unc,
    /// `D:\…`; the first component is `D:`.
    Drive,
    /// `/…`.
    Posix,
    /// `scheme://host/…`: kept as it was put, matched like any other form, and never fetched.
    Url,
}

/// Why a text is no source path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {reason}", Escaped(.shown.as_bytes()))]
pub struct SourcePathError {
    shown: String,
    reason: &'static str,
}

impl SourcePath {
    /// The components beneath `root`; `None` when the path does not lie in it.
    pub fn beneath(&self, root: &Self) -> Option<&[String]> {
        if self.form != root.form || self.components.len() < root.components.len() {
            return None;
        }
        let (head, rest) = self.components.split_at(root.components.len());
        let is_same = |a: &String, b: &String| match self.form {
            Form::Posix | Form::Url => a == b,
            Form::Unc | Form::Drive => a.to_lowercase() == b.to_lowercase(),
        };
        head.iter().zip(&root.components).all(|(a, b)| is_same(a, b)).then_some(rest)
    }

    /// True when both name the same place.
    pub fn is_same(&self, other: &Self) -> bool {
        self.len() == other.len() && self.beneath(other).is_some()
    }

    /// How many components it has.
    pub(super) fn len(&self) -> usize {
        self.components.len()
    }
}

impl std::str::FromStr for SourcePath {
    type Err = SourcePathError;

    fn from_str(text: &str) -> Result<Self, SourcePathError> {
        let fail = |reason| SourcePathError { shown: text.chars().take(200).collect(), reason };
        if text.len() > BYTES_MAX {
            return Err(fail("is longer than 4096 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(fail("holds a control character"));
        }
        let windows = |rest: &str| split(rest, &['\\', '/']);
        let mut drive = text.chars();
        let path = if let Some(rest) = text.strip_prefix(r"\\").or_else(|| text.strip_prefix("//")) {
            Self { form: Form::Unc, components: windows(rest) }
        } else if let Some((scheme, rest)) = url(text) {
            let scheme = std::iter::once(format!("{}:", scheme.to_ascii_lowercase()));
            Self { form: Form::Url, components: scheme.chain(split(rest, &['/'])).collect() }
        } else if drive.next().is_some_and(|c| c.is_ascii_alphabetic()) && drive.next() == Some(':') {
            if !matches!(drive.next(), None | Some('\\' | '/')) {
                return Err(fail("is relative to a drive: a path such as D:\\folder is wanted"));
            }
            Self { form: Form::Drive, components: windows(text) }
        } else if text.starts_with('/') {
            Self { form: Form::Posix, components: split(text, &['/']) }
        } else {
            return Err(fail("is not absolute: \\\\host\\share\\folder, D:\\folder or /folder is wanted"));
        };
        if path.form == Form::Unc {
            match path.components.as_slice() {
                [host, ..] if matches!(host.as_str(), "?" | ".") => return Err(fail("is a device path")),
                [_, _, ..] => {}
                _ => return Err(fail("names no share: \\\\host\\share is wanted")),
            }
        }
        if path.components.iter().any(|c| c == "." || c == "..") {
            return Err(fail("holds \".\" or \"..\""));
        }
        Ok(path)
    }
}

/// Scheme and rest of `scheme://rest`; a scheme has two characters at least, so `D://x` is a drive.
fn url(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b));
    is_scheme.then_some((scheme, rest))
}

fn split(text: &str, separators: &[char]) -> Vec<String> {
    text.split(separators).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::SourcePath;

    #[test]
    fn ill_formed_source_paths_are_refused_with_the_reason() {
        let cases = [
            ("", "is not absolute"),
            ("relative/x", "is not absolute"),
            ("C:x", "is relative to a drive"),
            (r"\\host", "names no share"),
            (r"\\?\C:\x", "is a device path"),
            (r"\\.\pipe\x", "is a device path"),
            (r"\\h\s\..\..\etc", "holds \".\" or \"..\""),
            ("/srv/./x", "holds \".\" or \"..\""),
            ("/srv/\u{0}x", "holds a control character"),
        ];
        for (text, reason) in cases {
            let error = text.parse::<SourcePath>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        for good in [
            "/",
            "D:",
            r"d:\",
            r"\\h\s",
            "//h/s/x",
            "/a\\b//c/",
            "http://169.254.169.254/",
            "file:///etc",
            "D://x",
        ] {
            assert!(good.parse::<SourcePath>().is_ok(), "{good}");
        }
    }
}

//! `PKG`, `PKG.3` and `PKG@3` on the command line.

use restock_names::SourceVersion;

use crate::commands::package_id;
use crate::control::VersionRef;
use crate::failure::Failure;
use crate::output::shown;

/// Reads a package ID with or without a version.
///
/// Errors: kind not-found for what cannot be a package, kind usage for what is no version.
pub(crate) fn version_ref(text: &str) -> Result<VersionRef, Failure> {
    let Some((package, version)) = text.split_once(['.', '@']) else {
        return Ok(VersionRef { package: package_id(text)?, version: None });
    };
    let package = package_id(package)?;
    match version.parse::<u32>() {
        Ok(number) if number > 0 => Ok(VersionRef { package, version: Some(SourceVersion(number)) }),
        _ => {
            Err(Failure::usage(format!("VERSION_INVALID: {} is not the number of a version", shown(version)))
                .hint(format!("restock package history {package}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::version_ref;
    use crate::failure::Kind;

    #[test]
    fn a_version_follows_a_dot_or_an_at() {
        let read = |text| version_ref(text).map(|of| (of.package.to_string(), of.version.map(|v| v.0)));
        assert_eq!(read("xyz00001").unwrap(), ("XYZ00001".to_owned(), None));
        assert_eq!(read("XYZ00001.3").unwrap(), ("XYZ00001".to_owned(), Some(3)));
        assert_eq!(read("XYZ00001@12").unwrap(), ("XYZ00001".to_owned(), Some(12)));
        assert_eq!(read("XYZ00001@0").unwrap_err().kind, Kind::Usage);
        assert_eq!(read("XYZ00001.").unwrap_err().kind, Kind::Usage);
        assert_eq!(read("nothing.1").unwrap_err().kind, Kind::NotFound);
    }
}

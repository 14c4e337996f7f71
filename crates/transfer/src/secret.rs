//! Keys and certificates as files: written whole, durable, and readable by their owner only.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::IdentityError;

/// The longest key or certificate file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why keys or certificates cannot be made, read or used. The text begins with the stable code.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The folder has no identity.
    #[error("NOT_ENROLLED: {0} holds no identity")]
    Missing(PathBuf),
    /// The folder has one already.
    #[error("ALREADY_ENROLLED: {0} holds an identity already")]
    Exists(PathBuf),
    /// A secret that others can read.
    #[error("KEY_MODE: {path} has mode {mode:04o}, a key must be readable by its owner only (0600)")]
    Mode { path: PathBuf, mode: u32 },
    /// A file operation failed.
    #[error("TRUST_FILE: failed to {operation} {path}")]
    File { operation: &'static str, path: PathBuf, source: io::Error },
    /// A file does not hold what it should.
    #[error("TRUST_FORMAT: {path} is damaged: {what}")]
    Format { path: PathBuf, what: String },
    /// A certificate could not be made.
    #[error("TRUST_CERTIFICATE: failed to {operation}")]
    Certificate { operation: &'static str, source: rcgen::Error },
    /// TLS refused a key or certificate.
    #[error("TRUST_TLS: failed to set up TLS")]
    Tls { source: rustls::Error },
    /// A certificate names nobody, or somebody else.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A key list that the site's root key did not sign.
    #[error("KEY_LIST: {0}")]
    KeyList(String),
    /// A list of authorities that the site's root key did not sign, or that cannot be used.
    #[error("AUTHORITIES: {0}")]
    Authorities(String),
    /// A site's head that is not its own.
    #[error("SITE_HEAD: {0}")]
    Head(String),
    /// No randomness.
    #[error("TRUST_RANDOM: failed to draw random bytes")]
    Random { source: getrandom::Error },
}

impl TrustError {
    pub(crate) fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { operation, path, source }
    }

    pub(crate) fn format(path: &Path, what: impl ToString) -> Self {
        Self::Format { path: path.to_owned(), what: what.to_string() }
    }
}

/// Makes a folder that only its owner can enter; an existing one is fine.
pub(crate) fn create_folder(path: &Path) -> Result<(), TrustError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(TrustError::file("create", path))
}

/// Replaces a file, mode 0600: temporary name, write, sync, rename, sync folder.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), TrustError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let write = || -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        // A temporary file left by a crash keeps the mode it was made with.
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(TrustError::file("write", path))
}

/// Removes a file durably; one that is not there is fine.
pub(crate) fn remove_secret(path: &Path) -> Result<(), TrustError> {
    let remove = || -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    remove().map_err(TrustError::file("remove", path))
}

/// Reads a file that only its owner may read; `None` when there is none.
pub(crate) fn read_secret(path: &Path) -> Result<Option<Vec<u8>>, TrustError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TrustError::file("open", path)(error)),
    };
    let metadata = file.metadata().map_err(TrustError::file("read", path))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(TrustError::Mode { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, FILE_BYTES_MAX), &mut bytes)
        .map_err(TrustError::file("read", path))?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::{TrustError, read_secret, write_secret};

    #[test]
    fn a_secret_is_readable_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(read_secret(&path).unwrap().is_none());
        write_secret(&path, b"s").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(read_secret(&path).unwrap().unwrap(), b"s");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read_secret(&path), Err(TrustError::Mode { mode: 0o640, .. })));
    }
}

//! The key under which a site seals secrets that lie in its database.
//!
//! | file | holds |
//! |---|---|
//! | `sealing-key` | 32 random bytes |
//!
//! It lies beside the site's other keys, so that a copied database opens nothing.
//! Source: docs/formats/sealed-secret.md.

use crate::SiteTrust;
use crate::secret::{TrustError, read_secret, write_secret};

const FILE: &str = "sealing-key";

impl SiteTrust {
    /// The key, drawn when there is none.
    ///
    /// Errors: a file that others can read, or that holds something else; no randomness.
    pub fn sealing_key(&self) -> Result<[u8; 32], TrustError> {
        let path = self.folder().join(FILE);
        if let Some(kept) = read_secret(&path)? {
            return kept.try_into().map_err(|_kept| TrustError::format(&path, "32 bytes are wanted"));
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|source| TrustError::Random { source })?;
        write_secret(&path, &key)?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use restock_names::SystemClock;

    use crate::SiteTrust;

    #[test]
    fn a_sealing_key_is_drawn_once_and_kept_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let trust = SiteTrust::create(folder.path(), "XYZ".parse().unwrap(), &SystemClock).unwrap();
        let key = trust.sealing_key().unwrap();
        assert_eq!(trust.sealing_key().unwrap(), key);
        assert_ne!(key, [0; 32]);
        let file = folder.path().join("sealing-key");
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&file, b"short").unwrap();
        assert!(trust.sealing_key().is_err());
    }
}

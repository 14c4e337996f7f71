//! What must hold before anything of a version is asked for.

use std::ops::Deref;

use restock_names::ContentVersion;

use crate::statement::{KeyList, Statement, StatementError};

/// A statement whose signature and subject were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedStatement(Statement);

/// Why a statement from a peer is not acted on. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// Broken, or not signed by a key the holder accepts.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Another package or version than was announced.
    #[error("MANIFEST_SUBJECT: the statement is of {found}, {wanted} was announced")]
    Subject { wanted: ContentVersion, found: ContentVersion },
    /// A lower (epoch, version) than the holder has.
    #[error("VERSION_DOWNGRADE: epoch {}, version {} is below what is held: epoch {}, version {}",
        .got.epoch, .got.version, .have.epoch, .have.version)]
    Downgrade { have: ContentVersion, got: ContentVersion },
}

/// Reads a statement from a peer and checks it: form, signature by a key of `keys`, subject, and
/// that it is not below `held`, the newest version the holder has of the package.
///
/// Errors: [`AcceptError`], the first that applies in this order: form, signature, subject,
/// downgrade. The same version again is fine.
pub fn accept_statement(
    bytes: &[u8],
    subject: &ContentVersion,
    keys: &KeyList,
    held: Option<&ContentVersion>,
) -> Result<AcceptedStatement, AcceptError> {
    let statement = Statement::decode(bytes).map_err(|error| {
        // Everything but the signature: that is what is wrong with it.
        let is_unsigned = Statement::decode(&[bytes, &[0; 64]].concat()).is_ok();
        if is_unsigned { StatementError::Signature("the statement is not signed") } else { error }
    })?;
    statement.verify(keys)?;
    if statement.version != *subject {
        return Err(AcceptError::Subject { wanted: *subject, found: statement.version });
    }
    if let Some(have) = held
        && have.package == subject.package
        && (subject.epoch, subject.version) < (have.epoch, have.version)
    {
        return Err(AcceptError::Downgrade { have: *have, got: *subject });
    }
    Ok(AcceptedStatement(statement))
}

impl AcceptError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Statement(StatementError::Signature(_)) => "MANIFEST_SIGNATURE",
            Self::Statement(_) => "MANIFEST_FORMAT",
            Self::Subject { .. } => "MANIFEST_SUBJECT",
            Self::Downgrade { .. } => "VERSION_DOWNGRADE",
        }
    }
}

impl AcceptedStatement {
    /// Takes a statement out of the holder's own library, where only accepted ones are stored.
    pub fn from_library(statement: Statement) -> Self {
        Self(statement)
    }

    /// The statement.
    pub fn into_inner(self) -> Statement {
        self.0
    }
}

impl Deref for AcceptedStatement {
    type Target = Statement;
    fn deref(&self) -> &Statement {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use restock_names::{ContentVersion, Digest, Epoch, SourceVersion, Timestamp};

    use super::accept_statement;
    use crate::manifest::ManifestRoot;
    use crate::statement::{KeyList, SigningKey, Statement};

    #[test]
    fn a_statement_is_accepted_only_for_its_subject_by_its_site_and_not_downwards() {
        let site = "XYZ".parse().unwrap();
        let key = SigningKey::from_bytes(&[1; 32]);
        let root = SigningKey::from_bytes(&[2; 32]);
        let keys = KeyList::sign(site, 1, vec![key.public()], &root);
        let version = |package: &str, epoch, version| ContentVersion {
            package: package.parse().unwrap(),
            epoch: Epoch(epoch),
            version: SourceVersion(version),
        };
        let manifest =
            ManifestRoot { digest: Digest([7; 32]), length: 1, pages: 1, entries: 0, chunks: 0, bytes: 0 };
        let sign = |v, key: &SigningKey| Statement::sign(site, v, manifest, Timestamp(0), key).encode();
        let subject = version("XYZ00001", 1, 3);
        let code = |bytes: &[u8], held: Option<ContentVersion>| {
            accept_statement(bytes, &subject, &keys, held.as_ref()).map(|_| ()).map_err(|e| e.code())
        };
        let good = sign(subject, &key);
        assert_eq!(code(&good, None), Ok(()));
        assert_eq!(code(&good, Some(subject)), Ok(()));
        assert_eq!(code(&good, Some(version("XYZ00001", 1, 4))), Err("VERSION_DOWNGRADE"));
        assert_eq!(code(&good, Some(version("XYZ00001", 2, 1))), Err("VERSION_DOWNGRADE"));
        assert_eq!(code(&sign(version("XYZ00002", 1, 3), &key), None), Err("MANIFEST_SUBJECT"));
        assert_eq!(code(&sign(subject, &SigningKey::from_bytes(&[9; 32])), None), Err("MANIFEST_SIGNATURE"));
        assert_eq!(code(&good[..good.len() - 1], None), Err("MANIFEST_FORMAT"));
        assert_eq!(code(&good[..good.len() - 64], None), Err("MANIFEST_SIGNATURE"));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(code(&bad, None).is_err(), "byte {at}");
        }
    }
}

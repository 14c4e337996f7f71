//! What must hold before anything of a version is asked for.

use std::ops::Deref;

use restock_names::{ContentVersion, Epoch, SourceVersion};

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
    /// A lower version in the epoch the holder has.
    #[error("VERSION_DOWNGRADE: epoch {}, version {} is below what is held: epoch {}, version {}",
        .got.epoch, .got.version, .have.epoch, .have.version)]
    Downgrade { have: ContentVersion, got: ContentVersion },
    /// A lower epoch than the holder has: who signed it owns the package no more.
    #[error("FENCED: epoch {} of version {} has ended: epoch {}, version {} is held",
        .got.epoch, .got.version, .have.epoch, .have.version)]
    Fenced { have: ContentVersion, got: ContentVersion },
    /// A number so far above what the holder has that no refresh can have led there.
    #[error("VERSION_JUMP: epoch {}, version {} is too far above epoch {}, version {}: at most {limit} more is accepted",
        .got.epoch, .got.version, .have.epoch, .have.version)]
    Jump { have: ContentVersion, got: ContentVersion, limit: u32 },
}

/// How far a version may lie above what a holder has of the package; without any it counts from the
/// beginning. Numbers that were spent cannot be taken back, so a great leap is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JumpPolicy {
    /// By how much a version number may rise at once.
    pub versions_max: u32,
    /// By how much an epoch's generation, its upper 16 bits, may rise at once.
    pub generations_max: u32,
}

impl Default for JumpPolicy {
    fn default() -> Self {
        Self { versions_max: 1_000_000, generations_max: 1_000 }
    }
}

impl JumpPolicy {
    /// Errors: [`AcceptError::Jump`] when `got` lies too far above `held`.
    pub fn check(&self, held: Option<&ContentVersion>, got: &ContentVersion) -> Result<(), AcceptError> {
        let begin = ContentVersion { epoch: Epoch(0), version: SourceVersion(0), ..*got };
        let have = *held.unwrap_or(&begin);
        let generation = |version: &ContentVersion| version.epoch.0 >> 16;
        let rises = [
            (got.version.0.saturating_sub(have.version.0), self.versions_max),
            (generation(got).saturating_sub(generation(&have)), self.generations_max),
        ];
        match rises.into_iter().find(|(rise, most)| rise > most) {
            Some((_, limit)) => Err(AcceptError::Jump { have, got: *got, limit }),
            None => Ok(()),
        }
    }
}

/// Reads a statement from a peer and checks it: form, signature by a key of `keys`, subject, and
/// that it is neither below `held`, the newest version the holder has of the package, nor further above
/// it than [`JumpPolicy`] allows.
///
/// Errors: [`AcceptError`], the first that applies in this order: form, signature, subject, epoch,
/// version, jump. The same version again is fine.
pub fn accept_statement(
    bytes: &[u8],
    subject: &ContentVersion,
    keys: &KeyList,
    held: Option<&ContentVersion>,
) -> Result<AcceptedStatement, AcceptError> {
    accept_within(bytes, subject, keys, held, &JumpPolicy::default())
}

/// As [`accept_statement`] with a policy of the holder's own.
pub fn accept_within(
    bytes: &[u8],
    subject: &ContentVersion,
    keys: &KeyList,
    held: Option<&ContentVersion>,
    jump: &JumpPolicy,
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
    let held = held.filter(|have| have.package == subject.package);
    if let Some(have) = held {
        let (have, got) = (*have, *subject);
        if got.epoch < have.epoch {
            return Err(AcceptError::Fenced { have, got });
        }
        if got.epoch == have.epoch && got.version < have.version {
            return Err(AcceptError::Downgrade { have, got });
        }
    }
    jump.check(held, subject)?;
    Ok(AcceptedStatement(statement))
}

impl AcceptError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Statement(StatementError::Signature(_) | StatementError::UnknownSite) => {
                "MANIFEST_SIGNATURE"
            }
            Self::Statement(_) => "MANIFEST_FORMAT",
            Self::Subject { .. } => "MANIFEST_SUBJECT",
            Self::Downgrade { .. } => "VERSION_DOWNGRADE",
            Self::Fenced { .. } => "FENCED",
            Self::Jump { .. } => "VERSION_JUMP",
        }
    }

    /// May the same statement be accepted later? Only when nothing is wrong with it but that the keys of
    /// its site are not known yet: key lists and statements come from different sites.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Statement(StatementError::UnknownSite))
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

    use super::{JumpPolicy, accept_statement};
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
        assert_eq!(code(&good, Some(version("XYZ00001", 2, 1))), Err("FENCED"));
        assert_eq!(code(&good, Some(version("XYZ00009", 2, 9))), Ok(()), "another package's version");
        assert_eq!(code(&sign(version("XYZ00002", 1, 3), &key), None), Err("MANIFEST_SUBJECT"));
        assert_eq!(code(&sign(subject, &SigningKey::from_bytes(&[9; 32])), None), Err("MANIFEST_SIGNATURE"));
        let elsewhere =
            Statement::sign("ABC".parse().unwrap(), subject, manifest, Timestamp(0), &key).encode();
        assert_eq!(code(&elsewhere, None), Err("MANIFEST_SIGNATURE"), "a site without keys in the list");
        let is_transient = |bytes: &[u8]| {
            accept_statement(bytes, &subject, &keys, None).expect_err("it is refused").is_transient()
        };
        assert!(is_transient(&elsewhere), "its keys may come");
        assert!(!is_transient(&sign(subject, &SigningKey::from_bytes(&[9; 32]))));
        assert!(!is_transient(&good[..good.len() - 1]));
        assert_eq!(code(&good[..good.len() - 1], None), Err("MANIFEST_FORMAT"));
        assert_eq!(code(&good[..good.len() - 64], None), Err("MANIFEST_SIGNATURE"));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(code(&bad, None).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_great_leap_is_refused_by_policy() {
        let at = |epoch, version| ContentVersion {
            package: "XYZ00001".parse().unwrap(),
            epoch: Epoch(epoch),
            version: SourceVersion(version),
        };
        let policy = JumpPolicy::default();
        let generation = |count: u32| count << 16 | 7;
        for (held, got, is_fine) in [
            (None, at(1, 1_000_000), true),
            (None, at(1, 1_000_001), false),
            (None, at(1, u32::MAX), false),
            (Some(at(1, 5)), at(1, 1_000_005), true),
            (Some(at(1, 5)), at(1, 1_000_006), false),
            (Some(at(1, u32::MAX - 1)), at(1, u32::MAX), true),
            (Some(at(1, 9)), at(generation(1_000), 1), true),
            (Some(at(1, 9)), at(generation(1_001), 10), false),
            (Some(at(generation(3), 9)), at(u32::MAX, 10), false),
        ] {
            let checked = policy.check(held.as_ref(), &got);
            assert_eq!(checked.is_ok(), is_fine, "{held:?} {got:?}");
            if let Err(error) = checked {
                assert!(error.code() == "VERSION_JUMP" && error.to_string().starts_with("VERSION_JUMP: "));
            }
        }
        let own = JumpPolicy { versions_max: 10, generations_max: 0 };
        assert!(own.check(Some(&at(1, 1)), &at(1, 11)).is_ok());
        assert!(own.check(Some(&at(1, 1)), &at(1, 12)).is_err());
        assert!(own.check(Some(&at(1, 1)), &at(generation(1), 2)).is_err());
    }
}

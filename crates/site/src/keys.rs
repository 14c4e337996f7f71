//! Whose statements a site believes: those of all sites of the hierarchy, each by its own key list.
//!
//! A key list is checked against the root key its site was first seen with. The keys of all other
//! sites go into this site's own list, which its distribution points follow.

use std::sync::Arc;

use restock_content::statement::{ForeignKey, KeyList, PublicKey, Statement};
use restock_sitedb::hierarchy::SiteRow;
use restock_sitedb::replica::{CheckedVersion, StatementCheck};
use restock_sitedb::{Database, DatabaseError, Why};
use restock_transfer::SiteTrust;

use crate::SiteError;
use crate::message::{chain, distmgr};

/// Checks the statements of versions that other sites announce.
#[derive(Debug, Clone)]
pub(crate) struct KeyCheck {
    /// The keys of this site itself: after a restore its own versions come back from others.
    pub(crate) own: Arc<KeyList>,
}

impl StatementCheck for KeyCheck {
    fn check(&self, signer: &SiteRow, statement: &[u8]) -> Result<CheckedVersion, Why> {
        let statement =
            Statement::decode(statement).map_err(|error| Why::new("MANIFEST_FORMAT", chain(&error)))?;
        if statement.site != signer.code {
            let text =
                format!("the statement is of site {}, its epoch is of site {}", statement.site, signer.code);
            return Err(Why::new("MANIFEST_SUBJECT", text));
        }
        let refused = |text: String| Why::new("MANIFEST_SIGNATURE", text);
        let list = if signer.code == self.own.site {
            Arc::clone(&self.own)
        } else {
            let list = key_list_of(signer);
            Arc::new(
                list.map_err(|reason| refused(format!("the key list of site {}: {reason}", signer.code)))?,
            )
        };
        statement.verify(&list).map_err(|error| {
            refused(format!("the statement of {} by site {}: {error}", statement.version, signer.code))
        })?;
        let root = statement.root;
        Ok(CheckedVersion {
            content: statement.version,
            root: root.digest,
            root_length: root.length,
            pages: root.pages,
            entries: root.entries,
            chunks: root.chunks,
            bytes: root.bytes,
        })
    }
}

/// The key list of a site, checked: signed by the root key its row names, and of that site.
fn key_list_of(row: &SiteRow) -> Result<KeyList, String> {
    let root = root_key(&row.root_public_key).ok_or("its root key is not 32 bytes in hex")?;
    let list = KeyList::decode(&row.key_list).map_err(|error| error.to_string())?;
    list.verify(&root).map_err(|error| error.to_string())?;
    if list.site == row.code { Ok(list) } else { Err(format!("it is of site {}", list.site)) }
}

/// Puts the keys of all other sites into the list that this site's distribution points follow. They
/// hear of a list that changed at once.
///
/// Errors: the database; the file of the list.
pub(crate) async fn follow(database: &Database, trust: &Arc<SiteTrust>) -> Result<(), SiteError> {
    let rows: Result<Vec<SiteRow>, DatabaseError> =
        database.read("key_lists", |tx| Box::pin(async move { tx.sites().await })).await;
    let mut foreign: Vec<ForeignKey> = Vec::new();
    for row in rows?.iter().filter(|row| row.code != trust.site() && !row.key_list.is_empty()) {
        match key_list_of(row) {
            Ok(list) => foreign.extend(list.as_foreign()),
            Err(reason) => {
                distmgr!(error, site = %row.code, "the key list of site {} is not used: {reason}", row.code);
            }
        }
    }
    let trust = Arc::clone(trust);
    tokio::task::spawn_blocking(move || trust.accept_foreign_keys(foreign))
        .await
        .map_err(|_panic| SiteError::Panicked("keeping a key list"))??;
    Ok(())
}

/// A public key from hex text.
pub(crate) fn root_key(text: &str) -> Option<PublicKey> {
    from_hex(text)?.try_into().ok().map(PublicKey)
}

/// Lower-case hex text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

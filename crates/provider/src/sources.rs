//! Source roots: which folders of the site's machine may be read.

use std::path::Path;

use restock_names::Escaped;
use restock_sitedb::Tx;
use restock_sitedb::source_root::{SourcePath, SourceRoot, refusal_of_folder};

use crate::perform::Circumstances;
use crate::rows::SourceRootRow;
use crate::{NewSourceRoot, OperationError};

/// Names one folder may have beside its own path.
const ALIASES_MAX: usize = 16;

fn row(root: SourceRoot) -> SourceRootRow {
    SourceRootRow { name: root.name, folder: root.folder, aliases: root.aliases }
}

pub(crate) async fn add(
    tx: &mut Tx,
    at: &Circumstances,
    new: NewSourceRoot,
) -> Result<SourceRootRow, OperationError> {
    let is_name = (1..=64).contains(&new.name.len())
        && new.name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
    if !is_name {
        let message = format!(
            "{} cannot name a source: 1-64 letters, digits, '.', '-' or '_' are wanted",
            Escaped(new.name.as_bytes())
        );
        return Err(OperationError::invalid("NAME_INVALID", message));
    }
    if new.aliases.len() > ALIASES_MAX {
        let message =
            format!("{} other names were given, at most {ALIASES_MAX} are allowed", new.aliases.len());
        return Err(OperationError::invalid("SOURCE_ALIASES", message));
    }
    if let Some(reason) = refusal_of_folder(Path::new(&new.folder), &at.own_folders) {
        let message = format!("{} cannot be a source: {reason}", Escaped(new.folder.as_bytes()));
        return Err(OperationError::refused("SOURCE_ROOT_FORBIDDEN", message)
            .hint("restock source add NAME FOLDER, with a folder that holds nothing but sources"));
    }
    let roots = tx.source_roots().await?;
    for name in std::iter::once(&new.folder).chain(&new.aliases) {
        let path: SourcePath = name
            .parse()
            .map_err(|error| OperationError::invalid("SOURCE_PATH_INVALID", format!("the name {error}")))?;
        let is_taken = |other: &String| other.parse::<SourcePath>().is_ok_and(|other| path.is_same(&other));
        if let Some(root) =
            roots.iter().find(|root| std::iter::once(&root.folder).chain(&root.aliases).any(is_taken))
        {
            let message = format!("{} already leads to the source {}", Escaped(name.as_bytes()), root.name);
            return Err(OperationError::refused("SOURCE_ROOT_EXISTS", message).hint("restock source list"));
        }
    }
    let root = SourceRoot { name: new.name, folder: new.folder, aliases: new.aliases, created_at: at.now };
    if !tx.insert_source_root(&root).await? {
        let message = format!("a source named {} exists", root.name);
        return Err(OperationError::refused("SOURCE_ROOT_EXISTS", message).hint("restock source list"));
    }
    Ok(row(root))
}

pub(crate) async fn remove(tx: &mut Tx, name: &str) -> Result<SourceRootRow, OperationError> {
    let root = tx.source_roots().await?.into_iter().find(|root| root.name == name);
    let unknown = || {
        let message = format!("no source is named {}", Escaped(name.as_bytes()));
        OperationError::not_found("SOURCE_ROOT_UNKNOWN", message).hint("restock source list")
    };
    let root = root.ok_or_else(unknown)?;
    tx.delete_source_root(name).await?;
    Ok(row(root))
}

pub(crate) async fn list(tx: &mut Tx) -> Result<Vec<SourceRootRow>, OperationError> {
    Ok(tx.source_roots().await?.into_iter().map(row).collect())
}

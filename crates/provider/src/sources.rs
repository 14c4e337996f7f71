//! Source roots: which folders of the site's machine may be read, and who may name them.

use std::path::Path;

use restock_names::Escaped;
use restock_sitedb::Tx;
use restock_sitedb::admin::{SCOPE_ALL, SCOPE_DEFAULT};
use restock_sitedb::source_root::{SourcePath, SourceRoot, refusal_of_folder, resolve};

use crate::admin::scopes;
use crate::perform::Circumstances;
use crate::rights::object_types::PACKAGE;
use crate::rights::{Rights, operations};
use crate::rows::SourceRootRow;
use crate::{NewSourceRoot, OperationError};

/// Names one folder may have beside its own path.
const ALIASES_MAX: usize = 16;
/// Security scopes one folder may be in.
const SCOPES_MAX: usize = 64;

fn row(root: SourceRoot) -> SourceRootRow {
    SourceRootRow { name: root.name, folder: root.folder, aliases: root.aliases, scopes: root.scopes }
}

/// Asks whether the caller may let a package have `path`: when it lies under a root, `operation` on
/// packages is needed within one of the root's scopes. A path under no root is anybody's: it opens
/// nothing.
///
/// Errors: `SOURCE_SCOPE`, which tells the scopes and not where the folder lies.
pub(crate) async fn require_scope(
    tx: &mut Tx,
    rights: &Rights,
    operation: u32,
    path: &str,
) -> Result<(), OperationError> {
    // What is not well formed is refused where the package is checked.
    let Ok(path) = path.parse::<SourcePath>() else { return Ok(()) };
    let roots = tx.source_roots().await?;
    let Some((root, _)) = resolve(&path, &roots) else { return Ok(()) };
    if rights.may(PACKAGE, operation, &root.scopes) {
        return Ok(());
    }
    let message = format!(
        "the source path lies under source root {}: setting it needs {} on SMS_Package within scope {}",
        root.name,
        operations::names(operation),
        root.scopes.join(" or ")
    );
    Err(OperationError::refused("SOURCE_SCOPE", message))
}

/// The IDs of the scopes that a new root is in.
async fn scopes_of(tx: &mut Tx, wanted: &[String]) -> Result<Vec<String>, OperationError> {
    if wanted.len() > SCOPES_MAX {
        let message = format!("{} scopes were given, at most {SCOPES_MAX} are allowed", wanted.len());
        return Err(OperationError::invalid("RANGE", message));
    }
    let mut ids = Vec::with_capacity(wanted.len().max(1));
    for text in wanted {
        let id = scopes::find(tx, text).await?.id;
        if id.eq_ignore_ascii_case(SCOPE_ALL) {
            let message = format!("scope {SCOPE_ALL} holds every source and lists none");
            return Err(OperationError::refused("BUILT_IN", message));
        }
        ids.push(id);
    }
    if ids.is_empty() {
        ids.push(SCOPE_DEFAULT.to_owned());
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
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
    let scopes = scopes_of(tx, &new.scopes).await?;
    let root =
        SourceRoot { name: new.name, folder: new.folder, aliases: new.aliases, scopes, created_at: at.now };
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

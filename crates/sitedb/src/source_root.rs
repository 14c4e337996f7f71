//! Folders beneath which package sources may lie.

use restock_names::Timestamp;

use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

/// A registered folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRoot {
    /// Its name.
    pub name: String,
    /// The folder on this machine.
    pub folder: String,
    /// The forms by which source paths may name it.
    pub aliases: Vec<String>,
    /// When it was registered.
    pub created_at: Timestamp,
}

fn root(row: &Row) -> Result<SourceRoot, DatabaseError> {
    Ok(SourceRoot {
        name: row.text("name")?,
        folder: row.text("folder")?,
        aliases: row.texts("aliases")?,
        created_at: row.time("created_at")?,
    })
}

impl Tx {
    /// All registered folders by name.
    pub async fn source_roots(&mut self) -> Result<Vec<SourceRoot>, DatabaseError> {
        self.rows("SELECT name, folder, aliases, created_at FROM source_roots ORDER BY name", bind![])
            .await?
            .iter()
            .map(root)
            .collect()
    }

    /// Adds a folder; false when the name is taken.
    pub async fn insert_source_root(&mut self, root: &SourceRoot) -> Result<bool, DatabaseError> {
        let aliases = serde_json::to_string(&root.aliases).expect("a list of texts is plain data");
        let added = self
            .execute(
                "INSERT INTO source_roots (name, folder, aliases, created_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (name) DO NOTHING",
                bind![&root.name, &root.folder, aliases, root.created_at],
            )
            .await?;
        Ok(added == 1)
    }

    /// Removes a folder; false when there is none of that name.
    pub async fn delete_source_root(&mut self, name: &str) -> Result<bool, DatabaseError> {
        Ok(self.execute("DELETE FROM source_roots WHERE name = $1", bind![name]).await? == 1)
    }
}

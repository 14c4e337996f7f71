//! Distribution point groups, their members, packages and associated collections.
//!
//! The rows say what a group should have. That each member gets each package is made true by
//! whoever changes them, in the same transaction, with [`Tx::apply`].

use restock_names::{DistributionPointName, PackageId, SiteCode, Timestamp};

use crate::admin::TYPE_GROUP;
use crate::replica::Kind;
use crate::replica::kinds::form::folded;
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

/// A group of distribution points. IDs and names are compared without letter case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its ID, such as `{0A1B…}`.
    pub id: String,
    /// Its name; no two groups have the same.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The site that made it.
    pub source_site: SiteCode,
    /// The account that made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// The account that changed it last.
    pub modified_by: String,
    /// When.
    pub modified_at: Timestamp,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT group_id, name, description, source_site, created_by, created_at, modified_by, modified_at
             FROM dp_groups ",
            $rest
        )
    };
}

fn group(row: &Row) -> Result<Group, DatabaseError> {
    Ok(Group {
        id: row.text("group_id")?,
        name: row.text("name")?,
        description: row.text("description")?,
        source_site: row.parse("source_site")?,
        created_by: row.text("created_by")?,
        created_at: row.time("created_at")?,
        modified_by: row.text("modified_by")?,
        modified_at: row.time("modified_at")?,
    })
}

impl Tx {
    /// Adds a group without members, in the default security scope.
    ///
    /// Errors: its ID or name is taken.
    pub async fn insert_group(&mut self, g: &Group) -> Result<(), DatabaseError> {
        let number = self.next_number("group").await?;
        self.execute(
            "INSERT INTO dp_groups (group_id, number, name, description, source_site, created_by, created_at,
                 modified_by, modified_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            bind![
                &g.id,
                number,
                &g.name,
                &g.description,
                g.source_site,
                &g.created_by,
                g.created_at,
                &g.modified_by,
                g.modified_at
            ],
        )
        .await?;
        self.touch(Kind::Group, folded(&g.id));
        self.scope_by_default(TYPE_GROUP, &g.id).await
    }

    /// Keeps name, description and who changed it when; false when there is no such group.
    ///
    /// Errors: the name is taken.
    pub async fn update_group(&mut self, g: &Group) -> Result<bool, DatabaseError> {
        let changed = self
            .execute(
                "UPDATE dp_groups SET name = $2, description = $3, modified_by = $4, modified_at = $5
                 WHERE group_id = $1",
                bind![&g.id, &g.name, &g.description, &g.modified_by, g.modified_at],
            )
            .await?;
        self.touch(Kind::Group, folded(&g.id));
        Ok(changed == 1)
    }

    /// Removes a group with its lists; what its members hold stays. False when there is none.
    pub async fn delete_group(&mut self, id: &str) -> Result<bool, DatabaseError> {
        for point in self.group_members(id).await? {
            self.touch(Kind::GroupMember, folded(&format!("{id}/{point}")));
        }
        for package in self.group_packages(id).await? {
            self.touch(Kind::GroupPackage, folded(&format!("{id}/{package}")));
        }
        self.touch(Kind::Group, folded(id));
        self.remove_from_scopes(TYPE_GROUP, id).await?;
        Ok(self.execute("DELETE FROM dp_groups WHERE group_id = $1", bind![id]).await? == 1)
    }

    /// A group by ID.
    pub async fn group(&mut self, id: &str) -> Result<Option<Group>, DatabaseError> {
        let row = self.row(select!("WHERE group_id = $1"), bind![id]).await?;
        row.as_ref().map(group).transpose()
    }

    /// A group by name.
    pub async fn group_by_name(&mut self, name: &str) -> Result<Option<Group>, DatabaseError> {
        let row = self.row(select!("WHERE name = $1"), bind![name]).await?;
        row.as_ref().map(group).transpose()
    }

    /// All groups by ID.
    pub async fn groups(&mut self) -> Result<Vec<Group>, DatabaseError> {
        self.rows(select!("ORDER BY group_id"), bind![]).await?.iter().map(group).collect()
    }

    /// The members of a group by name.
    pub async fn group_members(&mut self, id: &str) -> Result<Vec<DistributionPointName>, DatabaseError> {
        self.rows("SELECT point FROM dp_group_members WHERE group_id = $1 ORDER BY point", bind![id])
            .await?
            .iter()
            .map(|row| row.parse("point"))
            .collect()
    }

    /// The IDs of the groups a distribution point is in.
    pub async fn groups_of_point(
        &mut self,
        point: &DistributionPointName,
    ) -> Result<Vec<String>, DatabaseError> {
        self.rows("SELECT group_id FROM dp_group_members WHERE point = $1 ORDER BY group_id", bind![point])
            .await?
            .iter()
            .map(|row| row.text("group_id"))
            .collect()
    }

    /// Adds a member; false when it was one.
    pub async fn insert_group_member(
        &mut self,
        id: &str,
        point: &DistributionPointName,
    ) -> Result<bool, DatabaseError> {
        let added = self
            .execute(
                "INSERT INTO dp_group_members (group_id, point) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                bind![id, point],
            )
            .await?;
        self.touch(Kind::GroupMember, folded(&format!("{id}/{point}")));
        Ok(added == 1)
    }

    /// Removes a member; false when it was none.
    pub async fn delete_group_member(
        &mut self,
        id: &str,
        point: &DistributionPointName,
    ) -> Result<bool, DatabaseError> {
        let gone = self
            .execute("DELETE FROM dp_group_members WHERE group_id = $1 AND point = $2", bind![id, point])
            .await?;
        self.touch(Kind::GroupMember, folded(&format!("{id}/{point}")));
        Ok(gone == 1)
    }

    /// The packages of a group by ID.
    pub async fn group_packages(&mut self, id: &str) -> Result<Vec<PackageId>, DatabaseError> {
        self.rows(
            "SELECT package_id FROM dp_group_packages WHERE group_id = $1 ORDER BY package_id",
            bind![id],
        )
        .await?
        .iter()
        .map(|row| row.parse("package_id"))
        .collect()
    }

    /// The IDs of the groups a package was distributed to.
    pub async fn groups_of_package(&mut self, package: PackageId) -> Result<Vec<String>, DatabaseError> {
        self.rows(
            "SELECT group_id FROM dp_group_packages WHERE package_id = $1 ORDER BY group_id",
            bind![package],
        )
        .await?
        .iter()
        .map(|row| row.text("group_id"))
        .collect()
    }

    /// Adds a package to a group; false when it was in it.
    pub async fn insert_group_package(
        &mut self,
        id: &str,
        package: PackageId,
    ) -> Result<bool, DatabaseError> {
        let added = self
            .execute(
                "INSERT INTO dp_group_packages (group_id, package_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                bind![id, package],
            )
            .await?;
        self.touch(Kind::GroupPackage, folded(&format!("{id}/{package}")));
        Ok(added == 1)
    }

    /// Removes a package from a group; false when it was not in it.
    pub async fn delete_group_package(
        &mut self,
        id: &str,
        package: PackageId,
    ) -> Result<bool, DatabaseError> {
        let gone = self
            .execute(
                "DELETE FROM dp_group_packages WHERE group_id = $1 AND package_id = $2",
                bind![id, package],
            )
            .await?;
        self.touch(Kind::GroupPackage, folded(&format!("{id}/{package}")));
        Ok(gone == 1)
    }

    /// The collections associated with a group.
    pub async fn group_collections(&mut self, id: &str) -> Result<Vec<String>, DatabaseError> {
        self.rows(
            "SELECT collection_id FROM dp_group_collections WHERE group_id = $1 ORDER BY collection_id",
            bind![id],
        )
        .await?
        .iter()
        .map(|row| row.text("collection_id"))
        .collect()
    }

    /// Associates a collection with a group; false when it was.
    pub async fn insert_group_collection(
        &mut self,
        id: &str,
        collection: &str,
    ) -> Result<bool, DatabaseError> {
        let added = self
            .execute(
                "INSERT INTO dp_group_collections (group_id, collection_id) VALUES ($1, $2)
                 ON CONFLICT DO NOTHING",
                bind![id, collection],
            )
            .await?;
        self.touch(Kind::Group, folded(id));
        Ok(added == 1)
    }

    /// Ends the association of a collection with a group; false when there was none.
    pub async fn delete_group_collection(
        &mut self,
        id: &str,
        collection: &str,
    ) -> Result<bool, DatabaseError> {
        let gone = self
            .execute(
                "DELETE FROM dp_group_collections WHERE group_id = $1 AND collection_id = $2",
                bind![id, collection],
            )
            .await?;
        self.touch(Kind::Group, folded(id));
        Ok(gone == 1)
    }
}

//! What independent vendors keep with a target: nothing of it decides anything.

use restock_names::{DistributionPointName, PackageId};

use crate::tx::bind;
use crate::{DatabaseError, Tx};

impl Tx {
    /// Keeps `ISVString` of a target; false when there is no such target.
    pub async fn set_target_isv_string(
        &mut self,
        package: PackageId,
        point: &DistributionPointName,
        text: &str,
    ) -> Result<bool, DatabaseError> {
        let changed = self
            .execute(
                "UPDATE targets SET isv_string = $3 WHERE package_id = $1 AND point = $2",
                bind![package, point, text],
            )
            .await?;
        Ok(changed == 1)
    }

    /// Keeps `ISVData` of a target; false when there is no such target.
    pub async fn set_target_isv_data(
        &mut self,
        package: PackageId,
        point: &DistributionPointName,
        data: Option<Vec<u8>>,
    ) -> Result<bool, DatabaseError> {
        let changed = self
            .execute(
                "UPDATE targets SET isv_data = $3 WHERE package_id = $1 AND point = $2",
                bind![package, point, data],
            )
            .await?;
        Ok(changed == 1)
    }
}

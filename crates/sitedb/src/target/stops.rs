//! Orders to drop jobs, kept until the distribution points have confirmed them.

use restock_names::{ContentVersion, DistributionPointName};

use super::{Context, Target};
use crate::tx::bind;
use crate::{DatabaseError, Tx};

/// An order to drop a job that the distribution point has not confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The distribution point.
    pub point: DistributionPointName,
    /// The job to drop.
    pub job: u64,
    /// What it brings.
    pub content: ContentVersion,
}

impl Tx {
    pub(super) async fn insert_stop(
        &mut self,
        target: &Target,
        job: u64,
        context: &Context,
    ) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO stops (point, job, package_id, version, epoch, asked_at) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (point, job) DO NOTHING",
            bind![&target.point, job, target.package, target.facts.wanted, context.epoch, context.now],
        )
        .await
        .map(|_| ())
    }

    /// Jobs that distribution points are still to drop.
    pub async fn all_stops(&mut self) -> Result<Vec<Stop>, DatabaseError> {
        self.rows("SELECT point, job, package_id, version, epoch FROM stops ORDER BY point, job", bind![])
            .await?
            .iter()
            .map(|row| {
                Ok(Stop { point: row.parse("point")?, job: row.u64("job")?, content: row.content_version()? })
            })
            .collect()
    }

    /// The distribution point has ended `job`, so it need not be told to drop it.
    pub async fn delete_stop(
        &mut self,
        point: &DistributionPointName,
        job: u64,
    ) -> Result<(), DatabaseError> {
        self.execute("DELETE FROM stops WHERE point = $1 AND job = $2", bind![point, job]).await.map(|_| ())
    }
}

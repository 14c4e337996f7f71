//! The number of packages that a distribution point has installed, kept as it changes.

use super::Target;
use crate::tx::bind;
use crate::{DatabaseError, Tx};

impl Tx {
    /// Keeps the number true, called before the row of the target is written or deleted.
    pub(super) async fn count_installed(
        &mut self,
        t: &Target,
        is_installed: bool,
    ) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO installed_counts (point, installed)
             SELECT change.point, change.difference FROM (SELECT d.name AS point,
                     CAST($3 AS INTEGER) - (SELECT COUNT(*) FROM targets t
                         WHERE t.package_id = $1 AND t.point = d.name AND t.state = 'installed') AS difference
                 FROM distribution_points d WHERE d.name = $2) AS change
             WHERE change.difference <> 0
             ON CONFLICT (point) DO UPDATE SET installed = installed_counts.installed + EXCLUDED.installed",
            bind![t.package, &t.point, is_installed],
        )
        .await
        .map(|_| ())
    }
}

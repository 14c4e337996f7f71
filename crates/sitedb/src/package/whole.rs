//! Everything that people set on a package, read at once: what sites tell each other of it.

use restock_names::PackageId;

use super::{Options, Package, Properties, options, package, properties};
use crate::tx::bind;
use crate::{DatabaseError, Tx};

/// A package with all its settings but the scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) package: Package,
    pub(crate) properties: Properties,
    pub(crate) options: Options,
    /// The text of its refresh schedule.
    pub(crate) schedule: String,
}

impl Tx {
    /// A package with all its settings but the scopes.
    pub(crate) async fn package_whole(&mut self, id: PackageId) -> Result<Option<Whole>, DatabaseError> {
        let row = self
            .row(
                "SELECT package_id, name, package_version, manufacturer, language, description, source_path,
                     source_flag, priority, is_public, allow_empty, link_policy, source_site, source_version,
                     stored_version, epoch, is_deleting, settings, created_at, last_refresh_at,
                     package_type, share_name, share_type, pkg_flags, forced_disconnect_delay,
                     forced_disconnect_enabled, forced_disconnect_retries, ignore_address_schedule, isv_string,
                     mif_filename, mif_name, mif_publisher, mif_version, preferred_address_type,
                     alternate_content_providers, stored_pkg_path, default_image_flags, transform_readiness,
                     transform_analysis_at, extended_data, isv_data, icon, sedo_version, source_set_by,
                     names_policy, excludes, refresh_schedule
                 FROM packages WHERE package_id = $1",
                bind![id],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Whole {
            package: package(&row)?,
            properties: properties::properties(&row)?,
            options: options::options(&row)?,
            schedule: row.text("refresh_schedule")?,
        }))
    }
}

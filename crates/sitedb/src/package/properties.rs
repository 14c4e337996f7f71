//! What else people set on a package: nothing of it decides what is distributed.

use restock_names::{PackageId, Timestamp};

use crate::replica::Kind;
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

/// The further properties of a package. [`Properties::default`] is a package nobody set any on.
///
/// They stand apart from [`super::Package`] because byte properties can be large and refreshes
/// need none of them. The schedule is another's: see [`crate::schedule`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    /// `PackageType`: 0 for regular software distribution.
    pub package_type: u32,
    /// `ShareName`.
    pub share_name: String,
    /// `ShareType`: 1 common, 2 specific.
    pub share_type: u32,
    /// `PkgFlags`, a bit field.
    pub pkg_flags: u32,
    /// `ForcedDisconnectDelay` in minutes.
    pub forced_disconnect_delay: u32,
    /// `ForcedDisconnectEnabled`.
    pub forced_disconnect_enabled: bool,
    /// `ForcedDisconnectNumRetries`.
    pub forced_disconnect_retries: u32,
    /// `IgnoreAddressSchedule`.
    pub ignore_address_schedule: bool,
    /// `ISVString`.
    pub isv_string: String,
    /// `MIFFilename`.
    pub mif_filename: String,
    /// `MIFName`.
    pub mif_name: String,
    /// `MIFPublisher`.
    pub mif_publisher: String,
    /// `MIFVersion`.
    pub mif_version: String,
    /// `PreferredAddressType`.
    pub preferred_address_type: String,
    /// `AlternateContentProviders`.
    pub alternate_content_providers: String,
    /// `StoredPkgPath`.
    pub stored_pkg_path: String,
    /// `DefaultImageFlags`; 2 is USMT.
    pub default_image_flags: i32,
    /// `TransformReadiness`, 0-5.
    pub transform_readiness: u32,
    /// `TransformAnalysisDate`.
    pub transform_analysis_at: Option<Timestamp>,
    /// `ExtendedData`.
    pub extended_data: Option<Vec<u8>>,
    /// `ISVData`.
    pub isv_data: Option<Vec<u8>>,
    /// `Icon`.
    pub icon: Option<Vec<u8>>,
    /// `SedoObjectVersion`: replaced by every Put, and by nothing else.
    pub sedo_version: String,
    /// The account that set the source path; none for a command at the site itself.
    pub source_set_by: Option<u32>,
}

impl Default for Properties {
    fn default() -> Self {
        Self {
            package_type: 0,
            share_name: String::new(),
            share_type: 1,
            pkg_flags: 0,
            forced_disconnect_delay: 5,
            forced_disconnect_enabled: false,
            forced_disconnect_retries: 2,
            ignore_address_schedule: false,
            isv_string: String::new(),
            mif_filename: String::new(),
            mif_name: String::new(),
            mif_publisher: String::new(),
            mif_version: String::new(),
            preferred_address_type: String::new(),
            alternate_content_providers: String::new(),
            stored_pkg_path: String::new(),
            default_image_flags: 2,
            transform_readiness: 0,
            transform_analysis_at: None,
            extended_data: None,
            isv_data: None,
            icon: None,
            sedo_version: String::new(),
            source_set_by: None,
        }
    }
}

/// Of a row that has every column of them.
pub(super) fn properties(row: &Row) -> Result<Properties, DatabaseError> {
    Ok(Properties {
        package_type: row.u32("package_type")?,
        share_name: row.text("share_name")?,
        share_type: row.u32("share_type")?,
        pkg_flags: row.u32("pkg_flags")?,
        forced_disconnect_delay: row.u32("forced_disconnect_delay")?,
        forced_disconnect_enabled: row.bool("forced_disconnect_enabled")?,
        forced_disconnect_retries: row.u32("forced_disconnect_retries")?,
        ignore_address_schedule: row.bool("ignore_address_schedule")?,
        isv_string: row.text("isv_string")?,
        mif_filename: row.text("mif_filename")?,
        mif_name: row.text("mif_name")?,
        mif_publisher: row.text("mif_publisher")?,
        mif_version: row.text("mif_version")?,
        preferred_address_type: row.text("preferred_address_type")?,
        alternate_content_providers: row.text("alternate_content_providers")?,
        stored_pkg_path: row.text("stored_pkg_path")?,
        default_image_flags: row.i32("default_image_flags")?,
        transform_readiness: row.u32("transform_readiness")?,
        transform_analysis_at: row.time_or_none("transform_analysis_at")?,
        extended_data: row.bytes_or_none("extended_data")?,
        isv_data: row.bytes_or_none("isv_data")?,
        icon: row.bytes_or_none("icon")?,
        sedo_version: row.text("sedo_version")?,
        source_set_by: row.i64_or_none("source_set_by")?.map(|_| row.u32("source_set_by")).transpose()?,
    })
}

impl Tx {
    /// The further properties of a package; `None` when there is no such package.
    pub async fn package_properties(&mut self, id: PackageId) -> Result<Option<Properties>, DatabaseError> {
        let row = self
            .row(
                "SELECT package_type, share_name, share_type, pkg_flags, forced_disconnect_delay,
                     forced_disconnect_enabled, forced_disconnect_retries, ignore_address_schedule, isv_string,
                     mif_filename, mif_name, mif_publisher, mif_version, preferred_address_type,
                     alternate_content_providers, stored_pkg_path, default_image_flags, transform_readiness,
                     transform_analysis_at, extended_data, isv_data, icon, sedo_version, source_set_by
                 FROM packages WHERE package_id = $1",
                bind![id],
            )
            .await?;
        row.as_ref().map(properties).transpose()
    }

    /// Keeps the further properties of a package; false when there is no such package.
    pub async fn update_package_properties(
        &mut self,
        id: PackageId,
        p: &Properties,
    ) -> Result<bool, DatabaseError> {
        let changed = self
            .execute(
                "UPDATE packages SET package_type = $2, share_name = $3, share_type = $4, pkg_flags = $5,
                     forced_disconnect_delay = $6, forced_disconnect_enabled = $7,
                     forced_disconnect_retries = $8, ignore_address_schedule = $9, isv_string = $10,
                     mif_filename = $11, mif_name = $12, mif_publisher = $13, mif_version = $14,
                     preferred_address_type = $15, alternate_content_providers = $16, stored_pkg_path = $17,
                     default_image_flags = $18, transform_readiness = $19, transform_analysis_at = $20,
                     extended_data = $21, isv_data = $22, icon = $23, sedo_version = $24, source_set_by = $25
                 WHERE package_id = $1",
                bind![
                    id,
                    p.package_type,
                    &p.share_name,
                    p.share_type,
                    p.pkg_flags,
                    p.forced_disconnect_delay,
                    p.forced_disconnect_enabled,
                    p.forced_disconnect_retries,
                    p.ignore_address_schedule,
                    &p.isv_string,
                    &p.mif_filename,
                    &p.mif_name,
                    &p.mif_publisher,
                    &p.mif_version,
                    &p.preferred_address_type,
                    &p.alternate_content_providers,
                    &p.stored_pkg_path,
                    i64::from(p.default_image_flags),
                    p.transform_readiness,
                    p.transform_analysis_at,
                    p.extended_data.clone(),
                    p.isv_data.clone(),
                    p.icon.clone(),
                    &p.sedo_version,
                    p.source_set_by
                ],
            )
            .await?;
        self.touch(Kind::Package, id.as_str());
        Ok(changed == 1)
    }
}

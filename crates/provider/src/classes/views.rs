//! The views: the rows of every class that can have any, and of two names of their own.
//!
//! Each class's folder has `view.sql`, one `SELECT` valid on both engines with a column for every
//! declared property. `target_status` says once what the state of a package on a distribution point
//! means; all status classes read it or count states through indexes. `version_size` and
//! `announced_size` say how large versions are in kilobytes.
//!
//! # What the views expect in the database
//! Written at every start, before the first query.
//!
//! Table `facts`: `site_name`, `server_name` (the site server's host name), `provider_host` (a name of
//! this host that clients can resolve), `version` (`5.00.xxxx.yyyy`), `build_number` (its third part, a
//! decimal number), `time_zone` (the zone's IANA name), `install_dir`. A missing one shows as an empty
//! text or 0, and its server has no row in `SMS_SystemResourceList`.
//!
//! Table `settings`: `message_state_failed` (3 or 4; 4 when missing); `package_last_refresh_default`
//! and `point_last_refresh_default`, the UTC microseconds that the site's clock shows as 1970-04-10
//! 06:35 and 1990-01-01 00:00: what `LastRefreshTime` of a package and of a distribution point is
//! before the first time. When missing, those of a clock on UTC.
//!
//! # What code fills in
//! [`FILLED`]: properties whose value cannot be made in SQL.
//!
//! What it does not do: nothing here decides who may see a row, see [`restock_sitedb::query::Sight`].

use restock_sitedb::View;

/// A property, by class and name.
pub type Filled = (&'static str, &'static str);

/// Every property whose column is `NULL` in all rows and that code fills in after a row was read.
pub const FILLED: &[Filled] = &[
    // Made of the tokens that `Tx::schedule` reads.
    ("SMS_Package", "RefreshSchedule"),
    // These depend on who asks.
    ("SMS_RbacSecuredObject", "GrantedOperations"),
    ("SMS_RbacSecuredObject", "Operations"),
];

/// Every view, by name. `SMS_StatAttr`, `SMS_StatInsStr` and `SMS_StatMsg` are the rows of other classes
/// under the names that older queries use, and have no text of their own.
pub const VIEWS: &[View] = &[
    view("SMS_Admin", include_str!("sms_admin/view.sql")),
    view("SMS_AdminRole", include_str!("sms_admin_role/view.sql")),
    view("SMS_DistributionDPStatus", include_str!("sms_distribution_dp_status/view.sql")),
    view("SMS_DistributionPoint", include_str!("sms_distribution_point/view.sql")),
    view("SMS_DistributionPointGroup", include_str!("sms_distribution_point_group/view.sql")),
    view("SMS_DistributionPointInfo", include_str!("sms_distribution_point_info/view.sql")),
    view("SMS_DistributionStatus", include_str!("sms_distribution_status/view.sql")),
    view("SMS_DPContentInfo", include_str!("sms_dp_content_info/view.sql")),
    view("SMS_DPGroupCollections", include_str!("sms_dp_group_collections/view.sql")),
    view("SMS_DPGroupContentInfo", include_str!("sms_dp_group_content_info/view.sql")),
    view("SMS_DPGroupDistributionStatus", include_str!("sms_dp_group_distribution_status/view.sql")),
    view(
        "SMS_DPGroupDistributionStatusDetails",
        include_str!("sms_dp_group_distribution_status_details/view.sql"),
    ),
    view("SMS_DPGroupInfo", include_str!("sms_dp_group_info/view.sql")),
    view("SMS_DPGroupMembers", include_str!("sms_dp_group_members/view.sql")),
    view("SMS_DPGroupPackages", include_str!("sms_dp_group_packages/view.sql")),
    view("SMS_DPStatusDetails", include_str!("sms_dp_status_details/view.sql")),
    view("SMS_DPStatusInfo", include_str!("sms_dp_status_info/view.sql")),
    view("SMS_Identification", include_str!("sms_identification/view.sql")),
    view("SMS_ObjectContentExtraInfo", include_str!("sms_object_content_extra_info/view.sql")),
    view("SMS_Package", include_str!("sms_package/view.sql")),
    view("SMS_PackageStatus", include_str!("sms_package_status/view.sql")),
    view("SMS_PackageStatusDetailSummarizer", include_str!("sms_package_status_detail_summarizer/view.sql")),
    view(
        "SMS_PackageStatusDistPointsSummarizer",
        include_str!("sms_package_status_dist_points_summarizer/view.sql"),
    ),
    view("SMS_PackageStatusRootSummarizer", include_str!("sms_package_status_root_summarizer/view.sql")),
    view("SMS_PackageToSourceSite_a", include_str!("sms_package_to_source_site_a/view.sql")),
    view("SMS_PkgToPkgProgram_a", include_str!("sms_pkg_to_pkg_program_a/view.sql")),
    view("SMS_PkgToPkgServer_a", include_str!("sms_pkg_to_pkg_server_a/view.sql")),
    view("SMS_Program", include_str!("sms_program/view.sql")),
    view("SMS_ProviderLocation", include_str!("sms_provider_location/view.sql")),
    view("SMS_RbacSecuredObject", include_str!("sms_rbac_secured_object/view.sql")),
    view("SMS_Role", include_str!("sms_role/view.sql")),
    view("SMS_SecuredCategory", include_str!("sms_secured_category/view.sql")),
    view("SMS_SecuredCategoryMembership", include_str!("sms_secured_category_membership/view.sql")),
    view("SMS_Site", include_str!("sms_site/view.sql")),
    view("SMS_SiteAndSubsites", include_str!("sms_site_and_subsites/view.sql")),
    view("SMS_SiteToSubSite_a", include_str!("sms_site_to_sub_site_a/view.sql")),
    view("SMS_StatAttr", include_str!("sms_stat_msg_attributes/view.sql")),
    view("SMS_StatInsStr", include_str!("sms_stat_msg_ins_strings/view.sql")),
    view("SMS_StatMsg", include_str!("sms_status_message/view.sql")),
    view("SMS_StatMsgAttributes", include_str!("sms_stat_msg_attributes/view.sql")),
    view("SMS_StatMsgInsStrings", include_str!("sms_stat_msg_ins_strings/view.sql")),
    view("SMS_StatMsgModuleNames", include_str!("sms_stat_msg_module_names/view.sql")),
    view("SMS_StatMsgWithInsStrings", include_str!("sms_stat_msg_with_ins_strings/view.sql")),
    view("SMS_StatusMessage", include_str!("sms_status_message/view.sql")),
    view("SMS_SystemResourceList", include_str!("sms_system_resource_list/view.sql")),
    view("announced_size", include_str!("announced_size/view.sql")),
    view("target_status", include_str!("target_status/view.sql")),
    view("version_size", include_str!("version_size/view.sql")),
];

const fn view(name: &'static str, sql: &'static str) -> View {
    View { name, sql, sql_postgres: None }
}

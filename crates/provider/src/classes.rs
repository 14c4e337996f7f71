//! The classes that do something: which functions write, delete and call their objects.
//!
//! Every class is declared ([`declarations`]); those with rows have a view. `LIVE` lists by hand
//! what can be changed. A class or method that is not here is declared only, and refused by name.

pub mod declarations;
mod ids;
pub mod views;
mod sms_admin {
    pub(super) mod methods;
}
mod sms_distribution_point {
    pub(super) mod methods;
}
mod sms_distribution_point_group {
    pub(super) mod methods;
}
mod sms_identification {
    pub(super) mod methods;
}
mod sms_nal_methods {
    pub(super) mod methods;
}
mod sms_package {
    pub(super) mod methods;
}
mod sms_program {
    pub(super) mod methods;
}
mod sms_rbac_secured_object {
    pub(super) mod methods;
}
mod sms_role {
    pub(super) mod methods;
}
mod sms_schedule_methods {
    pub(super) mod methods;
}
mod sms_secured_category {
    pub(super) mod methods;
}
mod sms_secured_category_membership {
    pub(super) mod methods;
}

use std::future::Future;
use std::pin::Pin;

use restock_cim::{Class, Property};
use restock_sitedb::Tx;

use crate::Refusal;
use crate::object::{MethodAnswer, MethodContext, ObjectContext, PutContext, ResolvedKeys};

/// The future of a function of a class.
pub(crate) type ClassFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>;
/// A method.
pub(crate) type MethodFunction = for<'a> fn(&'a MethodContext, &'a mut Tx) -> ClassFuture<'a, MethodAnswer>;
/// Writes an object; gives its keys.
pub(crate) type PutFunction = for<'a> fn(&'a PutContext, &'a mut Tx) -> ClassFuture<'a, ResolvedKeys>;
/// Deletes an object.
pub(crate) type DeleteFunction = for<'a> fn(&'a ObjectContext, &'a mut Tx) -> ClassFuture<'a, ()>;

/// What can be done with a class beside reading it.
#[derive(Debug)]
pub(crate) struct LiveClass {
    /// Its name.
    pub(crate) name: &'static str,
    /// Writes one of its objects.
    pub(crate) put: Option<PutFunction>,
    /// Deletes one.
    pub(crate) delete: Option<DeleteFunction>,
    /// Properties that are declared to be written, and that only the site writes.
    pub(crate) kept: &'static [&'static str],
    /// Its methods by name.
    pub(crate) methods: &'static [(&'static str, MethodFunction)],
}

/// `sms_package::put` as a function whose future is boxed.
macro_rules! boxed {
    ($module:ident :: $function:ident) => {
        |context, tx| Box::pin($module::methods::$function(context, tx))
    };
}

/// One line of [`LIVE`].
macro_rules! live {
    ($name:literal, $module:ident, put: $put:ident, delete: $delete:ident, kept: [$($kept:literal),* $(,)?], methods: { $($method:literal $function:ident),* $(,)? }) => {
        LiveClass {
            name: $name,
            put: live!(@ $module $put),
            delete: live!(@ $module $delete),
            kept: &[$($kept),*],
            methods: &[$(($method, boxed!($module::$function))),*],
        }
    };
    (@ $module:ident none) => { None };
    (@ $module:ident $function:ident) => { Some(boxed!($module::$function)) };
}

/// Every class that can be changed or called.
pub(crate) static LIVE: &[LiveClass] = &[
    live!("SMS_Package", sms_package, put: put, delete: delete,
    kept: ["ExtendedDataSize", "IconSize", "ISVDataSize", "NumOfPrograms", "PackageType", "StoredPkgVersion"],
    methods: {
        "AddChangeNotification" add_change_notification,
        "AddDistributionPoints" add_distribution_points,
        "CheckDuplicateShareName" check_duplicate_share_name,
        "CheckDuplicateSourceName" check_duplicate_source_name,
        "CheckPackageShareForTaskSequenceDeployment" check_package_share_for_task_sequence_deployment,
        "RefreshPkgSource" refresh_pkg_source,
        "SetSourceSite" set_source_site,
        "Unlock" unlock,
    }),
    live!("SMS_Program", sms_program, put: put, delete: delete,
    kept: [
        "ExtendedDataSize", "IconSize", "ISVDataSize", "PackageName", "PackageType", "PackageVersion",
        "SecuredTypeID",
    ],
    methods: {}),
    live!("SMS_DistributionPoint", sms_distribution_point, put: put, delete: delete,
    kept: ["ISVDataSize", "LastRefreshTime", "SecureObjectID", "SiteName", "SourceSite"],
    methods: {
        "VerifyPackage" verify_package,
        "CancelDistribution" cancel_distribution,
    }),
    live!("SMS_DistributionPointGroup", sms_distribution_point_group, put: put, delete: delete, kept: [], methods: {
        "AddDistributionPoints" add_distribution_points,
        "AddPackages" add_packages,
        "AssociateCollections" associate_collections,
        "DisassociateCollections" disassociate_collections,
        "ReDistributePackage" re_distribute_package,
        "RefreshDPGroup" refresh_dp_group,
        "RemoveDistributionPoints" remove_distribution_points,
        "RemovePackages" remove_packages,
    }),
    live!("SMS_NAL_Methods", sms_nal_methods, put: none, delete: none, kept: [], methods: {
        "PackNALPath" pack_nal_path,
        "UnPackNALPath" un_pack_nal_path,
    }),
    live!("SMS_Identification", sms_identification, put: none, delete: none, kept: [], methods: {
        "GetCurrentUser" get_current_user,
        "GetProviderVersion" get_provider_version,
        "GetSiteID" get_site_id,
    }),
    live!("SMS_ScheduleMethods", sms_schedule_methods, put: none, delete: none, kept: [], methods: {
        "ReadFromString" read_from_string,
        "WriteToString" write_to_string,
    }),
    live!("SMS_Admin", sms_admin, put: put, delete: delete,
    kept: ["AdminSid", "DistinguishedName", "ExtendedData"],
    methods: {}),
    live!("SMS_Role", sms_role, put: put, delete: delete, kept: [], methods: {
        "ExportRole" export_role,
        "ImportRole" import_role,
    }),
    live!("SMS_SecuredCategory", sms_secured_category, put: put, delete: delete, kept: [], methods: {}),
    live!("SMS_SecuredCategoryMembership", sms_secured_category_membership, put: none, delete: none, kept: [],
    methods: {
        "AddMemberships" add_memberships,
        "RemoveMemberships" remove_memberships,
    }),
    live!("SMS_RbacSecuredObject", sms_rbac_secured_object, put: none, delete: none, kept: [], methods: {
        "GetAvailableScopes" get_available_scopes,
        "UserHasPermissions" user_has_permissions,
    }),
];

/// The line of a class, in any letter case.
pub(crate) fn live(name: &str) -> Option<&'static LiveClass> {
    LIVE.iter().find(|class| class.name.eq_ignore_ascii_case(name))
}

/// Every method that does something, as class and method; all others are declared only.
pub fn live_methods() -> impl Iterator<Item = (&'static str, &'static str)> {
    LIVE.iter().flat_map(|class| class.methods.iter().map(|(method, _)| (class.name, *method)))
}

/// True for a property that only the site writes, whatever its class declares.
pub(crate) fn is_written_by_site(class: &Class, property: &Property) -> bool {
    let is_kept = || {
        let kept = live(class.name.as_str()).map_or(&[][..], |live| live.kept);
        kept.iter().any(|name| property.name.is(name))
    };
    property.is_read_only() || is_kept()
}

impl LiveClass {
    /// The function of a method, in any letter case.
    pub(crate) fn method(&self, name: &str) -> Option<MethodFunction> {
        self.methods
            .iter()
            .find(|(method, _)| method.eq_ignore_ascii_case(name))
            .map(|(_, function)| *function)
    }
}

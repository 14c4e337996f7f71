//! Methods of packages, of NAL paths and of identification, in success and in refusal.

use restock_provider::{Caller, MethodCall};

use super::{
    DP01, DP02, DP03, Objects, Value, caller, code, number, out, package_path, path, refused, text, texts,
};

/// Arguments by name, each made when it is needed.
type Given = &'static [(&'static str, fn() -> Value)];

/// Every live method with a call that is refused.
const REFUSED: &[(&str, &str, Given)] = &[
    ("SMS_Package.PackageID='XYZ0FFFF'", "AddChangeNotification", &[]),
    ("SMS_Package.PackageID='XYZ0FFFF'", "AddDistributionPoints", &[("SiteCode", site), ("NALPath", dp01)]),
    ("SMS_Package", "CheckDuplicateShareName", &[("ShareName", null), ("PackageID", empty)]),
    ("SMS_Package", "CheckDuplicateSourceName", &[("SourceName", null), ("SourceSite", empty)]),
    ("SMS_Package", "CheckPackageShareForTaskSequenceDeployment", &[("PackageID", unknown)]),
    ("SMS_Package.PackageID='XYZ0FFFF'", "RefreshPkgSource", &[]),
    ("SMS_Package.PackageID='XYZ00001'", "SetSourceSite", &[("SourceSite", other_site)]),
    ("SMS_Package.PackageID='XYZ0FFFF'", "Unlock", &[]),
    ("SMS_DistributionPoint", "VerifyPackage", &[("PackageId", unknown), ("NALPath", dp01_text)]),
    ("SMS_DistributionPoint", "CancelDistribution", &[("PackageId", unknown), ("NALPath", dp01_text)]),
    ("SMS_DistributionPointGroup.GroupID='{0}'", "AddDistributionPoints", &[("DPNALPath", dp01)]),
    ("SMS_DistributionPointGroup.GroupID='{0}'", "AddPackages", &[("PackageIDs", site)]),
    ("SMS_DistributionPointGroup.GroupID='{0}'", "AssociateCollections", &[("CollectionID", site)]),
    ("SMS_DistributionPointGroup.GroupID='{0}'", "DisassociateCollections", &[("CollectionID", site)]),
    ("SMS_DistributionPointGroup.GroupID='{0}'", "ReDistributePackage", &[("PackageID", unknown)]),
    ("SMS_DistributionPointGroup.GroupID='{0}'", "RefreshDPGroup", &[]),
    ("SMS_DistributionPointGroup.GroupID='{0}'", "RemoveDistributionPoints", &[("DPNALPath", dp01)]),
    ("SMS_DistributionPointGroup.GroupID='{0}'", "RemovePackages", &[("PackageIDs", site)]),
    (
        "SMS_NAL_Methods",
        "PackNALPath",
        &[
            ("DisplayQualifiers", site),
            ("NALType", empty),
            ("NetworkOSPath", empty),
            ("NetworkConnectionQualifiers", site),
        ],
    ),
    ("SMS_NAL_Methods", "UnPackNALPath", &[("NALPath", unknown)]),
    ("SMS_ScheduleMethods", "ReadFromString", &[("StringData", unknown)]),
    ("SMS_ScheduleMethods", "WriteToString", &[("TokenData", null)]),
    ("SMS_Role.RoleID='XYZ0FFFF'", "ExportRole", &[("RoleID", unknown)]),
    ("SMS_Role.RoleID='SMS0001R'", "ImportRole", &[("RolesXml", unknown), ("OverwrittenExisted", no)]),
    (
        "SMS_SecuredCategoryMembership",
        "AddMemberships",
        &[("ObjectIDs", site), ("ObjectTypeIDs", package_type), ("CategoryIDs", site)],
    ),
    (
        "SMS_SecuredCategoryMembership",
        "RemoveMemberships",
        &[("ObjectIDs", site), ("ObjectTypeIDs", package_type), ("CategoryIDs", site)],
    ),
    ("SMS_RbacSecuredObject.ObjectTypeID=2", "GetAvailableScopes", &[("RoleIDs", null)]),
];

/// Live methods that cannot fail, and one whose return value is a truth value.
const NOT_REFUSED: &[(&str, &str)] = &[
    ("SMS_Identification", "GetCurrentUser"),
    ("SMS_Identification", "GetProviderVersion"),
    ("SMS_Identification", "GetSiteID"),
    ("SMS_RbacSecuredObject", "UserHasPermissions"),
];

#[test]
fn every_live_method_is_in_the_list_of_refused_calls() {
    for (class, method) in restock_provider::classes::live_methods() {
        let is_listed = REFUSED
            .iter()
            .any(|(object, name, _)| path(object).class.is(class) && name.eq_ignore_ascii_case(method));
        assert!(is_listed || NOT_REFUSED.contains(&(class, method)), "{class}.{method}");
    }
}

fn null() -> Value {
    Value::Null
}
fn empty() -> Value {
    text("")
}
fn no() -> Value {
    Value::Boolean(false)
}
fn package_type() -> Value {
    Value::Array(vec![number(2)])
}
fn unknown() -> Value {
    text("XYZ0FFFF")
}
fn other_site() -> Value {
    text("ABC")
}
fn site() -> Value {
    texts(&["XYZ"])
}
fn dp01() -> Value {
    texts(&[DP01])
}
fn dp01_text() -> Value {
    text(DP01)
}

fn arguments(given: Given) -> Vec<(&'static str, Value)> {
    given.iter().map(|(name, value)| (*name, value())).collect()
}

#[tokio::test]
async fn every_live_method_that_fails_fails_the_call_with_a_number_other_than_zero() {
    let objects = Objects::new().await;
    objects.package("app").await;
    for (object, method, given) in REFUSED {
        let refusal = refused(objects.try_invoke(object, method, &arguments(given)).await);
        let number = refusal.return_value().unwrap_or_else(|| panic!("{object}::{method}: {refusal}"));
        assert_ne!(number, 0, "{object}::{method}");
        let shown = refusal.instance(objects.provider.schema()).unwrap();
        assert_eq!(shown.class.name.as_str(), "SMS_ExtendedStatus", "{method}");
        assert_eq!(shown.get("Operation"), Some(&text("ExecMethod")), "{method}");
        assert_eq!(shown.get("SQLMessage"), Some(&Value::Null), "{method}");
        assert!(refusal.error_code() >> 30 > 0, "{method}: it has a severity");
    }
}

#[tokio::test]
async fn every_live_method_that_fails_answers_its_number_when_compatibility_asks_for_it() {
    let objects = Objects::with_return_values().await;
    let refusing = Objects::new().await;
    objects.package("app").await;
    refusing.package("app").await;
    for (object, method, given) in REFUSED {
        let answer = objects.try_invoke(object, method, &arguments(given)).await.unwrap();
        let refusal = refused(refusing.try_invoke(object, method, &arguments(given)).await);
        let number = answer.return_value.as_integer().unwrap();
        assert_ne!(number, 0, "{object}::{method}");
        assert_eq!(number, i128::from(refusal.return_value().unwrap()), "{object}::{method}");
        assert!(answer.out.is_empty(), "{object}::{method}");
    }
    // What the object core refuses is a refusal in either mode.
    assert_eq!(code(objects.try_invoke("SMS_Package", "Nothing", &[]).await), "INVALID_METHOD");
    let put = objects.patch(&package_path("XYZ0FFFF".parse().unwrap()), &[("Name", text("n"))]).await;
    assert_eq!(code(put), "NOT_FOUND", "and so is every Put");
}

#[tokio::test]
async fn sms_package_refresh_pkg_source_is_visible_when_the_call_returns() {
    for objects in [Objects::new().await, Objects::with_return_values().await] {
        let id = objects.installed().await;
        objects.invoke(&package_path(id), "RefreshPkgSource", &[]).await;
        let package = objects.get(&package_path(id)).await;
        assert_eq!(package.get("ActionInProgress"), Some(&number(1)));
        assert_eq!(package.get("SourceVersion"), Some(&number(1)), "it rises when the snapshot is stored");
        let root = objects.get(&format!("SMS_PackageStatusRootSummarizer.PackageID='{id}'")).await;
        assert_eq!((root.get("Targeted"), root.get("Installed")), (Some(&number(2)), Some(&number(0))));
        objects.site.publish(id).await;
        assert_eq!(objects.get(&package_path(id)).await.get("SourceVersion"), Some(&number(2)));
    }
}

#[tokio::test]
async fn sms_package_refresh_pkg_source_is_refused_for_each_documented_reason() {
    let objects = Objects::new().await;
    for (flag, source) in [(0, r"\\fs01\src"), (1, r"\\fs01\src"), (2, "")] {
        let values = [("Name", text("n")), ("PkgSourceFlag", number(flag)), ("PkgSourcePath", text(source))];
        let package = objects.create("SMS_Package", &values).await;
        let id = package.get("PackageID").unwrap().as_str().unwrap().parse().unwrap();
        let refusal = refused(objects.try_invoke(&package_path(id), "RefreshPkgSource", &[]).await);
        assert_eq!(refusal.code(), "INVALID_OPERATION");
        assert!(refusal.description().contains("has no source"), "{refusal}");
        assert!(refusal.description().contains("--source"), "it names the remedy: {refusal}");
        assert_eq!(refusal.return_value(), Some(0x4048_0205));
    }
    // A package created with name and path alone gets the documented flag 1.
    let values = [("Name", text("n")), ("PkgSourcePath", text(r"\\fs01\src"))];
    let package = objects.create("SMS_Package", &values).await;
    let id = package.get("PackageID").unwrap().as_str().unwrap().parse().unwrap();
    assert_eq!(
        code(objects.try_invoke(&package_path(id), "RefreshPkgSource", &[]).await),
        "INVALID_OPERATION"
    );
    let unknown = objects.try_invoke("SMS_Package.PackageID='XYZ0FFFF'", "RefreshPkgSource", &[]).await;
    assert_eq!(code(unknown), "NOT_FOUND");
    let id = objects.package("deleted").await;
    objects.provider.delete(&caller(), &path(&package_path(id))).await.unwrap();
    assert_eq!(code(objects.try_invoke(&package_path(id), "RefreshPkgSource", &[]).await), "NOT_FOUND");
    let id = objects.package("with parameter").await;
    let sent =
        objects.try_invoke(&package_path(id), "RefreshPkgSource", &[("Force", Value::Boolean(true))]).await;
    let refusal = refused(sent);
    assert_eq!(refusal.code(), "INVALID_PARAMETER");
    assert!(refusal.description().contains("Force"));
}

#[tokio::test]
async fn sms_package_refresh_pkg_source_without_distribution_points_returns_zero() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    objects.site.publish(id).await;
    objects.invoke(&package_path(id), "refreshpkgsource", &[]).await;
    objects.site.publish(id).await;
    assert_eq!(objects.get(&package_path(id)).await.get("SourceVersion"), Some(&number(2)));
}

#[tokio::test]
async fn sms_package_refresh_pkg_source_with_one_request_id_is_one_request() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let caller = Caller { request_id: Some("again".to_owned()), ..caller() };
    let call =
        |method: &str| MethodCall { path: path(&package_path(id)), method: method.into(), arguments: vec![] };
    objects.provider.invoke(&caller, call("RefreshPkgSource")).await.unwrap();
    objects.site.publish(id).await;
    objects.provider.invoke(&caller, call("RefreshPkgSource")).await.unwrap();
    assert_eq!(objects.get(&package_path(id)).await.get("ActionInProgress"), Some(&number(0)));
    let reused = objects.provider.invoke(&caller, call("Unlock")).await;
    assert_eq!(code(reused), "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn sms_package_add_distribution_points_takes_pairs_all_or_none() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let object = package_path(id);
    let pairs = |sites: &[&str], paths: &[&str]| [("SiteCode", texts(sites)), ("NALPath", texts(paths))];
    for (sites, paths, wanted) in [
        (&["XYZ"][..], &[DP01, DP02][..], "PAIRS"),
        (&["XYZ", "XYZ"], &[DP01], "PAIRS"),
        (&["XYZ", "XYZ"], &[DP01, "DP02"], "POINT_UNKNOWN"),
        (&["XYZ", "ABC"], &[DP01, DP02], "POINT_UNKNOWN"),
        (&[], &[], "POINTS_COUNT"),
    ] {
        let refusal =
            refused(objects.try_invoke(&object, "AddDistributionPoints", &pairs(sites, paths)).await);
        assert_eq!(refusal.code(), wanted);
        assert!(
            objects.query("SELECT * FROM SMS_DistributionPoint").await.is_empty(),
            "nothing of it is done"
        );
    }
    let unenrolled = DP01.replace("DP01", "DP09");
    let given = pairs(&["XYZ", "XYZ"], &[DP01, &unenrolled]);
    assert_eq!(code(objects.try_invoke(&object, "AddDistributionPoints", &given).await), "POINT_UNKNOWN");
    assert!(objects.query("SELECT * FROM SMS_DistributionPoint").await.is_empty());
    let given = pairs(&["xyz", "XYZ"], &[&DP01.to_lowercase(), DP02]);
    objects.invoke(&object, "AddDistributionPoints", &given).await;
    objects.invoke(&object, "AddDistributionPoints", &pairs(&["XYZ"], &[DP01])).await;
    let rows = objects.query("SELECT ServerNALPath FROM SMS_DistributionPoint ORDER BY ServerNALPath").await;
    let shown: Vec<_> = rows.iter().map(|row| row.get("ServerNALPath").unwrap().as_str().unwrap()).collect();
    assert_eq!(shown, [DP01, DP02], "byte for byte as the site writes them");
    let empty = objects.create("SMS_Package", &[("Name", text("no source"))]).await;
    let id = empty.get("PackageID").unwrap().as_str().unwrap().parse().unwrap();
    let given = pairs(&["XYZ"], &[DP03]);
    assert_eq!(
        code(objects.try_invoke(&package_path(id), "AddDistributionPoints", &given).await),
        "INVALID_OPERATION"
    );
}

#[tokio::test]
async fn sms_package_add_change_notification_changes_nothing() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let before = objects.get(&package_path(id)).await;
    objects.invoke(&package_path(id), "AddChangeNotification", &[]).await;
    assert_eq!(objects.get(&package_path(id)).await, before);
}

#[tokio::test]
async fn sms_package_set_source_site_and_unlock_know_the_one_site() {
    let objects = Objects::new().await;
    let object = package_path(objects.package("app").await);
    objects.invoke(&object, "SetSourceSite", &[("SourceSite", text("xyz"))]).await;
    objects.invoke(&object, "Unlock", &[]).await;
    for site in ["ABC", "", "nonsense"] {
        let refusal =
            refused(objects.try_invoke(&object, "SetSourceSite", &[("SourceSite", text(site))]).await);
        assert_eq!(refusal.code(), "SITE_UNKNOWN", "{site}");
    }
}

#[tokio::test]
async fn sms_package_check_duplicate_share_name_names_the_package_that_has_it() {
    let objects = Objects::new().await;
    let id = objects.package("holder").await;
    let other = objects.package("other").await;
    let share = [("ShareName", text("Apps$")), ("ShareType", number(2))];
    objects.patch(&package_path(id), &share).await.unwrap();
    let ask = async |share: &str, except: &str| {
        let given = [("ShareName", text(share)), ("PackageID", text(except))];
        objects.invoke("SMS_Package", "CheckDuplicateShareName", &given).await
    };
    let found = ask("APPS$", other.as_str()).await;
    assert_eq!(out(&found, "IsDuplicated"), &Value::Boolean(true));
    assert_eq!(out(&found, "DupPkgName"), &text("holder"));
    assert_eq!(out(&found, "DupPkgID"), &text(id.as_str()));
    assert_eq!(out(&found, "DupPkgType"), &Value::Signed(0));
    assert_eq!(out(&ask("apps$", id.as_str()).await, "IsDuplicated"), &Value::Boolean(false), "its own");
    assert_eq!(out(&ask("else", "").await, "IsDuplicated"), &Value::Boolean(false));
    assert_eq!(out(&ask("", "").await, "IsDuplicated"), &Value::Boolean(false));
}

#[tokio::test]
async fn sms_package_check_duplicate_source_name_names_the_package_that_reads_it() {
    let objects = Objects::new().await;
    let id = objects.package("reader").await;
    let ask = async |name: &str, narrow: &str| {
        let given = [("SourceName", text(name)), ("SourceSite", text(narrow))];
        objects.invoke("SMS_Package", "CheckDuplicateSourceName", &given).await
    };
    let found = ask(r"\\FS01\src\app", "XYZ").await;
    assert_eq!(out(&found, "IsDuplicated"), &Value::Boolean(true));
    assert_eq!(out(&found, "DupPkgID"), &text(id.as_str()));
    assert_eq!(out(&ask(r"\\fs01\src\app", "ABC").await, "IsDuplicated"), &Value::Boolean(false));
    assert_eq!(out(&ask(r"\\fs01\src\app", id.as_str()).await, "IsDuplicated"), &Value::Boolean(false));
    assert_eq!(out(&ask(r"\\fs01\src\else", "").await, "IsDuplicated"), &Value::Boolean(false));
}

#[tokio::test]
async fn sms_package_check_package_share_for_task_sequence_deployment_finds_none() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let given = [("PackageID", text(id.as_str()))];
    let answer = objects.invoke("SMS_Package", "CheckPackageShareForTaskSequenceDeployment", &given).await;
    assert_eq!(answer.return_value, number(0), "this method returns UInt32");
    assert_eq!(out(&answer, "IsValid"), &Value::Boolean(true));
    assert_eq!(out(&answer, "InvalidTaskSequenceDeploymentIDs"), &Value::Array(Vec::new()));
}

#[tokio::test]
async fn parameters_are_checked_against_the_declaration() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let object = package_path(id);
    for (method, given, wanted, names) in [
        ("SetSourceSite", vec![], "INVALID_PARAMETER", "SourceSite"),
        ("SetSourceSite", vec![("SourceSite", number(1))], "TYPE", "SourceSite"),
        (
            "SetSourceSite",
            vec![("SourceSite", text("XYZ")), ("Extra", text("x"))],
            "INVALID_PARAMETER",
            "Extra",
        ),
        (
            "SetSourceSite",
            vec![("SourceSite", text("XYZ")), ("sourcesite", text("x"))],
            "INVALID_PARAMETER",
            "sourcesite",
        ),
        (
            "AddDistributionPoints",
            vec![("SiteCode", text("XYZ")), ("NALPath", text(DP01))],
            "TYPE",
            "SiteCode",
        ),
        ("Refresh", vec![], "INVALID_METHOD", "Refresh"),
    ] {
        let refusal = refused(objects.try_invoke(&object, method, &given).await);
        assert_eq!(refusal.code(), wanted, "{method}");
        assert!(refusal.description().contains(names), "{refusal}");
        assert!(refusal.return_value().is_none(), "the object core refused");
        let shown = refusal.instance(objects.provider.schema()).unwrap();
        assert_eq!(shown.class.name.as_str(), "__ExtendedStatus");
    }
    // An instance method needs an instance.
    assert_eq!(code(objects.try_invoke("SMS_Package", "RefreshPkgSource", &[]).await), "INVALID_PATH");
    // Out-parameters are not sent.
    let given = [("ShareName", text("s")), ("PackageID", text("")), ("IsDuplicated", Value::Boolean(true))];
    assert_eq!(
        code(objects.try_invoke("SMS_Package", "CheckDuplicateShareName", &given).await),
        "INVALID_PARAMETER"
    );
}

#[tokio::test]
async fn methods_that_are_declared_only_are_refused_by_name() {
    let objects = Objects::new().await;
    let identification = "SMS_Identification.ThisSiteCode='XYZ'";
    let file = [("FileName", text("f")), ("blockNumber", number(0))];
    let mode = [("NALPath", text(DP01)), ("Mode", number(1))];
    for (object, method, given) in [
        (identification, "GetFileBinary", &file[..]),
        ("SMS_DistributionPointInfo", "SetDPMaintenanceMode", &mode[..]),
        ("SMS_DistributionPointInfo", "GetChainedPullDPs", &[("SourceDPNALPath", text(DP01))]),
        ("SMS_StatusMessage", "DeleteByID", &[("RecordIDs", Value::Array(vec![]))]),
    ] {
        let refusal = refused(objects.try_invoke(object, method, given).await);
        assert_eq!(refusal.code(), "NOT_SUPPORTED", "{method}");
        assert!(refusal.description().contains(method) && refusal.description().contains("not supported"));
    }
}

#[tokio::test]
async fn sms_nal_methods_pack_nal_path_and_un_pack_nal_path_are_each_others_inverse() {
    let objects = Objects::new().await;
    let parts = objects.invoke("SMS_NAL_Methods", "UnPackNALPath", &[("NALPath", text(DP01))]).await;
    assert_eq!(out(&parts, "NALType"), &text("MSWNET"));
    assert_eq!(out(&parts, "NetworkOSPath"), &text(r"\\DP01\"));
    let given: Vec<_> = parts.out.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let packed = objects.invoke("SMS_NAL_Methods", "PackNALPath", &given).await;
    assert_eq!(out(&packed, "NALPath"), &text(DP01));
}

#[tokio::test]
async fn sms_identification_get_site_id_get_provider_version_and_get_current_user_answer() {
    let objects = Objects::new().await;
    let ask = async |method: &str| objects.invoke("SMS_Identification", method, &[]).await;
    assert_eq!(out(&ask("GetSiteID").await, "SiteID"), &text("XYZ"));
    assert_eq!(out(&ask("GetProviderVersion").await, "VersionString"), &text("5.00.9128.1007"));
    assert_eq!(out(&ask("GetCurrentUser").await, "UserName"), &text(r"local\root"));
    // A static method may be called on an instance, which then plays no part.
    let on_instance = objects.invoke("SMS_Identification.ThisSiteCode='XYZ'", "GetSiteID", &[]).await;
    assert_eq!(out(&on_instance, "SiteID"), &text("XYZ"));
}

//! Paths: letter case, prefixes, keys, golden strings.

use super::{DP01, Objects, code, package_path, path, point_path, refused, text};
use restock_provider::relative_path_of;

#[tokio::test]
async fn sms_package_get_finds_the_package_in_any_letter_case_and_with_prefixes() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    for object in [
        r#"SMS_Package.PackageID="XYZ00001""#,
        r"sms_package.packageid='xyz00001'",
        r#"SMS_Package="XYZ00001""#,
        r#"root\sms\site_XYZ:SMS_Package.PackageID="XYZ00001""#,
        r#"ROOT\SMS\Site_xyz:SMS_PACKAGE.PACKAGEID="xyz00001""#,
        r#"\\HOST\root\sms\site_XYZ:SMS_Package.PackageID="XYZ00001""#,
        r#"\\host\root\sms\site_xyz:SMS_Package.PackageID="XYZ00001""#,
        r#"\\SMS.contoso.example\root\sms\site_XYZ:SMS_Package.PackageID="XYZ00001""#,
        r#"\\.\root\sms\site_XYZ:SMS_Package.PackageID="XYZ00001""#,
        r#"SMS_PackageBaseclass.PackageID="XYZ00001""#,
    ] {
        let package = objects.get(object).await;
        assert_eq!(package.class.name.as_str(), "SMS_Package", "{object}");
        assert_eq!(package.get("PackageID"), Some(&text(id.as_str())), "the stored spelling: {object}");
    }
}

#[tokio::test]
async fn paths_elsewhere_and_paths_with_wrong_keys_are_refused_each_by_its_code() {
    let objects = Objects::new().await;
    objects.package("app").await;
    for (object, wanted) in [
        (r#"\\OTHER\root\sms\site_XYZ:SMS_Package.PackageID="XYZ00001""#, "INVALID_NAMESPACE"),
        (r#"\\sms\root\sms\site_XYZ:SMS_Package.PackageID="XYZ00001""#, "INVALID_NAMESPACE"),
        (r#"root\sms\site_ABC:SMS_Package.PackageID="XYZ00001""#, "INVALID_NAMESPACE"),
        (r#"root\cimv2:SMS_Package.PackageID="XYZ00001""#, "INVALID_NAMESPACE"),
        (r#"root\SMS:SMS_Package.PackageID="XYZ00001""#, "INVALID_CLASS"),
        (r#"SMS_Nothing.PackageID="XYZ00001""#, "INVALID_CLASS"),
        (r#"SMS_Package.Name="app""#, "INVALID_PATH"),
        (r#"SMS_Package.PackageID="XYZ00001",Name="app""#, "INVALID_PATH"),
        (r#"SMS_DistributionPoint="XYZ00001""#, "INVALID_PATH"),
        ("SMS_Package", "INVALID_PATH"),
        (r#"SMS_Package.PackageID="XYZ00002""#, "NOT_FOUND"),
        (r#"SMS_Package.PackageID="AB'1""#, "NOT_FOUND"),
        (r#"SMS_Package.PackageID="XYZ000001""#, "NOT_FOUND"),
        (r"SMS_Package.PackageID=5", "NOT_FOUND"),
        (r"SMS_StatusMessage.RecordID=-3", "NOT_FOUND"),
        (r#"SMS_StatusMessage.RecordID="x""#, "NOT_FOUND"),
        (r#"SMS_ImagePackage.PackageID="XYZ00001""#, "NOT_FOUND"),
    ] {
        assert_eq!(code(objects.try_get(object).await), wanted, "{object}");
    }
}

#[tokio::test]
async fn sms_package_and_its_distribution_points_have_the_golden_paths() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let package = objects.get(&package_path(id)).await;
    assert_eq!(relative_path_of(&package).unwrap().to_string(), r#"SMS_Package.PackageID="XYZ00001""#);
    let shown = objects.provider.path_of(&package).unwrap().to_string();
    assert_eq!(shown, r#"\\HOST\root\sms\site_XYZ:SMS_Package.PackageID="XYZ00001""#);
    let point = objects.get(&point_path(id, DP01)).await;
    let golden = concat!(
        r#"SMS_DistributionPoint.PackageID="XYZ00001","#,
        r#"ServerNALPath="[\"Display=\\\\DP01\\\"]MSWNET:[\"SMS_SITE=XYZ\"]\\\\DP01\\",SiteCode="XYZ""#
    );
    assert_eq!(relative_path_of(&point).unwrap().to_string(), golden);
    // The text of a path leads back to its object, and keys may stand in any order.
    assert_eq!(objects.get(golden).await, point);
    let turned = golden.replace(r#"PackageID="XYZ00001","#, "").replace("SMS_DistributionPoint.", "")
        + r#",PackageID="xyz00001""#;
    assert_eq!(objects.get(&format!("SMS_DistributionPoint.{turned}").to_lowercase()).await, point);
}

#[tokio::test]
async fn sms_provider_location_answers_in_the_locators_namespace() {
    let objects = Objects::new().await;
    let location = objects.get(r#"root\SMS:SMS_ProviderLocation.SiteCode="XYZ""#).await;
    assert_eq!(location.get("Machine"), Some(&text("HOST")));
    assert_eq!(location.get("NamespacePath"), Some(&text(r"\\HOST\root\sms\site_XYZ")));
    let shown = objects.provider.path_of(&location).unwrap().to_string();
    assert_eq!(shown, r#"\\HOST\root\SMS:SMS_ProviderLocation.SiteCode="XYZ""#);
    assert_eq!(objects.get(&shown).await, location);
}

#[tokio::test]
async fn sms_identification_is_reached_as_the_only_one_of_its_class() {
    let objects = Objects::new().await;
    let only = objects.get("SMS_Identification=@").await;
    assert_eq!(only.get("ThisSiteCode"), Some(&text("XYZ")));
    assert_eq!(only.get("ThisSiteName"), Some(&text("Test site")));
    assert_eq!(only.get("SMSVersion"), Some(&text("5.00.9128.1007")));
    objects.package("a").await;
    objects.package("b").await;
    assert_eq!(code(objects.try_get("SMS_Package=@").await), "INVALID_PATH");
}

#[tokio::test]
async fn sms_package_get_shows_lazy_properties_and_a_query_does_not() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let read = objects.get(&package_path(id)).await;
    let row = objects.query("SELECT * FROM SMS_Package").await.remove(0);
    for property in &read.class.properties {
        let name = property.name.as_str();
        assert!(read.get(name).is_some(), "{name}");
        assert_eq!(row.get(name).is_some(), !property.is_lazy(), "{name}");
    }
}

#[tokio::test]
async fn sms_package_times_are_those_of_the_sites_clock() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let read = objects.get(&package_path(id)).await;
    let shown = |name: &str| match read.get(name).unwrap() {
        restock_cim::Value::DateTime(time) => time.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(shown("LastRefreshTime"), "19700410063500.000000+***", "before the first refresh");
    // 1,795,000,000 s after 1970 is 11:06:40 UTC, and winter in Berlin.
    assert_eq!(shown("SourceDate"), "20261118120640.000000+***");
}

#[tokio::test]
async fn association_objects_are_reached_by_the_paths_they_join() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    objects
        .create("SMS_Program", &[("PackageID", text(id.as_str())), ("ProgramName", text("Install"))])
        .await;
    let row = objects.query("SELECT * FROM SMS_PkgToPkgProgram_a").await.remove(0);
    let shown = relative_path_of(&row).unwrap().to_string();
    assert_eq!(objects.get(&shown).await, row, "{shown}");
    let full = objects.provider.path_of(&row).unwrap();
    assert_eq!(objects.provider.get(&super::caller(), &full).await.unwrap(), row);
    let refusal = refused(objects.try_get(&shown.replace("Install", "Remove")).await);
    assert_eq!(refusal.code(), "NOT_FOUND");
    assert_eq!(path(&shown).class.as_str(), "SMS_PkgToPkgProgram_a");
}

//! `SMS_DistributionPoint`: distributing by Put, `RefreshNow`, removal, the static methods.

use restock_cim::Value;
use restock_provider::PutForm;

use super::{DP01, DP02, DP03, Objects, caller, code, number, package_path, path, point_path, refused, text};

fn keys(package: &str, nal_path: &str) -> [(&'static str, Value); 3] {
    [("PackageID", text(package)), ("ServerNALPath", text(nal_path)), ("SiteCode", text("XYZ"))]
}

#[tokio::test]
async fn sms_distribution_point_put_of_a_new_one_distributes() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let found =
        objects.query("SELECT * FROM SMS_SystemResourceList WHERE RoleName='SMS Distribution Point'").await;
    let row = found.iter().find(|row| row.get("NALPath") == Some(&text(DP01))).unwrap();
    let values = [
        ("PackageID", text(id.as_str())),
        ("ServerNALPath", row.get("NALPath").unwrap().clone()),
        ("SiteCode", row.get("SiteCode").unwrap().clone()),
        ("SourceSite", row.get("SiteCode").unwrap().clone()),
    ];
    let point = objects.create("SMS_DistributionPoint", &values).await;
    assert_eq!(point.get("Status"), Some(&number(2)), "asked for, nothing served yet");
    assert_eq!(point.get("RefreshNow"), Some(&Value::Boolean(false)));
    objects.site.publish(id).await;
    objects.site.report(id, "DP01").await;
    assert_eq!(objects.get(&point_path(id, DP01)).await.get("Status"), Some(&number(0)));
    // A Put of one that is there already changes nothing.
    objects.try_put("SMS_DistributionPoint", PutForm::Create, &keys(id.as_str(), DP01)).await.unwrap();
    assert_eq!(objects.get(&point_path(id, DP01)).await.get("Status"), Some(&number(0)));
}

#[tokio::test]
async fn sms_distribution_point_put_needs_a_known_package_and_a_known_point() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    for (package, nal_path, wanted) in [
        ("XYZ0FFFF", DP01, "NOT_FOUND"),
        (id.as_str(), "DP01", "POINT_UNKNOWN"),
        (id.as_str(), &DP01.replace("DP01", "DP77"), "POINT_UNKNOWN"),
    ] {
        for form in [PutForm::Create, PutForm::Whole, PutForm::Partial] {
            let put = objects.try_put("SMS_DistributionPoint", form, &keys(package, nal_path)).await;
            assert_eq!(code(put), wanted);
        }
    }
    let elsewhere =
        [("PackageID", text(id.as_str())), ("ServerNALPath", text(DP01)), ("SiteCode", text("ABC"))];
    assert_eq!(
        code(objects.try_put("SMS_DistributionPoint", PutForm::Create, &elsewhere).await),
        "POINT_UNKNOWN"
    );
    let unnamed = [("PackageID", text(id.as_str()))];
    assert_eq!(code(objects.try_put("SMS_DistributionPoint", PutForm::Create, &unnamed).await), "REQUIRED");
    let long = [
        ("PackageID", text(id.as_str())),
        ("ServerNALPath", text(DP01)),
        ("SiteCode", text("XYZ")),
        ("SourceSite", number(1)),
    ];
    assert_eq!(code(objects.try_put("SMS_DistributionPoint", PutForm::Create, &long).await), "TYPE");
}

#[tokio::test]
async fn sms_distribution_point_refresh_now_redistributes_and_reads_false() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let query =
        format!("SELECT * FROM SMS_DistributionPoint WHERE PackageID='{id}' AND ServerNALPath LIKE '%DP01%'");
    let row = objects.query(&query).await.remove(0);
    let after = objects.try_put_back(&row, &[("RefreshNow", Value::Boolean(true))]).await.unwrap();
    assert_eq!(after.get("RefreshNow"), Some(&Value::Boolean(false)));
    assert_eq!(after.get("Status"), Some(&number(1)));
    let other = objects.get(&point_path(id, DP02)).await;
    assert_eq!(other.get("Status"), Some(&number(0)), "the other keeps its state");
    assert_eq!(objects.get(&package_path(id)).await.get("SourceVersion"), Some(&number(1)));
    objects.site.report(id, "DP01").await;
    // A Put with RefreshNow false asks for nothing.
    let row = objects.query(&query).await.remove(0);
    objects.try_put_back(&row, &[]).await.unwrap();
    assert_eq!(objects.get(&point_path(id, DP01)).await.get("Status"), Some(&number(0)));
}

#[tokio::test]
async fn sms_distribution_point_keeps_what_vendors_put_and_nothing_of_its_own() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let object = point_path(id, DP01);
    let bytes = Value::Array(vec![number(7)]);
    let read =
        objects.patch(&object, &[("ISVString", text("note")), ("ISVData", bytes.clone())]).await.unwrap();
    assert_eq!(read.get("ISVString"), Some(&text("note")));
    assert_eq!((read.get("ISVData"), read.get("ISVDataSize")), (Some(&bytes), Some(&number(1))));
    for name in ["Status", "ResourceType", "SiteName", "SourceSite"] {
        let value = read.get(name).unwrap().clone();
        assert_eq!(code(objects.patch(&object, &[(name, value)]).await), "READ_ONLY_PROPERTY", "{name}");
    }
}

#[tokio::test]
async fn sms_distribution_point_deletion_removes_the_content() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    objects.provider.delete(&caller(), &path(&point_path(id, DP01))).await.unwrap();
    assert_eq!(objects.get(&point_path(id, DP01)).await.get("Status"), Some(&number(3)));
    let row = objects.get(&point_path(id, DP01)).await;
    let refused_put = objects.try_put_back(&row, &[("RefreshNow", Value::Boolean(true))]).await;
    assert_eq!(code(refused_put), "POINT_BEING_REMOVED");
    objects.site.report(id, "DP01").await;
    assert_eq!(code(objects.try_get(&point_path(id, DP01)).await), "NOT_FOUND");
    assert_eq!(objects.query("SELECT * FROM SMS_DistributionPoint").await.len(), 1);
    let gone = objects.provider.delete(&caller(), &path(&point_path(id, DP03))).await;
    assert_eq!(code(gone), "POINT_NOT_TARGETED");
}

#[tokio::test]
async fn sms_distribution_point_verify_package_reads_all_content_again() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let given = [("PackageId", text(id.as_str())), ("NALPath", text(DP02))];
    objects.invoke("SMS_DistributionPoint", "VerifyPackage", &given).await;
    assert_eq!(objects.get(&point_path(id, DP02)).await.get("Status"), Some(&number(1)));
    objects.site.report(id, "DP02").await;
    assert_eq!(objects.get(&point_path(id, DP02)).await.get("Status"), Some(&number(0)));
    let given = [("PackageId", text(id.as_str())), ("NALPath", text(DP03))];
    let refusal = refused(objects.try_invoke("SMS_DistributionPoint", "VerifyPackage", &given).await);
    assert_eq!(refusal.code(), "POINT_NOT_TARGETED");
}

#[tokio::test]
async fn sms_distribution_point_cancel_distribution_ends_what_is_under_way() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let given = [("PackageId", text(id.as_str())), ("NALPath", text(DP01))];
    let nothing = objects.try_invoke("SMS_DistributionPoint", "CancelDistribution", &given).await;
    assert_eq!(code(nothing), "NOTHING_TO_CANCEL");
    objects.invoke("SMS_DistributionPoint", "VerifyPackage", &given).await;
    objects.invoke("SMS_DistributionPoint", "CancelDistribution", &given).await;
    let state = format!(
        "SELECT State FROM SMS_PackageStatusDistPointsSummarizer WHERE PackageID='{id}' AND ServerNALPath LIKE '%DP01%'"
    );
    assert_eq!(objects.query(&state).await.remove(0).get("State"), Some(&number(3)));
}

#[tokio::test]
async fn sms_distribution_point_that_is_being_removed_is_kept_when_it_is_asked_for_again() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let status =
        async |nal_path: &str| objects.get(&point_path(id, nal_path)).await.get("Status").unwrap().clone();
    for nal_path in [DP01, DP02] {
        objects.provider.delete(&caller(), &path(&point_path(id, nal_path))).await.unwrap();
        assert_eq!(status(nal_path).await, number(3));
    }
    objects.create("SMS_DistributionPoint", &keys(id.as_str(), DP01)).await;
    let pair = [("SiteCode", super::texts(&["XYZ"])), ("NALPath", super::texts(&[DP02]))];
    objects.invoke(&package_path(id), "AddDistributionPoints", &pair).await;
    for nal_path in [DP01, DP02] {
        assert_ne!(status(nal_path).await, number(3));
    }
}

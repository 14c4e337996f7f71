//! What the SDK shows first: create, distribute, watch, refresh, remove, delete.

use super::{DP01, DP02, Objects, caller, code, number, package_path, path, point_path, text, texts};

impl Objects {
    /// `(Targeted, Installed, Retrying, Failed)` as the root summarizer shows them.
    async fn counters(&self, id: impl std::fmt::Display) -> [i128; 4] {
        let root = self.get(&format!("SMS_PackageStatusRootSummarizer.PackageID='{id}'")).await;
        ["Targeted", "Installed", "Retrying", "Failed"]
            .map(|name| root.get(name).unwrap().as_integer().unwrap())
    }
}

#[tokio::test]
async fn the_first_hour_with_a_package_goes_as_the_sdk_shows_it() {
    let objects = Objects::new().await;

    // Create with Name, PkgSourceFlag 2 and PkgSourcePath: version 1 without any distribution point.
    let id = objects.package("First").await;
    let package = objects.get(&package_path(id)).await;
    assert_eq!(package.get("SourceVersion"), Some(&number(1)));
    assert_eq!(package.get("StoredPkgVersion"), Some(&number(0)));
    assert_eq!(package.get("ActionInProgress"), Some(&number(2)));
    objects.site.publish(id).await;
    let package = objects.get(&package_path(id)).await;
    assert_eq!(package.get("StoredPkgVersion"), Some(&number(1)));
    assert_eq!(package.get("ActionInProgress"), Some(&number(0)));

    // Find distribution points and distribute both ways.
    let query = "SELECT * FROM SMS_SystemResourceList WHERE RoleName='SMS Distribution Point' AND ServerName LIKE '%DP01'";
    let found = objects.query(query).await.remove(0);
    let values = [
        ("PackageID", text(id.as_str())),
        ("ServerNALPath", found.get("NALPath").unwrap().clone()),
        ("SiteCode", found.get("SiteCode").unwrap().clone()),
    ];
    objects.create("SMS_DistributionPoint", &values).await;
    let pair = [("SiteCode", texts(&["XYZ"])), ("NALPath", texts(&[DP02]))];
    objects.invoke(&package_path(id), "AddDistributionPoints", &pair).await;

    // Poll the summarizers until Installed is Targeted.
    assert_eq!(objects.counters(id).await, [2, 0, 0, 0]);
    objects.site.report(id, "DP01").await;
    assert_eq!(objects.counters(id).await, [2, 1, 0, 0]);
    objects.site.report(id, "DP02").await;
    assert_eq!(objects.counters(id).await, [2, 2, 0, 0]);

    // Refresh: nobody is installed until they serve the new version.
    objects.invoke(&package_path(id), "RefreshPkgSource", &[]).await;
    assert_eq!(objects.counters(id).await, [2, 0, 0, 0]);
    objects.site.publish(id).await;
    objects.site.report(id, "DP01").await;
    objects.site.report(id, "DP02").await;
    assert_eq!(objects.counters(id).await, [2, 2, 0, 0]);
    assert_eq!(objects.get(&package_path(id)).await.get("SourceVersion"), Some(&number(2)));

    // Remove from one distribution point.
    objects.provider.delete(&caller(), &path(&point_path(id, DP01))).await.unwrap();
    objects.site.report(id, "DP01").await;
    assert_eq!(objects.counters(id).await, [1, 1, 0, 0]);

    // Delete: hidden at once, its distribution point follows.
    objects.provider.delete(&caller(), &path(&package_path(id))).await.unwrap();
    assert_eq!(code(objects.try_get(&package_path(id)).await), "NOT_FOUND");
    assert!(objects.query("SELECT * FROM SMS_Package").await.is_empty());
    let row = objects.query("SELECT Status FROM SMS_DistributionPoint").await.remove(0);
    assert_eq!(row.get("Status"), Some(&number(3)));
    objects.site.report(id, "DP02").await;
    assert!(objects.query("SELECT * FROM SMS_DistributionPoint").await.is_empty());
    assert_eq!(code(objects.provider.delete(&caller(), &path(&package_path(id))).await), "NOT_FOUND");
}

#[tokio::test]
async fn package_ids_are_given_in_order_and_never_again() {
    let objects = Objects::new().await;
    let first = objects.package("a").await;
    objects.provider.delete(&caller(), &path(&package_path(first))).await.unwrap();
    let second = objects.package("b").await;
    assert_eq!([first.as_str(), second.as_str()], ["XYZ00001", "XYZ00002"]);
    // Several packages may have one name.
    assert_eq!(objects.package("b").await.as_str(), "XYZ00003");
    assert_eq!(objects.query("SELECT * FROM SMS_Package WHERE Name='B'").await.len(), 2);
}

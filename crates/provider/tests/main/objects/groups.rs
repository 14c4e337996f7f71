//! `SMS_DistributionPointGroup`: what belongs to a group, and what its members hold.

use restock_cim::Value;
use restock_provider::PutForm;

use super::{DP01, DP02, DP03, Objects, caller, code, number, path, point_path, text, texts};

impl Objects {
    /// A group of DP01 and DP02; its path.
    async fn group(&self, name: &str) -> String {
        let group = self.create("SMS_DistributionPointGroup", &[("Name", text(name))]).await;
        let id = group.get("GroupID").unwrap().as_str().unwrap();
        let object = format!("SMS_DistributionPointGroup.GroupID='{id}'");
        self.invoke(&object, "AddDistributionPoints", &[("DPNALPath", texts(&[DP01, DP02]))]).await;
        object
    }

    /// The distribution points that hold, or shall hold, the package.
    async fn holders(&self, id: impl std::fmt::Display) -> Vec<String> {
        let query = format!(
            "SELECT ServerNALPath FROM SMS_DistributionPoint WHERE PackageID='{id}' AND Status<>3 ORDER BY ServerNALPath"
        );
        let rows = self.query(&query).await;
        rows.iter().map(|row| row.get("ServerNALPath").unwrap().as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn sms_distribution_point_group_is_created_changed_and_deleted() {
    let objects = Objects::new().await;
    let values = [("Name", text("North")), ("GroupID", text("{1}")), ("MemberCount", number(9))];
    let group = objects.create("SMS_DistributionPointGroup", &values).await;
    let id = group.get("GroupID").unwrap().as_str().unwrap().to_owned();
    assert_eq!((id.len(), id.starts_with('{')), (38, true), "a GUID of the site's own: {id}");
    assert_eq!(group.get("CreatedBy"), Some(&text(r"local\root")));
    assert_eq!(group.get("MemberCount"), Some(&number(0)));
    let object = format!("SMS_DistributionPointGroup.GroupID='{}'", id.to_lowercase());
    let after = objects.try_put_back(&group, &[("Description", text("d"))]).await.unwrap();
    assert_eq!((after.get("Name"), after.get("Description")), (Some(&text("North")), Some(&text("d"))));
    let again =
        objects.try_put("SMS_DistributionPointGroup", PutForm::Create, &[("Name", text("NORTH"))]).await;
    assert_eq!(code(again), "ALREADY_EXISTS");
    let unnamed = objects.try_put("SMS_DistributionPointGroup", PutForm::Create, &[]).await;
    assert_eq!(code(unnamed), "NAME_INVALID");
    assert_eq!(code(objects.patch(&object, &[("MemberCount", number(1))]).await), "READ_ONLY_PROPERTY");
    objects.provider.delete(&caller(), &path(&object)).await.unwrap();
    assert_eq!(code(objects.try_get(&object).await), "NOT_FOUND");
    assert_eq!(code(objects.patch(&object, &[("Name", text("x"))]).await), "NOT_FOUND");
}

#[tokio::test]
async fn sms_distribution_point_group_add_packages_distributes_to_all_members() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let object = objects.group("g").await;
    objects.invoke(&object, "AddPackages", &[("PackageIDs", texts(&[id.as_str()]))]).await;
    assert_eq!(objects.holders(id).await, [DP01, DP02]);
    let group = objects.get(&object).await;
    assert_eq!((group.get("MemberCount"), group.get("ContentCount")), (Some(&number(2)), Some(&number(1))));
    let unknown = objects.try_invoke(&object, "AddPackages", &[("PackageIDs", texts(&["XYZ0FFFF"]))]).await;
    assert_eq!(code(unknown), "NOT_FOUND");
    let none = objects.try_invoke(&object, "AddPackages", &[("PackageIDs", texts(&[]))]).await;
    assert_eq!(code(none), "RANGE");
}

#[tokio::test]
async fn sms_distribution_point_group_add_distribution_points_and_remove_distribution_points_obey_the_flag() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let object = objects.group("g").await;
    objects.invoke(&object, "AddPackages", &[("PackageIDs", texts(&[id.as_str()]))]).await;
    let dp03 = |flag: &'static str, value| [("DPNALPath", texts(&[DP03])), (flag, Value::Boolean(value))];
    objects.invoke(&object, "AddDistributionPoints", &dp03("AddTargetedPackages", false)).await;
    assert_eq!(objects.holders(id).await, [DP01, DP02]);
    objects.invoke(&object, "AddDistributionPoints", &dp03("AddTargetedPackages", true)).await;
    assert_eq!(objects.holders(id).await, [DP01, DP02, DP03]);
    objects.invoke(&object, "RemoveDistributionPoints", &dp03("RemoveTargetedPackages", false)).await;
    assert_eq!(objects.holders(id).await, [DP01, DP02, DP03]);
    assert_eq!(objects.get(&object).await.get("MemberCount"), Some(&number(2)));
    objects.invoke(&object, "RemoveDistributionPoints", &[("DPNALPath", texts(&[DP02]))]).await;
    assert_eq!(objects.holders(id).await, [DP01, DP03], "the content goes unless the flag says otherwise");
    let gone =
        objects.try_invoke(&object, "RemoveDistributionPoints", &[("DPNALPath", texts(&[DP02]))]).await;
    assert_eq!(code(gone), "NOT_FOUND");
}

#[tokio::test]
async fn sms_distribution_point_group_remove_packages_spares_what_another_group_asks_for() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let (first, second) = (objects.group("first").await, objects.group("second").await);
    objects.invoke(&second, "RemoveDistributionPoints", &[("DPNALPath", texts(&[DP02]))]).await;
    for group in [&first, &second] {
        objects.invoke(group, "AddPackages", &[("PackageIDs", texts(&[id.as_str()]))]).await;
    }
    objects.invoke(&first, "RemovePackages", &[("PackageIDs", texts(&[id.as_str()]))]).await;
    assert_eq!(objects.holders(id).await, [DP01], "second still asks for it there");
    let keep = [("PackageIDs", texts(&[id.as_str()])), ("RemovePackageFromDPs", Value::Boolean(false))];
    objects.invoke(&second, "RemovePackages", &keep).await;
    assert_eq!(objects.holders(id).await, [DP01]);
    assert_eq!(code(objects.try_invoke(&second, "RemovePackages", &keep).await), "NOT_FOUND");
}

#[tokio::test]
async fn sms_distribution_point_group_re_distribute_package_and_refresh_dp_group_bring_what_members_lack() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let object = objects.group("g").await;
    let package = [("PackageID", text(id.as_str()))];
    assert_eq!(code(objects.try_invoke(&object, "ReDistributePackage", &package).await), "NOT_FOUND");
    objects.invoke(&object, "AddPackages", &[("PackageIDs", texts(&[id.as_str()]))]).await;
    assert_eq!(
        objects.get(&point_path(id, DP01)).await.get("Status"),
        Some(&number(0)),
        "it is there already"
    );
    objects.invoke(&object, "ReDistributePackage", &package).await;
    for nal_path in [DP01, DP02] {
        assert_eq!(objects.get(&point_path(id, nal_path)).await.get("Status"), Some(&number(1)));
    }
    objects.site.report(id, "DP01").await;
    objects.site.report(id, "DP02").await;
    objects.provider.delete(&caller(), &path(&point_path(id, DP02))).await.unwrap();
    objects.site.report(id, "DP02").await;
    assert_eq!(objects.holders(id).await, [DP01]);
    objects.invoke(&object, "RefreshDPGroup", &[]).await;
    assert_eq!(objects.holders(id).await, [DP01, DP02]);
    assert_eq!(
        objects.get(&point_path(id, DP01)).await.get("Status"),
        Some(&number(0)),
        "who has it is left alone"
    );
}

#[tokio::test]
async fn sms_distribution_point_group_associate_collections_and_disassociate_collections_keep_rows() {
    let objects = Objects::new().await;
    let object = objects.group("g").await;
    objects
        .invoke(&object, "AssociateCollections", &[("CollectionID", texts(&["SMS00001", "XYZ00014"]))])
        .await;
    let ids = async || {
        let rows =
            objects.query("SELECT CollectionID FROM SMS_DPGroupCollections ORDER BY CollectionID").await;
        rows.iter()
            .map(|row| row.get("CollectionID").unwrap().as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids().await, ["SMS00001", "XYZ00014"]);
    objects.invoke(&object, "DisassociateCollections", &[("CollectionID", texts(&["sms00001"]))]).await;
    assert_eq!(ids().await, ["XYZ00014"]);
    let gone = objects
        .try_invoke(&object, "DisassociateCollections", &[("CollectionID", texts(&["SMS00001"]))])
        .await;
    assert_eq!(code(gone), "NOT_FOUND");
    let odd = objects.try_invoke(&object, "AssociateCollections", &[("CollectionID", texts(&["a'b"]))]).await;
    assert_eq!(code(odd), "RANGE");
}

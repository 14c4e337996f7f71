//! Roles: what an imported one lets its user do, and what built-in ones are.

use restock_cim::Value;
use restock_provider::PutForm;
use restock_provider::rights::operations::{DISTRIBUTE, MODIFY, READ};

use super::{GROUP, PACKAGE, PACKAGE_TEAM, POINT, read};
use crate::objects::{
    DP01, DP02, Objects, code, number, out, package_path, path, point_path, refused, text, texts,
};

#[tokio::test]
async fn the_user_of_an_imported_role_works_inside_its_scope_and_nowhere_else() {
    let site = Objects::new().await;
    site.import_package_team().await;
    let north = site.scope("North").await;
    site.move_to(&north, POINT, "DP01").await;
    let foreign = site.package("Foreign").await;
    let anna = site.account("anna", &[("Package team", "North")]).await;

    // Creates: what she makes is inside her scope.
    let values =
        [("Name", text("Hers")), ("PkgSourceFlag", number(2)), ("PkgSourcePath", text(r"\\fs01\src\app"))];
    let made = site.put_as(&anna, "SMS_Package", PutForm::Create, &values).await.unwrap();
    let hers = read(&made, "PackageID").parse().unwrap();
    assert_eq!(site.seen_by(&anna, "SELECT * FROM SMS_Package", "Name").await, ["Hers"]);
    let members = format!("SELECT * FROM SMS_SecuredCategoryMembership WHERE ObjectKey = '{hers}'");
    assert_eq!(site.seen_by(&crate::objects::caller(), &members, "CategoryID").await, [north]);

    // Distributes, refreshes and redistributes.
    let add = |nal: &str| [("SiteCode", texts(&["XYZ"])), ("NALPath", texts(&[nal]))];
    let object = package_path(hers);
    site.invoke_as(&anna, &object, "AddDistributionPoints", &add(DP01)).await.unwrap();
    site.invoke_as(&anna, &object, "RefreshPkgSource", &[]).await.unwrap();
    let point = [
        ("PackageID", text(&hers.to_string())),
        ("ServerNALPath", text(DP01)),
        ("SiteCode", text("XYZ")),
        ("RefreshNow", Value::Boolean(true)),
    ];
    site.put_as(&anna, "SMS_DistributionPoint", PutForm::Whole, &point).await.unwrap();

    // Nothing outside: neither foreign packages nor foreign distribution points are there for her.
    assert_eq!(
        code(site.invoke_as(&anna, &object, "AddDistributionPoints", &add(DP02)).await),
        "POINT_UNKNOWN"
    );
    let other = package_path(foreign);
    assert_eq!(code(site.invoke_as(&anna, &other, "RefreshPkgSource", &[]).await), "NOT_FOUND");
    assert_eq!(code(site.invoke_as(&anna, &other, "AddDistributionPoints", &add(DP01)).await), "NOT_FOUND");
    assert_eq!(code(site.provider.get(&anna, &path(&other)).await), "NOT_FOUND");
    assert_eq!(code(site.provider.delete(&anna, &path(&other)).await), "NOT_FOUND");
    assert_eq!(code(site.provider.delete(&anna, &path(&point_path(foreign, DP01))).await), "NOT_FOUND");
    let rename = [("PackageID", text(&foreign.to_string())), ("Name", text("Taken"))];
    assert_eq!(code(site.put_as(&anna, "SMS_Package", PutForm::Whole, &rename).await), "NOT_FOUND");
    assert_eq!(
        code(site.put_as(&anna, "SMS_Role", PutForm::Create, &[("RoleName", text("R"))]).await),
        "SCOPE"
    );

    // And her own package she may delete.
    site.provider.delete(&anna, &path(&object)).await.unwrap();
    assert_eq!(site.seen_by(&anna, "SELECT * FROM SMS_Package", "Name").await, Vec::<String>::new());
    assert_eq!(site.query("SELECT * FROM SMS_Package").await.len(), 1, "the foreign package is as it was");
}

#[tokio::test]
async fn who_may_read_an_object_is_told_which_right_is_missing() {
    let site = Objects::new().await;
    let id = site.package("App").await;
    let analyst = site.account("analyst", &[("Read-only Analyst", "Default")]).await;
    let refusal = refused(site.invoke_as(&analyst, &package_path(id), "RefreshPkgSource", &[]).await);
    assert_eq!((refusal.code(), refusal.status()), ("SCOPE", restock_cim::Status::AccessDenied));
    let text_of = refusal.description();
    assert!(text_of.contains("Modify") && text_of.contains(&id.to_string()), "{text_of}");
    let add = [("SiteCode", texts(&["XYZ"])), ("NALPath", texts(&[DP01]))];
    let author = site.account("author", &[("Application Author", "Default")]).await;
    let refusal = refused(site.invoke_as(&author, &package_path(id), "AddDistributionPoints", &add).await);
    assert_eq!(refusal.code(), "SCOPE");
    assert!(refusal.description().contains("Copy to Distribution Point"), "{}", refusal.description());
}

#[tokio::test]
async fn a_role_is_exported_as_it_was_imported() {
    let site = Objects::new().await;
    site.import_package_team().await;
    let roles = site.query("SELECT * FROM SMS_Role WHERE RoleName = 'package team'").await;
    let id = read(&roles[0], "RoleID");
    assert!(id.starts_with("XYZ"), "{id}");
    let object = format!("SMS_Role.RoleID=\"{id}\"");
    let answer = site.invoke(&object, "ExportRole", &[("RoleID", text(&id))]).await;
    let Value::String(xml) = out(&answer, "ExportedXML") else { panic!("{answer:?}") };
    assert_eq!(xml.replace(['\n', ' '], ""), PACKAGE_TEAM.replace(['\n', ' '], ""));
    // The same name again: refused, or replaced when asked for.
    let again = |overwrites| [("RolesXml", text(xml)), ("OverwrittenExisted", Value::Boolean(overwrites))];
    assert_eq!(code(site.try_invoke(&object, "ImportRole", &again(false)).await), "ALREADY_EXISTS");
    site.invoke(&object, "ImportRole", &again(true)).await;
    assert_eq!(site.query("SELECT * FROM SMS_Role WHERE RoleName = 'package team'").await.len(), 1);
    let built_in = r#"SMS_Role.RoleID="SMS0002R""#;
    assert_eq!(code(site.patch(built_in, &[("RoleDescription", text("x"))]).await), "BUILT_IN");
    assert_eq!(code(site.provider.delete(&crate::objects::caller(), &path(built_in)).await), "BUILT_IN");
}

#[tokio::test]
async fn user_has_permissions_answers_what_is_held_on_one_object() {
    let site = Objects::new().await;
    let id = site.package("App").await;
    let hidden = site.package("Hidden").await;
    let north = site.scope("North").await;
    site.move_to(&north, PACKAGE, &hidden.to_string()).await;
    let analyst = site.account("analyst", &[("Read-only Analyst", "Default")]).await;
    let full = crate::objects::caller();
    let object = "SMS_RbacSecuredObject.ObjectTypeID=2";
    let ask = |id: restock_names::PackageId, bits: u32| {
        [
            ("ObjectPath", Value::Reference(Box::new(path(&package_path(id))))),
            ("Permissions", number(bits.into())),
        ]
    };
    let answer =
        site.invoke_as(&analyst, object, "UserHasPermissions", &ask(id, READ | MODIFY)).await.unwrap();
    assert_eq!((&answer.return_value, out(&answer, "Permissions")), (&Value::Boolean(false), &number(1)));
    let answer = site.invoke_as(&analyst, object, "UserHasPermissions", &ask(id, READ)).await.unwrap();
    assert_eq!(answer.return_value, Value::Boolean(true));
    let answer =
        site.invoke_as(&full, object, "UserHasPermissions", &ask(hidden, READ | MODIFY)).await.unwrap();
    assert_eq!((&answer.return_value, out(&answer, "Permissions")), (&Value::Boolean(true), &number(3)));
    let refusal = site.invoke_as(&analyst, object, "UserHasPermissions", &ask(hidden, READ)).await;
    assert_eq!(code(refusal), "NOT_FOUND");
    let point = [
        ("ObjectPath", Value::Reference(Box::new(path("SMS_DistributionPointInfo.ID=1")))),
        ("Permissions", number((READ | DISTRIBUTE).into())),
    ];
    let answer = site.invoke_as(&analyst, object, "UserHasPermissions", &point).await.unwrap();
    assert_eq!((&answer.return_value, out(&answer, "Permissions")), (&Value::Boolean(false), &number(1)));
}

#[tokio::test]
async fn what_is_made_is_in_default_and_every_type_has_its_members() {
    let site = Objects::new().await;
    let id = site.package("App").await;
    let group = site.create("SMS_DistributionPointGroup", &[("Name", text("Group"))]).await;
    let rows = site.query("SELECT * FROM SMS_SecuredCategoryMembership WHERE CategoryID = 'SMS00UNA'").await;
    let mut members: Vec<(String, String)> = rows
        .iter()
        .map(|row| (format!("{:?}", row.get("ObjectTypeID").unwrap()), read(row, "ObjectKey")))
        .collect();
    members.sort();
    let expected = |kind: u32, key: &str| (format!("Unsigned({kind})"), key.to_owned());
    let mut wanted = vec![
        expected(PACKAGE, &id.to_string()),
        expected(super::SITE, "XYZ"),
        expected(GROUP, &read(&group, "GroupID")),
        expected(POINT, "DP01"),
        expected(POINT, "DP02"),
        expected(POINT, "DP03"),
    ];
    wanted.sort();
    assert_eq!(members, wanted);
}

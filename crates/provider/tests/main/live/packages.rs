//! Packages, their programs and where they come from.

use std::time::Duration;

use restock_cim::Value;
use restock_names::Timestamp;
use restock_provider::{Operation, PackageChange};
use restock_sitedb::admin::{Membership, Scope, Stamp, TYPE_PACKAGE};
use restock_sitedb::package::Properties;
use restock_sitedb::program::Program;

use crate::views::world::{NOW, World};

const PACKAGE: &str = "SELECT * FROM SMS_Package WHERE PackageID = 'XYZ00001'";

#[tokio::test]
async fn sms_package_is_live_through_creation_refresh_and_deletion() {
    let world = World::new().await;
    assert!(world.rows(PACKAGE).await.is_empty());
    let id = world.create("seven zip").await;
    let row = world.row(PACKAGE).await;
    assert_eq!((row.text("Name"), row.text("PkgSourcePath")), ("seven zip", r"\\fs01\src\app"));
    assert_eq!((row.number("SourceVersion"), row.number("StoredPkgVersion")), (1, 0));
    assert_eq!((row.number("ActionInProgress"), row.number("PackageSize")), (2, 0));
    // 1970-04-10 06:35 by the site's clock.
    assert_eq!(row.time("LastRefreshTime"), Timestamp(8_577_300_000_000));

    world.clock.advance(Duration::from_secs(60));
    world.publish(id, 2_500).await;
    let row = world.row(PACKAGE).await;
    assert_eq!((row.number("StoredPkgVersion"), row.number("ActionInProgress")), (1, 0));
    assert_eq!((row.number("PackageSize"), row.time("LastRefreshTime")), (3, world.now()));
    assert_eq!(row.time("SourceDate"), world.now());

    world.refresh(id).await;
    assert_eq!(world.row(PACKAGE).await.number("ActionInProgress"), 1);
    world.publish(id, 0).await;
    assert_eq!(world.row(PACKAGE).await.number("SourceVersion"), 2);

    world.perform(Operation::DeletePackage { package: id }).await.unwrap();
    assert!(world.rows(PACKAGE).await.is_empty(), "hidden while it is being deleted");
}

#[tokio::test]
async fn sms_package_is_live_in_what_people_set() {
    let world = World::new().await;
    let id = world.create("a").await;
    let change = PackageChange {
        name: Some("b".to_owned()),
        manufacturer: Some("m".to_owned()),
        version: Some("1.2".to_owned()),
        language: Some("de".to_owned()),
        description: Some("d".to_owned()),
        priority: Some(1),
        ..PackageChange::of(id)
    };
    world.perform(Operation::SetPackage(change)).await.unwrap();
    let row = world.row(PACKAGE).await;
    let shown = ["Name", "Manufacturer", "Version", "Language", "Description"].map(|name| row.text(name));
    assert_eq!((shown, row.number("Priority")), (["b", "m", "1.2", "de", "d"], 1));

    let properties = Properties {
        share_name: "tools$".to_owned(),
        pkg_flags: 0x0100_0000,
        mif_name: "mif".to_owned(),
        alternate_content_providers: "<x/>".to_owned(),
        sedo_version: "v2".to_owned(),
        ..Properties::default()
    };
    world
        .change(move |tx| {
            Box::pin(
                async move { tx.update_package_properties(id, &properties).await.map(|done| assert!(done)) },
            )
        })
        .await;
    let row = world.get(r#"SMS_Package.PackageID="XYZ00001""#).await;
    let shown = ["ShareName", "MIFName", "AlternateContentProviders", "SedoObjectVersion"];
    assert_eq!(shown.map(|name| row.text(name)), ["tools$", "mif", "<x/>", "v2"]);
    assert_eq!(row.number("PkgFlags"), 0x0100_0000);
}

#[tokio::test]
async fn sms_package_is_live_in_the_names_of_its_scopes() {
    let world = World::new().await;
    world.create("a").await;
    assert_eq!(world.row(PACKAGE).await.texts("SecuredScopeNames"), ["Default"]);
    let stamp = Stamp { by: "root".to_owned(), at: NOW };
    let scope = Scope {
        id: "XYZ00002".to_owned(),
        name: r#"A "quoted" \ scope"#.to_owned(),
        description: String::new(),
        is_built_in: false,
        created: stamp.clone(),
        modified: stamp,
    };
    world
        .change(move |tx| {
            Box::pin(async move {
                tx.insert_scope(&scope).await?;
                let member = Membership {
                    scope: scope.id.clone(),
                    object_type: TYPE_PACKAGE,
                    object: "XYZ00001".to_owned(),
                };
                tx.add_to_scope(&member).await.map(|_| ())
            })
        })
        .await;
    let names = world.row(PACKAGE).await;
    assert_eq!(names.texts("SecuredScopeNames"), [r#"A "quoted" \ scope"#, "Default"]);
}

#[tokio::test]
async fn sms_package_is_live_in_the_number_of_its_programs() {
    let world = World::new().await;
    let package = world.create("a").await;
    assert_eq!(world.row(PACKAGE).await.number("NumOfPrograms"), 0);
    put_program(&world, package, r#"{"CommandLine":"a.exe"}"#).await;
    assert_eq!(world.row(PACKAGE).await.number("NumOfPrograms"), 1);
}

async fn put_program(world: &World, package: restock_names::PackageId, properties: &'static str) {
    let program = Program { package, name: "Install".to_owned(), properties: properties.to_owned() };
    world.change(move |tx| Box::pin(async move { tx.put_program(&program).await })).await;
}

#[tokio::test]
async fn sms_program_is_live_through_its_package() {
    let world = World::new().await;
    let id = world.create("a").await;
    put_program(&world, id, r#"{"CommandLine":"a.exe","ProgramFlags":1024}"#).await;
    let query = "SELECT * FROM SMS_Program WHERE PackageID = 'XYZ00001' AND ProgramName = 'INSTALL'";
    let row = world.row(query).await;
    assert_eq!((row.text("CommandLine"), row.number("ProgramFlags")), ("a.exe", 1024));
    assert_eq!((row.text("PackageName"), row.number("ActionInProgress")), ("a", 0));
    assert_eq!(*row.value("Description"), Value::Null);
    put_program(&world, id, r#"{"CommandLine":"b.exe"}"#).await;
    assert_eq!(world.row(query).await.text("CommandLine"), "b.exe");

    let change = PackageChange { name: Some("b".to_owned()), ..PackageChange::of(id) };
    world.perform(Operation::SetPackage(change)).await.unwrap();
    assert_eq!(world.row(query).await.text("PackageName"), "b");
    world.perform(Operation::DeletePackage { package: id }).await.unwrap();
    assert_eq!(world.row(query).await.number("ActionInProgress"), 3, "callers filter");
}

#[tokio::test]
async fn sms_package_to_source_site_a_is_live_as_packages_come_and_go() {
    let world = World::new().await;
    let query = "SELECT * FROM SMS_PackageToSourceSite_a";
    assert!(world.rows(query).await.is_empty());
    let id = world.create("a").await;
    let row = world.row(query).await;
    assert_eq!(row.path("ownedPackage"), r#"SMS_Package.PackageID="XYZ00001""#);
    assert_eq!(row.path("pkgSourcesite"), r#"SMS_Site.SiteCode="XYZ""#);
    world.perform(Operation::DeletePackage { package: id }).await.unwrap();
    assert!(world.rows(query).await.is_empty());
}

#[tokio::test]
async fn sms_pkg_to_pkg_program_a_is_live_as_programs_come_and_go() {
    let world = World::new().await;
    let id = world.create("a").await;
    let query = "SELECT * FROM SMS_PkgToPkgProgram_a";
    assert!(world.rows(query).await.is_empty());
    put_program(&world, id, "{}").await;
    let row = world.row(query).await;
    assert_eq!(row.path("package"), r#"SMS_Package.PackageID="XYZ00001""#);
    assert_eq!(row.path("pkgProgram"), r#"SMS_Program.PackageID="XYZ00001",ProgramName="Install""#);
    world
        .change(move |tx| {
            Box::pin(async move { tx.delete_program(id, "install").await.map(|gone| assert!(gone)) })
        })
        .await;
    assert!(world.rows(query).await.is_empty());
}

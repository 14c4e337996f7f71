//! The site and its provider: what configuration says is seen after the next start.

use crate::views::world::{World, config};

#[tokio::test]
async fn sms_site_is_live_with_the_configuration_of_each_start() {
    let mut world = World::new().await;
    let row = world.row("SELECT * FROM SMS_Site WHERE SiteCode = 'xyz'").await;
    assert_eq!((row.text("SiteName"), row.text("ServerName")), ("Northern site", "prov.example"));
    assert_eq!((row.text("Version"), row.number("BuildNumber")), ("5.00.9128.1007", 9128));
    assert_eq!((row.number("Type"), row.number("Status"), row.text("ReportingSiteCode")), (2, 1, ""));
    assert_eq!((row.text("TimeZoneInfo"), row.text("InstallDir")), ("UTC", "/var/lib/restock"));
    let mut changed = config();
    changed.site_name = "Southern site".to_owned();
    changed.version = "5.00.9200.1".to_owned();
    world.restart(changed).await;
    let row = world.row("SELECT * FROM SMS_Site").await;
    assert_eq!((row.text("SiteName"), row.number("BuildNumber")), ("Southern site", 9200));
}

#[tokio::test]
async fn sms_site_and_subsites_is_live_with_the_configuration_of_each_start() {
    let mut world = World::new().await;
    let row = world.row("SELECT * FROM SMS_SiteAndSubsites").await;
    assert_eq!((row.text("SiteCode"), row.text("SiteName")), ("XYZ", "Northern site"));
    let mut changed = config();
    changed.host = "other.example".to_owned();
    world.restart(changed).await;
    assert_eq!(world.row("SELECT * FROM SMS_SiteAndSubsites").await.text("ServerName"), "other.example");
}

#[tokio::test]
async fn sms_identification_is_live_with_the_configuration_of_each_start() {
    let mut world = World::new().await;
    let row = world.row("SELECT * FROM SMS_Identification").await;
    assert_eq!((row.text("ThisSiteCode"), row.text("SMSProviderServer")), ("XYZ", "prov.example"));
    let mut changed = config();
    changed.version = "5.00.9200.1".to_owned();
    world.restart(changed).await;
    let row = world.row("SELECT * FROM SMS_Identification").await;
    assert_eq!((row.text("SMSVersion"), row.number("SMSBuildNumber")), ("5.00.9200.1", 9200));
}

#[tokio::test]
async fn sms_provider_location_is_live_with_the_configuration_of_each_start() {
    let mut world = World::new().await;
    let query = "SELECT * FROM SMS_ProviderLocation WHERE ProviderForLocalSite = TRUE";
    let row = world.row(query).await;
    assert_eq!((row.text("Machine"), row.text("SiteCode")), ("prov.example", "XYZ"));
    assert_eq!(row.text("NamespacePath"), r"\\prov.example\root\sms\site_XYZ");
    let mut changed = config();
    changed.host = "other.example".to_owned();
    world.restart(changed).await;
    assert_eq!(world.row(query).await.text("NamespacePath"), r"\\other.example\root\sms\site_XYZ");
}

#[tokio::test]
async fn sms_site_to_sub_site_a_has_no_row_at_a_site_that_stands_alone() {
    let world = World::new().await;
    assert!(world.rows("SELECT * FROM SMS_SiteToSubSite_a").await.is_empty());
}

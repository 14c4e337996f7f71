//! Distribution points as objects and as a resource.

use restock_cim::Value;
use restock_sitedb::Tx;

use crate::views::world::{NOW, World, config, dp};

async fn connect(tx: &mut Tx, url: &str) -> Result<(), restock_sitedb::DatabaseError> {
    tx.point_connected(&dp("DP01"), "site-1", ("lib-7", &[url.to_owned()], "restock 0.1"), NOW).await
}

#[tokio::test]
async fn sms_distribution_point_info_is_live_as_points_join_connect_and_are_described() {
    let world = World::new().await;
    let query = "SELECT * FROM SMS_DistributionPointInfo WHERE ServerName = 'dp01'";
    let row = world.row(query).await;
    assert_eq!((row.number("ID"), row.text("Description"), row.is("IsActive")), (1, "", false));
    assert_eq!(
        (row.text("NALPath"), row.text("SiteName")),
        (r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=XYZ"]\\DP01\"#, "Northern site")
    );
    world.change(|tx| Box::pin(connect(tx, "https://dp01:8443"))).await;
    let row = world.row(query).await;
    assert_eq!(
        (row.is("IsActive"), row.text("IdentityGUID"), row.number("Communication")),
        (true, "lib-7", 1)
    );
    world
        .change(|tx| {
            Box::pin(async move { tx.update_point(&dp("DP01"), "in the cellar", true).await.map(|_| ()) })
        })
        .await;
    let row = world.row(query).await;
    assert_eq!((row.text("Description"), row.is("IsActive")), ("in the cellar", false), "in maintenance");

    world
        .change(|tx| {
            Box::pin(async move {
                tx.enrol_point(&dp("DP01"), "another key", NOW, NOW).await?;
                tx.enrol_point(&dp("DP09"), "f", NOW, NOW).await
            })
        })
        .await;
    assert_eq!(world.row(query).await.number("ID"), 1, "a new key is no new point");
    let new = world.row("SELECT * FROM SMS_DistributionPointInfo WHERE ID = 4").await;
    assert_eq!(new.text("ServerName"), "DP09");
}

#[tokio::test]
async fn sms_system_resource_list_is_live_as_points_join_and_the_server_is_named() {
    let mut world = World::new().await;
    let points = r#"SELECT * FROM SMS_SystemResourceList WHERE RoleName = "SMS Distribution Point""#;
    assert_eq!(world.rows(points).await.len(), 3);
    world.change(|tx| Box::pin(async move { tx.enrol_point(&dp("DP09"), "f", NOW, NOW).await })).await;
    world.change(|tx| Box::pin(connect(tx, "https://dp01:8443"))).await;
    let rows = world.rows(points).await;
    let seen: Vec<(&str, u64)> =
        rows.iter().map(|row| (row.text("ServerName"), row.number("SslState"))).collect();
    assert_eq!(seen, [("DP01", 1), ("DP02", 0), ("DP03", 0), ("DP09", 0)]);

    let server = "SELECT * FROM SMS_SystemResourceList WHERE RoleName = 'SMS Site Server'";
    assert_eq!(world.row(server).await.text("ServerName"), "prov.example");
    let mut moved = config();
    moved.host = "other.example".to_owned();
    world.restart(moved).await;
    let row = world.row(server).await;
    let nal = r#"["Display=\\other.example\"]MSWNET:["SMS_SITE=XYZ"]\\other.example\"#;
    assert_eq!((row.text("NALPath"), row.value("InternetEnabled")), (nal, &Value::Boolean(false)));
    assert_eq!(
        world.rows("SELECT * FROM SMS_SystemResourceList WHERE RoleName = 'SMS Provider'").await.len(),
        1
    );
}

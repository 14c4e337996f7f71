//! Groups, programs, numbers and further properties: what is kept is what is read, on each engine.

use restock_sitedb::group::Group;
use restock_sitedb::package::Properties;
use restock_sitedb::program::Program;
use restock_sitedb::{DatabaseError, Tx};

use crate::samples::{NOW, dp, id, package, site};
use crate::server::{Cluster, Fresh, sqlite};

fn group(id: &str, name: &str) -> Group {
    Group {
        id: id.to_owned(),
        name: name.to_owned(),
        description: "d".to_owned(),
        source_site: "XYZ".parse().unwrap(),
        created_by: "ann".to_owned(),
        created_at: NOW,
        modified_by: "bob".to_owned(),
        modified_at: NOW,
    }
}

async fn check(fresh: &Fresh) {
    let done: Result<(), DatabaseError> = fresh
        .database
        .transact("everything", |tx| {
            Box::pin(async move {
                points(tx).await?;
                tx.insert_package(&package(1)).await?;
                tx.insert_package(&package(2)).await?;
                properties(tx).await?;
                programs(tx).await?;
                groups(tx).await?;
                lists(tx).await
            })
        })
        .await;
    done.unwrap();
    names_of_groups_are_unique(fresh).await;
}

async fn points(tx: &mut Tx) -> Result<(), DatabaseError> {
    tx.insert_site(&site()).await?;
    for name in ["DP01", "DP02", "DP01"] {
        tx.enrol_point(&dp(name), "f", NOW, NOW).await?;
    }
    let numbers: Vec<u32> = tx.points().await?.iter().map(|point| point.number).collect();
    assert_eq!(numbers, [1, 2]);
    let nal = r#"["Display=\\dp01\"]MSWNET:["SMS_SITE=xyz"]\\dp01\"#;
    let point = tx.point_by_nal_path(nal).await?.unwrap();
    assert_eq!((point.name, point.nal_path.to_lowercase()), (dp("DP01"), nal.to_lowercase()));
    assert_eq!(tx.point_by_nal_path("DP01").await?, None);
    assert!(tx.update_point(&dp("DP01"), "in the cellar", true).await?);
    assert!(!tx.update_point(&dp("DP99"), "", false).await?);
    let point = tx.point(&dp("DP01")).await?.unwrap();
    assert_eq!((point.description.as_str(), point.is_in_maintenance), ("in the cellar", true));
    Ok(())
}

async fn properties(tx: &mut Tx) -> Result<(), DatabaseError> {
    assert_eq!(tx.package_properties(id(1)).await?, Some(Properties::default()));
    assert_eq!(tx.package_properties(id(9)).await?, None);
    let set = Properties {
        share_name: "tools$".to_owned(),
        share_type: 2,
        pkg_flags: u32::MAX,
        forced_disconnect_enabled: true,
        default_image_flags: -7,
        transform_analysis_at: Some(NOW),
        icon: Some(vec![0, 255]),
        isv_data: Some(vec![]),
        sedo_version: "s".to_owned(),
        source_set_by: Some(7),
        ..Properties::default()
    };
    assert!(tx.update_package_properties(id(1), &set).await?);
    assert!(!tx.update_package_properties(id(9), &set).await?);
    assert_eq!(tx.package_properties(id(1)).await?, Some(set));
    assert_eq!(tx.package(id(1)).await?, Some(package(1)), "nothing else changed");
    Ok(())
}

async fn programs(tx: &mut Tx) -> Result<(), DatabaseError> {
    let program = |name: &str, properties: &str| Program {
        package: id(1),
        name: name.to_owned(),
        properties: properties.to_owned(),
    };
    tx.put_program(&program("Install", "{}")).await?;
    tx.put_program(&program("remove", "{}")).await?;
    tx.put_program(&program("INSTALL", r#"{"Duration":1}"#)).await?;
    let kept = program("Install", r#"{"Duration":1}"#);
    assert_eq!(tx.program(id(1), "install").await?, Some(kept.clone()), "the first spelling stays");
    assert_eq!(tx.program(id(2), "install").await?, None);
    assert_eq!(tx.programs(id(1)).await?, [kept, program("remove", "{}")]);
    assert!(tx.delete_program(id(1), "Remove").await?);
    assert!(!tx.delete_program(id(1), "Remove").await?);
    Ok(())
}

async fn groups(tx: &mut Tx) -> Result<(), DatabaseError> {
    tx.insert_group(&group("{0A}", "north")).await?;
    tx.insert_group(&group("{0B}", "south")).await?;
    assert_eq!(tx.group("{0a}").await?, Some(group("{0A}", "north")));
    assert_eq!(tx.group_by_name("NORTH").await?, Some(group("{0A}", "north")));
    assert_eq!(tx.groups().await?, [group("{0A}", "north"), group("{0B}", "south")]);
    let changed = Group { description: "other".to_owned(), ..group("{0A}", "far north") };
    assert!(tx.update_group(&changed).await?);
    assert_eq!(tx.group("{0A}").await?, Some(changed));
    assert!(!tx.update_group(&group("{0C}", "nowhere")).await?);
    Ok(())
}

async fn lists(tx: &mut Tx) -> Result<(), DatabaseError> {
    for (name, is_new) in [("DP02", true), ("DP01", true), ("DP01", false)] {
        assert_eq!(tx.insert_group_member("{0a}", &dp(name)).await?, is_new);
    }
    assert_eq!(tx.group_members("{0A}").await?, [dp("DP01"), dp("DP02")]);
    assert_eq!(tx.groups_of_point(&dp("DP01")).await?.len(), 1);
    assert!(tx.insert_group_package("{0A}", id(1)).await?);
    assert!(!tx.insert_group_package("{0A}", id(1)).await?);
    assert_eq!(tx.group_packages("{0a}").await?, [id(1)]);
    assert_eq!(tx.groups_of_package(id(1)).await?.len(), 1);
    assert!(tx.insert_group_collection("{0A}", "XYZ00014").await?);
    assert!(!tx.insert_group_collection("{0A}", "xyz00014").await?);
    assert_eq!(tx.group_collections("{0A}").await?, ["XYZ00014"]);

    assert!(tx.delete_group_member("{0A}", &dp("DP01")).await?);
    assert!(!tx.delete_group_member("{0A}", &dp("DP01")).await?);
    assert!(tx.delete_group_collection("{0A}", "XYZ00014").await?);
    assert!(tx.delete_group_package("{0A}", id(1)).await?);
    assert!(!tx.delete_group_package("{0A}", id(1)).await?);

    assert!(tx.insert_group_package("{0A}", id(2)).await?);
    assert!(tx.delete_package(id(2)).await?);
    assert!(tx.group_packages("{0A}").await?.is_empty(), "a package takes its places with it");
    assert!(tx.delete_group("{0A}").await?);
    assert!(!tx.delete_group("{0A}").await?);
    assert!(tx.group_members("{0A}").await?.is_empty());
    Ok(())
}

async fn names_of_groups_are_unique(fresh: &Fresh) {
    let taken: Result<(), DatabaseError> = fresh
        .database
        .transact("taken", |tx| Box::pin(async move { tx.insert_group(&group("{0D}", "SOUTH")).await }))
        .await;
    assert!(taken.is_err());
}

#[tokio::test]
async fn sqlite_keeps_groups_programs_and_properties() {
    check(&sqlite().await).await;
}

#[tokio::test]
async fn postgres_keeps_groups_programs_and_properties() {
    let Some(cluster) = Cluster::start() else { return };
    let fresh = cluster.database("groups").await;
    check(&fresh).await;
    fresh.database.close().await;
}

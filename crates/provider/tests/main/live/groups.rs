//! Distribution point groups and what they hold.

use restock_names::PackageId;
use restock_provider::Operation;
use restock_sitedb::group::Group;
use restock_sitedb::state::Report;

use crate::views::world::{NOW, World, dp};

fn group(name: &str) -> Group {
    Group {
        id: "{0A-1B}".to_owned(),
        name: name.to_owned(),
        description: "d".to_owned(),
        source_site: "XYZ".parse().unwrap(),
        created_by: "ann".to_owned(),
        created_at: NOW,
        modified_by: "ann".to_owned(),
        modified_at: NOW,
    }
}

/// A group of DP01 and DP02.
async fn make(world: &World) {
    world
        .change(|tx| {
            Box::pin(async move {
                tx.insert_group(&group("north")).await?;
                for point in ["DP01", "DP02"] {
                    assert!(tx.insert_group_member("{0a-1b}", &dp(point)).await?);
                    assert!(!tx.insert_group_member("{0A-1B}", &dp(point)).await?);
                }
                Ok(())
            })
        })
        .await;
}

async fn assign(world: &World, id: PackageId) {
    world
        .change(move |tx| {
            Box::pin(async move { tx.insert_group_package("{0A-1B}", id).await.map(|new| assert!(new)) })
        })
        .await;
}

async fn numbers<const N: usize>(world: &World, class: &str, names: [&str; N]) -> [u64; N] {
    let row = world.row(&format!("SELECT * FROM {class} WHERE GroupID = '{{0a-1b}}'")).await;
    names.map(|name| row.number(name))
}

#[tokio::test]
async fn sms_distribution_point_group_is_live_in_its_lists_and_texts() {
    let world = World::new().await;
    let query = "SELECT * FROM SMS_DistributionPointGroup";
    assert!(world.rows(query).await.is_empty());
    make(&world).await;
    let row = world.row(query).await;
    assert_eq!((row.text("GroupID"), row.text("Name"), row.text("CreatedBy")), ("{0A-1B}", "north", "ann"));
    assert!(row.is("HasMember") && row.is("ContentInSync") && !row.is("HasRelationship"));
    let counts = ["MemberCount", "ContentCount", "CollectionCount", "OutOfSyncContentCount"];
    let class = "SMS_DistributionPointGroup";
    assert_eq!(numbers(&world, class, counts).await, [2, 0, 0, 0]);

    let id = world.create("a").await;
    assign(&world, id).await;
    world.distribute(id, &["DP01"]).await;
    assert_eq!(numbers(&world, class, counts).await, [2, 1, 0, 1], "DP02 is not to have it");
    assert!(!world.row(query).await.is("ContentInSync"));
    world.distribute(id, &["DP02"]).await;
    assert!(world.row(query).await.is("ContentInSync"));
    world.remove(id, "DP02").await;
    assert_eq!(numbers(&world, class, counts).await, [2, 1, 0, 1]);

    world
        .change(|tx| {
            Box::pin(async move {
                tx.insert_group_collection("{0A-1B}", "XYZ00014").await?;
                tx.delete_group_member("{0A-1B}", &dp("DP02")).await?;
                let changed = Group { modified_by: "bob".to_owned(), ..group("south") };
                tx.update_group(&changed).await.map(|done| assert!(done))
            })
        })
        .await;
    let row = world.row(query).await;
    assert_eq!((row.text("Name"), row.text("ModifiedBy"), row.text("CreatedBy")), ("south", "bob", "ann"));
    assert!(row.is("HasRelationship") && row.is("ContentInSync"));
    assert_eq!(numbers(&world, class, counts).await, [1, 1, 1, 0]);
    world
        .change(|tx| Box::pin(async move { tx.delete_group("{0a-1b}").await.map(|gone| assert!(gone)) }))
        .await;
    assert!(world.rows(query).await.is_empty());
}

#[tokio::test]
async fn sms_dp_group_info_is_live_with_every_report() {
    let world = World::new().await;
    make(&world).await;
    let names = ["AssignedContentCount", "MembersCount", "NumberSuccess", "NumberInProgress", "NumberErrors"];
    assert_eq!(numbers(&world, "SMS_DPGroupInfo", names).await, [0, 2, 0, 0, 0]);
    let id = world.installed().await;
    assert_eq!(numbers(&world, "SMS_DPGroupInfo", names).await, [0, 2, 0, 0, 0], "not the group's");
    assign(&world, id).await;
    assert_eq!(numbers(&world, "SMS_DPGroupInfo", names).await, [1, 2, 2, 0, 0]);
    world.refresh(id).await;
    world.publish(id, 1).await;
    world.report(id, "DP01", Report::Failed { is_transient: false }).await;
    assert_eq!(numbers(&world, "SMS_DPGroupInfo", names).await, [1, 2, 0, 1, 1]);
}

#[tokio::test]
async fn sms_dp_group_members_is_live_as_members_come_and_go() {
    let world = World::new().await;
    let query = "SELECT * FROM SMS_DPGroupMembers WHERE GroupID = '{0a-1b}'";
    assert!(world.rows(query).await.is_empty());
    make(&world).await;
    assert_eq!(world.rows(query).await.len(), 2);
    world
        .change(|tx| {
            Box::pin(async move { tx.delete_group_member("{0A-1B}", &dp("DP02")).await.map(|_| ()) })
        })
        .await;
    let nal = r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=XYZ"]\\DP01\"#;
    assert_eq!(world.row(query).await.text("DPNALPath"), nal);
}

#[tokio::test]
async fn sms_dp_group_packages_is_live_as_packages_come_and_go() {
    let world = World::new().await;
    make(&world).await;
    let id = world.create("a").await;
    let query = "SELECT * FROM SMS_DPGroupPackages WHERE GroupID = '{0a-1b}'";
    assert!(world.rows(query).await.is_empty());
    assign(&world, id).await;
    assert_eq!(world.row(query).await.text("PkgID"), "XYZ00001");
    world
        .change(move |tx| Box::pin(async move { tx.delete_group_package("{0A-1B}", id).await.map(|_| ()) }))
        .await;
    assert!(world.rows(query).await.is_empty());
}

#[tokio::test]
async fn sms_dp_group_collections_is_live_as_collections_are_associated() {
    let world = World::new().await;
    make(&world).await;
    let query = "SELECT * FROM SMS_DPGroupCollections WHERE CollectionID = 'xyz00014'";
    assert!(world.rows(query).await.is_empty());
    world
        .change(|tx| {
            Box::pin(async move { tx.insert_group_collection("{0A-1B}", "XYZ00014").await.map(|_| ()) })
        })
        .await;
    let row = world.row(query).await;
    assert_eq!((row.text("GroupName"), row.text("CollectionID")), ("north", "XYZ00014"));
    world
        .change(|tx| {
            Box::pin(async move { tx.delete_group_collection("{0A-1B}", "xyz00014").await.map(|_| ()) })
        })
        .await;
    assert!(world.rows(query).await.is_empty());
}

#[tokio::test]
async fn sms_dp_group_content_info_is_live_with_packages_and_their_size() {
    let world = World::new().await;
    make(&world).await;
    let id = world.create("a").await;
    let query = "SELECT * FROM SMS_DPGroupContentInfo WHERE PackageID = 'xyz00001'";
    assert!(world.rows(query).await.is_empty());
    assign(&world, id).await;
    assert_eq!(world.row(query).await.number("SourceSize"), 0);
    world.publish(id, 2_049).await;
    let row = world.row(query).await;
    assert_eq!((row.number("SourceSize"), row.text("Name"), row.text("ObjectID")), (3, "a", "XYZ00001"));
}

#[tokio::test]
async fn sms_dp_group_distribution_status_is_live_with_every_report() {
    let world = World::new().await;
    make(&world).await;
    let (first, second) = (world.installed().await, world.create("b").await);
    assign(&world, first).await;
    assign(&world, second).await;
    world.distribute(second, &["DP01", "DP02", "DP03"]).await;
    let seen = async || {
        let mut rows: Vec<[u64; 4]> = Vec::new();
        for row in world.rows("SELECT * FROM SMS_DPGroupDistributionStatus").await {
            let names = ["MessageCategory", "MessageType", "Assets", "ContentCount"];
            rows.push(names.map(|name| row.number(name)));
        }
        rows.sort_unstable();
        rows
    };
    assert_eq!(seen().await, [[2330, 1, 2, 1], [2342, 2, 2, 1]], "DP03 is no member");
    world.publish(second, 1).await;
    world.report(second, "DP01", Report::Failed { is_transient: true }).await;
    world.report(second, "DP02", Report::Failed { is_transient: false }).await;
    assert_eq!(seen().await, [[2328, 2, 1, 1], [2330, 1, 2, 1], [8203, 4, 1, 1]]);
    world.perform(Operation::DeletePackage { package: first }).await.unwrap();
    assert_eq!(seen().await, [[2328, 2, 1, 1], [8203, 4, 1, 1]], "a removal is counted nowhere");
}

#[tokio::test]
async fn sms_dp_group_distribution_status_details_is_live_with_every_report() {
    let world = World::new().await;
    make(&world).await;
    let id = world.create("a").await;
    world.distribute(id, &["DP01", "DP03"]).await;
    let query = "SELECT * FROM SMS_DPGroupDistributionStatusDetails WHERE GroupID = '{0a-1b}'";
    assert!(world.rows(query).await.is_empty());
    assign(&world, id).await;
    world.publish(id, 1).await;
    let row = world.row(query).await;
    assert_eq!((row.text("DPName"), row.number("MessageID"), row.number("MessageState")), ("DP01", 2342, 2));
    // The number of the group, and that of the target below it.
    assert_eq!(row.number("ID"), (1 << 32) + 1);
    world.install(id, "DP01").await;
    let row = world.row("SELECT * FROM SMS_DPGroupDistributionStatusDetails WHERE ID = 4294967297").await;
    assert_eq!(
        (row.text("ContentName"), row.number("MessageID"), row.number("MessageState")),
        ("a", 2330, 1)
    );
}

//! Sites that a caller may not read.

use restock_provider::Caller;
use restock_provider::admin::AdminOperation;

use super::Sites;
use crate::views::world::World;

/// Moves an object into a scope of its own.
pub(super) async fn hide(world: &World, object_type: u32, object: &str) {
    let all = Caller::local("test");
    let (scope, object) = ("Hidden".to_owned(), object.to_owned());
    for operation in [
        AdminOperation::AddScope { name: scope.clone(), description: String::new() },
        AdminOperation::AddMember { scope, object_type, object: object.clone() },
        AdminOperation::RemoveMember { scope: "SMS00UNA".to_owned(), object_type, object },
    ] {
        world.provider.administer(&all, operation).await.unwrap();
    }
}

#[tokio::test]
async fn a_hidden_site_is_in_no_row_and_its_distribution_points_stay_what_they_are() {
    let sites = Sites::two().await;
    let world = sites.at("XYZ");
    let id = world.create("app").await;
    assert!(world.publish_announced(id, 10).await);
    sites.sync().await;
    world.distribute(id, &["DP11"]).await;
    hide(world, 6, "ABC").await;
    let who = world.account("Operations Administrator", "Default").await;
    let codes = async |class: &str| {
        let rows = world.rows_of(&who, &format!("SELECT * FROM {class}")).await;
        rows.iter().map(|row| row.text("SiteCode").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes("SMS_Site").await, ["XYZ"]);
    assert_eq!(codes("SMS_SiteAndSubsites").await, ["XYZ"]);
    assert!(world.rows_of(&who, "SELECT * FROM SMS_SiteToSubSite_a").await.is_empty());
    let unreadable = world.provider.get(&who, &r#"SMS_Site.SiteCode="ABC""#.parse().unwrap()).await;
    assert_eq!(crate::objects::code(unreadable), "NOT_FOUND");
    let servers = "SELECT * FROM SMS_SystemResourceList WHERE RoleName = 'SMS Site Server'";
    assert_eq!(world.rows_of(&who, servers).await.len(), 1);
    // What may be read of packages and distribution points says where these are.
    assert_eq!(codes("SMS_DistributionPoint").await, ["ABC"]);
    let mut details = codes("SMS_PackageStatusDetailSummarizer").await;
    details.sort();
    assert_eq!(details, ["ABC", "XYZ"]);
    // Who sees nothing of packages sees no copies of them.
    hide_all(world, id.as_str()).await;
    for class in ["SMS_PackageStatus", "SMS_PackageStatusDetailSummarizer", "SMS_DistributionPoint"] {
        assert!(world.rows_of(&who, &format!("SELECT * FROM {class}")).await.is_empty(), "{class}");
    }
}

/// Moves a package into the scope that is there already.
async fn hide_all(world: &World, package: &str) {
    let all = Caller::local("test");
    for operation in [
        AdminOperation::AddMember { scope: "Hidden".to_owned(), object_type: 2, object: package.to_owned() },
        AdminOperation::RemoveMember {
            scope: "SMS00UNA".to_owned(),
            object_type: 2,
            object: package.to_owned(),
        },
    ] {
        world.provider.administer(&all, operation).await.unwrap();
    }
}

//! Accounts, roles and security scopes.

use std::collections::BTreeMap;
use std::sync::Arc;

use restock_cim::Value;
use restock_provider::rights::Rights;
use restock_provider::rights::object_types::{name_of, operations_of};
use restock_provider::{Caller, Operation};
use restock_sitedb::DatabaseError;
use restock_sitedb::admin::{Account, Membership, Permission, Role, Scope, Stamp, TYPE_PACKAGE};

use crate::views::world::{NOW, World};

fn stamp() -> Stamp {
    Stamp { by: "root".to_owned(), at: NOW }
}

fn account() -> Account {
    Account {
        id: 7,
        logon_name: "ann".to_owned(),
        display_name: "Ann".to_owned(),
        password: None,
        generation: 1,
        is_disabled: false,
        created: stamp(),
        modified: stamp(),
    }
}

fn role() -> Role {
    Role {
        id: "XYZ00001".to_owned(),
        name: "Packagers".to_owned(),
        description: "They pack".to_owned(),
        copied_from: "SMS0008R".to_owned(),
        is_built_in: false,
        created: stamp(),
        modified: stamp(),
        operations: BTreeMap::from([(2, 3), (42, 9)]),
    }
}

fn scope() -> Scope {
    Scope {
        id: "XYZ00002".to_owned(),
        name: "North".to_owned(),
        description: "The north".to_owned(),
        is_built_in: false,
        created: stamp(),
        modified: stamp(),
    }
}

/// The account ann as a packager in the north.
async fn make(world: &World) {
    world
        .change(|tx| {
            Box::pin(async move {
                tx.insert_account(&account()).await?;
                tx.insert_role(&role()).await?;
                tx.insert_scope(&scope()).await?;
                let permission = Permission { role: role().id, scope: scope().id };
                tx.set_permissions(7, &[permission], "root", NOW).await
            })
        })
        .await;
}

#[tokio::test]
async fn sms_admin_is_live_with_its_permissions() {
    let world = World::new().await;
    let query = "SELECT * FROM SMS_Admin WHERE LogonName = 'ANN'";
    assert!(world.rows(query).await.is_empty());
    make(&world).await;
    let row = world.row(query).await;
    assert_eq!((row.text("DisplayName"), row.number("AdminID"), row.text("SourceSite")), ("Ann", 7, "XYZ"));
    assert_eq!((row.texts("RoleNames"), row.texts("CategoryNames")), (vec!["Packagers"], vec!["North"]));
    let row = world.get("SMS_Admin.AdminID=7").await;
    assert_eq!((row.texts("Roles"), row.texts("Categories")), (vec!["XYZ00001"], vec!["XYZ00002"]));
    world.change(|tx| Box::pin(async move { tx.set_permissions(7, &[], "root", NOW).await })).await;
    assert!(world.row(query).await.texts("RoleNames").is_empty());
    assert_eq!(*world.get("SMS_Admin.AdminID=7").await.value("Permissions"), Value::Array(vec![]));
}

#[tokio::test]
async fn sms_admin_role_is_live_with_permissions() {
    let world = World::new().await;
    let query = "SELECT * FROM SMS_AdminRole WHERE AdminID = 7";
    assert!(world.rows(query).await.is_empty());
    make(&world).await;
    assert_eq!(world.row(query).await.text("RoleID"), "XYZ00001");
    world.change(|tx| Box::pin(async move { tx.set_permissions(7, &[], "root", NOW).await })).await;
    assert!(world.rows(query).await.is_empty());
}

#[tokio::test]
async fn sms_role_is_live_in_its_operations_and_its_admins() {
    let world = World::new().await;
    assert_eq!(world.rows("SELECT * FROM SMS_Role WHERE IsBuiltIn = TRUE").await.len(), 7);
    let query = "SELECT * FROM SMS_Role WHERE RoleID = 'xyz00001'";
    assert!(world.rows(query).await.is_empty());
    make(&world).await;
    let row = world.row(query).await;
    assert_eq!((row.text("RoleName"), row.text("CopiedFromID")), ("Packagers", "SMS0008R"));
    assert_eq!(row.number("NumberOfAdmins"), 1);
    let operations = async || {
        let row = world.get(r#"SMS_Role.RoleID="XYZ00001""#).await;
        let Value::Array(operations) = row.value("Operations").clone() else { panic!() };
        operations
            .into_iter()
            .map(|operation| {
                let Value::Object(operation) = operation else { panic!() };
                (operation.get("ObjectTypeID").cloned(), operation.get("GrantedOperations").cloned())
            })
            .collect::<Vec<_>>()
    };
    let number = |number| Some(Value::Unsigned(number));
    assert_eq!(operations().await, [(number(2), number(3)), (number(42), number(9))]);
    assert!(!world.get(r#"SMS_Role.RoleID="XYZ00001""#).await.is("IsSecAdminRole"));
    world
        .change(|tx| {
            Box::pin(async move {
                let changed = Role { operations: BTreeMap::from([(28, 2)]), ..role() };
                tx.update_role(&changed).await
            })
        })
        .await;
    assert_eq!(operations().await, [(number(28), number(2))]);
    assert!(world.get(r#"SMS_Role.RoleID="XYZ00001""#).await.is("IsSecAdminRole"));
}

#[tokio::test]
async fn sms_secured_category_is_live_in_its_objects_and_admins() {
    let world = World::new().await;
    let numbers = async |id: &str| {
        let row = world.row(&format!("SELECT * FROM SMS_SecuredCategory WHERE CategoryID = '{id}'")).await;
        ["NumberOfObjects", "NumberOfAdmins"].map(|name| row.number(name))
    };
    // Three distribution points and the site.
    assert_eq!((numbers("SMS00UNA").await, numbers("SMS00ALL").await), ([4, 0], [4, 0]));
    make(&world).await;
    let id = world.create("a").await;
    assert_eq!(numbers("xyz00002").await, [0, 1]);
    assert_eq!((numbers("SMS00UNA").await, numbers("SMS00ALL").await), ([5, 0], [5, 0]));
    world
        .change(move |tx| {
            Box::pin(async move {
                let member =
                    Membership { scope: scope().id, object_type: TYPE_PACKAGE, object: id.to_string() };
                tx.add_to_scope(&member).await.map(|_| ())
            })
        })
        .await;
    assert_eq!(numbers("XYZ00002").await, [1, 1]);
}

#[tokio::test]
async fn sms_secured_category_membership_is_live_as_objects_come_and_go() {
    let world = World::new().await;
    let query = "SELECT * FROM SMS_SecuredCategoryMembership WHERE ObjectTypeID = 2";
    assert!(world.rows(query).await.is_empty());
    let id = world.create("a").await;
    let row = world.row(query).await;
    assert_eq!((row.text("CategoryID"), row.text("ObjectKey")), ("SMS00UNA", "XYZ00001"));
    world.perform(Operation::DeletePackage { package: id }).await.unwrap();
    world
        .change(move |tx| Box::pin(async move { tx.delete_package(id).await.map(|gone| assert!(gone)) }))
        .await;
    assert!(world.rows(query).await.is_empty());
}

/// The list of types is part of the program; what is granted is the caller's.
#[tokio::test]
async fn sms_rbac_secured_object_is_live_with_the_roles_of_the_caller() {
    let world = World::new().await;
    let rows = world.rows("SELECT * FROM SMS_RbacSecuredObject").await;
    assert_eq!(rows.len(), 8);
    for row in rows {
        let number = u32::try_from(row.number("ObjectTypeID")).unwrap();
        let all = row.number("AvailableInstanceOperations") + row.number("AvailableTypeOperations");
        assert_eq!(all, u64::from(operations_of(number)), "{number}");
        assert_eq!(Some(row.text("ObjectTypeName")), name_of(number));
        assert_eq!(row.number("GrantedOperations"), all, "a command at the site itself has all rights");
    }
    make(&world).await;
    let granted = async |number: u32| {
        let query = format!("SELECT * FROM SMS_RbacSecuredObject WHERE ObjectTypeID = {number}");
        world.rows_of(&ann(&world).await, &query).await[0].number("GrantedOperations")
    };
    assert_eq!([granted(2).await, granted(42).await, granted(43).await], [3, 9, 0]);
    world
        .change(|tx| {
            Box::pin(async move {
                let changed = Role { operations: BTreeMap::from([(2, 1), (43, 9)]), ..role() };
                tx.update_role(&changed).await
            })
        })
        .await;
    assert_eq!([granted(2).await, granted(42).await, granted(43).await], [1, 0, 9]);
}

async fn ann(world: &World) -> Caller {
    let rights: Result<Rights, DatabaseError> =
        world.database().read("rights", |tx| Box::pin(async move { Rights::load(tx, 7, None).await })).await;
    Caller { rights: Arc::new(rights.unwrap()), admin_id: Some(7), ..Caller::local("test") }
}

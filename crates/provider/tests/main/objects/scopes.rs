//! Security scopes and roles through the object API, as the first hour of the SDK uses them.

use super::{Objects, Value, caller, code, number, out, package_path, path, text, texts};

fn members(objects: &[&str], types: &[u64], scopes: &[&str]) -> [(&'static str, Value); 3] {
    let types = Value::Array(types.iter().map(|kind| number(*kind)).collect());
    [("ObjectIDs", texts(objects)), ("ObjectTypeIDs", types), ("CategoryIDs", texts(scopes))]
}

#[tokio::test]
async fn sms_secured_category_membership_add_memberships_and_remove_memberships_move_an_object() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let scope = objects.create("SMS_SecuredCategory", &[("CategoryName", text("North"))]).await;
    let scope = scope.get("CategoryID").unwrap().as_str().unwrap().to_owned();
    let class = "SMS_SecuredCategoryMembership";
    objects.invoke(class, "AddMemberships", &members(&[id.as_str()], &[2], &[&scope])).await;
    let names = async || objects.get(&package_path(id)).await.get("SecuredScopeNames").unwrap().clone();
    assert_eq!(names().await, texts(&["Default", "North"]));
    objects.invoke(class, "RemoveMemberships", &members(&[id.as_str()], &[2], &["SMS00UNA"])).await;
    assert_eq!(names().await, texts(&["North"]));
    let uneven = members(&[id.as_str()], &[2, 2], &[&scope]);
    assert_eq!(code(objects.try_invoke(class, "AddMemberships", &uneven).await), "PAIRS");
    // All or nothing: the second slot names no package.
    let half = members(&[id.as_str(), "XYZ0FFFF"], &[2, 2], &["SMS00UNA", "SMS00UNA"]);
    assert_eq!(code(objects.try_invoke(class, "AddMemberships", &half).await), "NOT_FOUND");
    assert_eq!(names().await, texts(&["North"]));
    let in_use =
        objects.provider.delete(&caller(), &path(&format!("SMS_SecuredCategory.CategoryID='{scope}'"))).await;
    assert_eq!(code(in_use), "IN_USE");
}

#[tokio::test]
async fn sms_rbac_secured_object_user_has_permissions_and_get_available_scopes_answer_for_the_caller() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let reference = |object: &str| Value::Reference(Box::new(path(object)));
    let object = "SMS_RbacSecuredObject.ObjectTypeID=2";
    let given = [("ObjectPath", reference(&package_path(id))), ("Permissions", number(3))];
    let answer = objects.try_invoke(object, "UserHasPermissions", &given).await.unwrap();
    assert_eq!(answer.return_value, Value::Boolean(true));
    assert_eq!(out(&answer, "Permissions"), &number(3));
    let unknown = [("ObjectPath", reference("SMS_Package.PackageID='XYZ0FFFF'")), ("Permissions", number(1))];
    assert_eq!(code(objects.try_invoke(object, "UserHasPermissions", &unknown).await), "NOT_FOUND");
    let Some(Value::Array(operations)) = objects.get(object).await.get("Operations").cloned() else {
        panic!()
    };
    let names: Vec<_> = operations
        .iter()
        .map(|operation| match operation {
            Value::Object(operation) => operation.get("OperationName").unwrap().as_str().unwrap().to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(names.contains(&"Modify".to_owned()) && names.contains(&"Create".to_owned()), "{names:?}");
    let roles = [("RoleIDs", texts(&["SMS0001R"]))];
    let answer = objects.try_invoke(object, "GetAvailableScopes", &roles).await.unwrap();
    assert_eq!(answer.return_value, number(0));
    let Value::Array(scopes) = out(&answer, "ScopeIDs") else { panic!() };
    assert!(scopes.contains(&text("SMS00ALL")), "{scopes:?}");
}

#[tokio::test]
async fn sms_role_export_role_and_import_role_carry_a_role_over() {
    let objects = Objects::new().await;
    let operation =
        restock_provider::classes::declarations::schema().class("SMS_ARoleOperation").unwrap().clone();
    let mut grant = restock_cim::Instance::new(operation);
    grant.set("ObjectTypeID", number(2));
    grant.set("GrantedOperations", number(805_446_679));
    let operations = Value::Array(vec![Value::Object(Box::new(grant))]);
    let role = objects
        .create("SMS_Role", &[("RoleName", text("Packagers")), ("Operations", operations.clone())])
        .await;
    let id = role.get("RoleID").unwrap().as_str().unwrap().to_owned();
    let object = format!("SMS_Role.RoleID='{id}'");
    let exported = objects.invoke(&object, "ExportRole", &[("RoleID", text(&id))]).await;
    let xml = out(&exported, "ExportedXML").clone();
    assert!(xml.as_str().unwrap().contains("805446679"), "{xml:?}");
    objects.provider.delete(&caller(), &path(&object)).await.unwrap();
    assert!(objects.query("SELECT * FROM SMS_Role WHERE RoleName='Packagers'").await.is_empty());
    let given = [("RolesXml", xml), ("OverwrittenExisted", Value::Boolean(true))];
    objects.invoke("SMS_Role.RoleID='SMS0001R'", "ImportRole", &given).await;
    let found = objects.query("SELECT * FROM SMS_Role WHERE RoleName='Packagers'").await;
    assert_eq!(found.len(), 1);
}

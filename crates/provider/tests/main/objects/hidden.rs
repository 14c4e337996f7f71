//! What a caller may not read does not exist for them; what they may read says which right is missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use restock_names::PackageId;
use restock_provider::rights::Rights;
use restock_provider::{Caller, MethodCall, Put, PutForm};
use restock_sitedb::DatabaseError;
use restock_sitedb::admin::{
    Account, Membership, Permission, Role, SCOPE_DEFAULT, Scope, Stamp, TYPE_PACKAGE,
};

use super::{DP01, Objects, Value, caller, code, named, out, package_path, path, point_path, text};
use crate::site::NOW;

impl Objects {
    /// A caller with `operations` (by object type) on what is in the scope XYZ00002, and nothing else.
    async fn limited(&self, operations: &[(u32, u32)]) -> Caller {
        let operations: BTreeMap<u32, u32> = operations.iter().copied().collect();
        let made: Result<Rights, DatabaseError> = self
            .site
            .database
            .transact("limited", move |tx| {
                Box::pin(async move {
                    let stamp = Stamp { by: String::new(), at: NOW };
                    let scope = Scope {
                        id: "XYZ00002".to_owned(),
                        name: "Limited".to_owned(),
                        description: String::new(),
                        is_built_in: false,
                        created: stamp.clone(),
                        modified: stamp.clone(),
                    };
                    tx.insert_scope(&scope).await?;
                    let role = Role {
                        id: "XYZ00003".to_owned(),
                        name: "Limited".to_owned(),
                        description: String::new(),
                        copied_from: String::new(),
                        is_built_in: false,
                        created: stamp.clone(),
                        modified: stamp.clone(),
                        operations,
                    };
                    tx.insert_role(&role).await?;
                    let account = Account {
                        id: 77,
                        logon_name: r"corp\limited".to_owned(),
                        display_name: String::new(),
                        password: None,
                        generation: 1,
                        is_disabled: false,
                        created: stamp.clone(),
                        modified: stamp,
                    };
                    tx.insert_account(&account).await?;
                    let permission = Permission { role: role.id, scope: scope.id };
                    tx.set_permissions(77, &[permission], "test", NOW).await?;
                    Rights::load(tx, 77, None).await
                })
            })
            .await;
        Caller {
            account: r"corp\limited".to_owned(),
            admin_id: Some(77),
            rights: Arc::new(made.unwrap()),
            ..caller()
        }
    }

    /// Moves a package into the limited caller's scope.
    async fn move_in(&self, id: PackageId) {
        let done: Result<(), DatabaseError> = self
            .site
            .database
            .transact("move", move |tx| {
                Box::pin(async move {
                    let member = |scope: &str| Membership {
                        scope: scope.to_owned(),
                        object_type: TYPE_PACKAGE,
                        object: id.to_string(),
                    };
                    tx.add_to_scope(&member("XYZ00002")).await?;
                    tx.remove_from_scope(&member(SCOPE_DEFAULT)).await?;
                    Ok(())
                })
            })
            .await;
        done.unwrap();
    }
}

const READ: u32 = 1;

#[tokio::test]
async fn sms_package_that_is_hidden_is_not_found_by_any_verb() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let limited = objects.limited(&[(2, 805_446_679), (42, 9)]).await;
    let object = path(&package_path(id));
    assert_eq!(code(objects.provider.get(&limited, &object).await), "NOT_FOUND");
    assert_eq!(code(objects.provider.delete(&limited, &object).await), "NOT_FOUND");
    for form in [PutForm::Whole, PutForm::Partial] {
        // Neither does a read-only name in the body tell that the package is there.
        let values = named(&[("Description", text("x")), ("SourceVersion", Value::Unsigned(1))]);
        let put = Put { class: "SMS_Package".into(), path: Some(object.clone()), values, form };
        assert_eq!(code(objects.provider.put(&limited, put).await), "NOT_FOUND");
    }
    for method in ["RefreshPkgSource", "AddChangeNotification", "Unlock"] {
        let call = MethodCall { path: object.clone(), method: method.into(), arguments: vec![] };
        assert_eq!(code(objects.provider.invoke(&limited, call).await), "NOT_FOUND", "{method}");
    }
    let row = path(&point_path(id, DP01));
    assert_eq!(code(objects.provider.delete(&limited, &row).await), "NOT_FOUND");
}

#[tokio::test]
async fn sms_package_that_may_only_be_read_names_the_missing_right() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let limited = objects.limited(&[(2, READ)]).await;
    objects.move_in(id).await;
    let object = path(&package_path(id));
    assert!(objects.provider.get(&limited, &object).await.is_ok());
    let call = MethodCall { path: object.clone(), method: "RefreshPkgSource".into(), arguments: vec![] };
    let refusal = super::refused(objects.provider.invoke(&limited, call).await);
    assert_eq!(refusal.code(), "SCOPE");
    assert!(refusal.description().contains("Modify"), "{refusal}");
    assert_eq!(code(objects.provider.delete(&limited, &object).await), "SCOPE");
    let put = Put {
        class: "SMS_Package".into(),
        path: None,
        values: named(&[("Name", text("n"))]),
        form: PutForm::Create,
    };
    assert_eq!(code(objects.provider.put(&limited, put).await), "SCOPE");
}

#[tokio::test]
async fn sms_package_check_duplicate_share_name_admits_a_hidden_package_without_its_name() {
    let objects = Objects::new().await;
    let share = [("ShareName", text("Apps$")), ("ShareType", Value::Unsigned(2))];
    let hidden = objects.package("hidden").await;
    objects.patch(&package_path(hidden), &share).await.unwrap();
    let limited = objects.limited(&[(2, READ)]).await;
    let ask = async || {
        let arguments = named(&[("ShareName", text("apps$")), ("PackageID", text(""))]);
        let call =
            MethodCall { path: path("SMS_Package"), method: "CheckDuplicateShareName".into(), arguments };
        objects.provider.invoke(&limited, call).await.unwrap()
    };
    let answer = ask().await;
    assert_eq!(out(&answer, "IsDuplicated"), &Value::Boolean(true));
    for name in ["DupPkgName", "DupPkgID", "DupPkgType"] {
        assert_eq!(out(&answer, name), &Value::Null, "{name}");
    }
    let seen = objects.package("seen").await;
    objects.patch(&package_path(seen), &share).await.unwrap();
    objects.move_in(seen).await;
    assert_eq!(out(&ask().await, "DupPkgName"), &text("seen"), "a visible one is named before a hidden one");
}

#[tokio::test]
async fn sms_package_made_by_a_limited_account_belongs_to_its_scope() {
    let objects = Objects::new().await;
    let limited = objects.limited(&[(2, 805_446_679), (42, 9), (43, 9), (6, 1), (29, 1)]).await;
    let put = Put {
        class: "SMS_Package".into(),
        path: None,
        values: named(&[("Name", text("mine"))]),
        form: PutForm::Create,
    };
    let made = objects.provider.put(&limited, put).await.unwrap();
    assert_eq!(made.get("Name"), Some(&text("mine")), "its maker sees it");
    assert_eq!(made.get("SecuredScopeNames"), Some(&Value::Array(vec![text("Limited")])));
}

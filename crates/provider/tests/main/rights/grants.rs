//! Giving: nobody gives more than they hold.

use std::time::Duration;

use restock_cim::{Instance, Value};
use restock_provider::admin::{AdminAnswer, AdminOperation};
use restock_provider::{Caller, PutForm, Refusal};

use super::{POINT, read};
use crate::objects::{Objects, code, number, path, text, texts};

/// Embedded objects of SMS_Admin.Permissions.
fn permissions(site: &Objects, pairs: &[(&str, &str)]) -> Value {
    let class = site.provider.schema().class("SMS_APermission").unwrap();
    let items = pairs.iter().map(|(role, scope)| {
        let mut instance = Instance::new(class.clone());
        instance.set("RoleID", text(role));
        instance.set("CategoryID", text(scope));
        instance.set("CategoryTypeID", number(29));
        Value::Object(Box::new(instance))
    });
    Value::Array(items.collect())
}

/// Embedded objects of SMS_Role.Operations.
fn operations(site: &Objects, pairs: &[(u32, u32)]) -> Value {
    let class = site.provider.schema().class("SMS_ARoleOperation").unwrap();
    let items = pairs.iter().map(|(object_type, bits)| {
        let mut instance = Instance::new(class.clone());
        instance.set("ObjectTypeID", number((*object_type).into()));
        instance.set("GrantedOperations", number((*bits).into()));
        Value::Object(Box::new(instance))
    });
    Value::Array(items.collect())
}

async fn make_account(
    site: &Objects,
    who: &Caller,
    name: &str,
    pairs: &[(&str, &str)],
) -> Result<Instance, Refusal> {
    let values = [("LogonName", text(name)), ("Permissions", permissions(site, pairs))];
    site.put_as(who, "SMS_Admin", PutForm::Create, &values).await
}

#[tokio::test]
async fn an_account_gives_no_role_and_no_scope_beyond_its_own() {
    let site = Objects::new().await;
    let north = site.scope("North").await;
    let guard = site
        .account("guard", &[("Security Administrator", "Default"), ("Application Author", "Default")])
        .await;
    make_account(&site, &guard, "ok", &[("SMS0008R", "SMS00UNA")]).await.unwrap();
    for (n, wide) in [
        ("SMS0001R", "SMS00UNA"),
        ("SMS0009R", "SMS00UNA"),
        ("SMS0008R", "SMS00ALL"),
        ("SMS0008R", north.as_str()),
    ]
    .into_iter()
    .enumerate()
    {
        let refused = make_account(&site, &guard, &format!("wide{n}"), &[wide]).await;
        assert_eq!(code(refused), "GRANT", "{wide:?}");
    }
    assert_eq!(code(make_account(&site, &guard, "x", &[("SMS0008R", "XYZ0BEEF")]).await), "NOT_FOUND");
    let rows = site.query("SELECT * FROM SMS_Admin WHERE LogonName LIKE 'wide%'").await;
    assert_eq!(rows.len(), 0, "nothing of a refused account is kept");
    // An account that holds more can be neither taken over nor taken down.
    let AdminAnswer::Accounts(accounts) = site.admin(AdminOperation::ListAccounts).await else { panic!() };
    assert_eq!(accounts.len(), 2);
    site.account("root", &[("Full Administrator", "SMS00ALL")]).await;
    let token = AdminOperation::CreateToken {
        account: "root".to_owned(),
        name: "t".to_owned(),
        role: None,
        valid_ms: 1_000,
    };
    assert_eq!(site.admin_as(&guard, token).await.unwrap_err().code, "GRANT");
    let password = AdminOperation::SetPassword { account: "root".to_owned(), password: None };
    assert_eq!(site.admin_as(&guard, password).await.unwrap_err().code, "GRANT");
    let removed = AdminOperation::RemoveAccount { account: "root".to_owned() };
    assert_eq!(site.admin_as(&guard, removed).await.unwrap_err().code, "GRANT");
}

#[tokio::test]
async fn a_role_is_not_widened_beyond_what_its_changer_holds_where_it_is_held() {
    let site = Objects::new().await;
    let north = site.scope("North").await;
    // May change roles, and holds all of packages in Default only.
    let guard = site
        .account("guard", &[("Security Administrator", "Default"), ("Application Author", "Default")])
        .await;
    let values = [("RoleName", text("Readers")), ("Operations", operations(&site, &[(2, 1)]))];
    let role = site.put_as(&guard, "SMS_Role", PutForm::Create, &values).await.unwrap();
    let id = read(&role, "RoleID");
    let object = format!("SMS_Role.RoleID=\"{id}\"");
    let widen = |bits| {
        let put = restock_provider::Put {
            class: "SMS_Role".into(),
            path: Some(path(&object)),
            values: crate::objects::named(&[("Operations", operations(&site, &[(2, bits)]))]),
            form: PutForm::Partial,
        };
        site.provider.put(&guard, put)
    };
    widen(3).await.unwrap();
    assert_eq!(code(widen(8).await), "GRANT", "a bit that the guard has nowhere");
    site.account("reader", &[("Readers", "North")]).await;
    assert_eq!(code(widen(7).await), "GRANT", "the guard has no Delete in {north}");
    assert_eq!(code(site.provider.delete(&guard, &path(&object)).await), "IN_USE");
}

#[tokio::test]
async fn memberships_are_changed_slot_by_slot_all_or_nothing() {
    let site = Objects::new().await;
    let id = site.package("App").await.to_string();
    let (north, south) = (site.scope("North").await, site.scope("South").await);
    let who = site
        .account("who", &[("Application Administrator", "Default"), ("Application Administrator", "North")])
        .await;
    let class = "SMS_SecuredCategoryMembership";
    let slots = |objects: &[&str], types: &[u64], scopes: &[&str]| {
        [
            ("ObjectIDs", texts(objects)),
            ("ObjectTypeIDs", Value::Array(types.iter().map(|kind| number(*kind)).collect())),
            ("CategoryIDs", texts(scopes)),
        ]
    };
    let of = format!("SELECT * FROM {class} WHERE ObjectKey = '{id}'");
    let full = crate::objects::caller();
    let scopes = || site.seen_by(&full, &of, "CategoryID");
    let one = slots(&[&id], &[2], &[&north]);
    site.invoke_as(&who, class, "AddMemberships", &one).await.unwrap();
    site.invoke_as(&who, class, "AddMemberships", &one).await.unwrap();
    assert_eq!(scopes().await, ["SMS00UNA".to_owned(), north.clone()]);

    let refusals = [
        (slots(&[&id, &id], &[2], &[&north]), "PAIRS"),
        (slots(&[&id, "XYZ0BEEF"], &[2, 2], &[&north, &north]), "NOT_FOUND"),
        // No role within the scope, no right on the object, no scope of that ID, no members in All.
        (slots(&[&id], &[2], &[&south]), "SCOPE"),
        (slots(&["DP01"], &[u64::from(POINT)], &[&north]), "SCOPE"),
        (slots(&[&id], &[2], &["XYZ0BEEF"]), "NOT_FOUND"),
        (slots(&[&id], &[2], &["SMS00ALL"]), "BUILT_IN"),
        (slots(&["SMS0001R"], &[28], &[&north]), "RANGE"),
    ];
    for (slots, expected) in refusals {
        assert_eq!(code(site.invoke_as(&who, class, "AddMemberships", &slots).await), expected, "{slots:?}");
    }
    let both = slots(&[&id, &id], &[2, 2], &["SMS00UNA", &north]);
    assert_eq!(code(site.invoke_as(&who, class, "RemoveMemberships", &both).await), "INVALID_OPERATION");
    assert_eq!(
        scopes().await,
        ["SMS00UNA".to_owned(), north.clone()],
        "nothing of a refused call is in force"
    );
    let first = slots(&[&id], &[2], &["SMS00UNA"]);
    site.invoke_as(&who, class, "RemoveMemberships", &first).await.unwrap();
    assert_eq!(scopes().await, std::slice::from_ref(&north));
    // A scope with members stays.
    let object = format!("SMS_SecuredCategory.CategoryID=\"{north}\"");
    assert_eq!(code(site.provider.delete(&crate::objects::caller(), &path(&object)).await), "IN_USE");
    let object = format!("SMS_SecuredCategory.CategoryID=\"{south}\"");
    site.provider.delete(&crate::objects::caller(), &path(&object)).await.unwrap();
}

#[tokio::test]
async fn a_token_may_hold_less_than_its_account_and_never_more() {
    let site = Objects::new().await;
    let id = site.package("App").await;
    let root = site.account("root", &[("Full Administrator", "SMS00ALL")]).await;
    let operation = AdminOperation::CreateToken {
        account: "root".to_owned(),
        name: "reading".to_owned(),
        role: Some("Read-only Analyst".to_owned()),
        valid_ms: u64::try_from(Duration::from_secs(60).as_millis()).unwrap(),
    };
    let AdminAnswer::TokenMade(_) = site.admin(operation).await else { panic!() };
    let admin_id = root.admin_id.unwrap();
    let limited: Result<_, restock_sitedb::DatabaseError> = site
        .site
        .database
        .read("rights", move |tx| {
            Box::pin(
                async move { restock_provider::rights::Rights::load(tx, admin_id, Some("SMS0002R")).await },
            )
        })
        .await;
    let limited = Caller { rights: limited.unwrap().into(), ..root.clone() };
    let object = crate::objects::package_path(id);
    site.provider.get(&limited, &path(&object)).await.unwrap();
    assert_eq!(code(site.invoke_as(&limited, &object, "RefreshPkgSource", &[]).await), "SCOPE");
    let wide = make_account(&site, &limited, "x", &[("SMS0001R", "SMS00ALL")]).await;
    assert_eq!(code(wide), "SCOPE");
    site.invoke_as(&root, &object, "RefreshPkgSource", &[]).await.unwrap();
}

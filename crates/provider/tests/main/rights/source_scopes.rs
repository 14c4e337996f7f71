//! Source paths: who may set one that lies under a root.

use restock_cim::{Status, Value};
use restock_provider::{Answer, Caller, ErrorKind, NewSourceRoot, Operation, PackageChange, PutForm};
use restock_sitedb::DatabaseError;

use super::{Objects, read};
use crate::objects::{code, number, refused, text};

const PATH: &str = r"\\FS01\src\app";

async fn add_root(
    site: &Objects,
    name: &str,
    folder: &str,
    scopes: &[&str],
) -> Result<Answer, (ErrorKind, String)> {
    let root = NewSourceRoot {
        name: name.to_owned(),
        folder: folder.to_owned(),
        aliases: vec![format!(r"\\fs01\{name}")],
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
    };
    site.site.perform(Operation::AddSourceRoot(root)).await.map_err(|error| (error.kind, error.code))
}

fn scopes(answer: Result<Answer, (ErrorKind, String)>) -> Vec<String> {
    match answer {
        Ok(Answer::SourceRoot(row)) => row.scopes,
        other => panic!("{other:?}"),
    }
}

fn values(path: &str) -> [(&'static str, Value); 3] {
    [("Name", text("n")), ("PkgSourceFlag", number(2)), ("PkgSourcePath", text(path))]
}

async fn set_by(site: &Objects, id: &str) -> Option<u32> {
    let id = id.parse().unwrap();
    let found: Result<_, DatabaseError> = site
        .site
        .database
        .read("set_by", move |tx| Box::pin(async move { tx.source_set_by(id).await }))
        .await;
    found.unwrap()
}

async fn create(site: &Objects, who: &Caller, path: &str) -> String {
    read(&site.put_as(who, "SMS_Package", PutForm::Create, &values(path)).await.unwrap(), "PackageID")
}

#[tokio::test]
async fn a_source_root_is_in_default_or_in_the_scopes_that_are_named() {
    let site = Objects::new().await;
    let north = site.scope("North").await;
    assert_eq!(scopes(add_root(&site, "a", "/srv/a", &[]).await), ["SMS00UNA"]);
    let both = scopes(add_root(&site, "b", "/srv/b", &["north", "SMS00UNA", "NORTH"]).await);
    assert_eq!(both, ["SMS00UNA", north.as_str()]);
    for (scope, kind, code) in
        [("South", ErrorKind::NotFound, "NOT_FOUND"), ("All", ErrorKind::Refused, "BUILT_IN")]
    {
        let refused = add_root(&site, "c", "/srv/c", &[scope]).await.unwrap_err();
        assert_eq!(refused, (kind, code.to_owned()), "{scope}");
    }
    let Answer::SourceRoots(rows) = site.site.perform(Operation::ListSourceRoots).await.unwrap() else {
        panic!()
    };
    assert_eq!(rows.iter().map(|row| row.scopes.len()).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn a_path_under_a_root_is_set_by_who_has_a_role_on_packages_within_its_scopes() {
    let site = Objects::new().await;
    let north = site.scope("North").await;
    add_root(&site, "src", "/srv/src", &["North"]).await.unwrap();
    let south = [("SMS0009R", "SMS00UNA"), ("SMS0002R", "North")];
    let south = site.account("south", &south).await;
    let northern = site.account("north", &[("SMS0009R", "North")]).await;
    let full = site.account("full", &[("SMS0001R", "SMS00ALL")]).await;

    let made = site.put_as(&south, "SMS_Package", PutForm::Create, &values(PATH)).await;
    let refusal = refused(made);
    assert_eq!((refusal.code(), refusal.status()), ("SOURCE_SCOPE", Status::AccessDenied));
    let said = refusal.description();
    assert!(said.contains(&north) && said.contains("Create") && !said.contains("/srv"), "{said}");
    assert!(site.query("SELECT PackageID FROM SMS_Package").await.is_empty(), "nothing was made");

    for who in [&northern, &full] {
        let id = create(&site, who, PATH).await;
        assert_eq!(set_by(&site, &id).await, who.admin_id);
    }
    // What lies under no root opens nothing: it is anybody's.
    let id = create(&site, &south, r"\\fs01\srcs\app").await;
    for form in [PutForm::Partial, PutForm::Whole] {
        let mut changed = values(PATH).to_vec();
        changed.push(("PackageID", text(&id)));
        let refusal = refused(site.put_as(&south, "SMS_Package", form, &changed).await);
        assert_eq!(refusal.code(), "SOURCE_SCOPE", "{form:?}");
        assert!(refusal.description().contains("Modify"), "{refusal}");
    }
    let package = site.get(&format!("SMS_Package.PackageID='{id}'")).await;
    assert_eq!(package.get("PkgSourcePath"), Some(&text(r"\\fs01\srcs\app")));
}

#[tokio::test]
async fn who_puts_a_whole_package_back_does_not_set_its_path() {
    let site = Objects::new().await;
    site.scope("North").await;
    add_root(&site, "src", "/srv/src", &["North"]).await.unwrap();
    let south = site.account("south", &[("SMS0009R", "SMS00UNA")]).await;
    let full = site.account("full", &[("SMS0001R", "SMS00ALL")]).await;
    let id = create(&site, &full, PATH).await;
    let mut whole = values(PATH).to_vec();
    whole.extend([("PackageID", text(&id)), ("Description", text("changed"))]);
    site.put_as(&south, "SMS_Package", PutForm::Whole, &whole).await.unwrap();
    assert_eq!(set_by(&site, &id).await, full.admin_id);
    // Naming the path is setting it, also to what it is.
    let named = [("PackageID", text(&id)), ("PkgSourcePath", text(PATH))];
    assert_eq!(code(site.put_as(&south, "SMS_Package", PutForm::Partial, &named).await), "SOURCE_SCOPE");
    let change =
        PackageChange { source_path: Some(PATH.to_owned()), ..PackageChange::of(id.parse().unwrap()) };
    site.site.perform(Operation::SetPackage(change)).await.unwrap();
    assert_eq!(set_by(&site, &id).await, None, "the site's own administrator answers for it");
}

#[tokio::test]
async fn a_scope_with_a_source_root_is_in_use() {
    let site = Objects::new().await;
    let north = site.scope("North").await;
    add_root(&site, "src", "/srv/src", &["North"]).await.unwrap();
    let object = crate::objects::path(&format!("SMS_SecuredCategory.CategoryID='{north}'"));
    let caller = crate::objects::caller();
    assert_eq!(code(site.provider.delete(&caller, &object).await), "IN_USE");
    site.site.perform(Operation::RemoveSourceRoot { name: "src".to_owned() }).await.unwrap();
    site.provider.delete(&caller, &object).await.unwrap();
}

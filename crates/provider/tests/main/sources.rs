//! Source roots.

use restock_provider::{Answer, ErrorKind, NewSourceRoot, Operation};

use crate::site::Site;

fn root(name: &str, folder: &str, aliases: &[&str]) -> Operation {
    Operation::AddSourceRoot(NewSourceRoot {
        name: name.to_owned(),
        folder: folder.to_owned(),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        scopes: vec![],
    })
}

#[tokio::test]
async fn forbidden_and_ill_formed_roots_are_refused() {
    let site = Site::new().await;
    let cases = [
        (root("a", "/etc", &[]), ErrorKind::Refused, "SOURCE_ROOT_FORBIDDEN"),
        (root("a", "/", &[]), ErrorKind::Refused, "SOURCE_ROOT_FORBIDDEN"),
        (root("a", "/var/lib", &[]), ErrorKind::Refused, "SOURCE_ROOT_FORBIDDEN"),
        (root("a", "/var/lib/restock/library", &[]), ErrorKind::Refused, "SOURCE_ROOT_FORBIDDEN"),
        (root("a", "srv", &[]), ErrorKind::Refused, "SOURCE_ROOT_FORBIDDEN"),
        (root("a b", "/srv", &[]), ErrorKind::Invalid, "NAME_INVALID"),
        (root("a", "/srv", &["share"]), ErrorKind::Invalid, "SOURCE_PATH_INVALID"),
        (root("a", "/srv", &[r"\\h\s"; 17]), ErrorKind::Invalid, "SOURCE_ALIASES"),
    ];
    for (operation, kind, code) in cases {
        let error = site.perform(operation).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (kind, code));
    }
    assert_eq!(site.perform(Operation::ListSourceRoots).await.unwrap(), Answer::SourceRoots(vec![]));
}

#[tokio::test]
async fn a_name_leads_to_one_root_only() {
    let site = Site::new().await;
    site.perform(root("src", "/srv/src", &[r"\\fs01\src"])).await.unwrap();
    for taken in [
        root("src", "/srv/other", &[]),
        root("b", "/srv/src/", &[]),
        root("b", "/srv/other", &[r"\\FS01\SRC\"]),
    ] {
        let error = site.perform(taken).await.unwrap_err();
        assert_eq!(error.code, "SOURCE_ROOT_EXISTS");
    }
    site.perform(root("apps", "/srv/apps", &[r"\\fs01\src\apps"])).await.unwrap();
    let remove = Operation::RemoveSourceRoot { name: "src".to_owned() };
    site.perform(remove.clone()).await.unwrap();
    let error = site.perform(remove).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::NotFound, "SOURCE_ROOT_UNKNOWN"));
}

//! Who owns a package: moving it, adopting an orphan, refreshing it from elsewhere.

use restock_names::PackageId;
use restock_provider::admin::{AdminAnswer, AdminOperation, PermissionRow};
use restock_provider::rights::Rights;
use restock_provider::{Answer, Caller, Door, NewSourceRoot, Operation, PackageChange};
use restock_sitedb::DatabaseError;

use super::{Sites, code};
use crate::objects::{code as refusal_code, number, package_path, refused, text};
use crate::views::world::World;

impl World {
    /// An account that has a role within a scope.
    pub(super) async fn account(&self, role: &str, scope: &str) -> Caller {
        let permission = PermissionRow { role: role.to_owned(), scope: scope.to_owned() };
        let operation = AdminOperation::AddAccount {
            name: "somebody".to_owned(),
            display_name: String::new(),
            password: None,
            permissions: vec![permission],
        };
        let all = Caller::local("test");
        let id = match self.provider.administer(&all, operation).await.unwrap() {
            AdminAnswer::Account(row) => row.admin_id,
            other => panic!("{other:?}"),
        };
        let rights: Result<Rights, DatabaseError> = self
            .database()
            .read("rights", move |tx| Box::pin(async move { Rights::load(tx, id, None).await }))
            .await;
        Caller {
            account: "somebody".to_owned(),
            admin_id: Some(id),
            rights: std::sync::Arc::new(rights.unwrap()),
            door: Door::AdminService,
            ..all
        }
    }

    async fn owner(&self, id: PackageId) -> String {
        self.row(&format!("SELECT * FROM SMS_Package WHERE PackageID = '{id}'"))
            .await
            .text("SourceSite")
            .to_owned()
    }

    /// Why the refresh of a package waits.
    async fn waits_for(&self, id: PackageId) -> Option<(String, String)> {
        let Answer::Status(rows) = self.perform(Operation::Status { package: Some(id) }).await.unwrap()
        else {
            panic!()
        };
        let why = rows.into_iter().next().unwrap().package.refresh.and_then(|refresh| refresh.why);
        why.map(|why| (why.rule, why.text))
    }
}

/// `ActionInProgress` and `SourceVersion` at a site.
async fn action(world: &World, id: PackageId) -> (u64, u64) {
    let row = world.row(&format!("SELECT * FROM SMS_Package WHERE PackageID = '{id}'")).await;
    (row.number("ActionInProgress"), row.number("SourceVersion"))
}

#[tokio::test]
async fn sms_package_set_source_site_makes_another_site_the_owner_everywhere() {
    let sites = Sites::four().await;
    let id = sites.at("XYZ").create("app").await;
    assert!(sites.at("XYZ").publish_announced(id, 10).await);
    sites.sync().await;
    // Asked at a site that is neither the owner nor the owner to be.
    let arguments = [("SourceSite", text("abc"))];
    let answer = sites.at("CAS").of_package(id, "SetSourceSite", &arguments).await.unwrap();
    assert_eq!(answer.return_value.as_integer(), Some(0));
    sites.sync().await;
    for site in ["CAS", "XYZ", "ABC", "SEC"] {
        assert_eq!(sites.at(site).owner(id).await, "ABC", "at {site}");
        assert_eq!(action(sites.at(site), id).await, (0, 1), "no version is made");
    }
    assert!(!sites.at("XYZ").publish(id, 1).await, "the old owner reads no source");
    sites.at("ABC").refresh(id).await;
    assert!(sites.at("ABC").publish_announced(id, 20).await);
    sites.sync().await;
    for site in ["CAS", "XYZ", "SEC"] {
        assert_eq!(action(sites.at(site), id).await, (0, 2), "the new owner goes on where the old one ended");
    }
    // A central site owns packages too; naming the owner changes nothing.
    for _twice in 0..2 {
        sites.at("ABC").of_package(id, "SetSourceSite", &[("SourceSite", text("CAS"))]).await.unwrap();
        assert_eq!(sites.at("ABC").owner(id).await, "CAS");
    }
}

#[tokio::test]
async fn sms_package_set_source_site_is_refused_for_sites_that_cannot_own() {
    let sites = Sites::four().await;
    let world = sites.at("ABC");
    let id = world.create("app").await;
    for site in ["DEF", "", "nonsense"] {
        let refusal = refused(world.of_package(id, "SetSourceSite", &[("SourceSite", text(site))]).await);
        assert_eq!(refusal.code(), "SITE_UNKNOWN", "{site}");
    }
    let refusal = refused(world.of_package(id, "SetSourceSite", &[("SourceSite", text("SEC"))]).await);
    assert_eq!(refusal.code(), "SITE_TYPE");
    assert!(refusal.description().contains("secondary"), "{refusal}");
    sites.remove("XYZ").await;
    let gone = world.of_package(id, "SetSourceSite", &[("SourceSite", text("XYZ"))]).await;
    assert_eq!(refusal_code(gone), "SITE_UNKNOWN");
    assert_eq!(world.owner(id).await, "ABC", "a refusal changes nothing");

    let reader = world.account("Read-only Analyst", "Default").await;
    let arguments = [("SourceSite", text("CAS"))];
    let unfit = world.call(&reader, &package_path(id), "SetSourceSite", &arguments).await;
    assert_eq!(refusal_code(unfit), "SCOPE");
    world.perform(Operation::DeletePackage { package: id }).await.unwrap();
    let deleted = world.of_package(id, "SetSourceSite", &[("SourceSite", text("CAS"))]).await;
    assert_eq!(refusal_code(deleted), "NOT_FOUND");
    assert_eq!(refusal_code(world.of_package(id, "Unlock", &[]).await), "NOT_FOUND");
}

#[tokio::test]
async fn sms_package_unlock_makes_the_site_it_is_called_at_the_owner() {
    let sites = Sites::two().await;
    let id = sites.at("XYZ").create("app").await;
    sites.at("XYZ").publish_announced(id, 10).await;
    sites.sync().await;
    sites.at("ABC").of_package(id, "Unlock", &[]).await.unwrap();
    assert_eq!(sites.at("ABC").owner(id).await, "ABC", "before the call returns");
    sites.sync().await;
    assert_eq!(sites.at("XYZ").owner(id).await, "ABC");
    // It is in the audit trail of the site that was asked.
    let query = "SELECT * FROM SMS_StatMsgWithInsStrings WHERE MessageType = 768 AND InsString3 = 'Unlock'";
    assert_eq!(sites.at("ABC").row(query).await.text("InsString2"), package_path(id));
}

#[tokio::test]
async fn sms_package_unlock_needs_what_setting_the_source_path_needs() {
    let sites = Sites::two().await;
    let id = sites.at("XYZ").create("app").await;
    sites.sync().await;
    let world = sites.at("ABC");
    let scope = AdminOperation::AddScope { name: "North".to_owned(), description: String::new() };
    let AdminAnswer::Scope(scope) = world.provider.administer(&Caller::local("test"), scope).await.unwrap()
    else {
        panic!()
    };
    let root = NewSourceRoot {
        name: "apps".to_owned(),
        folder: "/srv/apps".to_owned(),
        aliases: vec![r"\\fs01\src".to_owned()],
        scopes: vec![scope.scope],
    };
    world.perform(Operation::AddSourceRoot(root)).await.unwrap();
    let author = world.account("Application Author", "Default").await;
    let unfit = world.call(&author, &package_path(id), "Unlock", &[]).await;
    assert_eq!(refusal_code(unfit), "SOURCE_SCOPE");
    assert_eq!(world.owner(id).await, "XYZ");
    // Elsewhere the path names other folders; who moves the package there answers for nothing here.
    let elsewhere = [("SourceSite", text("XYZ"))];
    world.call(&author, &package_path(id), "SetSourceSite", &elsewhere).await.unwrap();

    world.perform(Operation::RemoveSourceRoot { name: "apps".to_owned() }).await.unwrap();
    world.call(&author, &package_path(id), "Unlock", &[]).await.unwrap();
    let kept: Result<_, DatabaseError> =
        world.database().read("account", move |tx| Box::pin(async move { tx.source_set_by(id).await })).await;
    assert_eq!(kept.unwrap(), author.admin_id, "the account answers for the path from then on");
}

#[tokio::test]
async fn sms_package_refresh_pkg_source_at_another_site_returns_zero_and_waits_for_the_owner() {
    let sites = Sites::four().await;
    let id = sites.at("XYZ").create("app").await;
    assert!(sites.at("XYZ").publish_announced(id, 10).await);
    sites.sync().await;
    let far = sites.at("ABC");
    let answer = far.of_package(id, "RefreshPkgSource", &[]).await.unwrap();
    assert_eq!(answer.return_value.as_integer(), Some(0));
    assert_eq!(action(far, id).await, (1, 1), "visible before the call returns");
    let waits = ("WAITING_FOR_OWNER".to_owned(), "waiting for owner XYZ".to_owned());
    assert_eq!(far.waits_for(id).await, Some(waits));
    assert_eq!(action(sites.at("XYZ"), id).await, (0, 1), "the owner has not heard of it");
    let refused = far.perform(Operation::CancelRefresh { package: id }).await.unwrap_err();
    assert_eq!(refused.code, "INVALID_OPERATION");
    assert!(refused.message.contains("XYZ"), "{refused}");

    sites.sync().await;
    assert_eq!(action(sites.at("XYZ"), id).await, (1, 1), "the owner has it");
    assert!(sites.at("XYZ").publish_announced(id, 20).await);
    sites.sync().await;
    for site in ["CAS", "XYZ", "ABC", "SEC"] {
        assert_eq!(action(sites.at(site), id).await, (0, 2), "at {site}");
    }
}

#[tokio::test]
async fn sms_package_refresh_flag_and_changed_path_at_another_site_are_forwarded() {
    let sites = Sites::two().await;
    let id = sites.at("XYZ").create("app").await;
    assert!(sites.at("XYZ").publish_announced(id, 10).await);
    sites.sync().await;
    let far = sites.at("ABC");
    let keys = |more: (&'static str, restock_cim::Value)| [("PackageID", text(id.as_str())), more];
    let flag = keys(("RefreshPkgSourceFlag", restock_cim::Value::Boolean(true)));
    far.put("SMS_Package", restock_provider::PutForm::Partial, &flag).await.unwrap();
    assert_eq!(action(far, id).await, (1, 1));
    sites.sync().await;
    assert!(sites.at("XYZ").publish_announced(id, 20).await);
    sites.sync().await;
    assert_eq!(action(far, id).await, (0, 2));

    let path = keys(("PkgSourcePath", text(r"\\fs01\src\other")));
    far.put("SMS_Package", restock_provider::PutForm::Partial, &path).await.unwrap();
    assert_eq!(action(far, id).await, (1, 2));
    sites.sync().await;
    let row = sites.at("XYZ").row("SELECT * FROM SMS_Package").await;
    assert_eq!((row.text("PkgSourcePath"), row.number("ActionInProgress")), (r"\\fs01\src\other", 1));
}

#[tokio::test]
async fn sms_package_refresh_schedule_set_at_another_site_is_the_owners() {
    let sites = Sites::two().await;
    let id = sites.at("XYZ").create("app").await;
    assert!(sites.at("XYZ").publish_announced(id, 10).await);
    sites.sync().await;
    let far = sites.at("ABC");
    let schedule = Some("0001200000100008".to_owned());
    let change = PackageChange { schedule, ..PackageChange::of(id) };
    far.perform(Operation::SetPackage(change)).await.unwrap();
    sites.sync().await;
    let kept: Result<_, DatabaseError> = sites
        .at("XYZ")
        .database()
        .read("schedule", move |tx| Box::pin(async move { tx.schedule(id).await }))
        .await;
    let kept = kept.unwrap().unwrap();
    assert_eq!(kept.tokens.len(), 1);
    assert!(kept.next_at.is_some(), "it is due at the owner");
}

#[tokio::test]
async fn sms_package_refresh_pkg_source_of_an_orphan_is_refused_with_the_remedy() {
    let sites = Sites::two().await;
    let id = sites.at("ABC").create("app").await;
    assert!(sites.at("ABC").publish_announced(id, 10).await);
    sites.sync().await;
    let world = sites.at("XYZ");
    let early = world.perform(Operation::AdoptPackage { package: id }).await.unwrap_err();
    assert_eq!(early.code, "INVALID_OPERATION", "its owner is there");
    sites.remove("ABC").await;
    let refusal = refused(world.of_package(id, "RefreshPkgSource", &[]).await);
    assert_eq!(refusal.code(), "ORPHANED");
    for part in ["ABC", "Unlock", &format!("restock package adopt {id}")] {
        assert!(refusal.description().contains(part), "{refusal}");
    }
    let Answer::Package(row) = world.perform(Operation::ShowPackage { package: id }).await.unwrap() else {
        panic!()
    };
    assert!(row.is_orphaned);
    // What needs no owner goes on.
    world.distribute(id, &["DP01"]).await;
    let patch = [("PackageID", text(id.as_str())), ("Priority", number(1))];
    world.put("SMS_Package", restock_provider::PutForm::Partial, &patch).await.unwrap();

    let adopted = world.perform(Operation::AdoptPackage { package: id }).await.unwrap();
    let Answer::Owner(owner) = adopted else { panic!("{adopted:?}") };
    assert_eq!((owner.source_site, owner.before), (code("XYZ"), code("ABC")));
    world.of_package(id, "RefreshPkgSource", &[]).await.unwrap();
    assert!(world.publish(id, 30).await, "from here on this site reads the source");
    assert_eq!(action(world, id).await, (0, 2));
}

#[tokio::test]
async fn a_secondary_site_takes_no_new_packages() {
    let sites = Sites::four().await;
    let new = [("Name", text("app"))];
    let refusal = refused(sites.at("SEC").put("SMS_Package", restock_provider::PutForm::Create, &new).await);
    assert_eq!(refusal.code(), "SITE_TYPE");
    assert!(refusal.description().contains("ABC"), "where to create it instead: {refusal}");
    sites.at("CAS").put("SMS_Package", restock_provider::PutForm::Create, &new).await.unwrap();
    let id = sites.at("ABC").create("other").await;
    sites.sync().await;
    let unfit = sites.at("SEC").of_package(id, "Unlock", &[]).await;
    assert_eq!(refusal_code(unfit), "SITE_TYPE");
}

#[tokio::test]
async fn a_refresh_asked_at_another_site_ends_there_as_it_ended_at_the_owner() {
    let sites = Sites::two().await;
    let id = sites.at("XYZ").create("app").await;
    assert!(sites.at("XYZ").publish_announced(id, 10).await);
    sites.sync().await;
    let far = sites.at("ABC");
    let ask = async || match far.perform(Operation::RefreshPkgSource { package: id }).await.unwrap() {
        Answer::Refresh(accepted) => accepted.request,
        other => panic!("{other:?}"),
    };
    let shown = async || match far.perform(Operation::ShowPackage { package: id }).await.unwrap() {
        Answer::Package(row) => row,
        other => panic!("{other:?}"),
    };
    let request = ask().await;
    assert!(shown().await.requests_done < request);
    sites.sync().await;
    assert!(shown().await.requests_done < request, "the owner has it, and has not done it");
    assert!(sites.at("XYZ").publish_announced(id, 20).await);
    sites.sync().await;
    let row = shown().await;
    assert!(row.requests_done >= request && row.requests_failed < request, "{row:?}");
    assert_eq!((row.source_version.0, row.refresh), (2, None));

    let request = ask().await;
    sites.sync().await;
    let once = restock_sitedb::state::RetryPolicy { count: 1, ..crate::views::world::RETRY };
    assert!(sites.at("XYZ").fail_refresh(id, once).await);
    sites.sync().await;
    let row = shown().await;
    assert!(row.requests_done >= request && row.requests_failed >= request, "{row:?}");
    let why = row.refresh.and_then(|refresh| refresh.why).map(|why| why.rule);
    assert_eq!(
        (row.source_version.0, why.as_deref()),
        (2, Some("SOURCE_NOT_FOUND")),
        "with the owner's reason"
    );
}

#[tokio::test]
async fn a_refresh_that_waits_moves_with_the_package_to_its_new_owner() {
    let sites = Sites::two().await;
    let id = sites.at("XYZ").create("app").await;
    assert!(sites.at("XYZ").publish_announced(id, 10).await);
    sites.sync().await;
    sites.at("XYZ").refresh(id).await;
    let arguments = [("SourceSite", text("ABC"))];
    sites.at("XYZ").of_package(id, "SetSourceSite", &arguments).await.unwrap();
    assert_eq!(action(sites.at("XYZ"), id).await.0, 1, "it was asked and is not done");
    assert!(!sites.at("XYZ").publish_announced(id, 20).await, "no longer the owner");
    sites.sync().await;
    assert!(sites.at("ABC").publish_announced(id, 20).await, "the new owner does it");
    sites.sync().await;
    for site in ["XYZ", "ABC"] {
        assert_eq!(action(sites.at(site), id).await, (0, 2), "at {site}");
    }
}

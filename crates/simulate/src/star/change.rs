//! Packages of the star: without a source, so that nobody refreshes them.

use restock_names::{Epoch, LinkPolicy, PackageId, SourceVersion};
use restock_site::Site;
use restock_sitedb::DatabaseError;
use restock_sitedb::package::Package;
use restock_sitedb::refresh::Refresh;

use crate::error::SimulateError;

/// Makes a package.
pub(super) async fn add(site: &Site) -> Result<(), SimulateError> {
    let (code, now) = (site.code(), site.clock().now());
    let added: Result<(), DatabaseError> = site
        .database()
        .transact("add", move |tx| {
            Box::pin(async move {
                let number = u32::try_from(tx.next_package_number().await?).unwrap_or(u32::MAX);
                let id = PackageId::new(code, number).expect("so few packages have numbers");
                let package = Package {
                    id,
                    name: format!("Package {id}"),
                    package_version: "1.0".to_owned(),
                    manufacturer: "Maker".to_owned(),
                    language: "en".to_owned(),
                    description: "before".to_owned(),
                    source_path: String::new(),
                    source_flag: 1,
                    priority: 2,
                    is_public: false,
                    allow_empty: false,
                    link_policy: LinkPolicy::default(),
                    source_site: code,
                    source_version: SourceVersion(1),
                    stored_version: SourceVersion(0),
                    epoch: Epoch::FIRST,
                    is_deleting: false,
                    settings: 1,
                    created_at: now,
                    last_refresh_at: None,
                };
                tx.insert_package(&package).await?;
                let mut refresh = Refresh::of_creation(now);
                refresh.cancel();
                tx.insert_refresh(id, &refresh).await
            })
        })
        .await;
    Ok(added?)
}

/// All packages.
pub(super) async fn all(site: &Site) -> Result<Vec<Package>, SimulateError> {
    let found: Result<Vec<Package>, DatabaseError> =
        site.database().read("packages", |tx| Box::pin(tx.packages())).await;
    Ok(found?)
}

/// How many packages are described so.
pub(super) async fn described(site: &Site, text: &str) -> Result<u32, SimulateError> {
    let known = all(site).await?.iter().filter(|package| package.description == text).count();
    Ok(u32::try_from(known).unwrap_or(u32::MAX))
}

/// Changes a package, in a transaction of its own.
pub(super) async fn put(site: &Site, package: Package) -> Result<(), SimulateError> {
    let done: Result<(), DatabaseError> = site
        .database()
        .transact("change", move |tx| Box::pin(async move { tx.update_package(&package).await }))
        .await;
    Ok(done?)
}

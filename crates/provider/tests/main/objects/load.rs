//! Many calls at once: none fails, those that wait together are one run.

use futures_util::StreamExt;
use futures_util::stream::iter;

use super::{Objects, number, package_path};

/// Calls under way at a time.
const CONNECTIONS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn sms_package_refresh_pkg_source_of_many_packages_at_once_fails_for_none() {
    let objects = Objects::new().await;
    let mut ids = Vec::new();
    for n in 0..200 {
        let id = objects.package(&format!("app {n}")).await;
        objects.site.publish(id).await;
        ids.push(id);
    }
    let calls = iter(ids.clone()).map(|id| {
        let objects = &objects;
        async move { objects.try_invoke(&package_path(id), "RefreshPkgSource", &[]).await.is_ok() }
    });
    let answered: Vec<bool> = calls.buffer_unordered(CONNECTIONS).collect().await;
    assert!(answered.iter().all(|is_ok| *is_ok));
    let waiting = objects.query("SELECT PackageID FROM SMS_Package WHERE ActionInProgress = 1").await;
    assert_eq!(waiting.len(), ids.len(), "each is visible");
}

#[tokio::test(flavor = "multi_thread")]
async fn sms_package_refresh_pkg_source_repeated_at_once_is_one_run() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let calls = iter(0..1_000).map(|_| {
        let objects = &objects;
        async move { objects.try_invoke(&package_path(id), "RefreshPkgSource", &[]).await.is_ok() }
    });
    let answered: Vec<bool> = calls.buffer_unordered(CONNECTIONS).collect().await;
    assert!(answered.iter().all(|is_ok| *is_ok));
    objects.site.publish(id).await;
    let package = objects.get(&package_path(id)).await;
    assert_eq!(package.get("SourceVersion"), Some(&number(2)));
    assert_eq!(package.get("ActionInProgress"), Some(&number(0)));
}

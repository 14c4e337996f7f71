//! What existing scripts do directly against the provider. Source: docs/provider.md, "Idioms".

use restock_cim::Value;
use restock_cim::query::wql;
use restock_names::PackageId;
use restock_sitedb::state::{Event, Report, RetryPolicy};
use restock_sitedb::target::Context;
use restock_sitedb::{DatabaseError, Why};

use super::{DP01, DP02, Objects, caller, number, package_path, path, text};
use crate::site::{NOW, dp};

impl Objects {
    /// Lets a distribution point report a failed attempt; the last one when `gives_up`.
    async fn fail(&self, id: PackageId, name: &'static str, gives_up: bool) {
        let done: Result<(), DatabaseError> = self
            .site
            .database
            .transact("fail", move |tx| {
                Box::pin(async move {
                    let package = tx.package(id).await?.unwrap();
                    let refresh = tx.refresh(id).await?.unwrap();
                    let mut target = tx.target(id, &dp(name)).await?.unwrap();
                    let job = target.facts.job.expect("it has a job");
                    let retry = if gives_up {
                        RetryPolicy { count: 1, ..RetryPolicy::default() }
                    } else {
                        RetryPolicy::default()
                    };
                    let context = Context::new(&package, &refresh, "XYZ".parse().unwrap(), NOW);
                    let event = Event::Reported {
                        job: job.id,
                        report: Report::Failed { is_transient: true },
                        now: NOW,
                        retry,
                    };
                    let why = Why::new("DISK_FULL", "the disk is full");
                    tx.apply(&mut target, &context, event, Some(why)).await?.unwrap();
                    Ok(())
                })
            })
            .await;
        done.unwrap();
    }
}

/// 1: RefreshNow on the rows of one package and server.
#[tokio::test]
async fn sms_distribution_point_idiom_refresh_now_on_rows_found_by_host() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let query =
        format!("SELECT * FROM SMS_DistributionPoint WHERE PackageID='{id}' and ServerNALPath like '%DP02%'");
    for row in objects.query(&query).await {
        objects.try_put_back(&row, &[("RefreshNow", Value::Boolean(true))]).await.unwrap();
    }
    let rows = objects.query("SELECT ServerNALPath FROM SMS_DistributionPoint WHERE Status=1").await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get("ServerNALPath"), Some(&text(DP02)));
}

/// 2: what failed or retries is redistributed.
#[tokio::test]
async fn sms_package_status_dist_points_summarizer_idiom_repair_of_state_2_and_3() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    objects.invoke(&package_path(id), "RefreshPkgSource", &[]).await;
    objects.site.publish(id).await;
    objects.fail(id, "DP01", false).await;
    objects.fail(id, "DP02", true).await;
    let broken = "SELECT * FROM SMS_PackageStatusDistPointsSummarizer WHERE State = 2 OR State = 3";
    let rows = objects.query(broken).await;
    let states: Vec<_> = rows.iter().map(|row| row.get("State").unwrap().as_integer().unwrap()).collect();
    assert_eq!(states.len(), 2, "{states:?}");
    assert!(states.contains(&2) && states.contains(&3));
    for row in rows {
        let nal_path = row.get("ServerNALPath").unwrap().as_str().unwrap().to_owned();
        let escaped = nal_path.replace('\\', r"\\");
        let query = format!(
            "SELECT * FROM SMS_DistributionPoint WHERE PackageID='{id}' AND ServerNALPath='{escaped}'"
        );
        let found = objects.query(&query).await;
        assert_eq!(found.len(), 1, "{nal_path}");
        let after = objects.try_put_back(&found[0], &[("RefreshNow", Value::Boolean(true))]).await.unwrap();
        assert_eq!(after.get("RefreshNow"), Some(&Value::Boolean(false)));
    }
    assert!(objects.query(broken).await.is_empty());
    // The version that failed is brought first, then everything is read again.
    for _job in 0..2 {
        objects.site.report(id, "DP01").await;
        objects.site.report(id, "DP02").await;
    }
    let rows = objects.query("SELECT * FROM SMS_PackageStatusDistPointsSummarizer WHERE State > 0").await;
    let left: Vec<_> = rows
        .iter()
        .map(|row| (row.get("ServerNALPath"), row.get("State"), row.get("SourceVersion")))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// 3: the status of each package and distribution point with its insertion strings.
#[tokio::test]
async fn sms_distribution_dp_status_idiom_state_and_insertion_strings() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    objects.invoke(&package_path(id), "RefreshPkgSource", &[]).await;
    objects.site.publish(id).await;
    objects.fail(id, "DP02", true).await;
    objects.site.report(id, "DP01").await;
    let query = "SELECT PackageID, Name, MessageState, MessageID, LastUpdateDate, InsString1 \
                 FROM SMS_DistributionDPStatus ORDER BY Name";
    let rows = objects.query(query).await;
    let shown: Vec<_> = rows
        .iter()
        .map(|row| ["MessageState", "MessageID"].map(|name| row.get(name).unwrap().as_integer().unwrap()))
        .collect();
    assert_eq!(shown, [[1, 2330], [4, 8203]]);
    for row in &rows {
        assert_eq!(row.get("PackageID"), Some(&text(id.as_str())));
        assert_ne!(row.get("LastUpdateDate"), Some(&Value::Null));
    }
}

/// 4: `[wmi]"\\srv\root\sms\site_XXX:SMS_Package.PackageID='..'"`, then RefreshPkgSource.
#[tokio::test]
async fn sms_package_idiom_refresh_by_full_path_in_single_quotes() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let object = format!(r"\\HOST\root\sms\site_XYZ:SMS_Package.PackageID='{id}'");
    assert_eq!(objects.get(&object).await.get("Name"), Some(&text("installed")));
    objects.invoke(&object, "RefreshPkgSource", &[]).await;
    assert_eq!(objects.get(&object).await.get("ActionInProgress"), Some(&number(1)));
}

/// 5: server and site code from the locator.
#[tokio::test]
async fn sms_provider_location_idiom_finds_server_and_site() {
    let objects = Objects::new().await;
    let query = "SELECT * FROM SMS_ProviderLocation WHERE ProviderForLocalSite = TRUE";
    let rows = objects.query(query).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get("SiteCode"), Some(&text("XYZ")));
    assert_eq!(rows[0].get("NamespacePath"), Some(&text(r"\\HOST\root\sms\site_XYZ")));
}

/// 6: what REST scripts filter by becomes the same questions.
#[tokio::test]
async fn sms_package_status_idiom_failed_rows_and_names_by_prefix() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    objects.invoke(&package_path(id), "RefreshPkgSource", &[]).await;
    objects.site.publish(id).await;
    objects.fail(id, "DP01", true).await;
    let rows = objects.query("SELECT PkgServer FROM SMS_PackageStatus WHERE Status = 5").await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get("PkgServer"), Some(&text(DP01)));
    for query in [
        "SELECT Name FROM SMS_Package WHERE Name LIKE 'inst%'",
        "SELECT Name FROM SMS_Package WHERE Name LIKE '%STALL%'",
        "SELECT Name FROM SMS_Package WHERE PackageID = 'xyz00001' OR PackageID = 'XYZ00002'",
    ] {
        let rows = objects.provider.query(&caller(), wql::parse(query).unwrap()).await.unwrap();
        let rows = rows.all().await.unwrap();
        assert_eq!(rows.len(), 1, "{query}");
    }
    objects.provider.delete(&caller(), &path(&package_path(id))).await.unwrap();
    assert!(objects.query("SELECT Name FROM SMS_Package").await.is_empty());
}

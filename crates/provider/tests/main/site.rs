//! A site's database with a provider over it; the loops are played by hand.

use std::path::PathBuf;
use std::sync::Arc;

use restock_names::{DistributionPointName, Epoch, ManualClock, PackageId, Timestamp};
use restock_provider::rows::{PackageRow, PackageStatus, SourceFlag, TargetRow};
use restock_provider::{Answer, Call, NewPackage, Operation, OperationError, Provider};
use restock_sitedb::site::Site as SiteRecord;
use restock_sitedb::state::{Event, JobKind, Report, RetryPolicy};
use restock_sitedb::target::Context;
use restock_sitedb::{Database, DatabaseError};
use tempfile::TempDir;

pub(crate) const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

pub(crate) struct Site {
    pub(crate) provider: Provider,
    pub(crate) database: Database,
    folder: TempDir,
}

pub(crate) fn dp(name: &str) -> DistributionPointName {
    name.parse().unwrap()
}

impl Site {
    /// A site XYZ with the enrolled distribution points DP01, DP02 and DP03.
    pub(crate) async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let database = Database::open_file(&folder.path().join("site.db")).await.unwrap();
        let record = SiteRecord {
            code: "XYZ".parse().unwrap(),
            epoch: Epoch::FIRST,
            ca_fingerprint: "ca".to_owned(),
            root_public_key: "root".to_owned(),
            created_at: NOW,
        };
        let done: Result<(), DatabaseError> = database
            .transact("init", move |tx| {
                Box::pin(async move {
                    tx.insert_site(&record).await?;
                    for name in ["DP01", "DP02", "DP03"] {
                        tx.enrol_point(&dp(name), "f", NOW, NOW).await?;
                    }
                    Ok(())
                })
            })
            .await;
        done.unwrap();
        let own = vec![PathBuf::from("/var/lib/restock")];
        let provider = Provider::new(database.clone(), Arc::new(ManualClock::new(NOW)), own);
        Self { provider, database, folder }
    }

    /// The file of the database.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("site.db")
    }

    pub(crate) async fn perform(&self, operation: Operation) -> Result<Answer, OperationError> {
        self.provider.perform(&Call::default(), operation).await
    }

    /// Creates a package with a source.
    pub(crate) async fn create(&self, name: &str) -> PackageRow {
        let new = NewPackage {
            name: name.to_owned(),
            source_path: Some(r"\\fs01\src\app".to_owned()),
            source_flag: Some(SourceFlag::Direct),
            ..NewPackage::default()
        };
        match self.perform(Operation::CreatePackage(new)).await.unwrap() {
            Answer::Package(row) => row,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn status(&self, package: PackageId) -> PackageStatus {
        match self.perform(Operation::Status { package: Some(package) }).await.unwrap() {
            Answer::Status(mut rows) => rows.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn target(&self, package: PackageId, name: &str) -> Option<TargetRow> {
        self.status(package).await.targets.into_iter().find(|target| target.point == dp(name))
    }

    /// Runs the refresh that is due, as the loop would, and publishes.
    pub(crate) async fn publish(&self, id: PackageId) {
        let done: Result<(), DatabaseError> = self
            .database
            .transact("publish", move |tx| {
                Box::pin(async move {
                    let mut refresh = tx.refresh(id).await?.unwrap();
                    refresh.claim("test", NOW, std::time::Duration::from_secs(60)).expect("a run is due");
                    let package = tx.package(id).await?.unwrap();
                    let is_first = refresh.started == refresh.creation;
                    let version = if is_first {
                        package.source_version
                    } else {
                        package.source_version.next().unwrap()
                    };
                    let covers = refresh.started;
                    refresh.published(NOW);
                    tx.update_refresh(id, &refresh).await?;
                    assert!(
                        tx.publish_version(id, package.source_version, (Epoch::FIRST, version), NOW).await?
                    );
                    let package = tx.package(id).await?.unwrap();
                    let context = Context::new(&package, &refresh, "XYZ".parse().unwrap(), NOW);
                    for mut target in tx.targets_of_package(id).await? {
                        let event = Event::Published { covers };
                        tx.apply(&mut target, &context, event, None).await?.unwrap();
                    }
                    Ok(())
                })
            })
            .await;
        done.unwrap();
    }

    /// Lets a distribution point report that it did the job it has.
    pub(crate) async fn report(&self, id: PackageId, name: &'static str) {
        let done: Result<(), DatabaseError> = self
            .database
            .transact("report", move |tx| {
                Box::pin(async move {
                    let package = tx.package(id).await?.unwrap();
                    let refresh = tx.refresh(id).await?.unwrap();
                    let mut target = tx.target(id, &dp(name)).await?.unwrap();
                    let job = target.facts.job.expect("it has a job");
                    let report = match job.kind {
                        JobKind::Remove => Report::Removed,
                        _ => Report::Installed(target.facts.wanted),
                    };
                    let context = Context::new(&package, &refresh, "XYZ".parse().unwrap(), NOW);
                    let retry = RetryPolicy::default();
                    let event = Event::Reported { job: job.id, report, now: NOW, retry };
                    tx.apply(&mut target, &context, event, None).await?.unwrap();
                    Ok(())
                })
            })
            .await;
        done.unwrap();
    }

    /// A package at version 1, installed at DP01 and DP02.
    pub(crate) async fn installed(&self) -> PackageId {
        let id = self.create("installed").await.package;
        let points = vec![dp("DP01"), dp("DP02")];
        self.perform(Operation::AddDistributionPoints { package: id, points }).await.unwrap();
        self.publish(id).await;
        self.report(id, "DP01").await;
        self.report(id, "DP02").await;
        let status = self.status(id).await;
        assert_eq!((status.counters.targeted, status.counters.installed), (2, 2));
        id
    }
}

//! A site on either engine with the provider over it; loops and distribution points are played by hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use restock_cim::query::wql;
use restock_cim::{DateTime, Instance, Value};
use restock_names::{
    ContentVersion, Digest, DistributionPointName, Epoch, ManualClock, PackageId, SiteCode, Timestamp,
};
use restock_provider::rows::SourceFlag;
use restock_provider::{
    Answer, Call, Caller, NewPackage, Operation, OperationError, Provider, ProviderConfig,
};
use restock_sitedb::site::Site;
use restock_sitedb::state::{Event, Report, RetryPolicy};
use restock_sitedb::target::Context;
use restock_sitedb::version::Version;
use restock_sitedb::{Database, DatabaseError, Tx, Why};

pub(crate) use super::server::Cluster;
use super::server::{Fresh, sqlite};

pub(crate) const NOW: Timestamp = Timestamp(1_795_000_000_000_000);
const POINTS: [&str; 3] = ["DP01", "DP02", "DP03"];
pub(crate) const RETRY: RetryPolicy = RetryPolicy { delay: Duration::from_secs(60), count: 2 };

/// A site with enrolled distribution points.
pub(crate) struct World {
    pub(crate) code: SiteCode,
    pub(crate) provider: Provider,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) fresh: Fresh,
}

pub(crate) fn dp(name: &str) -> DistributionPointName {
    name.parse().unwrap()
}

pub(crate) fn config() -> ProviderConfig {
    ProviderConfig {
        host: "prov.example".to_owned(),
        site_name: "Northern site".to_owned(),
        version: "5.00.9128.1007".to_owned(),
        install_dir: "/var/lib/restock".to_owned(),
        ..ProviderConfig::default()
    }
}

/// One row of an answer.
#[derive(Clone, PartialEq)]
pub(crate) struct Row(pub(crate) Instance);

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.0.class.properties.iter().map(|property| property.name.as_str());
        f.debug_map().entries(names.zip(&self.0.values)).finish()
    }
}

impl Row {
    pub(crate) fn value(&self, property: &str) -> &Value {
        self.0.get(property).unwrap_or_else(|| panic!("{property} was not read: {self:?}"))
    }

    pub(crate) fn text(&self, property: &str) -> &str {
        match self.value(property) {
            Value::String(text) => text,
            other => panic!("{property} is {other:?}"),
        }
    }

    pub(crate) fn number(&self, property: &str) -> u64 {
        match self.value(property) {
            Value::Unsigned(number) => *number,
            Value::Signed(number) => u64::try_from(*number).unwrap(),
            other => panic!("{property} is {other:?}"),
        }
    }

    pub(crate) fn is(&self, property: &str) -> bool {
        match self.value(property) {
            Value::Boolean(is) => *is,
            other => panic!("{property} is {other:?}"),
        }
    }

    pub(crate) fn time(&self, property: &str) -> Timestamp {
        match self.value(property) {
            Value::DateTime(DateTime::Moment(at, 0)) => *at,
            // The test's site is on UTC.
            Value::DateTime(DateTime::Local(at)) => Timestamp(*at),
            other => panic!("{property} is {other:?}"),
        }
    }

    pub(crate) fn path(&self, property: &str) -> String {
        match self.value(property) {
            Value::Reference(path) => path.to_string(),
            other => panic!("{property} is {other:?}"),
        }
    }

    pub(crate) fn texts(&self, property: &str) -> Vec<&str> {
        let Value::Array(values) = self.value(property) else { panic!("{property} is no array") };
        values.iter().map(|value| value.as_str().unwrap_or_else(|| panic!("{property}: {value:?}"))).collect()
    }
}

impl World {
    /// A site XYZ with the enrolled distribution points DP01, DP02 and DP03.
    pub(crate) async fn new() -> Self {
        Self::over(sqlite().await, "XYZ".parse().unwrap(), &POINTS).await
    }

    /// A site with these distribution points.
    pub(crate) async fn at(code: SiteCode, points: &[&'static str]) -> Self {
        Self::over(sqlite().await, code, points).await
    }

    /// The same on a database of a PostgreSQL server.
    pub(crate) async fn on(cluster: &Cluster, name: &str) -> Self {
        Self::over(cluster.database(name).await, "XYZ".parse().unwrap(), &POINTS).await
    }

    async fn over(fresh: Fresh, code: SiteCode, points: &[&'static str]) -> Self {
        let points = points.to_vec();
        let record = Site {
            code,
            epoch: Epoch::FIRST,
            ca_fingerprint: "ca".to_owned(),
            root_public_key: "root".to_owned(),
            created_at: NOW,
        };
        let done: Result<(), DatabaseError> = fresh
            .database
            .transact("init", move |tx| {
                Box::pin(async move {
                    tx.insert_site(&record).await?;
                    for name in points {
                        tx.enrol_point(&dp(name), "f", NOW, NOW).await?;
                    }
                    Ok(())
                })
            })
            .await;
        done.unwrap();
        let clock = Arc::new(ManualClock::new(NOW));
        let provider = start(&fresh.database, &clock, config()).await;
        Self { code, provider, clock, fresh }
    }

    /// Starts the provider again with another configuration.
    pub(crate) async fn restart(&mut self, config: ProviderConfig) {
        self.provider = start(&self.fresh.database, &self.clock, config).await;
    }

    pub(crate) fn database(&self) -> &Database {
        &self.fresh.database
    }

    /// All rows of a query in WQL; backslashes in it are doubled.
    pub(crate) async fn rows(&self, wql: &str) -> Vec<Row> {
        self.rows_of(&Caller::local("test"), wql).await
    }

    /// The rows of a query that `caller` may see.
    pub(crate) async fn rows_of(&self, caller: &Caller, wql: &str) -> Vec<Row> {
        let query = wql::parse(wql).unwrap_or_else(|error| panic!("{wql}: {error:?}"));
        let rows = self.provider.query(caller, query).await;
        let rows = rows.unwrap_or_else(|refusal| panic!("{wql}: {refusal:?}")).all().await;
        rows.unwrap_or_else(|refusal| panic!("{wql}: {refusal:?}")).into_iter().map(Row).collect()
    }

    /// The only row of a query.
    pub(crate) async fn row(&self, wql: &str) -> Row {
        let mut rows = self.rows(wql).await;
        assert_eq!(rows.len(), 1, "{wql}: {rows:?}");
        rows.pop().unwrap()
    }

    /// The object at `path` with its lazy properties.
    pub(crate) async fn get(&self, path: &str) -> Row {
        let found = self.provider.get(&Caller::local("test"), &path.parse().unwrap()).await;
        Row(found.unwrap_or_else(|refusal| panic!("{path}: {refusal:?}")))
    }

    pub(crate) async fn perform(&self, operation: Operation) -> Result<Answer, OperationError> {
        self.provider.perform(&Call::default(), operation).await
    }

    /// Changes the database as loops and links do.
    pub(crate) async fn change<F>(&self, change: F)
    where
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<(), DatabaseError>> + Clone + Send + 'static,
    {
        let done: Result<(), DatabaseError> = self.database().transact("test", change).await;
        done.unwrap();
    }

    /// Creates a package with a source.
    pub(crate) async fn create(&self, name: &str) -> PackageId {
        let new = NewPackage {
            name: name.to_owned(),
            source_path: Some(r"\\fs01\src\app".to_owned()),
            source_flag: Some(SourceFlag::Direct),
            ..NewPackage::default()
        };
        match self.perform(Operation::CreatePackage(new)).await.unwrap() {
            Answer::Package(row) => row.package,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn distribute(&self, package: PackageId, points: &[&str]) {
        let points = points.iter().map(|name| dp(name)).collect();
        self.perform(Operation::AddDistributionPoints { package, points }).await.unwrap();
    }

    pub(crate) async fn refresh(&self, package: PackageId) {
        self.perform(Operation::RefreshPkgSource { package }).await.unwrap();
    }

    pub(crate) async fn remove(&self, package: PackageId, point: &str) {
        let points = vec![dp(point)];
        self.perform(Operation::RemoveDistributionPoints { package, points }).await.unwrap();
    }

    /// Runs the refresh that is due, as the loop would, and publishes `bytes`; false when none was.
    pub(crate) async fn publish(&self, id: PackageId, bytes: u64) -> bool {
        let now = self.now();
        let done: Result<bool, DatabaseError> = self
            .database()
            .transact("publish", move |tx| Box::pin(async move { publish(tx, id, bytes, now).await }))
            .await;
        done.unwrap()
    }

    /// Lets the due attempt of a refresh fail; false when none was due.
    pub(crate) async fn fail_refresh(&self, id: PackageId, retry: RetryPolicy) -> bool {
        let (now, site) = (self.now(), self.code);
        let done: Result<bool, DatabaseError> = self
            .database()
            .transact("fail", move |tx| {
                Box::pin(async move {
                    let mut refresh = tx.refresh(id).await?.unwrap();
                    if refresh.claim("test", now, Duration::from_secs(60)).is_none() {
                        return Ok(false);
                    }
                    let is_last = refresh.attempt_failed(now, Why::new("SOURCE_NOT_FOUND", "gone"), retry);
                    tx.update_refresh(id, &refresh).await?;
                    if is_last {
                        let package = tx.package(id).await?.unwrap();
                        let context = Context::new(&package, &refresh, site, now);
                        tx.tell_targets(&context, Event::RefreshEnded, None).await?;
                    }
                    Ok(true)
                })
            })
            .await;
        done.unwrap()
    }

    /// Lets an event happen to one target, if it is there and the event is not refused.
    pub(crate) async fn happen(
        &self,
        id: PackageId,
        point: &'static str,
        event: Event,
        why: Option<Why>,
    ) -> bool {
        let (now, site) = (self.now(), self.code);
        let done: Result<bool, DatabaseError> = self
            .database()
            .transact("happen", move |tx| {
                let why = why.clone();
                Box::pin(async move {
                    let Some(mut target) = tx.target(id, &dp(point)).await? else { return Ok(false) };
                    let package = tx.package(id).await?.unwrap();
                    let refresh = tx.refresh(id).await?.unwrap();
                    let context = Context::new(&package, &refresh, site, now);
                    if matches!(event, Event::Reported { report: Report::Installed(_), .. }) {
                        target.last_copied_at = Some(now);
                    }
                    Ok(tx.apply(&mut target, &context, event, why).await?.is_ok())
                })
            })
            .await;
        done.unwrap()
    }

    /// Lets a distribution point report about the job it has; false when it has none.
    pub(crate) async fn report(&self, id: PackageId, point: &'static str, report: Report) -> bool {
        let found: Result<_, DatabaseError> = self
            .database()
            .read("job", move |tx| Box::pin(async move { tx.target(id, &dp(point)).await }))
            .await;
        let Some(job) = found.unwrap().and_then(|target| target.facts.job) else { return false };
        let why =
            matches!(report, Report::Failed { .. }).then(|| Why::new("LINK_BROKEN", r#"the "link" broke"#));
        let event = Event::Reported { job: job.id, report, now: self.now(), retry: RETRY };
        self.happen(id, point, event, why).await
    }

    /// Lets a distribution point do the job it has.
    pub(crate) async fn install(&self, id: PackageId, point: &'static str) -> bool {
        let found: Result<_, DatabaseError> = self
            .database()
            .read("job", move |tx| Box::pin(async move { tx.target(id, &dp(point)).await }))
            .await;
        let Some(target) = found.unwrap() else { return false };
        self.report(id, point, Report::Installed(target.facts.wanted)).await
    }

    /// A package at version 1 of 2,500 bytes, installed at DP01 and DP02.
    pub(crate) async fn installed(&self) -> PackageId {
        let id = self.create("installed").await;
        self.distribute(id, &["DP01", "DP02"]).await;
        assert!(self.publish(id, 2_500).await);
        assert!(self.install(id, "DP01").await && self.install(id, "DP02").await);
        id
    }

    pub(crate) fn now(&self) -> Timestamp {
        restock_names::Clock::now(&*self.clock)
    }
}

async fn start(database: &Database, clock: &Arc<ManualClock>, config: ProviderConfig) -> Provider {
    let own = vec![PathBuf::from("/var/lib/restock")];
    let clock: Arc<ManualClock> = Arc::clone(clock);
    Provider::start(database.clone(), clock, own, config).await.unwrap()
}

async fn publish(tx: &mut Tx, id: PackageId, bytes: u64, now: Timestamp) -> Result<bool, DatabaseError> {
    let (mut refresh, site) = (tx.refresh(id).await?.unwrap(), tx.own_code().await?);
    let package = tx.package(id).await?.unwrap();
    if package.is_deleting || refresh.claim("test", now, Duration::from_secs(60)).is_none() {
        return Ok(false);
    }
    let Some((epoch, version)) = tx.next_publish(id).await? else { return Ok(false) };
    let covers = refresh.started;
    refresh.published(now);
    tx.update_refresh(id, &refresh).await?;
    tx.insert_version(&Version {
        content: ContentVersion { package: id, epoch, version },
        root: Digest([7; 32]),
        root_length: 100,
        pages: 1,
        entries: 1,
        chunks: 1,
        bytes,
        files: 1,
        bytes_read: bytes,
        chunks_new: 1,
        bytes_new: bytes,
        published_at: now,
        duration_ms: 5,
    })
    .await?;
    assert!(tx.publish_version(id, package.source_version, (epoch, version), now).await?);
    let package = tx.package(id).await?.unwrap();
    let context = Context::new(&package, &refresh, site, now);
    for mut target in tx.targets_of_package(id).await? {
        tx.apply(&mut target, &context, Event::Published { covers }, None).await?.unwrap();
    }
    Ok(true)
}

//! What a site answers: operations of the provider, tokens, file lists, live bytes, library.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use restock_content::manifest::Manifest;
use restock_names::{Clock, DistributionPointName, PackageId, SourceVersion, SystemClock};
use restock_provider::account::SealingKey;
use restock_provider::{Answer, Call, ErrorKind, Operation, OperationError, Provider};
use restock_site::{Site, SiteError, TokenKind};
use serde::Serialize;
use serde_json::Value;

use super::admin_desk;
use super::content_desk;
use super::health_desk;
use super::listener::{Desk, Events};
use super::object_desk;
use super::protocol::{AdminServiceAt, Ask, FILES_PER_EVENT, FilesEnd, Hello, TokenFor, TokenGiven, Watched};
use super::site_rows::SiteTree;
use super::sites_desk;
use crate::config::{self, Role, SiteSettings};
use crate::data_folder::DataFolder;
use crate::failure::{Failure, Kind};
use crate::running::{self, entries, library};

/// How often a watched site looks for changes: the longer nothing changed and the longer a look
/// takes, the more seldom.
const WATCH_PERIOD_MIN: Duration = Duration::from_millis(5);
const WATCH_PERIOD_MAX: Duration = Duration::from_millis(200);
/// How often live bytes are sent while the status stays the same.
const PROGRESS_PERIOD: Duration = Duration::from_millis(100);
/// How often a watched site looks at its hierarchy.
const SITES_PERIOD: Duration = Duration::from_millis(200);
/// How long it stays silent without a change.
const WATCH_SILENCE: Duration = Duration::from_secs(1);

/// The desk of one site, running or opened by a command.
#[derive(Debug, Clone)]
pub(crate) struct SiteDesk {
    site: Site,
    provider: Provider,
    data: PathBuf,
    url: String,
    metrics: Option<String>,
    admin_service: Option<AdminServiceAt>,
}

impl SiteDesk {
    /// Opens the site of `folder`, whose lock the caller holds.
    pub(crate) async fn open(folder: &DataFolder) -> Result<Self, Failure> {
        library::check_identity(folder, Role::Site)?;
        let settings: SiteSettings = config::read(&folder.config())?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config = settings.config(folder.path());
        let own_folders = config.folders();
        let site = Site::open(config, Arc::clone(&clock)).await.map_err(site_failure)?;
        let provider = Provider::start(
            site.database().clone(),
            clock,
            own_folders,
            settings.provider_config(folder.path()),
        )
        .await
        .map_err(|e| Failure::caused(Kind::Failed, "cannot start the provider", &e))?;
        let key = site.shared_trust().sealing_key();
        let key =
            key.map_err(|e| Failure::caused(Kind::Failed, "cannot read the key that seals secrets", &e))?;
        let provider = provider.with_sealing_key(SealingKey::new(&key));
        let url = settings.url();
        Ok(Self { site, provider, data: folder.path().to_owned(), url, metrics: None, admin_service: None })
    }

    /// The same desk, which also tells where metrics are.
    pub(crate) fn with_metrics(mut self, metrics: Option<String>) -> Self {
        self.metrics = metrics;
        self
    }

    /// The same desk, which also tells where the AdminService is.
    pub(crate) fn with_admin_service(mut self, at: Option<AdminServiceAt>) -> Self {
        self.admin_service = at;
        self
    }

    /// The data folder.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    pub(crate) fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The hierarchy as the site sees it.
    pub(crate) async fn tree(&self) -> Result<SiteTree, Failure> {
        sites_desk::tree(&self.site).await
    }

    pub(crate) fn hello(&self) -> Hello {
        Hello {
            role: Role::Site,
            software: running::SOFTWARE.to_owned(),
            pid: std::process::id(),
            data_dir: self.data.clone(),
            site_code: self.site.code(),
            name: None,
            url: self.url.clone(),
            metrics: self.metrics.clone(),
            admin_service: self.admin_service.clone(),
            is_connected: None,
            stale_since: None,
        }
    }

    async fn token(&self, kind: TokenFor, name: &str, valid: Duration) -> Result<TokenGiven, Failure> {
        let invalid = |e| Failure::caused(Kind::Usage, "NAME_INVALID", &e);
        let (of, name): (_, DistributionPointName) = match kind {
            TokenFor::Dp => {
                sites_desk::check_has_points(&self.site).await?;
                (TokenKind::DistributionPoint, name.parse().map_err(invalid)?)
            }
            TokenFor::Site => {
                let code = sites_desk::check_below(&self.site, name).await?;
                (TokenKind::Site, code.as_str().parse().map_err(invalid)?)
            }
        };
        let made = self.site.create_token(of, &name, valid).await.map_err(site_failure)?;
        Ok(TokenGiven { token: made.token, kind, name: made.name.to_string(), expires_at: made.expires_at })
    }

    async fn files(
        &self,
        package: PackageId,
        version: Option<SourceVersion>,
        events: Events,
    ) -> Result<FilesEnd, Failure> {
        let found = self.site.manifest_root(&package, version).await.map_err(site_failure)?;
        let Some((version, root)) = found else {
            let what = match version {
                Some(v) => format!("NOT_FOUND: version {v} of package {package} is not in the library"),
                None => format!("NOT_FOUND: package {package} has no stored version"),
            };
            return Err(Failure::new(Kind::NotFound, what).hint(format!("restock package history {package}")));
        };
        let library = Arc::clone(self.site.library());
        let listed = tokio::task::spawn_blocking(move || -> Result<FilesEnd, Failure> {
            let manifest = Manifest::new(&*library, root);
            let mut lines = Vec::with_capacity(FILES_PER_EVENT);
            for entry in manifest.entries() {
                let entry = entry.map_err(|e| {
                    Failure::caused(Kind::Failed, format!("cannot read the list of {version}"), &e)
                        .hint("restock library check")
                })?;
                lines.push(entries::line(&entry));
                if lines.len() == FILES_PER_EVENT && !put(&events, &std::mem::take(&mut lines)) {
                    break;
                }
            }
            if !lines.is_empty() {
                put(&events, &lines);
            }
            Ok(FilesEnd { version, root: root.digest, entries: root.entries, bytes: root.bytes })
        });
        listed.await.map_err(|e| Failure::caused(Kind::Failed, "listing files", &e))?
    }

    async fn watch(&self, package: Option<PackageId>, events: Events) -> Result<Value, Failure> {
        let clock = self.site.clock();
        let mut last: Option<Watched> = None;
        let mut sent_at = clock.monotonic();
        let mut changed_at = sent_at;
        let mut sites_at = None;
        let mut tree = None;
        loop {
            let looked_at = clock.monotonic();
            let call = Call::default();
            let answer = self.provider.perform(&call, Operation::Status { package }).await;
            let Answer::Status(packages) = answer.map_err(operation_failure)? else {
                return Err(Failure::failed("the provider gave no status"));
            };
            let same_packages = last.as_ref().is_some_and(|l| l.packages.as_ref() == Some(&packages));
            // What a site tells changes with the packages; a link goes up and down without them.
            if !same_packages || sites_at.is_none_or(|at| looked_at - at >= SITES_PERIOD) {
                tree = Some(self.tree().await?);
                sites_at = Some(looked_at);
            }
            let same_sites = last.as_ref().is_some_and(|l| l.sites == tree);
            let progress = self.site.progress().snapshot();
            let is_same = same_packages && same_sites;
            if !is_same {
                changed_at = looked_at;
            }
            let same_progress = last.as_ref().is_some_and(|l| l.progress == progress);
            let silence = if same_progress { WATCH_SILENCE } else { PROGRESS_PERIOD };
            if !is_same || looked_at - sent_at >= silence {
                let at = clock.now();
                let event = Watched {
                    at,
                    packages: (!same_packages).then(|| packages.clone()),
                    sites: tree.clone().filter(|_| !same_sites),
                    progress: progress.clone(),
                };
                if events.send(value(&event)).await.is_err() {
                    return Ok(Value::Null);
                }
                sent_at = clock.monotonic();
                last = Some(Watched { at, packages: Some(packages), sites: tree.clone(), progress });
            }
            let now = clock.monotonic();
            let period = ((now - changed_at) / 20).max((now - looked_at) * 10);
            tokio::time::sleep(period.clamp(WATCH_PERIOD_MIN, WATCH_PERIOD_MAX)).await;
        }
    }
}

impl Desk for SiteDesk {
    async fn answer(
        &self,
        user: String,
        request_id: Option<String>,
        ask: Ask,
        events: Events,
    ) -> Result<Value, Failure> {
        match ask {
            Ask::Hello => Ok(value(&self.hello())),
            Ask::Perform(operation) => {
                let call = Call { request_id, user };
                self.provider.perform(&call, operation).await.map(|a| value(&a)).map_err(operation_failure)
            }
            Ask::Administer(operation) => {
                let caller = admin_desk::caller(&user, request_id);
                let answer = self.provider.administer(&caller, operation).await;
                answer.map(|a| value(&a)).map_err(operation_failure)
            }
            Ask::VerifyAudit { known } => {
                admin_desk::verify(self.site.database(), &self.data, known).await.map(|v| value(&v))
            }
            Ask::ExportAudit => {
                admin_desk::export(self.site.database(), events).await.map(|count| value(&count))
            }
            Ask::Objects(ask) => {
                let database = self.site.database();
                object_desk::answer(&self.provider, database, &user, request_id, ask, events).await
            }
            Ask::CreateToken { kind, name, valid_ms } => {
                self.token(kind, &name, Duration::from_millis(valid_ms)).await.map(|t| value(&t))
            }
            Ask::CreateContentToken { packages, valid_ms } => {
                let made = self.site.create_content_token(packages, Duration::from_millis(valid_ms));
                made.map(|made| value(&made)).map_err(site_failure)
            }
            Ask::Files { package, version } => self.files(package, version, events).await.map(|e| value(&e)),
            Ask::ContentRoot(of) => {
                let of = content_desk::stored(&self.site, of).await?;
                content_desk::root(Arc::clone(self.site.library()), of).await.map(|root| value(&root))
            }
            Ask::Frames { digests } => {
                let library = Arc::clone(self.site.library());
                content_desk::frames(library, digests, events).await.map(|count| value(&count))
            }
            Ask::Diff { before, after } => {
                let library = Arc::clone(self.site.library());
                let before = content_desk::stored(&self.site, before).await?;
                let after = content_desk::stored(&self.site, after).await?;
                content_desk::diff(library, before, after, events).await.map(|end| value(&end))
            }
            Ask::Plan { package, keep_ms } => {
                let keep = Duration::from_millis(keep_ms);
                content_desk::plan(&self.site, package, keep, events).await.map(|made| value(&made))
            }
            Ask::ApplyPlan { plan } => {
                let call = Call { request_id, user };
                content_desk::apply(&self.site, call, plan, events).await.map(|done| value(&done))
            }
            Ask::ListPlans => self.site.plans().await.map(|plans| value(&plans)).map_err(site_failure),
            Ask::DiscardPlan { plan } => {
                content_desk::discard(&self.site, plan).await.map(|plan| value(&plan))
            }
            Ask::Progress => Ok(value(&self.site.progress().snapshot())),
            Ask::Watch { package } => self.watch(package, events).await,
            Ask::SiteTree => self.tree().await.map(|tree| value(&tree)),
            Ask::LeaveSite => self.site.leave().await.map(|left| value(&left)).map_err(site_failure),
            Ask::RemoveSite { site } => sites_desk::remove(&self.site, site).await.map(|gone| value(&gone)),
            Ask::BackUp { file } => sites_desk::back_up(&self.site, file).await.map(|made| value(&made)),
            Ask::AuthorityChange => Ok(value(&sites_desk::authority_change(&self.site))),
            Ask::RotateAuthority { within_ms } => {
                let within = within_ms.map(Duration::from_millis);
                let change = sites_desk::rotate_authority(&self.site, within).await?;
                running::admin_service::write_ca(&self.data, &self.site.shared_trust())?;
                Ok(value(&change))
            }
            Ask::CheckLibrary => {
                library::check(Arc::clone(self.site.library()), events).await.map(|c| value(&c))
            }
            Ask::StatLibrary => library::stat(Arc::clone(self.site.library())).await.map(|s| value(&s)),
            Ask::CleanLibrary { grace_ms } => {
                health_desk::clean_site(&self.site, grace_ms).await.map(|tidied| value(&tidied))
            }
            Ask::RepairLibrary => health_desk::mend_site(&self.site).await.map(|mended| value(&mended)),
            Ask::RollBack { package, version } => {
                health_desk::roll_back(&self.site, package, version).await.map(|done| value(&done))
            }
        }
    }
}

/// A document of plain data.
pub(super) fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).expect("answers are plain data with text keys")
}

/// Sends an event from a blocking thread; false when the caller is gone.
pub(crate) fn put(events: &Events, of: &impl Serialize) -> bool {
    events.blocking_send(value(of)).is_ok()
}

/// What the provider refuses or fails, as commands report it.
fn operation_failure(error: OperationError) -> Failure {
    let kind = match error.kind {
        ErrorKind::NotFound => Kind::NotFound,
        ErrorKind::Refused => Kind::Refused,
        ErrorKind::Invalid => Kind::Usage,
        ErrorKind::Failed => Kind::Failed,
    };
    let mut failure = Failure::new(kind, format!("{}: {}", error.code, error.message));
    failure.hints.extend(error.hint);
    failure
}

/// What the site refuses or fails, as commands report it.
pub(crate) fn site_failure(error: SiteError) -> Failure {
    let kind = match error.exit_code() {
        2 => Kind::Usage,
        4 => Kind::NotFound,
        6 => Kind::Refused,
        _ => Kind::Failed,
    };
    let mut failure = Failure::new(kind, crate::failure::chain(&error));
    failure.hints.extend(error.hint());
    failure
}

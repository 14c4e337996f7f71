//! The one entry: an operation in, an answer out.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use restock_names::{Clock, SiteCode, Timestamp, Zone};
use restock_sitedb::request::Answered;
use restock_sitedb::{Database, Tx};

use crate::account::SealingKey;
use crate::{
    Answer, Call, Caller, ErrorKind, Operation, OperationError, ProviderConfig, audit, distribution,
    ownership, packages, refreshing, sources, views,
};

/// The longest request id.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// Performs operations on one site's database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Provider {
    pub(crate) database: Database,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) own_folders: Arc<[PathBuf]>,
    pub(crate) config: Arc<ProviderConfig>,
    pub(crate) zone: Arc<Zone>,
    /// Under which NTLM secrets are sealed.
    pub(crate) sealing: Option<SealingKey>,
    /// Read once: a site's code never changes.
    pub(crate) site: Arc<OnceLock<SiteCode>>,
}

/// What an operation may know beside the database.
#[derive(Debug, Clone)]
pub(crate) struct Circumstances {
    pub(crate) now: Timestamp,
    pub(crate) site: SiteCode,
    pub(crate) own_folders: Arc<[PathBuf]>,
    pub(crate) zone: Arc<Zone>,
}

impl Provider {
    /// The provider over `database`. `own_folders` are the site's data, key and log folders, which
    /// no source root may touch.
    pub fn new(database: Database, clock: Arc<dyn Clock>, own_folders: Vec<PathBuf>) -> Self {
        Self::with_config(database, clock, own_folders, ProviderConfig::default())
    }

    pub(crate) fn with_config(
        database: Database,
        clock: Arc<dyn Clock>,
        own_folders: Vec<PathBuf>,
        config: ProviderConfig,
    ) -> Self {
        let zone = Arc::new(config.zone.clone());
        let (own_folders, config) = (own_folders.into(), Arc::new(config));
        Self { database, clock, own_folders, config, zone, sealing: None, site: Arc::default() }
    }

    /// The same with the key under which NTLM secrets are sealed; without it none is made.
    #[must_use]
    pub fn with_sealing_key(mut self, key: SealingKey) -> Self {
        self.sealing = Some(key);
        self
    }

    /// Performs `operation`.
    ///
    /// A change is durable and visible to every later call when this returns `Ok`; a caller that
    /// stops waiting does not undo it. Errors: see [`OperationError`]; nothing was changed then,
    /// except after `DATABASE_COMMIT` on a server that was lost, where it is unknown.
    pub async fn perform(&self, call: &Call, operation: Operation) -> Result<Answer, OperationError> {
        let name = operation.name();
        let (now, own_folders) = (self.clock.now(), Arc::clone(&self.own_folders));
        let zone = Arc::clone(&self.zone);
        if !operation.is_change() {
            return self
                .database
                .read(name, move |tx| {
                    Box::pin(async move {
                        let circumstances = circumstances(tx, now, own_folders, zone).await?;
                        look(tx, &circumstances, operation).await
                    })
                })
                .await;
        }
        let id = call.request_id.clone();
        if let Some(id) = &id {
            check_request_id(id)?;
        }
        let (subject, caller) = (audit::Subject::of(&operation), audit::caller_of(call));
        let (subject_within, caller_within) = (subject.clone(), caller.clone());
        let result: Result<Answer, OperationError> = self
            .database
            .transact(name, move |tx| {
                Box::pin(async move {
                    let circumstances = circumstances(tx, now, own_folders, zone).await?;
                    let before = audit::digest_of(tx, subject_within.path()).await?;
                    let (answer, is_repeated) = match id {
                        Some(id) => change_once(tx, &circumstances, &id, operation).await?,
                        None => (change(tx, &circumstances, operation).await?, false),
                    };
                    if !is_repeated {
                        let subject = match &answer {
                            Answer::Package(row) => subject_within.made(row.package),
                            _ => subject_within,
                        };
                        let kept = subject.kept(0, before);
                        audit::keep(tx, circumstances.site, now, &caller_within, &kept).await?;
                    }
                    Ok(answer)
                })
            })
            .await;
        if let Err(error) = &result {
            self.keep_refusal(caller, subject, audit::result_of(error)).await;
        }
        let user = call.user.as_str();
        match &result {
            Ok(_) => tracing::info!(target: "smsprov", operation = name, user, "performed"),
            Err(error) => tracing::info!(target: "smsprov", operation = name, user, %error, "refused"),
        }
        result
    }
}

impl Provider {
    /// Keeps a refused operation in the audit trail.
    async fn keep_refusal(&self, caller: Caller, subject: audit::Subject, code: u32) {
        let now = self.clock.now();
        let kept: Result<(), OperationError> = self
            .database
            .transact("audit_refusal", move |tx| {
                Box::pin(async move {
                    let Some(site) = tx.site().await? else { return Ok(()) };
                    Ok(audit::keep(tx, site.code, now, &caller, &subject.kept(code, None)).await?)
                })
            })
            .await;
        if let Err(error) = kept {
            tracing::error!(target: "smsprov", %error, "a refusal could not be kept in the audit trail");
        }
    }
}

async fn circumstances(
    tx: &mut Tx,
    now: Timestamp,
    own_folders: Arc<[PathBuf]>,
    zone: Arc<Zone>,
) -> Result<Circumstances, OperationError> {
    let site = tx.site().await?.ok_or_else(OperationError::site_incomplete)?;
    Ok(Circumstances { now, site: site.code, own_folders, zone })
}

pub(crate) fn check_request_id(id: &str) -> Result<(), OperationError> {
    let is_fit = (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    if is_fit {
        return Ok(());
    }
    Err(OperationError::invalid(
        "REQUEST_ID_INVALID",
        format!("a request id has 1-{REQUEST_ID_BYTES_MAX} printable ASCII characters without spaces"),
    ))
}

/// Performs a change unless a request of this id was carried out before; says whether it was.
async fn change_once(
    tx: &mut Tx,
    circumstances: &Circumstances,
    id: &str,
    operation: Operation,
) -> Result<(Answer, bool), OperationError> {
    let text = serde_json::to_string(&operation).map_err(|error| broken(&error))?;
    if let Some(answered) = tx.answered(id).await? {
        if answered.operation != text {
            let message = format!("request id {id:?} was used for another operation");
            return Err(OperationError::refused("REQUEST_ID_REUSED", message).hint("a fresh request id"));
        }
        let answer = serde_json::from_str(&answered.answer).map_err(|error| broken(&error))?;
        return Ok((answer, true));
    }
    let answer = change(tx, circumstances, operation).await?;
    let kept =
        Answered { operation: text, answer: serde_json::to_string(&answer).map_err(|error| broken(&error))? };
    tx.insert_answered(id, &kept, circumstances.now).await?;
    Ok((answer, false))
}

fn broken(error: &serde_json::Error) -> OperationError {
    OperationError::new(ErrorKind::Failed, "ANSWER_BROKEN", format!("a kept answer cannot be read: {error}"))
}

async fn change(tx: &mut Tx, at: &Circumstances, operation: Operation) -> Result<Answer, OperationError> {
    match operation {
        Operation::CreatePackage(new) => packages::create(tx, at, new).await.map(Answer::Package),
        Operation::SetPackage(change) => packages::set_here(tx, at, change).await.map(Answer::Changed),
        Operation::DeletePackage { package } => packages::delete(tx, at, package).await.map(Answer::Deleted),
        Operation::RefreshPkgSource { package } => {
            refreshing::refresh_pkg_source(tx, at, package).await.map(Answer::Refresh)
        }
        Operation::CancelRefresh { package } => {
            refreshing::cancel_refresh(tx, at, package).await.map(Answer::Cancelled)
        }
        Operation::SetSourceSite { package, site } => {
            ownership::set_here(tx, at, package, site).await.map(Answer::Owner)
        }
        Operation::AdoptPackage { package } => {
            ownership::adopt_here(tx, at, package).await.map(Answer::Owner)
        }
        Operation::AddDistributionPoints { package, points } => {
            distribution::add(tx, at, package, points).await.map(Answer::Targets)
        }
        Operation::RemoveDistributionPoints { package, points } => {
            distribution::remove(tx, at, package, points).await.map(Answer::Targets)
        }
        Operation::Redistribute { package, points } => {
            distribution::redistribute(tx, at, package, points).await.map(Answer::Targets)
        }
        Operation::CancelDistribution { package, points } => {
            distribution::cancel(tx, at, package, points).await.map(Answer::Targets)
        }
        Operation::AddSourceRoot(new) => sources::add(tx, at, new).await.map(Answer::SourceRoot),
        Operation::RemoveSourceRoot { name } => sources::remove(tx, &name).await.map(Answer::SourceRoot),
        other => look(tx, at, other).await,
    }
}

async fn look(tx: &mut Tx, at: &Circumstances, operation: Operation) -> Result<Answer, OperationError> {
    match operation {
        Operation::ListPackages => views::packages(tx, at).await.map(Answer::Packages),
        Operation::ShowPackage { package } => views::package(tx, at, package).await.map(Answer::Package),
        Operation::Status { package } => views::status(tx, at, package).await.map(Answer::Status),
        Operation::History { package } => views::history(tx, package).await.map(Answer::History),
        Operation::Messages { package, after, limit } => {
            views::messages(tx, package, after, limit).await.map(Answer::Messages)
        }
        Operation::ListPoints => views::points(tx, at).await.map(Answer::Points),
        Operation::ListSourceRoots => sources::list(tx).await.map(Answer::SourceRoots),
        Operation::ListLoops => views::loops(tx).await.map(Answer::Loops),
        Operation::ShowSite => views::site(tx).await.map(Answer::Site),
        change => Err(OperationError::invalid("OPERATION", format!("{} is a change", change.name()))),
    }
}

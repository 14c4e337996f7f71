//! What a distribution point answers: who it is, its library.

use std::path::PathBuf;
use std::sync::Arc;

use restock_content::library::Library;
use restock_dp::DistributionPoint;
use serde_json::Value;

use super::content_desk;
use super::health_desk;
use super::listener::{Desk, Events};
use super::protocol::{Ask, Hello};
use super::site_desk::value;
use crate::config::Role;
use crate::failure::Failure;
use crate::running::{self, library};

/// The desk of one running distribution point.
#[derive(Debug)]
pub(crate) struct DpDesk {
    pub(crate) point: Arc<DistributionPoint>,
    pub(crate) library: Arc<Library>,
    pub(crate) data: PathBuf,
    pub(crate) site_code: restock_names::SiteCode,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) metrics: Option<String>,
}

impl DpDesk {
    pub(crate) fn hello(&self) -> Hello {
        Hello {
            role: Role::Dp,
            software: running::SOFTWARE.to_owned(),
            pid: std::process::id(),
            data_dir: self.data.clone(),
            site_code: self.site_code,
            name: Some(self.name.clone()),
            url: self.url.clone(),
            metrics: self.metrics.clone(),
            admin_service: None,
            is_connected: Some(self.point.is_connected()),
            stale_since: self.point.stale_since(),
        }
    }
}

impl Desk for DpDesk {
    async fn answer(
        &self,
        _user: String,
        _request_id: Option<String>,
        ask: Ask,
        events: Events,
    ) -> Result<Value, Failure> {
        match ask {
            Ask::Hello => Ok(value(&self.hello())),
            Ask::CheckLibrary => library::check(Arc::clone(&self.library), events).await.map(|c| value(&c)),
            Ask::StatLibrary => library::stat(Arc::clone(&self.library)).await.map(|s| value(&s)),
            Ask::CleanLibrary { grace_ms } => {
                let cleaner = Arc::clone(self.point.cleaner());
                health_desk::clean_point(cleaner, grace_ms).await.map(|tidied| value(&tidied))
            }
            Ask::RepairLibrary => {
                health_desk::mend_point(&self.point, &self.library).await.map(|mended| value(&mended))
            }
            Ask::ContentRoot(of) => {
                content_desk::root(Arc::clone(&self.library), of).await.map(|root| value(&root))
            }
            Ask::Frames { digests } => {
                let library = Arc::clone(&self.library);
                content_desk::frames(library, digests, events).await.map(|count| value(&count))
            }
            Ask::Diff { before, after } => {
                let library = Arc::clone(&self.library);
                content_desk::diff(library, before, after, events).await.map(|end| value(&end))
            }
            Ask::Perform(_)
            | Ask::Administer(_)
            | Ask::VerifyAudit { .. }
            | Ask::ExportAudit
            | Ask::Objects(_)
            | Ask::CreateToken { .. }
            | Ask::CreateContentToken { .. }
            | Ask::Files { .. }
            | Ask::Plan { .. }
            | Ask::ApplyPlan { .. }
            | Ask::ListPlans
            | Ask::DiscardPlan { .. }
            | Ask::Progress
            | Ask::RollBack { .. }
            | Ask::SiteTree
            | Ask::LeaveSite
            | Ask::RemoveSite { .. }
            | Ask::BackUp { .. }
            | Ask::AuthorityChange
            | Ask::RotateAuthority { .. }
            | Ask::Watch { .. } => {
                Err(Failure::usage("this is a distribution point; the request is for a site")
                    .hint("name the site's data folder with --data DIR"))
            }
        }
    }
}

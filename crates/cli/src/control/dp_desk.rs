//! What a distribution point answers: who it is, its library.

use std::path::PathBuf;
use std::sync::Arc;

use restock_content::library::Library;
use restock_dp::DistributionPoint;
use serde_json::Value;

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
            Ask::Perform(_)
            | Ask::Administer(_)
            | Ask::VerifyAudit { .. }
            | Ask::ExportAudit
            | Ask::Objects(_)
            | Ask::CreateToken { .. }
            | Ask::Files { .. }
            | Ask::Progress
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

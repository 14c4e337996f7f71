//! The AdminService of a running site: certificate, listeners, and where they are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use restock_frontdoor::{
    CertificateError, Certificates, DoorConfig, Doors, ListenerConfig, ManagementDoor, Presented, Protection,
};
use restock_names::{Clock, SystemClock, Timestamp};
use restock_provider::account::{Accounts, BackOffLimits};
use restock_transfer::{DoorCertificate, SiteTrust};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::SiteSettings;
use crate::control::{AdminServiceAt, SiteDesk};
use crate::data_folder::DataFolder;
use crate::failure::{Failure, Kind};
use crate::output::shown_path;

/// The CA's certificate, which clients need, as it lies in the data folder.
const CA_FILE: &str = "ca.pem";

#[derive(Debug)]
struct SiteCertificates(DoorCertificate);

impl Certificates for SiteCertificates {
    fn server_config(&self, now: Timestamp) -> Result<Presented, CertificateError> {
        let (config, hash) = self.0.server_config(now).map_err(|error| CertificateError(Box::new(error)))?;
        Ok(Presented { config, certificate_hash: hash.0.to_vec() })
    }
}

/// Starts the listeners that are configured; `None` when there is none.
///
/// The CA's certificate is written to the data folder, readable by everybody: it is no secret.
pub(crate) async fn start(
    folder: &DataFolder,
    settings: &SiteSettings,
    desk: &SiteDesk,
    tracker: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<Option<AdminServiceAt>, Failure> {
    let section = &settings.admin_service;
    if section.listen.is_none() && section.http_listen.is_none() {
        return Ok(None);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let trust = desk.site().shared_trust();
    let ca_file = write_ca(folder.path(), &trust)?;
    let host = settings.provider.host();
    let names = section.all_names(&host);
    let mut listeners = Vec::new();
    if let Some(address) = section.listen {
        let certificate = DoorCertificate::open(Arc::clone(&trust), &names, clock.now()).map_err(|e| {
            Failure::caused(Kind::Failed, "cannot make the certificate of the AdminService", &e)
                .hint("names in the section [admin_service] of restock.toml are DNS names or IP addresses")
        })?;
        let protection = Protection::Tls(Arc::new(SiteCertificates(certificate)));
        listeners.push(ListenerConfig { address, protection, doors: Doors::ALL });
    }
    if let Some(address) = section.http_listen {
        listeners.push(ListenerConfig { address, protection: Protection::None, doors: Doors::ALL });
    }
    let config = DoorConfig {
        listeners,
        names,
        origins: section.origins.clone(),
        everything_is_404: settings.compatibility.everything_is_404,
        limits: section.limits(),
    };
    let accounts =
        Accounts::new(desk.site().database().clone(), Arc::clone(&clock), BackOffLimits::default())
            .map_err(|e| Failure::caused(Kind::Failed, "cannot prepare signing in", &e))?;
    let provider = desk.provider().clone();
    let door =
        ManagementDoor::start(config, provider, accounts, clock, tracker, shutdown).await.map_err(|e| {
            Failure::caused(Kind::Failed, "cannot start the AdminService", &e)
                .hint("change listen in the section [admin_service] of restock.toml, or make it empty")
        })?;
    let mut bound = door.addresses().iter();
    let mut url = |scheme: &str, is_there: bool| {
        let address = bound.next().filter(|_| is_there)?;
        let authority = match address.ip().is_unspecified() {
            true => format!("{host}:{}", address.port()),
            false => address.to_string(),
        };
        Some(format!("{scheme}://{authority}/AdminService/"))
    };
    let https = match section.listen {
        Some(_) => url("https", true),
        None => None,
    };
    let http = url("http", section.http_listen.is_some());
    Ok(Some(AdminServiceAt { url: https, http_url: http, ca_file }))
}

/// Keeps the certificates of the site's authorities in the data folder, for clients.
pub(crate) fn write_ca(data: &Path, trust: &SiteTrust) -> Result<PathBuf, Failure> {
    let path = data.join(CA_FILE);
    let pem = trust.authority_pem();
    if std::fs::read_to_string(&path).is_ok_and(|kept| kept == pem) {
        return Ok(path);
    }
    let written = || {
        let temporary = data.join(".ca.pem.new");
        std::fs::write(&temporary, &pem)?;
        std::fs::rename(&temporary, &path)
    };
    written()
        .map_err(|e| Failure::caused(Kind::Failed, format!("cannot write {}", shown_path(&path)), &e))?;
    Ok(path)
}

//! The doors of a running site for management requests: certificate, listeners, and where they are.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use restock_frontdoor::{
    CertificateError, Certificates, DoorConfig, Doors, ListenerConfig, ManagementDoor, Presented, Protection,
};
use restock_names::{Clock, SystemClock, Timestamp};
use restock_provider::account::{Accounts, BackOffLimits, SealingKey};
use restock_transfer::{DoorCertificate, SiteTrust};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{SiteSettings, shared_doors};
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
    let wanted = wanted(settings);
    if wanted.is_empty() {
        return Ok(None);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let trust = desk.site().shared_trust();
    let ca_file = write_ca(folder.path(), &trust)?;
    let host = settings.provider.host();
    let others = [&settings.wsman, &settings.cimom].map(|door| [door.listen, door.http_listen]);
    let names = section.all_names(&host, others.as_flattened());
    let mut certificate: Option<Arc<SiteCertificates>> = None;
    if wanted.iter().any(|wanted| wanted.is_tls) {
        let made = DoorCertificate::open(Arc::clone(&trust), &names, clock.now()).map_err(|e| {
            Failure::caused(Kind::Failed, "cannot make the certificate of the AdminService", &e)
                .hint("names in the section [admin_service] of restock.toml are DNS names or IP addresses")
        })?;
        certificate = Some(Arc::new(SiteCertificates(made)));
    }
    let listener = |wanted: &Wanted| {
        let protection = match &certificate {
            Some(certificate) if wanted.is_tls => {
                let certificates: Arc<dyn Certificates> = Arc::<SiteCertificates>::clone(certificate);
                Protection::Tls(certificates)
            }
            _ if wanted.is_sealed => Protection::Sealed,
            _ => Protection::None,
        };
        ListenerConfig { address: wanted.address, protection, doors: wanted.doors }
    };
    let listeners = wanted.iter().map(listener).collect();
    let config = DoorConfig {
        listeners,
        names,
        origins: section.origins.clone(),
        everything_is_404: settings.compatibility.everything_is_404,
        limits: section.limits(),
        kerberos: super::kerberos::open(&settings.kerberos)?,
    };
    let accounts =
        Accounts::new(desk.site().database().clone(), Arc::clone(&clock), BackOffLimits::default())
            .map_err(|e| Failure::caused(Kind::Failed, "cannot prepare signing in", &e))?;
    let key = trust.sealing_key();
    let key = key.map_err(|e| Failure::caused(Kind::Failed, "cannot read the key that seals secrets", &e))?;
    let accounts = accounts.with_sealing_key(SealingKey::new(&key));
    let provider = desk.provider().clone();
    let door =
        ManagementDoor::start(config, provider, accounts, clock, tracker, shutdown).await.map_err(|e| {
            Failure::caused(Kind::Failed, "cannot start the AdminService", &e)
                .hint("change listen in the section [admin_service] of restock.toml, or make it empty")
        })?;
    let mut at = AdminServiceAt { ca_file, ..AdminServiceAt::default() };
    for (wanted, address) in wanted.iter().zip(door.addresses()) {
        let authority = match address.ip().is_unspecified() {
            true => format!("{host}:{}", address.port()),
            false => address.to_string(),
        };
        let url = |path: &str, is_spoken: bool| {
            let scheme = if wanted.is_tls { "https" } else { "http" };
            is_spoken.then(|| format!("{scheme}://{authority}/{path}"))
        };
        if wanted.is_sealed {
            at.wsman_sealed = url("wsman", wanted.doors.wsman);
            continue;
        }
        let [service, wsman, cimom] = match wanted.is_tls {
            true => [&mut at.url, &mut at.wsman, &mut at.cimom],
            false => [&mut at.http_url, &mut at.wsman_http, &mut at.cimom_http],
        };
        for (kept, url) in [
            (service, url("AdminService/", wanted.doors.service)),
            (wsman, url("wsman", wanted.doors.wsman)),
            (cimom, url("cimom", wanted.doors.cimom)),
        ] {
            // A listener of its own, which comes later, is the one to be told.
            *kept = url.or_else(|| kept.take());
        }
    }
    Ok(Some(at))
}

/// A listener that is configured.
struct Wanted {
    address: SocketAddr,
    is_tls: bool,
    /// Sealed bodies alone.
    is_sealed: bool,
    doors: Doors,
}

/// The listeners of all doors: those of the AdminService first.
fn wanted(settings: &SiteSettings) -> Vec<Wanted> {
    let none = Doors { service: false, wsman: false, cimom: false };
    let service = &settings.admin_service;
    let shared = shared_doors(&settings.wsman, &settings.cimom);
    let all = [
        (service.listen, service.http_listen, shared),
        (settings.wsman.listen, settings.wsman.http_listen, Doors { wsman: true, ..none }),
        (settings.cimom.listen, settings.cimom.http_listen, Doors { cimom: true, ..none }),
    ];
    let mut wanted = Vec::new();
    for (tls, plain, doors) in all {
        for (address, is_tls) in [(tls, true), (plain, false)] {
            wanted.extend(address.map(|address| Wanted { address, is_tls, is_sealed: false, doors }));
        }
    }
    // Clients of CIM-XML know no NTLM.
    let doors = Doors { cimom: false, ..shared };
    wanted.extend(service.sealed_listen.map(|address| Wanted {
        address,
        is_tls: false,
        is_sealed: true,
        doors,
    }));
    wanted
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

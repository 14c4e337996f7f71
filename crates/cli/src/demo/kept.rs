//! What `demo --keep` leaves running, as it says so.

use restock_names::{PackageId, SiteCode};
use serde::Serialize;

use super::cast::{Cast, Member, Point};
use super::management::Management;

/// The first line of `--keep --json`.
#[derive(Debug, Serialize)]
pub(super) struct Kept<'a> {
    site_code: SiteCode,
    package_id: PackageId,
    data_dir: String,
    dps: Vec<KeptPoint<'a>>,
    /// Base of the AdminService, and the same without TLS on loopback.
    adminservice: Option<String>,
    adminservice_http: Option<String>,
    /// WS-Management and CIM-XML, with HTTPS, and without on loopback.
    wsman: Option<String>,
    wsman_http: Option<String>,
    cimom: Option<String>,
    cimom_http: Option<String>,
    /// An account that may do everything, at every site.
    user: &'a str,
    password: &'a str,
    /// What clients must trust: the CA's certificate in PEM.
    ca_file: String,
    dp_group_id: &'a str,
    /// With `--sites`: both sites.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sites: Vec<KeptSite<'a>>,
}

#[derive(Debug, Serialize)]
struct KeptSite<'a> {
    site_code: SiteCode,
    data_dir: String,
    adminservice: Option<String>,
    adminservice_http: Option<String>,
    ca_file: Option<String>,
    dps: Vec<KeptPoint<'a>>,
}

#[derive(Debug, Serialize)]
struct KeptPoint<'a> {
    name: &'a str,
    url: &'a str,
}

fn points(all: &[Point], site: SiteCode) -> Vec<KeptPoint<'_>> {
    let own = all.iter().filter(|p| p.site == site);
    own.map(|p| KeptPoint { name: p.name.as_str(), url: &p.url }).collect()
}

impl<'a> Kept<'a> {
    pub(super) fn new(
        cast: &'a Cast,
        data: &std::path::Path,
        management: &'a Management,
        package_id: PackageId,
    ) -> Self {
        let Management { at, user, password, group } = management;
        let site = |member: &Member| {
            let at = member.admin_service.as_ref();
            KeptSite {
                site_code: member.code,
                data_dir: member.data.to_string_lossy().into_owned(),
                adminservice: at.and_then(|at| at.url.clone()),
                adminservice_http: at.and_then(|at| at.http_url.clone()),
                ca_file: at.map(|at| at.ca_file.to_string_lossy().into_owned()),
                dps: points(&cast.points, member.code),
            }
        };
        let sites = match &cast.child {
            Some(child) => vec![site(&cast.site), site(child)],
            None => Vec::new(),
        };
        Self {
            site_code: cast.site.code,
            adminservice: at.url.clone(),
            adminservice_http: at.http_url.clone(),
            wsman: at.wsman.clone(),
            wsman_http: at.wsman_http.clone(),
            cimom: at.cimom.clone(),
            cimom_http: at.cimom_http.clone(),
            user,
            password: password.reveal(),
            ca_file: at.ca_file.to_string_lossy().into_owned(),
            dp_group_id: group,
            package_id,
            data_dir: data.to_string_lossy().into_owned(),
            dps: points(&cast.points, cast.site.code),
            sites,
        }
    }

    pub(super) fn text(&self) -> String {
        let package = self.package_id;
        let mut text = "\nSites and distribution points are left running:\n".to_owned();
        let all = self.dps.iter().chain(self.sites.iter().skip(1).flat_map(|site| &site.dps));
        for point in all {
            text.push_str(&format!("  {}  {}/SMS_DP_SMSPKG$/{package}/\n", point.name, point.url));
        }
        for url in [&self.adminservice, &self.adminservice_http].into_iter().flatten() {
            text.push_str(&format!("  AdminService  {url}\n"));
        }
        for (door, url) in [("WS-Management", &self.wsman), ("CIM-XML", &self.cimom)] {
            if let Some(url) = url {
                text.push_str(&format!("  {door}  {url}\n"));
            }
        }
        for site in self.sites.iter().skip(1) {
            for url in [&site.adminservice, &site.adminservice_http].into_iter().flatten() {
                text.push_str(&format!("  AdminService of {}  {url}\n", site.site_code));
            }
        }
        text.push_str(&format!(
            "  curl --cacert {} -u {}:{} {}wmi/SMS_Package\n",
            self.ca_file,
            self.user,
            self.password,
            self.adminservice.as_deref().unwrap_or_default()
        ));
        text.push_str(&format!(
            "  restock --data {}/site status --watch\nStop with Ctrl-C.\n",
            self.data_dir
        ));
        text
    }
}

//! `restock site init`.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::Arc;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use restock_names::{Clock, SiteCode, SystemClock};
use restock_site::Site;
use restock_sitedb::hierarchy::SiteType;
use restock_transfer::{EnrolmentToken, SiteUrl};
use serde::Serialize;

use super::joining::{self, own_url};
use crate::commands::Session;
use crate::config::SiteSettings;
use crate::control::site_failure;
use crate::data_folder::DataFolder;
use crate::failure::{Failure, Kind};
use crate::output::{Done, shown_path};
use crate::running;

const EXAMPLE: &str = "\
Example:
  restock --data /var/lib/restock site init --code ABC
  restock --data ./try site init --listen 127.0.0.1:0
  restock site init --code DEF --parent restock://abc.example:8720 --token rj1_…
  restock site init --code S01 --type secondary --parent restock://def.example:8720 --token rj1_…";

/// Make a site in the data folder: database, content library, certificate authority, signing key
///
/// With --parent and --token it also joins a hierarchy below the site there, which must be running
/// and has made the token for this site's code. A central site is the top of a hierarchy and has no
/// distribution points; a secondary one stands below a primary and has no AdminService.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Init {
    /// Site code: three letters or digits that no other site has and that never change
    #[arg(long, value_name = "ABC", default_value = "XYZ")]
    code: SiteCode,

    /// What the site is to be
    #[arg(long = "type", value_name = "TYPE", default_value = "primary", value_parser = site_types())]
    site_type: SiteType,

    /// Name that people give the site
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,

    /// Site to stand below: where its link listens
    #[arg(long, value_name = "URL", requires = "token")]
    parent: Option<SiteUrl>,

    /// Token made there by `restock token create CODE --kind site`
    #[arg(long, value_name = "TOKEN", env = "RESTOCK_TOKEN", hide_env_values = true)]
    token: Option<EnrolmentToken>,

    /// Where distribution points connect; port 0: a free port, chosen once and written down
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,

    /// Where the AdminService listens (HTTPS); port 0 as above
    #[arg(long, value_name = "IP:PORT")]
    admin_listen: Option<SocketAddr>,

    /// Where the AdminService also listens without TLS: a loopback address; port 0 as above
    #[arg(long, value_name = "IP:PORT")]
    admin_http: Option<SocketAddr>,

    /// What distribution points and other sites are told to connect to, when it is not the address above
    #[arg(long, value_name = "URL")]
    url: Option<SiteUrl>,

    /// PostgreSQL in place of SQLite in the data folder
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

#[derive(Debug, Serialize)]
struct Made {
    site_code: SiteCode,
    data_dir: String,
    url: String,
    ca_fingerprint: String,
    root_public_key: String,
    site_type: SiteType,
    /// The site it has joined.
    parent: Option<SiteCode>,
}

impl Init {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let folder = session.folder()?;
        folder.expect_free("SITE_EXISTS")?;
        self.check_place()?;
        let mut settings = SiteSettings::default();
        if let Some(listen) = self.listen {
            settings.link.listen = chosen_port(listen)?;
            // Who leaves the one port open has no wish about the other.
            if listen.port() == 0 {
                settings.admin_service.listen = Some(chosen_port(listen)?);
            }
        }
        if let Some(listen) = self.admin_listen {
            settings.admin_service.listen = Some(chosen_port(listen)?);
        }
        if let Some(listen) = self.admin_http {
            if !listen.ip().is_loopback() {
                let text = format!(
                    "{listen} is not a loopback address: without TLS passwords would travel readable"
                );
                return Err(Failure::usage(text).hint("--admin-http 127.0.0.1:0"));
            }
            settings.admin_service.http_listen = Some(chosen_port(listen)?);
        }
        settings.link.url = self.url.map(|u| u.to_string()).unwrap_or_default();
        self.name.clone_into(&mut settings.provider.site_name);
        settings.database.url = self.database.unwrap_or_default();
        folder.create()?;
        let _lock = folder.lock("restock site init")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config = settings.config(folder.path());
        let runtime = running::runtime(1)?;
        let about = restock_site::Made { name: self.name.clone(), ..self.site_type.into() };
        let making = Site::init(&config, self.code, about, Arc::clone(&clock));
        let made = runtime.block_on(making).map_err(site_failure)?;
        // The configuration is last: a folder without it is no site, and init can be tried again.
        folder.write_config(&settings.template())?;
        let parent = match (&self.parent, &self.token) {
            (Some(url), Some(token)) => {
                let own_url = own_url(&settings)?;
                let joining = joining::join(&config, url, token, &own_url, clock);
                let joined = runtime.block_on(joining);
                Some(joined.map_err(|cause| not_joined(&folder, self.code, url, cause))?.parent)
            }
            _ => None,
        };
        let made = Made {
            site_code: made.site,
            data_dir: shown_path(folder.path()),
            url: settings.url(),
            ca_fingerprint: made.ca_fingerprint.to_string(),
            root_public_key: made.root_public_key.to_string(),
            site_type: self.site_type,
            parent,
        };
        let below = parent.map(|parent| format!(" below site {parent}")).unwrap_or_default();
        let text = format!(
            "Site {} is made in {}{below}.\n  Configuration   {}\n  Link            {}\n  CA fingerprint  {}\nNext: restock --data {} site run\n",
            made.site_code,
            made.data_dir,
            shown_path(&folder.config()),
            made.url,
            made.ca_fingerprint,
            made.data_dir,
        );
        Ok(Done::with(&made, text))
    }

    /// Checks what can be checked before anything is made: type and token.
    fn check_place(&self) -> Result<(), Failure> {
        match (self.site_type, &self.parent) {
            (SiteType::Central, Some(_)) => Err(Failure::usage(
                "SITE_TYPE: a central site is the top of its hierarchy and stands below no other site",
            )
            .hint("--type primary, or no --parent")),
            (SiteType::Secondary, None) => Err(Failure::usage(
                "SITE_TYPE: a secondary site stands below a primary one, and none is named",
            )
            .hint(format!("restock token create {} --kind site, at that site", self.code))
            .hint("--parent URL --token TOKEN")),
            _ => match &self.token {
                Some(token) if self.parent.is_some() => joining::check_token(token, self.code),
                _ => Ok(()),
            },
        }
    }
}

/// The site was made, and joining failed: what is there, and how to go on.
fn not_joined(folder: &DataFolder, code: SiteCode, url: &SiteUrl, cause: Failure) -> Failure {
    let next = format!("restock --data {} site join --parent {url} --token TOKEN", shown_path(folder.path()));
    let message = format!("site {code} is made and has not joined: {}", cause.message);
    let mut failure = Failure { kind: Kind::Partly, message, ..cause };
    failure.hints.push(next);
    failure
}

/// Reads a type of site, and names all of them in the help.
fn site_types() -> impl TypedValueParser<Value = SiteType> {
    let words = [SiteType::Central, SiteType::Primary, SiteType::Secondary].map(SiteType::as_str);
    PossibleValuesParser::new(words).try_map(|word| word.parse::<SiteType>())
}

/// Ports that are chosen for good: below those the kernel gives to outgoing connections, so that one
/// of these is not in the way when the listener starts again.
const PORTS: Range<u16> = 10_240..32_768;
const PORT_TRIES: usize = 64;

/// The address with a free port in place of port 0.
pub(crate) fn chosen_port(listen: SocketAddr) -> Result<SocketAddr, Failure> {
    if listen.port() != 0 {
        return Ok(listen);
    }
    let random = || RandomState::new().build_hasher().finish();
    let count = u64::from(PORTS.end - PORTS.start);
    let tries = std::iter::repeat_with(|| {
        PORTS.start + u16::try_from(random() % count).expect("less than the number of ports")
    });
    let free = tries
        .take(PORT_TRIES)
        .map(|port| SocketAddr::new(listen.ip(), port))
        .find(|address| TcpListener::bind(address).is_ok());
    match free {
        Some(address) => Ok(address),
        None => TcpListener::bind(listen)
            .and_then(|l| l.local_addr())
            .map_err(|e| Failure::caused(Kind::Failed, format!("cannot listen on {listen}"), &e)),
    }
}

#[cfg(test)]
mod tests {
    use super::{PORTS, chosen_port};

    #[test]
    fn a_chosen_port_is_free_and_not_one_of_outgoing_connections() {
        let chosen = chosen_port("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(PORTS.contains(&chosen.port()));
        let named = "127.0.0.1:8720".parse().unwrap();
        assert_eq!(chosen_port(named).unwrap(), named);
        assert!(chosen_port("192.0.2.1:0".parse().unwrap()).is_err(), "an address of another machine");
    }
}

//! The prepared image: seven sites that know each other, made once and copied for each run.
//!
//! The sites join each other as production does; only here a socket is used.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use restock_content::statement::PublicKey;
use restock_names::{Clock, DistributionPointName, SiteCode};
use restock_site::{Made, RetryPolicy, Site, SiteConfig, TokenKind};
use restock_sitedb::DatabaseError;
use restock_sitedb::hierarchy::SiteType;
use restock_transfer::SiteUrl;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::clock::{NodeClock, Time};
use crate::error::SimulateError;

/// A site of the hierarchy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) code: &'static str,
    pub(crate) site_type: SiteType,
    /// The index of the site above.
    pub(crate) parent: Option<usize>,
    /// How many distribution points it has.
    pub(crate) points: usize,
}

const fn plan(code: &'static str, site_type: SiteType, parent: Option<usize>, points: usize) -> Plan {
    Plan { code, site_type, parent, points }
}

/// A central site, two primaries, four secondaries, thirty distribution points.
pub(crate) const PLAN: [Plan; 7] = [
    plan("CEN", SiteType::Central, None, 0),
    plan("PRA", SiteType::Primary, Some(0), 7),
    plan("PRB", SiteType::Primary, Some(0), 7),
    plan("SA1", SiteType::Secondary, Some(1), 4),
    plan("SA2", SiteType::Secondary, Some(1), 4),
    plan("SB1", SiteType::Secondary, Some(2), 4),
    plan("SB2", SiteType::Secondary, Some(2), 4),
];

/// How failed attempts are repeated in simulations: soon, and for longer than a run lasts.
const RETRY: RetryPolicy = RetryPolicy { delay: Duration::from_secs(60), count: 10_000 };

/// How long restored sites wait for their neighbours and points, as production sites do.
pub(crate) const RESTORE_WAIT: Duration = Duration::from_secs(10 * 60);

/// A prepared image.
#[derive(Debug)]
pub struct Image {
    folder: TempDir,
    /// The root keys of the sites, as their neighbours pinned them.
    pub(crate) roots: Vec<PublicKey>,
}

/// The code of a planned site.
pub(crate) fn code(index: usize) -> SiteCode {
    PLAN[index].code.parse().expect("the plan's codes are site codes")
}

/// The names and sites of all distribution points.
pub(crate) fn points() -> Vec<(DistributionPointName, usize)> {
    let of_site = |(index, plan): (usize, &Plan)| {
        let name = move |number: usize| format!("{}-DP{number}", PLAN[index].code);
        (1..=plan.points)
            .map(move |number| (name(number).parse().expect("the plan's names are names of points"), index))
            .collect::<Vec<_>>()
    };
    PLAN.iter().enumerate().flat_map(of_site).collect()
}

/// The text of the key's fingerprint under which a point is enrolled.
pub(crate) fn fingerprint(name: &DistributionPointName) -> String {
    blake3::hash(name.as_str().as_bytes()).to_hex().to_string()
}

/// How a site in `folder` is configured.
pub(crate) fn config(folder: PathBuf) -> SiteConfig {
    let mut config = SiteConfig::new(folder);
    config.link_listen = ([127, 0, 0, 1], 0).into();
    config.refresh_retry = RETRY;
    config.transfer_retry = RETRY;
    config.restore_wait = RESTORE_WAIT;
    config.packages_at_once = 1;
    config.threads = 1;
    config
}

/// Where simulations lie: in memory when the machine has such a folder.
pub(crate) fn scratch() -> Result<TempDir, SimulateError> {
    let memory = Path::new("/dev/shm");
    let builder = || tempfile::Builder::new().prefix("restock-simulate-").to_owned();
    let made = if memory.is_dir() { builder().tempdir_in(memory) } else { builder().tempdir() };
    made.map_err(SimulateError::Folder)
}

impl Image {
    /// Makes the image.
    ///
    /// Errors: I/O, keys, the database.
    pub async fn prepare() -> Result<Self, SimulateError> {
        let folder = scratch()?;
        let clock: Arc<dyn Clock> = NodeClock::new(&Time::default(), 0);
        let wanted: Vec<Wanted> = (0..PLAN.len())
            .map(|index| Wanted {
                code: code(index),
                site_type: PLAN[index].site_type,
                parent: PLAN[index].parent,
            })
            .collect();
        let sites = make_sites(folder.path(), &wanted, &clock).await?;
        for (name, site) in points() {
            let (key, now) = (fingerprint(&name), clock.now());
            let enrolled: Result<(), DatabaseError> = sites[site]
                .database()
                .transact("enrol", move |tx| {
                    Box::pin(async move { tx.enrol_point(&name, &key, now, now).await })
                })
                .await;
            enrolled?;
        }
        let roots = sites.iter().map(|site| site.shared_trust().key_list().root).collect();
        for site in &sites {
            site.close().await;
        }
        Ok(Self { folder, roots })
    }

    /// Copies the sites into `target`.
    pub(crate) fn copy_to(&self, target: &Path) -> Result<(), SimulateError> {
        copy_folder(self.folder.path(), target).map_err(SimulateError::Folder)
    }
}

/// Copies a folder with everything in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A site to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) code: SiteCode,
    pub(crate) site_type: SiteType,
    /// The index of the site above, which comes before it.
    pub(crate) parent: Option<usize>,
}

/// Makes and opens sites below `folder`, each in a folder named by its code, and lets them join each
/// other. They do not run.
pub(crate) async fn make_sites(
    folder: &Path,
    wanted: &[Wanted],
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Site>, SimulateError> {
    let mut sites: Vec<Site> = Vec::with_capacity(wanted.len());
    for group in wanted.chunk_by(|a, b| a.parent == b.parent) {
        let mut made = Vec::with_capacity(group.len());
        for one in group {
            let config = config(folder.join(one.code.as_str()));
            let lower = one.code.as_str().to_lowercase();
            let facts = Made {
                site_type: one.site_type,
                name: format!("site {}", one.code),
                server_name: format!("{lower}.example"),
            };
            Site::init(&config, one.code, facts, Arc::clone(clock)).await?;
            made.push((one.code, config));
        }
        if let Some(parent) = group.first().and_then(|one| one.parent) {
            enrol(&sites[parent], &made, clock).await?;
        }
        for (_, config) in made {
            sites.push(Site::open(config, Arc::clone(clock)).await?);
        }
    }
    Ok(sites)
}

/// Lets sites join `parent` as production does, over a socket of this machine.
async fn enrol(
    parent: &Site,
    children: &[(SiteCode, SiteConfig)],
    clock: &Arc<dyn Clock>,
) -> Result<(), SimulateError> {
    let stop = CancellationToken::new();
    let joining = async {
        let joined = join(parent, children, clock).await;
        stop.cancel();
        joined
    };
    let (ran, joined) = tokio::join!(parent.run(stop.clone()), joining);
    joined?;
    Ok(ran?)
}

async fn join(
    parent: &Site,
    children: &[(SiteCode, SiteConfig)],
    clock: &Arc<dyn Clock>,
) -> Result<(), SimulateError> {
    let address = parent.listening().await;
    let url = address.to_string().parse().map_err(|_unfit| SimulateError::Image("an address is no URL"))?;
    for (code, config) in children {
        let name = code.as_str().parse().expect("a site code is a name of a point");
        let token = parent.create_token(TokenKind::Site, &name, Duration::from_secs(3600)).await?.token;
        let own: SiteUrl = format!("{}.example:8720", code.as_str().to_lowercase())
            .parse()
            .map_err(|_unfit| SimulateError::Image("a URL of a site is none"))?;
        Site::join(config, &url, &token, &own, Arc::clone(clock)).await?;
    }
    Ok(())
}

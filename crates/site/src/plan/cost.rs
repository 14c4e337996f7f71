//! What each distribution point would fetch and store if a plan were carried out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use restock_content::diff::{Lacking, lacking};
use restock_content::library::{Library, LibraryError};
use restock_content::manifest::{Manifest, ManifestError, ManifestRoot};
use restock_names::{DistributionPointName, SourceVersion};
use restock_sitedb::DatabaseError;
use serde::{Deserialize, Serialize};

use super::Plan;
use crate::refresh::manifest_root;
use crate::site::blocking;
use crate::{Site, SiteError};

/// What one distribution point lacks of a plan. Sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointCost {
    /// Its name.
    pub point: DistributionPointName,
    /// The version it serves; 0 for none.
    pub serving_version: SourceVersion,
    /// Chunks that are not in that version. It may have some of them from other packages.
    pub chunks: u64,
    /// What they take on its disk, with the pages of the manifest.
    pub disk_bytes: u64,
    /// What crosses the link at most: chunks as the site stores them, and pages. Deltas against the
    /// version it serves make it less.
    pub wire_bytes_max: u64,
}

/// The cost of `plan` at every distribution point that has, or is to have, the package.
pub(super) async fn points(site: &Site, plan: &Plan) -> Result<Vec<PointCost>, SiteError> {
    let package = plan.package;
    let found: Result<Vec<(DistributionPointName, SourceVersion, Option<ManifestRoot>)>, DatabaseError> =
        site.database()
            .read("plan_points", move |tx| {
                Box::pin(async move {
                    let mut found = Vec::new();
                    for target in tx.targets_of_package(package).await? {
                        if target.facts.state.is_removal() {
                            continue;
                        }
                        let serving = target.facts.serving;
                        let version = tx.version(package, serving).await?;
                        found.push((target.point, serving, version.as_ref().map(manifest_root)));
                    }
                    Ok(found)
                })
            })
            .await;
    let (found, library, root) = (found?, Arc::clone(site.library()), ManifestRoot::from(plan.root));
    blocking("counting what distribution points lack", move || {
        // Points that serve the same version lack the same.
        let mut costs: BTreeMap<SourceVersion, (Lacking, u64)> = BTreeMap::new();
        let mut rows = Vec::new();
        for (point, serving, held) in found {
            let (lacking, stored) = match costs.entry(serving) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(free) => *free.insert(cost(&library, held, root)?),
            };
            rows.push(PointCost {
                point,
                serving_version: serving,
                chunks: lacking.chunks,
                disk_bytes: lacking.chunk_bytes + lacking.page_bytes,
                wire_bytes_max: stored + lacking.page_bytes,
            });
        }
        rows.sort_by(|a, b| a.point.cmp(&b.point));
        Ok(rows)
    })
    .await
}

/// What a holder of `held` lacks of `wanted`, and the stored bytes of the chunks among it.
fn cost(
    library: &Library,
    held: Option<ManifestRoot>,
    wanted: ManifestRoot,
) -> Result<(Lacking, u64), SiteError> {
    let wanted = Manifest::new(library, wanted);
    let count = |held: Option<&Manifest<'_>>| {
        let mut stored = 0;
        let lacking = lacking(held, &wanted, &mut |digest, length| {
            let known = library.stored_length(digest).ok().flatten();
            stored += u64::from(known.unwrap_or(length));
        })?;
        Ok::<_, ManifestError>((lacking, stored))
    };
    // A version that is not in the library any more tells nothing: everything is counted.
    let counted = held.map(|held| count(Some(&Manifest::new(library, held))));
    match counted {
        Some(Ok(counted)) => Ok(counted),
        _ => Ok(count(None).map_err(LibraryError::from)?),
    }
}

//! Delta frames that several pulls of a version share: made once, sent to each.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use restock_content::delta::DeltaSender;
use restock_content::library::Library;
use restock_content::manifest::ManifestRoot;
use restock_names::Digest;

/// Pairs of versions whose frames are kept.
const PAIRS_MAX: usize = 4;

/// What is known of one pair, once somebody has compared the two.
type Compared = Arc<OnceLock<Option<Arc<DeltaSender>>>>;

/// The pairs of versions that were asked for last.
#[derive(Debug, Default)]
pub(crate) struct Deltas {
    pairs: Mutex<VecDeque<((Digest, Digest), Compared)>>,
}

impl Deltas {
    /// Frames of `wanted` against `base`; `None` when the two cannot be compared here.
    ///
    /// The first caller of a pair compares the manifests, others wait for it.
    pub(crate) fn of(
        &self,
        library: &Library,
        wanted: &ManifestRoot,
        base: &ManifestRoot,
    ) -> Option<Arc<DeltaSender>> {
        let pair = (wanted.digest, base.digest);
        let compared = {
            let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
            let known = pairs.iter().find(|(of, _)| *of == pair).map(|(_, compared)| Arc::clone(compared));
            known.unwrap_or_else(|| {
                let compared = Compared::default();
                pairs.push_back((pair, Arc::clone(&compared)));
                if pairs.len() > PAIRS_MAX {
                    pairs.pop_front();
                }
                compared
            })
        };
        let sender = compared.get_or_init(|| match DeltaSender::new(library, wanted, base) {
            Ok(sender) => Some(Arc::new(sender)),
            Err(error) => {
                tracing::warn!(%error, "no delta frames are made: two versions cannot be compared");
                None
            }
        });
        sender.clone()
    }
}

//! From which neighbour a version is fetched.

use restock_names::SiteCode;
use restock_sitedb::Why;
use restock_sitedb::announced::Announced;
use restock_sitedb::copies::{COPY_STORED, Copy};
use restock_sitedb::hierarchy::{Hierarchy, LinkRow};

use super::Neighbour;

/// After this many failed attempts at one holder another one is tried, if there is any.
const ATTEMPTS_PER_HOLDER: u32 = 3;

/// The neighbour on the way to a site that holds the version: to the one that signed it, the one
/// that owns the package, or any that said it has stored it.
///
/// Errors: no such site can be reached; the reason is shown.
pub(super) fn route(
    hierarchy: &Hierarchy,
    links: &[LinkRow],
    what: &Announced,
    owner: SiteCode,
    copies: &[Copy],
) -> Result<Neighbour, Why> {
    let content = what.version.content;
    let stored = copies.iter().filter(|copy| {
        copy.state == COPY_STORED && (copy.epoch, copy.version) == (content.epoch, content.version)
    });
    let mut hops: Vec<&LinkRow> = Vec::new();
    for holder in [what.signer, owner].into_iter().chain(stored.map(|copy| copy.site)) {
        let hop = hierarchy.next_hop(holder);
        let link = links.iter().find(|link| Some(link.peer) == hop && !link.is_revoked);
        hops.extend(link.filter(|link| !hops.iter().any(|known| known.peer == link.peer)));
    }
    // A holder that is connected comes first; the order among equals stays.
    hops.sort_by_key(|link| link.connected_to.is_none());
    let turn = usize::try_from(what.attempts / ATTEMPTS_PER_HOLDER).unwrap_or(0);
    let Some(link) = hops.get(turn % hops.len().max(1)) else {
        let text = format!("no link leads to a site that holds {content}");
        return Err(Why::new("NO_ROUTE", text).with_fix("restock site tree"));
    };
    Ok(if link.is_above { Neighbour::Above(link.peer) } else { Neighbour::Below(link.peer) })
}

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use restock_names::{ContentVersion, Digest, Epoch, SiteCode, SourceVersion, Timestamp};
    use restock_sitedb::announced::Announced;
    use restock_sitedb::copies::{COPY_STORED, Copy};
    use restock_sitedb::hierarchy::{Hierarchy, LinkRow, STATUS_ACTIVE, SiteRow, SiteType};
    use restock_sitedb::version::Version;

    use super::super::Neighbour;
    use super::route;

    fn code(text: &str) -> SiteCode {
        text.parse().expect("a site code")
    }

    /// TOP above OWN, which has LFT and RGT below it.
    fn hierarchy() -> Hierarchy {
        let site = |site: &str, parent: Option<&str>| SiteRow {
            code: code(site),
            parent: parent.map(code),
            site_type: SiteType::Primary,
            name: String::new(),
            server_name: String::new(),
            url: String::new(),
            software: String::new(),
            root_public_key: String::new(),
            key_list: Vec::new(),
            ca_fingerprint: String::new(),
            status: STATUS_ACTIVE,
        };
        let sites = [
            site("TOP", None),
            site("OWN", Some("TOP")),
            site("LFT", Some("OWN")),
            site("RGT", Some("OWN")),
            site("LOW", Some("LFT")),
        ];
        Hierarchy { own: code("OWN"), sites: sites.into_iter().map(|site| (site.code, site)).collect() }
    }

    fn link(peer: &str, is_connected: bool) -> LinkRow {
        LinkRow {
            peer: code(peer),
            is_above: peer == "TOP",
            fingerprint: String::new(),
            root_public_key: String::new(),
            url: String::new(),
            incarnation: String::new(),
            received: 0,
            acknowledged: 0,
            is_revoked: false,
            connected_to: is_connected.then(|| "process".to_owned()),
            last_seen_at: None,
            joined_at: Timestamp(0),
            why: None,
        }
    }

    fn content() -> ContentVersion {
        let package = "LOW00001".parse().expect("a package ID");
        ContentVersion { package, epoch: Epoch::FIRST, version: SourceVersion(3) }
    }

    fn announced(signer: &str, attempts: u32) -> Announced {
        let version = Version {
            content: content(),
            root: Digest([0; 32]),
            root_length: 1,
            pages: 1,
            entries: 0,
            chunks: 0,
            bytes: 0,
            files: 0,
            bytes_read: 0,
            chunks_new: 0,
            bytes_new: 0,
            published_at: Timestamp(0),
            duration_ms: 0,
        };
        Announced { attempts, ..Announced::new(version, code(signer), Vec::new()) }
    }

    fn copy(site: &str, version: u32) -> Copy {
        let ContentVersion { package, epoch, .. } = content();
        let version = SourceVersion(version);
        Copy { package, site: code(site), epoch, version, state: COPY_STORED, why: None, at: Timestamp(0) }
    }

    #[test]
    fn a_version_is_fetched_on_the_way_to_who_made_it_or_else_to_who_has_it() {
        let links = [link("LFT", true), link("RGT", true), link("TOP", true)];
        let way = |signer: &str, attempts, links: &[LinkRow], copies: &[Copy]| {
            route(&hierarchy(), links, &announced(signer, attempts), code(signer), copies)
                .map_err(|why| why.rule)
        };
        assert_eq!(way("LOW", 0, &links, &[]), Ok(Neighbour::Below(code("LFT"))), "two levels below");
        assert_eq!(way("TOP", 0, &links, &[]), Ok(Neighbour::Above(code("TOP"))));
        // The maker is gone: whoever stored this very version.
        assert_eq!(way("XXX", 0, &links, &[copy("RGT", 2)]), Err("NO_ROUTE".to_owned()));
        let stored = [copy("RGT", 3)];
        assert_eq!(way("XXX", 0, &links, &stored), Ok(Neighbour::Below(code("RGT"))));
        // One that fails again and again is not the only one asked.
        let asked: BTreeMap<u32, Neighbour> =
            (0..8).filter_map(|n| Some((n, way("TOP", n, &links, &stored).ok()?))).collect();
        assert_eq!(asked[&2], Neighbour::Above(code("TOP")));
        assert_eq!(asked[&3], Neighbour::Below(code("RGT")));
        assert_eq!(asked[&6], Neighbour::Above(code("TOP")));
        // Who is connected comes first; a revoked link is none.
        let down = [link("RGT", true), link("TOP", false)];
        assert_eq!(way("TOP", 0, &down, &stored), Ok(Neighbour::Below(code("RGT"))));
        let revoked = [LinkRow { is_revoked: true, ..link("TOP", true) }];
        assert_eq!(way("TOP", 0, &revoked, &[]), Err("NO_ROUTE".to_owned()));
    }
}

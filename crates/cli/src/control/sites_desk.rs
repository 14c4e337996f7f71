//! What a site answers about its hierarchy.

use std::path::Path;
use std::time::Duration;

use restock_names::{HumanDuration, SiteCode};
use restock_site::{LinkState, Site};
use restock_sitedb::hierarchy::{STATUS_ACTIVE, STATUS_DELETED, STATUS_RECOVERING, SiteType};
use restock_transfer::Rotation;

use super::site_desk::site_failure;
use super::site_rows::{AuthorityChange, BackedUp, LinkNow, SiteRemoved, SiteTree, TreeRow};
use crate::failure::{Failure, Kind};
use crate::output::shown;

/// The hierarchy as `site` sees it.
pub(super) async fn tree(site: &Site) -> Result<SiteTree, Failure> {
    let tree = site.tree().await.map_err(site_failure)?;
    let parent = tree.rows.iter().find(|row| row.is_own).and_then(|row| row.parent);
    let rows = tree.rows.into_iter().map(|row| TreeRow {
        site_code: row.code,
        parent: row.parent,
        // The site itself takes no other number.
        site_type: SiteType::of_number(row.site_type).unwrap_or(SiteType::Primary),
        name: row.name,
        url: row.url,
        software: row.software,
        status: status_word(row.status),
        link: match row.link {
            LinkState::Own | LinkState::Beyond => None,
            state => Some(LinkNow {
                is_above: parent == Some(row.code),
                is_connected: state == LinkState::Connected,
                is_revoked: state == LinkState::Revoked,
                last_seen_at: row.last_seen_at,
                backlog: row.backlog_objects,
                lag_seconds: row.lag_seconds,
            }),
        },
        packages_behind: row.packages_behind,
        why: row.why,
    });
    Ok(SiteTree { site_code: site.code(), sites: rows.collect() })
}

fn status_word(status: u32) -> String {
    match status {
        STATUS_ACTIVE => "active".to_owned(),
        STATUS_DELETED => "deleted".to_owned(),
        STATUS_RECOVERING => "recovering".to_owned(),
        other => format!("status {other}"),
    }
}

/// What the site is.
pub(crate) async fn type_of(site: &Site) -> Result<SiteType, Failure> {
    site.site_type().await.map_err(site_failure)
}

/// Checks that a site of its type may give a token for a distribution point.
pub(super) async fn check_has_points(site: &Site) -> Result<(), Failure> {
    if type_of(site).await? != SiteType::Central {
        return Ok(());
    }
    let text = format!("SITE_TYPE: {} is a central site and has no distribution points", site.code());
    Err(Failure::refused(text).hint("restock token create NAME, at a primary or secondary site below it"))
}

/// Checks that a site of this code may come to stand below this one; its name for the token.
pub(super) async fn check_below(site: &Site, name: &str) -> Result<SiteCode, Failure> {
    let code: SiteCode = name.parse().map_err(|e| {
        Failure::caused(Kind::Usage, "NAME_INVALID", &e)
            .hint("restock token create CODE --kind site, with the code of the site that is to join")
    })?;
    if code == site.code() {
        let text = format!("SITE_SELF: {} is this site's own code", shown(name));
        return Err(Failure::refused(text).hint("the code of the site that is to join"));
    }
    if type_of(site).await? == SiteType::Secondary {
        let text = format!("SITE_TYPE: {} is a secondary site, and no site stands below one", site.code());
        return Err(Failure::refused(text).hint("restock token create CODE --kind site, at a primary site"));
    }
    Ok(code)
}

/// Removes and revokes a site directly below.
pub(super) async fn remove(site: &Site, code: SiteCode) -> Result<SiteRemoved, Failure> {
    let known = tree(site).await?.sites.into_iter().any(|row| row.site_code == code);
    if !known {
        return Err(Failure::new(
            Kind::NotFound,
            format!("NOT_FOUND: there is no site {code} in the hierarchy"),
        )
        .hint("restock site tree"));
    }
    if code == site.code() {
        let text = format!("SITE_SELF: {code} is this site itself");
        return Err(Failure::refused(text).hint("restock site leave"));
    }
    let removed = site.remove_site(code).await.map_err(site_failure)?;
    Ok(SiteRemoved { site_code: removed.site, with: removed.with })
}

/// Saves the site in a file.
pub(super) async fn back_up(site: &Site, file: String) -> Result<BackedUp, Failure> {
    let made = site.backup(Path::new(&file)).await.map_err(site_failure)?;
    Ok(BackedUp { site_code: site.code(), file, bytes: made.bytes })
}

/// The shortest time for which two authorities count.
const ROTATION_MIN: Duration = Duration::from_secs(60);

/// Begins to change the site's certificate authority, or tells how far a change is.
pub(super) async fn rotate_authority(
    site: &Site,
    within: Option<Duration>,
) -> Result<AuthorityChange, Failure> {
    let within = within.unwrap_or(Rotation::PERIOD);
    if !(ROTATION_MIN..=Rotation::PERIOD).contains(&within) {
        let (min, max) = (HumanDuration(ROTATION_MIN), HumanDuration(Rotation::PERIOD));
        let text = format!("ROTATION_TIME: two authorities count for at least {min} and at most {max}");
        return Err(Failure::usage(text).hint(format!("--within {}s", Rotation::PERIOD.as_secs())));
    }
    let (trust, now) = (site.shared_trust(), site.clock().now());
    let begun = tokio::task::spawn_blocking(move || trust.begin_rotation(within, now)).await;
    let begun = begun.map_err(|e| Failure::caused(Kind::Failed, "changing the authority", &e))?;
    let change = begun.map_err(|e| Failure::caused(Kind::Failed, "cannot change the authority", &e))?;
    Ok(shown_change(site, &change))
}

/// How far a change of the certificate authority is, when one is under way.
pub(super) fn authority_change(site: &Site) -> Option<AuthorityChange> {
    site.shared_trust().rotation().map(|change| shown_change(site, &change))
}

fn shown_change(site: &Site, change: &Rotation) -> AuthorityChange {
    AuthorityChange {
        site_code: site.code(),
        begun_at: change.begun_at,
        ends_at: change.ends_at,
        oldest: change.oldest.to_string(),
        newest: change.newest.to_string(),
        moved: change.moved.iter().map(ToString::to_string).collect(),
    }
}

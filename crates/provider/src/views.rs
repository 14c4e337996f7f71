//! What is shown: rows as views over the tables.

use std::collections::{HashMap, HashSet};

use restock_cim::schedule::{self, ScheduleToken};
use restock_names::{ExcludeRules, NalPath, PackageId, SiteCode, Zone};
use restock_sitedb::copies::{self, Copy};
use restock_sitedb::hierarchy::{STATUS_DELETED, SiteType};
use restock_sitedb::package::Package;
use restock_sitedb::point::Point;
use restock_sitedb::refresh::{Phase, Refresh};
use restock_sitedb::state::{Columns, Counters, TargetState};
use restock_sitedb::target::Target;
use restock_sitedb::{Tx, message};

use crate::packages::known;
use crate::perform::Circumstances;
use crate::rows::{
    CopyRow, CopyState, LoopRow, MessageRow, PackageRow, PackageStatus, PointRow, RefreshPhase, RefreshState,
    ScheduleRow, SiteRow, SourceFlag, TargetRow, VersionRow,
};
use crate::{OperationError, Why};

const MESSAGES_DEFAULT: u32 = 100;
const MESSAGES_MAX: u32 = 1_000;
const VERSIONS_MAX: u32 = 1_000;

fn package_row(package: Package, refresh: &Refresh, (entries, bytes): (u64, u64)) -> PackageRow {
    let state = match refresh.phase() {
        Phase::Idle => None,
        Phase::Waiting => Some(RefreshPhase::Waiting),
        Phase::Running => Some(RefreshPhase::Running),
        Phase::Retrying => Some(RefreshPhase::Retrying),
        Phase::Failed => Some(RefreshPhase::Failed),
    };
    let action = if package.is_deleting { 3 } else { refresh.action_in_progress() };
    PackageRow {
        package: package.id,
        name: package.name,
        version: package.package_version,
        manufacturer: package.manufacturer,
        language: package.language,
        description: package.description,
        source_path: package.source_path,
        source_flag: SourceFlag::of_number(package.source_flag).unwrap_or(SourceFlag::Unspecified),
        priority: package.priority,
        is_public: package.is_public,
        allow_empty: package.allow_empty,
        link_policy: package.link_policy,
        names_policy: None,
        excludes: ExcludeRules::default(),
        share: None,
        warnings: Vec::new(),
        source_site: package.source_site,
        source_version: package.source_version,
        stored_version: package.stored_version,
        action_in_progress: action,
        created_at: package.created_at,
        last_refresh_at: package.last_refresh_at,
        entries,
        bytes,
        requests: refresh.requested,
        requests_done: refresh.done,
        requests_failed: refresh.failed,
        refresh: state.map(|state| RefreshState {
            state,
            requested_at: refresh.requested_at,
            attempts: refresh.attempts,
            next_attempt: (state == RefreshPhase::Retrying).then_some(refresh.next_attempt),
            why: refresh.why.clone(),
        }),
        is_orphaned: false,
        schedule: None,
    }
}

fn copy_row(copy: Copy) -> CopyRow {
    let state = match copy.state {
        copies::COPY_SENDING => CopyState::Sending,
        copies::COPY_STORED => CopyState::Stored,
        copies::COPY_RETRYING => CopyState::Retrying,
        copies::COPY_FAILED => CopyState::Failed,
        _ => CopyState::Asked,
    };
    CopyRow { site: copy.site, state, version: copy.version, why: copy.why, at: copy.at }
}

async fn totals(tx: &mut Tx, package: &Package) -> Result<(u64, u64), OperationError> {
    let version = tx.version(package.id, package.stored_version).await?;
    Ok(version.map_or((0, 0), |version| (version.entries, version.bytes)))
}

pub(crate) async fn package(
    tx: &mut Tx,
    at: &Circumstances,
    id: PackageId,
) -> Result<PackageRow, OperationError> {
    let (package, refresh) = known(tx, id).await?;
    let (totals, is_orphaned) = (totals(tx, &package).await?, tx.is_orphaned(&package).await?);
    let schedule = tx.schedule(id).await?.filter(|schedule| !schedule.tokens.is_empty());
    let schedule = schedule.map(|schedule| ScheduleRow {
        text: schedule::encode(&schedule.tokens),
        meanings: schedule.tokens.iter().map(|token| meaning(token, &at.zone)).collect(),
        zone: at.zone.name().to_owned(),
        next_at: schedule.next_at,
    });
    let options = tx.package_options(id).await?;
    let (share, warnings) = (tx.package_share(id).await?, tx.package_warnings(id).await?);
    Ok(PackageRow {
        schedule,
        is_orphaned,
        names_policy: Some(options.names_policy),
        excludes: options.excludes,
        share,
        warnings,
        ..package_row(package, &refresh, totals)
    })
}

/// What a token means, with its clock.
fn meaning(token: &ScheduleToken, zone: &Zone) -> String {
    let clock = if token.is_gmt() { "UTC" } else { zone.name() };
    format!("{token} ({clock})")
}

pub(crate) async fn packages(tx: &mut Tx, at: &Circumstances) -> Result<Vec<PackageRow>, OperationError> {
    let mut active: HashSet<SiteCode> = HashSet::from([at.site]);
    active
        .extend(tx.sites().await?.iter().filter(|site| site.status != STATUS_DELETED).map(|site| site.code));
    let refreshes: HashMap<PackageId, Refresh> = tx.refreshes().await?.into_iter().collect();
    let totals: HashMap<PackageId, (u64, u64)> =
        tx.stored_totals().await?.into_iter().map(|(id, entries, bytes)| (id, (entries, bytes))).collect();
    let rows = tx.packages().await?.into_iter().filter(|package| !package.is_deleting);
    Ok(rows
        .filter_map(|package| {
            let id = package.id;
            let refresh = refreshes.get(&id)?;
            let is_orphaned = !active.contains(&package.source_site);
            let row = package_row(package, refresh, totals.get(&id).copied().unwrap_or_default());
            Some(PackageRow { is_orphaned, ..row })
        })
        .collect())
}

pub(crate) async fn status(
    tx: &mut Tx,
    at: &Circumstances,
    id: Option<PackageId>,
) -> Result<Vec<PackageStatus>, OperationError> {
    let points: HashMap<_, Point> =
        tx.points().await?.into_iter().map(|point| (point.name.clone(), point)).collect();
    let of_package = |package: PackageRow, targets: Vec<Target>, copies: Vec<Copy>| {
        let mut counters = Counters::default();
        let targets = targets
            .into_iter()
            .map(|target| {
                let facts = &target.facts;
                let columns = Columns::of(facts.state, facts.serving, package.stored_version, facts.cause);
                counters.add(columns.counted);
                let is_connected = points.get(&target.point).is_some_and(|p| p.connected_to.is_some());
                target_row(target, columns, at.site, is_connected)
            })
            .collect();
        let copies = copies.into_iter().map(copy_row).collect();
        PackageStatus { package, counters, targets, copies }
    };
    if let Some(id) = id {
        let package = tx.package(id).await?.ok_or_else(|| OperationError::unknown_package(id))?;
        let refresh = tx.refresh(id).await?.ok_or_else(|| OperationError::unknown_package(id))?;
        let (totals, is_orphaned) = (totals(tx, &package).await?, tx.is_orphaned(&package).await?);
        let (targets, copies) = (tx.targets_of_package(id).await?, tx.copies_of(id).await?);
        let row = PackageRow { is_orphaned, ..package_row(package, &refresh, totals) };
        return Ok(vec![of_package(row, targets, copies)]);
    }
    let mut targets: HashMap<PackageId, Vec<Target>> = HashMap::new();
    for target in tx.targets().await? {
        targets.entry(target.package).or_default().push(target);
    }
    let mut copies: HashMap<PackageId, Vec<Copy>> = HashMap::new();
    for copy in tx.copies().await? {
        copies.entry(copy.package).or_default().push(copy);
    }
    Ok(packages(tx, at)
        .await?
        .into_iter()
        .map(|package| {
            let targets = targets.remove(&package.package).unwrap_or_default();
            let copies = copies.remove(&package.package).unwrap_or_default();
            of_package(package, targets, copies)
        })
        .collect())
}

fn target_row(target: Target, columns: Columns, own: SiteCode, is_connected: bool) -> TargetRow {
    let site = target.other_site.unwrap_or(own);
    let why = match target.why {
        Some(why) if why.rule == "WAITING_FOR_POINT" && !is_connected => {
            let text = format!("{} is not connected; it gets its job when it is", target.point);
            Some(
                Why::new("POINT_OFFLINE", text)
                    .with_fix(format!("start the distribution point {}", target.point)),
            )
        }
        why => why,
    };
    TargetRow {
        nal_path: NalPath::new(site, &target.point).to_string(),
        point: target.point,
        site,
        state: target.facts.state,
        summarizer_state: columns.summarizer_state,
        package_status: columns.package_status,
        message_state: columns.message_state,
        message_id: columns.message_id,
        point_status: columns.point_status,
        wanted_version: target.facts.wanted,
        serving_version: target.facts.serving,
        last_copied_at: target.last_copied_at,
        attempts: target.facts.attempts,
        next_attempt: target.facts.next_attempt,
        why,
        bytes_received: target.bytes_received,
        is_connected,
    }
}

pub(crate) async fn history(tx: &mut Tx, id: PackageId) -> Result<Vec<VersionRow>, OperationError> {
    let (package, _) = known(tx, id).await?;
    let versions = tx.versions(id, VERSIONS_MAX).await?;
    Ok(versions
        .into_iter()
        .map(|v| VersionRow {
            package: id,
            epoch: v.content.epoch,
            version: v.content.version,
            root: v.root,
            root_length: v.root_length,
            pages: v.pages,
            chunks: v.chunks,
            entries: v.entries,
            bytes: v.bytes,
            files: v.files,
            bytes_read: v.bytes_read,
            bytes_new: v.bytes_new,
            chunks_new: v.chunks_new,
            published_at: v.published_at,
            duration_ms: v.duration_ms,
            is_current: (v.content.epoch, v.content.version) == (package.epoch, package.stored_version),
        })
        .collect())
}

pub(crate) async fn messages(
    tx: &mut Tx,
    id: Option<PackageId>,
    after: Option<i64>,
    limit: Option<u32>,
) -> Result<Vec<MessageRow>, OperationError> {
    if let Some(id) = id
        && tx.package(id).await?.is_none()
    {
        return Err(OperationError::unknown_package(id));
    }
    let limit = limit.unwrap_or(MESSAGES_DEFAULT).clamp(1, MESSAGES_MAX);
    let kept = tx.messages(id, after, limit).await?;
    Ok(kept
        .into_iter()
        .map(|m| MessageRow {
            record: m.record,
            time: m.time,
            message_id: m.id,
            severity: m.severity,
            component: m.component,
            text: message::text(m.id, &m.strings),
            package: m.package,
            site: m.site,
            insertion_strings: m.strings,
            attributes: m.attributes,
        })
        .collect())
}

pub(crate) async fn points(tx: &mut Tx, at: &Circumstances) -> Result<Vec<PointRow>, OperationError> {
    let mut counts: HashMap<_, (u32, u32)> = HashMap::new();
    for target in tx.targets().await? {
        let count = counts.entry(target.point).or_default();
        count.0 += 1;
        count.1 += u32::from(target.facts.state == TargetState::Installed);
    }
    Ok(tx
        .points()
        .await?
        .into_iter()
        .map(|point| {
            let (packages, installed) = counts.get(&point.name).copied().unwrap_or_default();
            PointRow {
                site: point.site.unwrap_or(at.site),
                nal_path: point.nal_path,
                point: point.name,
                is_connected: point.connected_to.is_some(),
                last_seen_at: point.last_seen_at,
                enrolled_at: point.enrolled_at,
                certificate_expires: point.certificate_expires,
                serve_urls: point.serve_urls,
                library_id: point.library_id,
                software: point.software,
                packages,
                installed,
            }
        })
        .collect())
}

pub(crate) async fn loops(tx: &mut Tx) -> Result<Vec<LoopRow>, OperationError> {
    let loops = tx.loops().await?;
    Ok(loops
        .into_iter()
        .map(|l| LoopRow { name: l.name, last_run_at: l.last_run_at, result: l.result, queue: l.queue })
        .collect())
}

pub(crate) async fn site(tx: &mut Tx) -> Result<SiteRow, OperationError> {
    let site = tx.site().await?.ok_or_else(OperationError::site_incomplete)?;
    let known = tx.site_row(site.code).await?;
    Ok(SiteRow {
        site: site.code,
        site_type: known.as_ref().map_or(SiteType::Primary, |known| known.site_type),
        parent: known.and_then(|known| known.parent),
        epoch: site.epoch,
        created_at: site.created_at,
        ca_fingerprint: site.ca_fingerprint,
        root_public_key: site.root_public_key,
    })
}

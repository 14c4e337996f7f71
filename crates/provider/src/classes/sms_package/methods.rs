//! `SMS_Package`: create, Put, delete and its eight methods.

use restock_cim::{Value, schedule};
use restock_names::{PackageId, ShareName, SiteCode};
use restock_sitedb::package::{Properties, SHARE_SPECIFIC};
use restock_sitedb::{Tx, Wake};

use super::super::ids;
use crate::object::{
    MethodAnswer, MethodContext, NamedPoint, ObjectContext, PutContext, PutForm, ResolvedKeys, shown,
};
use crate::packages::known;
use crate::rights::object_types::PACKAGE;
use crate::rights::operations::{CREATE, DELETE, DISTRIBUTE, MODIFY, READ};
use crate::rights::{Securable, settle};
use crate::rows::SourceFlag;
use crate::{NewPackage, PackageChange, Refusal, distribution, ownership, packages, refreshing, sources};

/// Creates a package, or changes one.
pub(crate) async fn put(put: &PutContext, tx: &mut Tx) -> Result<ResolvedKeys, Refusal> {
    let id = if put.form == PutForm::Create { create(put, tx).await? } else { change(put, tx).await? };
    Ok(ResolvedKeys::new(&put.object.class, vec![("PackageID", Value::String(id.to_string()))]))
}

async fn create(put: &PutContext, tx: &mut Tx) -> Result<PackageId, Refusal> {
    let object = &put.object;
    object.require(tx, Securable::Type(PACKAGE), CREATE).await?;
    let new = NewPackage {
        name: put.text("Name").unwrap_or_default(),
        source_path: put.text("PkgSourcePath"),
        source_flag: source_flag(put)?,
        version: put.text("Version"),
        manufacturer: put.text("Manufacturer"),
        language: put.text("Language"),
        description: put.text("Description"),
        priority: put.number("Priority").filter(|priority| *priority != 0),
        ..NewPackage::default()
    };
    let has_path = new.source_path.as_ref().is_some_and(|path| !path.is_empty());
    if let Some(path) = &new.source_path {
        sources::require_scope(tx, &object.caller.rights, CREATE, path).await?;
    }
    let row = packages::create(tx, &object.at, new).await?;
    let id = row.package;
    settle(tx, &object.caller.rights, &Securable::Package(id)).await?;
    let mut properties = Properties::default();
    if has_path {
        properties.source_set_by = object.caller.admin_id;
    }
    set_properties(put, &mut properties)?;
    tx.update_package_properties(id, &properties).await?;
    if let Some(text) = schedule_text(put)? {
        let change = PackageChange { schedule: Some(text), ..PackageChange::of(id) };
        packages::set(tx, &object.at, change).await?;
    }
    if put.flag("RefreshPkgSourceFlag") == Some(true) {
        refreshing::refresh_pkg_source(tx, &object.at, id).await?;
    }
    Ok(id)
}

async fn change(put: &PutContext, tx: &mut Tx) -> Result<PackageId, Refusal> {
    let object = &put.object;
    let Some(keys) = &object.keys else {
        return Err(Refusal::not_found("a package without PackageID"));
    };
    let id = crate::object::package_id(keys.text("PackageID"))?;
    let (before, _) = visible(object, tx, id, READ | MODIFY).await?;
    put.check_partial()?;
    let unknown = || Refusal::not_found(format_args!("package {id}"));
    let mut properties = tx.package_properties(id).await?.ok_or_else(unknown)?;
    put.check_version(&properties.sedo_version)?;
    let source_path = put.text("PkgSourcePath");
    // A whole object carries the path as it was read; a partial one names it to set it.
    let sets_path =
        source_path.as_ref().is_some_and(|path| *path != before.source_path || put.form == PutForm::Partial);
    if let Some(path) = source_path.as_ref().filter(|_| sets_path) {
        sources::require_scope(tx, &object.caller.rights, MODIFY, path).await?;
    }
    let wanted = PackageChange {
        name: put.text("Name"),
        source_path,
        source_flag: source_flag(put)?,
        version: put.text("Version"),
        manufacturer: put.text("Manufacturer"),
        language: put.text("Language"),
        description: put.text("Description"),
        priority: put.number("Priority").filter(|priority| *priority != 0),
        schedule: schedule_text(put)?,
        ..PackageChange::of(id)
    };
    let changed = packages::set(tx, &object.at, wanted).await?;
    if sets_path {
        properties.source_set_by = object.caller.admin_id;
    }
    let share_before = properties.clone();
    set_properties(put, &mut properties)?;
    tx.update_package_properties(id, &properties).await?;
    packages::share_changed(tx, id, &share_before, &properties).await?;
    // A changed path has asked for its one refresh already.
    if put.flag("RefreshPkgSourceFlag") == Some(true) && changed.refresh.is_none() {
        refreshing::refresh_pkg_source(tx, &object.at, id).await?;
    }
    Ok(id)
}

/// The package, if the caller holds `operations` on it.
async fn visible(
    object: &ObjectContext,
    tx: &mut Tx,
    id: PackageId,
    operations: u32,
) -> Result<(restock_sitedb::package::Package, restock_sitedb::refresh::Refresh), Refusal> {
    object.require(tx, Securable::Package(id), operations).await?;
    Ok(known(tx, id).await?)
}

fn source_flag(put: &PutContext) -> Result<Option<SourceFlag>, Refusal> {
    let Some(number) = put.number("PkgSourceFlag") else { return Ok(None) };
    let unfit = || {
        let text = format!("property SMS_Package.PkgSourceFlag: {number} is none of 0 to 4");
        Refusal::provider("RANGE", text)
    };
    SourceFlag::of_number(number).map(Some).ok_or_else(unfit)
}

/// Takes over what no refresh needs; every Put gives a `SedoObjectVersion` of its own.
fn set_properties(put: &PutContext, properties: &mut Properties) -> Result<(), Refusal> {
    fn set<T>(place: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *place = value;
        }
    }
    let p = properties;
    let before = (p.share_name.clone(), p.share_type);
    set(&mut p.share_name, put.text("ShareName"));
    set(&mut p.share_type, put.number("ShareType"));
    set(&mut p.pkg_flags, put.number("PkgFlags"));
    set(&mut p.forced_disconnect_delay, put.number("ForcedDisconnectDelay"));
    set(&mut p.forced_disconnect_enabled, put.flag("ForcedDisconnectEnabled"));
    set(&mut p.forced_disconnect_retries, put.number("ForcedDisconnectNumRetries"));
    set(&mut p.ignore_address_schedule, put.flag("IgnoreAddressSchedule"));
    set(&mut p.isv_string, put.text("ISVString"));
    set(&mut p.mif_filename, put.text("MIFFilename"));
    set(&mut p.mif_name, put.text("MIFName"));
    set(&mut p.mif_publisher, put.text("MIFPublisher"));
    set(&mut p.mif_version, put.text("MIFVersion"));
    set(&mut p.preferred_address_type, put.text("PreferredAddressType"));
    set(&mut p.alternate_content_providers, put.text("AlternateContentProviders"));
    set(&mut p.stored_pkg_path, put.text("StoredPkgPath"));
    let flags = put.value("DefaultImageFlags").and_then(Value::as_integer);
    set(&mut p.default_image_flags, flags.and_then(|flags| i32::try_from(flags).ok()));
    set(&mut p.transform_readiness, put.number("TransformReadiness"));
    set(&mut p.transform_analysis_at, put.time("TransformAnalysisDate"));
    set(&mut p.extended_data, put.bytes("ExtendedData"));
    set(&mut p.isv_data, put.bytes("ISVData"));
    set(&mut p.icon, put.bytes("Icon"));
    if !(1..=2).contains(&p.share_type) {
        let text = format!(
            "property SMS_Package.ShareType: {} is neither 1 (common) nor 2 (specific)",
            p.share_type
        );
        return Err(Refusal::provider("RANGE", text));
    }
    if is_specific(p) && (&before.0, before.1) != (&p.share_name, p.share_type) {
        p.share_name.parse::<ShareName>().map_err(|error| {
            Refusal::provider("NAME_INVALID", format!("property SMS_Package.ShareName: {error}"))
        })?;
    }
    for (name, text) in [
        ("ShareName", &p.share_name),
        ("ISVString", &p.isv_string),
        ("MIFFilename", &p.mif_filename),
        ("MIFName", &p.mif_name),
        ("MIFPublisher", &p.mif_publisher),
        ("MIFVersion", &p.mif_version),
        ("PreferredAddressType", &p.preferred_address_type),
        ("StoredPkgPath", &p.stored_pkg_path),
    ] {
        if text.chars().any(char::is_control) {
            let text = format!("property SMS_Package.{name}: control characters are not allowed");
            return Err(Refusal::provider("NAME_INVALID", text));
        }
    }
    p.sedo_version = ids::guid();
    Ok(())
}

fn is_specific(properties: &Properties) -> bool {
    properties.share_type == SHARE_SPECIFIC
}

/// The text of the schedule that was sent; empty to clear it.
fn schedule_text(put: &PutContext) -> Result<Option<String>, Refusal> {
    let Some(Value::Array(items)) = put.value("RefreshSchedule") else { return Ok(None) };
    let tokens = schedule::from_values(items).map_err(|error| {
        Refusal::provider("SCHEDULE_INVALID", format!("property SMS_Package.RefreshSchedule: {error}"))
    })?;
    Ok(Some(schedule::encode(&tokens)))
}

/// Deletes a package: hidden at once, gone when no distribution point holds it.
pub(crate) async fn delete(object: &ObjectContext, tx: &mut Tx) -> Result<(), Refusal> {
    let id = object.package_key("PackageID")?;
    visible(object, tx, id, READ | DELETE).await?;
    if let Some(properties) = tx.package_properties(id).await? {
        object.check_version(&properties.sedo_version)?;
    }
    packages::delete(tx, &object.at, id).await?;
    Ok(())
}

/// Wakes the loops, which look for work; changes nothing.
pub(crate) async fn add_change_notification(
    call: &MethodContext,
    tx: &mut Tx,
) -> Result<MethodAnswer, Refusal> {
    let id = call.object.package_key("PackageID")?;
    visible(&call.object, tx, id, READ).await?;
    tx.wake(Wake::Refresh);
    tx.wake(Wake::Distribute);
    Ok(MethodAnswer::done())
}

/// Distributes to the points that `SiteCode[i]` and `NALPath[i]` name together; all or nothing.
pub(crate) async fn add_distribution_points(
    call: &MethodContext,
    tx: &mut Tx,
) -> Result<MethodAnswer, Refusal> {
    let object = &call.object;
    let id = object.package_key("PackageID")?;
    visible(object, tx, id, READ).await?;
    let (sites, paths) = (call.texts("SiteCode")?, call.texts("NALPath")?);
    if sites.len() != paths.len() {
        let text =
            format!("SiteCode has {} elements and NALPath {}; they stand in pairs", sites.len(), paths.len());
        return Err(Refusal::provider("PAIRS", text));
    }
    let mut points = Vec::with_capacity(paths.len());
    for (site, path) in sites.iter().zip(&paths) {
        let named = NamedPoint::of_nal(path)?;
        if !site.eq_ignore_ascii_case(named.site.as_str()) {
            let text = format!("site {} has no distribution point {path}", shown(site));
            return Err(Refusal::provider("POINT_UNKNOWN", text));
        }
        points.push(object.named_point(tx, named, DISTRIBUTE).await?);
    }
    distribution::add(tx, &object.at, id, points).await?;
    Ok(MethodAnswer::done())
}

/// Whether another package has this share name of its own.
pub(crate) async fn check_duplicate_share_name(
    call: &MethodContext,
    tx: &mut Tx,
) -> Result<MethodAnswer, Refusal> {
    let except = call.argument("PackageID").as_str().and_then(|id| id.parse().ok());
    let found = tx.packages_with_share(call.text("ShareName")?, except).await?;
    duplicates(call, tx, found).await
}

/// Whether another package reads the same source.
///
/// `SourceSite` narrows the search to packages of that site; the documents call it the package to
/// which the source is to be added, so that a package ID leaves that package out.
pub(crate) async fn check_duplicate_source_name(
    call: &MethodContext,
    tx: &mut Tx,
) -> Result<MethodAnswer, Refusal> {
    let name = call.text("SourceName")?;
    let narrow = call.argument("SourceSite").as_str().unwrap_or_default();
    let (site, except) = (narrow.parse::<SiteCode>().ok(), narrow.parse::<PackageId>().ok());
    let found = tx.packages_with_source(name, site, except).await?;
    duplicates(call, tx, found).await
}

/// The first duplicate that the caller may read; a hidden one is admitted without its name.
async fn duplicates(
    call: &MethodContext,
    tx: &mut Tx,
    found: Vec<restock_sitedb::package::Duplicate>,
) -> Result<MethodAnswer, Refusal> {
    let is_duplicated = !found.is_empty();
    let mut shown = None;
    for duplicate in found {
        let scopes = tx.scopes_of_object(PACKAGE, duplicate.id.as_str()).await?;
        if call.object.caller.rights.may(PACKAGE, READ, &scopes) {
            shown = Some(duplicate);
            break;
        }
    }
    let (name, id, package_type) = match shown {
        Some(found) => (
            Value::String(found.name),
            Value::String(found.id.to_string()),
            Value::Signed(found.package_type.into()),
        ),
        None => (Value::Null, Value::Null, Value::Null),
    };
    Ok(MethodAnswer::with(vec![
        ("IsDuplicated", Value::Boolean(is_duplicated)),
        ("DupPkgName", name),
        ("DupPkgID", id),
        ("DupPkgType", package_type),
    ]))
}

/// Which deployments of task sequences a package's share type does not suit: there are no task
/// sequences at this site, so of a known package none.
pub(crate) async fn check_package_share_for_task_sequence_deployment(
    call: &MethodContext,
    tx: &mut Tx,
) -> Result<MethodAnswer, Refusal> {
    let id = crate::object::package_id(call.text("PackageID")?)?;
    visible(&call.object, tx, id, READ).await?;
    Ok(MethodAnswer::with(vec![
        ("IsValid", Value::Boolean(true)),
        ("InvalidTaskSequenceDeploymentIDs", Value::Array(Vec::new())),
        ("InvalidTaskSequenceDeploymentNames", Value::Array(Vec::new())),
    ]))
}

/// Reads the source again and brings the new version to all distribution points.
pub(crate) async fn refresh_pkg_source(call: &MethodContext, tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    let id = call.object.package_key("PackageID")?;
    call.object.require(tx, Securable::Package(id), READ | MODIFY).await?;
    refreshing::refresh_pkg_source(tx, &call.object.at, id).await?;
    Ok(MethodAnswer::done())
}

/// Makes a site the owner.
pub(crate) async fn set_source_site(call: &MethodContext, tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    let wanted = call.text("SourceSite")?;
    match wanted.parse::<SiteCode>() {
        Ok(site) => own(call, tx, site).await,
        Err(_unfit) => {
            let id = call.object.package_key("PackageID")?;
            visible(&call.object, tx, id, READ | MODIFY).await?;
            let text = format!("package {id}: no site {} is known here", shown(wanted));
            Err(Refusal::provider("SITE_UNKNOWN", text))
        }
    }
}

/// Makes this site the owner.
pub(crate) async fn unlock(call: &MethodContext, tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    own(call, tx, call.object.site()).await
}

/// Makes `site` the owner. Who makes it this one answers for the source path, which is read here
/// from then on, as if they had set it.
async fn own(call: &MethodContext, tx: &mut Tx, site: SiteCode) -> Result<MethodAnswer, Refusal> {
    let object = &call.object;
    let id = object.package_key("PackageID")?;
    let (package, _) = visible(object, tx, id, READ | MODIFY).await?;
    let is_taken_over = site == object.site() && package.source_site != site;
    if is_taken_over && !package.source_path.is_empty() {
        sources::require_scope(tx, &object.caller.rights, MODIFY, &package.source_path).await?;
    }
    ownership::set_source_site(tx, &object.at, id, site).await?;
    if is_taken_over {
        let unknown = || Refusal::not_found(format_args!("package {id}"));
        let mut properties = tx.package_properties(id).await?.ok_or_else(unknown)?;
        properties.source_set_by = object.caller.admin_id;
        tx.update_package_properties(id, &properties).await?;
    }
    Ok(MethodAnswer::done())
}

//! `SMS_DistributionPointGroup`: what belongs to a group, and what follows from it for its members.
//!
//! A package of a group belongs on every member. Whatever changes the lists brings the content
//! with it, or takes it away, unless a flag says that it stays. Content that another group of the
//! same distribution point still asks for is not taken away.

use std::collections::HashSet;

use restock_cim::Value;
use restock_names::{DistributionPointName, PackageId};
use restock_sitedb::Tx;
use restock_sitedb::group::Group;

use super::super::ids;
use crate::object::{MethodAnswer, MethodContext, ObjectContext, PutContext, ResolvedKeys};
use crate::packages::known;
use crate::rights::object_types::GROUP;
use crate::rights::operations::{ASSOCIATE, CREATE, DELETE, DISTRIBUTE, MODIFY, READ};
use crate::rights::{Securable, settle};
use crate::{Refusal, distribution};

const NAME_CHARS_MAX: usize = 255;
const DESCRIPTION_CHARS_MAX: usize = 1_024;
/// Items one call may name.
const ITEMS_MAX: usize = 10_000;
const COLLECTION_ID_CHARS_MAX: usize = 64;

/// Creates a group, or changes its name and description.
pub(crate) async fn put(put: &PutContext, tx: &mut Tx) -> Result<ResolvedKeys, Refusal> {
    let object = &put.object;
    let (now, by) = (object.now(), &object.caller.account);
    let group = match (&object.keys, put.form) {
        (Some(_), form) if form != crate::object::PutForm::Create => {
            let mut group = known_group(object, tx, READ | MODIFY).await?;
            put.check_partial()?;
            group.name = put.text("Name").unwrap_or(group.name);
            group.description = put.text("Description").unwrap_or(group.description);
            group.modified_by = by.clone();
            group.modified_at = now;
            check(tx, &group).await?;
            tx.update_group(&group).await?;
            group
        }
        (None, form) if form != crate::object::PutForm::Create => {
            return Err(Refusal::not_found("a distribution point group without GroupID"));
        }
        _ => {
            object.require(tx, Securable::Type(GROUP), CREATE).await?;
            let group = Group {
                id: ids::guid(),
                name: put.text("Name").unwrap_or_default(),
                description: put.text("Description").unwrap_or_default(),
                source_site: object.site(),
                created_by: by.clone(),
                created_at: now,
                modified_by: by.clone(),
                modified_at: now,
            };
            check(tx, &group).await?;
            tx.insert_group(&group).await?;
            settle(tx, &object.caller.rights, &Securable::Group(group.id.clone())).await?;
            group
        }
    };
    Ok(ResolvedKeys::new(&object.class, vec![("GroupID", Value::String(group.id))]))
}

async fn check(tx: &mut Tx, group: &Group) -> Result<(), Refusal> {
    let is_fit = |text: &str, least: usize, most: usize| {
        (least..=most).contains(&text.chars().count()) && !text.chars().any(|c| c.is_control() && c != '\n')
    };
    if !is_fit(&group.name, 1, NAME_CHARS_MAX) || group.name.contains('\n') {
        let text =
            format!("the name of a group has 1-{NAME_CHARS_MAX} characters without control characters");
        return Err(Refusal::provider("NAME_INVALID", text));
    }
    if !is_fit(&group.description, 0, DESCRIPTION_CHARS_MAX) {
        let text = format!("the description of a group has at most {DESCRIPTION_CHARS_MAX} characters");
        return Err(Refusal::provider("NAME_INVALID", text));
    }
    let namesake = tx.group_by_name(&group.name).await?;
    if namesake.is_some_and(|other| !other.id.eq_ignore_ascii_case(&group.id)) {
        let text = format!("a distribution point group named {} exists", crate::object::shown(&group.name));
        return Err(Refusal::provider("ALREADY_EXISTS", text));
    }
    Ok(())
}

/// Deletes a group; what its members hold stays.
pub(crate) async fn delete(object: &ObjectContext, tx: &mut Tx) -> Result<(), Refusal> {
    let group = known_group(object, tx, READ | DELETE).await?;
    tx.delete_group(&group.id).await?;
    Ok(())
}

/// The group that the keys name, if the caller holds `operations` on it.
async fn known_group(object: &ObjectContext, tx: &mut Tx, operations: u32) -> Result<Group, Refusal> {
    let id = object.key("GroupID");
    let unknown =
        || Refusal::not_found(format_args!("distribution point group {}", crate::object::shown(id)));
    let group = tx.group(id).await?.ok_or_else(unknown)?;
    object.require(tx, Securable::Group(group.id.clone()), operations).await?;
    Ok(group)
}

fn check_count(what: &str, count: usize) -> Result<(), Refusal> {
    if (1..=ITEMS_MAX).contains(&count) {
        return Ok(());
    }
    Err(Refusal::provider("RANGE", format!("{count} {what} were named, 1-{ITEMS_MAX} are wanted")))
}

/// The packages that an argument names; the caller may read each.
async fn packages(call: &MethodContext, tx: &mut Tx, texts: Vec<&str>) -> Result<Vec<PackageId>, Refusal> {
    check_count("packages", texts.len())?;
    let mut packages = Vec::with_capacity(texts.len());
    let mut seen = HashSet::new();
    for text in texts {
        let id = crate::object::package_id(text)?;
        call.object.require(tx, Securable::Package(id), READ).await?;
        known(tx, id).await?;
        if seen.insert(id) {
            packages.push(id);
        }
    }
    Ok(packages)
}

/// The distribution points that an argument names; the caller may distribute to each.
async fn points(call: &MethodContext, tx: &mut Tx) -> Result<Vec<DistributionPointName>, Refusal> {
    let paths = call.texts("DPNALPath")?;
    check_count("distribution points", paths.len())?;
    let mut points = Vec::with_capacity(paths.len());
    let mut seen = HashSet::new();
    for path in paths {
        let point = call.object.point(tx, path, READ | DISTRIBUTE).await?;
        if seen.insert(point.clone()) {
            points.push(point);
        }
    }
    Ok(points)
}

/// Distributes a package to those of `points` that do not hold it; those that lose it keep it.
async fn bring(
    object: &ObjectContext,
    tx: &mut Tx,
    package: PackageId,
    points: Vec<DistributionPointName>,
) -> Result<(), Refusal> {
    if !points.is_empty() {
        distribution::add(tx, &object.at, package, points).await?;
    }
    Ok(())
}

/// Removes a package from `points`, except where another group asks for it.
async fn take(
    object: &ObjectContext,
    tx: &mut Tx,
    group: &Group,
    package: PackageId,
    points: &[DistributionPointName],
) -> Result<(), Refusal> {
    let others: HashSet<String> = tx
        .groups_of_package(package)
        .await?
        .into_iter()
        .filter(|id| !id.eq_ignore_ascii_case(&group.id))
        .collect();
    let mut leaving = Vec::new();
    for point in points {
        let is_wanted = tx.groups_of_point(point).await?.iter().any(|id| others.contains(id));
        if !is_wanted && tx.target(package, point).await?.is_some() {
            leaving.push(point.clone());
        }
    }
    if !leaving.is_empty() {
        distribution::remove(tx, &object.at, package, leaving).await?;
    }
    Ok(())
}

/// Adds members; with `AddTargetedPackages` (the default) they get the group's packages.
pub(crate) async fn add_distribution_points(
    call: &MethodContext,
    tx: &mut Tx,
) -> Result<MethodAnswer, Refusal> {
    let group = known_group(&call.object, tx, READ | DISTRIBUTE).await?;
    let points = points(call, tx).await?;
    for point in &points {
        tx.insert_group_member(&group.id, point).await?;
    }
    if call.flag_or("AddTargetedPackages", true) {
        for package in tx.group_packages(&group.id).await? {
            bring(&call.object, tx, package, points.clone()).await?;
        }
    }
    Ok(MethodAnswer::done())
}

/// Removes members; with `RemoveTargetedPackages` (the default) they lose the group's packages.
pub(crate) async fn remove_distribution_points(
    call: &MethodContext,
    tx: &mut Tx,
) -> Result<MethodAnswer, Refusal> {
    let group = known_group(&call.object, tx, READ | DISTRIBUTE).await?;
    let points = points(call, tx).await?;
    for point in &points {
        if !tx.delete_group_member(&group.id, point).await? {
            let text = format!("{point} is no member of group {}", group.name);
            return Err(Refusal::provider("NOT_FOUND", text));
        }
    }
    if call.flag_or("RemoveTargetedPackages", true) {
        for package in tx.group_packages(&group.id).await? {
            take(&call.object, tx, &group, package, &points).await?;
        }
    }
    Ok(MethodAnswer::done())
}

/// Adds packages, which are distributed to all members.
pub(crate) async fn add_packages(call: &MethodContext, tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    let group = known_group(&call.object, tx, READ | DISTRIBUTE).await?;
    let packages = packages(call, tx, call.texts("PackageIDs")?).await?;
    let members = tx.group_members(&group.id).await?;
    for package in packages {
        tx.insert_group_package(&group.id, package).await?;
        bring(&call.object, tx, package, members.clone()).await?;
    }
    Ok(MethodAnswer::done())
}

/// Removes packages; with `RemovePackageFromDPs` (the default) the members lose them.
pub(crate) async fn remove_packages(call: &MethodContext, tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    let group = known_group(&call.object, tx, READ | DISTRIBUTE).await?;
    let packages = packages(call, tx, call.texts("PackageIDs")?).await?;
    let members = tx.group_members(&group.id).await?;
    for package in packages {
        if !tx.delete_group_package(&group.id, package).await? {
            return Err(not_in_group(package, &group));
        }
        if call.flag_or("RemovePackageFromDPs", true) {
            take(&call.object, tx, &group, package, &members).await?;
        }
    }
    Ok(MethodAnswer::done())
}

fn not_in_group(package: PackageId, group: &Group) -> Refusal {
    Refusal::provider("NOT_FOUND", format!("package {package} is not in group {}", group.name))
}

/// Redistributes a package of the group to its members; one that lacks it gets it.
pub(crate) async fn re_distribute_package(
    call: &MethodContext,
    tx: &mut Tx,
) -> Result<MethodAnswer, Refusal> {
    let group = known_group(&call.object, tx, READ | DISTRIBUTE).await?;
    let packages = packages(call, tx, vec![call.text("PackageID")?]).await?;
    let listed = tx.group_packages(&group.id).await?;
    for package in packages {
        if !listed.contains(&package) {
            return Err(not_in_group(package, &group));
        }
        let (mut lacking, mut holding) = (Vec::new(), Vec::new());
        for point in tx.group_members(&group.id).await? {
            match tx.target(package, &point).await? {
                Some(target) if !target.facts.state.is_removal() => holding.push(point),
                _ => lacking.push(point),
            }
        }
        bring(&call.object, tx, package, lacking).await?;
        if !holding.is_empty() {
            distribution::redistribute(tx, &call.object.at, package, holding).await?;
        }
    }
    Ok(MethodAnswer::done())
}

/// Distributes every package of the group to every member that lacks it.
pub(crate) async fn refresh_dp_group(call: &MethodContext, tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    let group = known_group(&call.object, tx, READ | DISTRIBUTE).await?;
    let members = tx.group_members(&group.id).await?;
    for package in tx.group_packages(&group.id).await? {
        bring(&call.object, tx, package, members.clone()).await?;
    }
    Ok(MethodAnswer::done())
}

/// Associates collections with the group.
pub(crate) async fn associate_collections(
    call: &MethodContext,
    tx: &mut Tx,
) -> Result<MethodAnswer, Refusal> {
    let group = known_group(&call.object, tx, READ | ASSOCIATE).await?;
    for id in collections(call)? {
        tx.insert_group_collection(&group.id, id).await?;
    }
    Ok(MethodAnswer::done())
}

/// Ends the association of collections with the group.
pub(crate) async fn disassociate_collections(
    call: &MethodContext,
    tx: &mut Tx,
) -> Result<MethodAnswer, Refusal> {
    let group = known_group(&call.object, tx, READ | ASSOCIATE).await?;
    for id in collections(call)? {
        if !tx.delete_group_collection(&group.id, id).await? {
            let text = format!("collection {id} is not associated with group {}", group.name);
            return Err(Refusal::provider("NOT_FOUND", text));
        }
    }
    Ok(MethodAnswer::done())
}

fn collections(call: &MethodContext) -> Result<Vec<&str>, Refusal> {
    let ids = call.texts("CollectionID")?;
    check_count("collections", ids.len())?;
    for id in &ids {
        let is_fit = (1..=COLLECTION_ID_CHARS_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_fit {
            let text = format!("{} cannot be the ID of a collection", crate::object::shown(id));
            return Err(Refusal::provider("RANGE", text));
        }
    }
    Ok(ids)
}

//! Creating, changing and deleting packages.

use restock_cim::schedule::{self, ScheduleError};
use restock_names::{Epoch, Escaped, ExcludeRules, NamesPolicy, PackageId, ShareName, SourceVersion};
use restock_sitedb::package::{
    Options, PKG_FLAG_COPY_CONTENT, Package, Properties, SHARE_COMMON, SHARE_SPECIFIC,
};
use restock_sitedb::refresh::Refresh;
use restock_sitedb::source_root::SourcePath;
use restock_sitedb::state::Event;
use restock_sitedb::{Tx, Wake};

use crate::perform::Circumstances;
use crate::rows::{PackageChanged, PackageDeleted, PackageRow, SourceFlag};
use crate::{ErrorKind, NewPackage, OperationError, PackageChange, Share, ownership, refreshing, views};

const NAME_CHARS_MAX: usize = 255;
const DESCRIPTION_CHARS_MAX: usize = 1_024;
const PRIORITY_NORMAL: u32 = 2;

/// The package with its requests; one that is being deleted does not exist for callers.
pub(crate) async fn known(tx: &mut Tx, id: PackageId) -> Result<(Package, Refresh), OperationError> {
    let package = tx.package(id).await?.filter(|package| !package.is_deleting);
    let package = package.ok_or_else(|| OperationError::unknown_package(id))?;
    let refresh = tx.refresh(id).await?.ok_or_else(|| OperationError::unknown_package(id))?;
    Ok((package, refresh))
}

pub(crate) async fn create(
    tx: &mut Tx,
    at: &Circumstances,
    new: NewPackage,
) -> Result<PackageRow, OperationError> {
    ownership::require_ownership_here(tx, at).await?;
    let number = tx.next_package_number().await?;
    let id =
        u32::try_from(number).ok().and_then(|number| PackageId::new(at.site, number)).ok_or_else(|| {
            let message = format!("site {} has no package number left", at.site);
            OperationError::new(ErrorKind::Failed, "PACKAGE_IDS_EXHAUSTED", message)
        })?;
    let flag = new.source_flag.unwrap_or(SourceFlag::NoSource);
    let mut package = Package {
        id,
        name: new.name,
        package_version: new.version.unwrap_or_default(),
        manufacturer: new.manufacturer.unwrap_or_default(),
        language: new.language.unwrap_or_default(),
        description: new.description.unwrap_or_default(),
        source_path: new.source_path.unwrap_or_default(),
        source_flag: flag.number(),
        priority: new.priority.unwrap_or(PRIORITY_NORMAL),
        is_public: new.is_public,
        allow_empty: new.allow_empty,
        link_policy: new.link_policy,
        source_site: at.site,
        source_version: SourceVersion(0),
        stored_version: SourceVersion(0),
        epoch: Epoch::FIRST,
        is_deleting: false,
        settings: 1,
        created_at: at.now,
        last_refresh_at: None,
    };
    check(&package)?;
    let refresh = if package.has_source() {
        // Its first snapshot is version 1, and that number is shown from the beginning.
        package.source_version = SourceVersion(1);
        tx.wake(Wake::Refresh);
        Refresh::of_creation(at.now)
    } else {
        Refresh::new(at.now)
    };
    tx.insert_package(&package).await?;
    tx.insert_refresh(id, &refresh).await?;
    let options = Options { names_policy: new.names_policy, excludes: new.excludes };
    if options != Options::default() {
        tx.set_package_options(id, &options).await?;
    }
    set_share(tx, id, &new.share).await?;
    views::package(tx, at, id).await
}

/// Changes a package for a command at the site itself, which then answers for the source path it gives.
pub(crate) async fn set_here(
    tx: &mut Tx,
    at: &Circumstances,
    change: PackageChange,
) -> Result<PackageChanged, OperationError> {
    let (id, gives_path) = (change.package, change.source_path.is_some());
    let changed = set(tx, at, change).await?;
    if gives_path {
        tx.source_set_here(id).await?;
    }
    Ok(changed)
}

/// Changes a package. Whoever calls it has asked for the rights, also for those on the source root.
pub(crate) async fn set(
    tx: &mut Tx,
    at: &Circumstances,
    change: PackageChange,
) -> Result<PackageChanged, OperationError> {
    let id = change.package;
    let (before, refresh) = known(tx, id).await?;
    let mut package = before.clone();
    fn put<T>(place: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *place = value;
        }
    }
    put(&mut package.name, change.name);
    put(&mut package.package_version, change.version);
    put(&mut package.manufacturer, change.manufacturer);
    put(&mut package.language, change.language);
    put(&mut package.description, change.description);
    put(&mut package.source_path, change.source_path);
    put(&mut package.source_flag, change.source_flag.map(SourceFlag::number));
    put(&mut package.priority, change.priority);
    put(&mut package.is_public, change.is_public);
    put(&mut package.allow_empty, change.allow_empty);
    // Like the others no reason to read the source: the next refresh obeys it.
    put(&mut package.link_policy, change.link_policy);
    check(&package)?;
    if (package.is_public, &package.name) != (before.is_public, &before.name) {
        package.settings += 1;
        tx.wake(Wake::Distribute);
    }
    tx.update_package(&package).await?;
    set_options(tx, id, change.names_policy, change.excludes).await?;
    if let Some(share) = &change.share {
        set_share(tx, id, share).await?;
    }
    set_schedule(tx, at, &package, change.schedule.as_deref()).await?;
    let refresh = if package.source_path != before.source_path && package.has_source() {
        Some(refreshing::request(tx, at, &package, refresh).await?)
    } else {
        None
    };
    Ok(PackageChanged { package: views::package(tx, at, id).await?, refresh })
}

/// Changes how the source is taken; like a link policy no reason to read it.
async fn set_options(
    tx: &mut Tx,
    id: PackageId,
    names_policy: Option<NamesPolicy>,
    excludes: Option<ExcludeRules>,
) -> Result<(), OperationError> {
    let before = tx.package_options(id).await?;
    let options = Options {
        names_policy: names_policy.unwrap_or(before.names_policy),
        excludes: excludes.unwrap_or_else(|| before.excludes.clone()),
    };
    if options != before {
        tx.set_package_options(id, &options).await?;
    }
    Ok(())
}

/// Gives the package the folder that `share` asks for, or none, and lets the points know.
async fn set_share(tx: &mut Tx, id: PackageId, share: &Share) -> Result<(), OperationError> {
    let mut properties =
        tx.package_properties(id).await?.ok_or_else(|| OperationError::unknown_package(id))?;
    let before = properties.clone();
    match share {
        Share::None => {
            properties.pkg_flags &= !PKG_FLAG_COPY_CONTENT;
            properties.share_type = SHARE_COMMON;
        }
        Share::Common => {
            properties.pkg_flags |= PKG_FLAG_COPY_CONTENT;
            properties.share_type = SHARE_COMMON;
        }
        Share::Named(name) => {
            check_share(tx, id, name).await?;
            properties.pkg_flags |= PKG_FLAG_COPY_CONTENT;
            (properties.share_type, properties.share_name) = (SHARE_SPECIFIC, name.clone());
        }
    }
    if properties != before {
        tx.update_package_properties(id, &properties).await?;
    }
    share_changed(tx, id, &before, &properties).await
}

/// Refuses a name that no folder of a share has, or that is another package's.
async fn check_share(tx: &mut Tx, id: PackageId, name: &str) -> Result<(), OperationError> {
    name.parse::<ShareName>().and_then(|name| name.for_package(&id)).map_err(|error| {
        let text = error.to_string();
        let text = text.strip_prefix("SHARE_NAME_INVALID: ").unwrap_or(&text);
        OperationError::invalid("SHARE_NAME_INVALID", text)
    })?;
    if let Some(other) = tx.packages_with_share(name, Some(id)).await?.first() {
        let message = format!("package {} has the share name {}", other.id, Escaped(name.as_bytes()));
        return Err(OperationError::refused("SHARE_NAME_TAKEN", message));
    }
    Ok(())
}

/// Lets the points know of another folder.
pub(crate) async fn share_changed(
    tx: &mut Tx,
    id: PackageId,
    before: &Properties,
    after: &Properties,
) -> Result<(), OperationError> {
    if before.share_folder(id) != after.share_folder(id) {
        tx.raise_package_settings(id).await?;
        tx.wake(Wake::Distribute);
    }
    Ok(())
}

/// Gives the package the schedule of this text, if there is one. A package that has a schedule
/// is one whose source is read where it lies.
async fn set_schedule(
    tx: &mut Tx,
    at: &Circumstances,
    package: &Package,
    text: Option<&str>,
) -> Result<(), OperationError> {
    let tokens = match text {
        Some(text) => schedule::decode(text)
            .map_err(|error| OperationError::invalid(ScheduleError::CODE, error.to_string()))?,
        None => tx.schedule(package.id).await?.map_or(Vec::new(), |schedule| schedule.tokens),
    };
    if !tokens.is_empty() && package.source_flag != SourceFlag::Direct.number() {
        let message =
            format!("package {} has a schedule, and no source that is read where it lies", package.id);
        return Err(OperationError::refused("INVALID_OPERATION", message).hint(format!(
            "restock package set {0} --source PATH, or restock package set {0} --no-schedule",
            package.id
        )));
    }
    if text.is_some() {
        tx.set_schedule(package.id, &tokens, at.now, &at.zone).await?;
    }
    Ok(())
}

pub(crate) async fn delete(
    tx: &mut Tx,
    at: &Circumstances,
    id: PackageId,
) -> Result<PackageDeleted, OperationError> {
    let (package, mut refresh) = known(tx, id).await?;
    tx.mark_package_deleting(id).await?;
    refresh.cancel();
    tx.update_refresh(id, &refresh).await?;
    let points_waiting =
        refreshing::tell_targets(tx, at, &package, &refresh, Event::RemoveAsked, None).await?;
    tx.wake(Wake::Refresh);
    Ok(PackageDeleted { package: id, points_waiting })
}

fn check(package: &Package) -> Result<(), OperationError> {
    let texts = [
        ("name", &package.name, 1, NAME_CHARS_MAX),
        ("version", &package.package_version, 0, NAME_CHARS_MAX),
        ("manufacturer", &package.manufacturer, 0, NAME_CHARS_MAX),
        ("language", &package.language, 0, NAME_CHARS_MAX),
        ("description", &package.description, 0, DESCRIPTION_CHARS_MAX),
    ];
    for (what, text, least, most) in texts {
        let length = text.chars().count();
        let has_control = text.chars().any(|c| c.is_control() && !(what == "description" && c == '\n'));
        if length < least || length > most || has_control {
            let shown: String = text.chars().take(80).collect();
            let message = format!(
                "{} cannot be the {what} of a package: {least}-{most} characters without control characters are wanted",
                if shown.is_empty() {
                    "an empty text".to_owned()
                } else {
                    Escaped(shown.as_bytes()).to_string()
                }
            );
            return Err(OperationError::invalid("NAME_INVALID", message));
        }
    }
    if !(1..=3).contains(&package.priority) {
        let message =
            format!("{} is no priority: 1 (high), 2 (normal) or 3 (low) is wanted", package.priority);
        return Err(OperationError::invalid("PRIORITY_INVALID", message));
    }
    if !package.source_path.is_empty() {
        package.source_path.parse::<SourcePath>().map_err(|error| {
            OperationError::invalid("SOURCE_PATH_INVALID", format!("the source path {error}"))
        })?;
    }
    Ok(())
}

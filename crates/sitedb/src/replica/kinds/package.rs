//! Objects of kind `package`: what people set on a package, by its ID.
//!
//! Not in it: who owns the package (`owner`) and its versions (`version`). A deletion has two steps:
//! `is_deleting` takes the package from every distribution point, the tombstone takes the row.

use restock_names::{Epoch, ExcludeRules, LinkPolicy, PackageId, SourceVersion, Timestamp};
use serde_json::json;

use super::{form, scope};
use crate::admin::TYPE_PACKAGE;
use crate::package::{Options, Package, Properties, Whole};
use crate::refresh::Refresh;
use crate::replica::object::{Fields, to_hex};
use crate::replica::{Arrival, Kind, Object, Taken, Told, Writer};
use crate::state::Event;
use crate::target::Context;
use crate::tx::bind;
use crate::{DatabaseError, Tx, Wake, Why};

/// `Properties::source_set_by` for an account that is not known here: its rights cannot be looked
/// up, so it has none.
const UNKNOWN_ACCOUNT: u32 = u32::MAX;

/// The properties that can be large, and how many bytes of them travel. Where they are more each site
/// keeps its own, and the fields are left out.
const LARGE: [&str; 3] = ["extended_data", "isv_data", "icon"];
const LARGE_BYTES_MAX: usize = 300_000;

/// What the rows say about it.
pub(crate) async fn told(tx: &mut Tx, kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    let Ok(id) = key.parse::<PackageId>() else { return Ok(Told::Others) };
    let Some(whole) = tx.package_whole(id).await? else { return Ok(Told::Gone) };
    let Whole { package: p, properties: q, options, schedule } = whole;
    let before = tx.replica(kind, key).await?.map(|stored| stored.object);
    let scopes = scope::told_beside(tx, TYPE_PACKAGE, id.as_str(), before.as_ref()).await?;
    let source_set_by = told_account(tx, &q).await?;
    let mut body = json!({
        "name": p.name,
        "package_version": p.package_version,
        "manufacturer": p.manufacturer,
        "language": p.language,
        "description": p.description,
        "source_path": p.source_path,
        "source_flag": p.source_flag,
        "source_set_by": source_set_by,
        "priority": p.priority,
        "is_public": p.is_public,
        "allow_empty": p.allow_empty,
        "link_policy": p.link_policy.as_str(),
        "names_policy": options.names_policy.as_str(),
        "excludes": options.excludes.as_slice(),
        "is_deleting": p.is_deleting,
        "created_at": p.created_at.0,
        "refresh_schedule": schedule,
        "scopes": scopes,
        "package_type": q.package_type,
        "share_name": q.share_name,
        "share_type": q.share_type,
        "pkg_flags": q.pkg_flags,
        "forced_disconnect_delay": q.forced_disconnect_delay,
        "forced_disconnect_enabled": q.forced_disconnect_enabled,
        "forced_disconnect_retries": q.forced_disconnect_retries,
        "ignore_address_schedule": q.ignore_address_schedule,
        "isv_string": q.isv_string,
        "mif_filename": q.mif_filename,
        "mif_name": q.mif_name,
        "mif_publisher": q.mif_publisher,
        "mif_version": q.mif_version,
        "preferred_address_type": q.preferred_address_type,
        "alternate_content_providers": q.alternate_content_providers,
        "stored_pkg_path": q.stored_pkg_path,
        "default_image_flags": q.default_image_flags,
        "transform_readiness": q.transform_readiness,
        "transform_analysis_at": q.transform_analysis_at.map(|at| at.0),
        "extended_data": q.extended_data.as_deref().map(to_hex),
        "isv_data": q.isv_data.as_deref().map(to_hex),
        "icon": q.icon.as_deref().map(to_hex),
        "sedo_version": q.sedo_version,
    });
    let sizes = [&q.extended_data, &q.isv_data, &q.icon].map(|bytes| bytes.as_ref().map_or(0, Vec::len));
    let bytes: usize = sizes.iter().sum();
    let was_left_out =
        bytes == 0 && before.and_then(|before| before.body).is_some_and(|body| leaves_large_out(&body));
    if bytes > LARGE_BYTES_MAX || was_left_out {
        for field in LARGE {
            body.as_object_mut().and_then(|body| body.remove(field));
        }
    }
    Ok(Told::Body(body))
}

/// Does each site keep its own of what can be large?
fn leaves_large_out(body: &serde_json::Value) -> bool {
    LARGE.iter().all(|field| body.get(field).is_none())
}

/// The logon name of the account that set the source path; none for a command at a site itself.
async fn told_account(tx: &mut Tx, properties: &Properties) -> Result<Option<String>, DatabaseError> {
    let Some(number) = properties.source_set_by else { return Ok(None) };
    let row = tx.row("SELECT logon_name FROM admins WHERE admin_id = $1", bind![number]).await?;
    // Of an account that is not known here no name is passed on: it would look like this site's word.
    row.map_or(Ok(Some(String::new())), |row| row.text("logon_name").map(Some))
}

/// Whose source scopes count when this site reads the path; none: a command at a site that may say so.
///
/// What was set here before stays as long as the path does. Of another path the word of a site above
/// counts, whose accounts are this site's too. Any other site could name whom it likes, and have this
/// one read what lies beneath its source roots: nobody is taken for it.
async fn who_set_source(
    tx: &mut Tx,
    wanted: &Package,
    before: Option<&Whole>,
    account: Option<&str>,
    (object, arrival): (&Object, &Arrival<'_>),
) -> Result<Option<u32>, DatabaseError> {
    if let Some(before) = before.filter(|before| before.package.source_path == wanted.source_path) {
        return Ok(before.properties.source_set_by);
    }
    if wanted.source_path.is_empty() {
        return Ok(None);
    }
    if !tx.hierarchy().await?.is_below(arrival.own, object.writer) {
        return Ok(Some(UNKNOWN_ACCOUNT));
    }
    match account {
        None => Ok(None),
        Some(name) => Ok(Some(tx.account_number(name).await?.unwrap_or(UNKNOWN_ACCOUNT))),
    }
}

/// All that this site writes.
pub(crate) async fn keys(tx: &mut Tx, _kind: Kind) -> Result<Vec<String>, DatabaseError> {
    Ok(tx.packages().await?.into_iter().map(|package| package.id.to_string()).collect())
}

/// Who may write it.
pub(crate) async fn writer(_tx: &mut Tx, _object: &Object) -> Result<Writer, DatabaseError> {
    Ok(Writer::Any)
}

/// Makes the rows say what it says.
pub(crate) async fn take(
    tx: &mut Tx,
    object: &Object,
    arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    let Ok(id) = object.key.parse::<PackageId>() else {
        return Ok(Taken::Refused(Why::new("OBJECT_FORM", "the key is no package ID")));
    };
    if id.site() == arrival.own {
        // A database that was put back must not give the number again.
        let number = u64::from_str_radix(&id.as_str()[3..], 16).unwrap_or_default();
        tx.raise_counter("package", number).await?;
    }
    if object.body.is_none() {
        return forget(tx, id, arrival).await;
    }
    let (wanted, properties, account, schedule, scopes) = match read(id, object) {
        Ok(read) => read,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    let options = match read_options(object.fields()) {
        Ok(options) => options,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    let before = tx.package_whole(id).await?;
    let (account, of) = (account.as_deref(), (object, arrival));
    let source_set_by = who_set_source(tx, &wanted, before.as_ref(), account, of).await?;
    let mut wanted =
        Whole { properties: Properties { source_set_by, ..properties }, package: wanted, options, schedule };
    if let (Some(before), true) = (&before, object.body.as_ref().is_some_and(leaves_large_out)) {
        let (here, there) = (&before.properties, &mut wanted.properties);
        (there.extended_data, there.isv_data, there.icon) =
            (here.extended_data.clone(), here.isv_data.clone(), here.icon.clone());
    }
    match &before {
        None => {
            tx.insert_package(&wanted.package).await?;
            tx.insert_refresh(id, &Refresh::new(arrival.now)).await?;
        }
        Some(before) => set_package(tx, &wanted, before).await?,
    }
    // Of most changes one part is another, and each part is a statement.
    if before.as_ref().is_none_or(|before| before.properties != wanted.properties) {
        tx.update_package_properties(id, &wanted.properties).await?;
    }
    if before.as_ref().is_none_or(|before| before.options != wanted.options) {
        tx.set_package_options(id, &wanted.options).await?;
    }
    if before.as_ref().is_none_or(|before| before.schedule != wanted.schedule)
        && let Err(why) = tx.take_schedule(id, &wanted.schedule, arrival.now).await?
    {
        return Ok(Taken::Refused(why));
    }
    if scope::take_of(tx, TYPE_PACKAGE, id.as_str(), &scopes).await? {
        tx.scope_by_default(TYPE_PACKAGE, id.as_str()).await?;
    }
    if wanted.package.is_deleting && before.is_none_or(|before| !before.package.is_deleting) {
        tx.mark_package_deleting(id).await?;
        leave_points(tx, id, arrival).await?;
    }
    tx.wake(Wake::Refresh);
    Ok(Taken::Done)
}

/// Makes the row of a package say what people set.
async fn set_package(tx: &mut Tx, wanted: &Whole, before: &Whole) -> Result<(), DatabaseError> {
    let (id, is, was) = (wanted.package.id, &wanted.package, &before.package);
    let is_other = (is.is_public, &is.name) != (was.is_public, &was.name)
        || before.properties.share_folder(id) != wanted.properties.share_folder(id);
    let set = Package {
        settings: was.settings + u64::from(is_other),
        // Not of this object, or set apart.
        source_site: was.source_site,
        source_version: was.source_version,
        stored_version: was.stored_version,
        epoch: was.epoch,
        is_deleting: was.is_deleting,
        created_at: was.created_at,
        last_refresh_at: was.last_refresh_at,
        ..is.clone()
    };
    if set != *was {
        tx.update_package(&set).await?;
    }
    if is.created_at != was.created_at {
        tx.execute("UPDATE packages SET created_at = $2 WHERE package_id = $1", bind![id, is.created_at])
            .await?;
    }
    if is_other {
        tx.wake(Wake::Distribute);
    }
    Ok(())
}

/// The owner has forgotten the package: its row goes once no distribution point of this site has it.
async fn forget(tx: &mut Tx, id: PackageId, arrival: &Arrival<'_>) -> Result<Taken, DatabaseError> {
    if tx.package(id).await?.is_none() {
        return Ok(Taken::Done);
    }
    tx.mark_package_deleting(id).await?;
    leave_points(tx, id, arrival).await?;
    tx.execute(
        "UPDATE installed_counts SET installed = installed - 1 WHERE point IN
             (SELECT t.point FROM targets t JOIN distribution_points d ON d.name = t.point
              WHERE t.package_id = $1 AND t.state = 'installed' AND d.site_code <> $2)",
        bind![id, arrival.own],
    )
    .await?;
    tx.execute(
        "DELETE FROM targets WHERE package_id = $1 AND point IN
             (SELECT d.name FROM distribution_points d WHERE d.site_code <> $2)",
        bind![id, arrival.own],
    )
    .await?;
    let row = tx.row("SELECT 1 AS one FROM targets WHERE package_id = $1 LIMIT 1", bind![id]).await?;
    if row.is_none() {
        tx.delete_package(id).await?;
    }
    tx.wake(Wake::Refresh);
    Ok(Taken::Done)
}

/// Takes a package that is being deleted from the distribution points of this site.
async fn leave_points(tx: &mut Tx, id: PackageId, arrival: &Arrival<'_>) -> Result<(), DatabaseError> {
    let (Some(package), Some(mut refresh)) = (tx.package(id).await?, tx.refresh(id).await?) else {
        return Ok(());
    };
    if refresh.cancel() {
        tx.update_refresh(id, &refresh).await?;
    }
    let context = Context::new(&package, &refresh, arrival.own, arrival.now);
    for mut target in tx.targets_of_package(id).await? {
        // Of those of other sites only what is shown changes: it is wanted nowhere.
        let event = if target.other_site.is_none() { Event::RemoveAsked } else { Event::RefreshEnded };
        // Neither can be refused.
        let _applied = tx.apply(&mut target, &context, event, None).await?;
    }
    Ok(())
}

/// A package, its further properties, the account of its source, its schedule, its scopes.
type Body = (Package, Properties, Option<String>, String, Vec<String>);

fn read(id: PackageId, object: &Object) -> Result<Body, Why> {
    let fields = object.fields();
    let name = |field: &str| form::within(fields.text(field)?, field, form::NAME_BYTES_MAX);
    let text = |field: &str| form::text(fields, field);
    let link_policy: LinkPolicy = fields.parse("link_policy")?;
    let has_source = fields.u32("source_flag")? >= 2 && !fields.text("source_path")?.is_empty();
    let package = Package {
        id,
        name: name("name")?,
        package_version: name("package_version")?,
        manufacturer: name("manufacturer")?,
        language: name("language")?,
        description: text("description")?,
        source_path: text("source_path")?,
        source_flag: fields.u32("source_flag")?,
        priority: fields.u32("priority")?,
        is_public: fields.bool("is_public")?,
        allow_empty: fields.bool("allow_empty")?,
        link_policy,
        // Until its `owner` object says otherwise.
        source_site: id.site(),
        source_version: SourceVersion(u32::from(has_source)),
        stored_version: SourceVersion(0),
        epoch: Epoch::FIRST,
        is_deleting: fields.bool("is_deleting")?,
        settings: 1,
        created_at: Timestamp(fields.i64("created_at")?),
        last_refresh_at: None,
    };
    let properties = read_properties(fields)?;
    let account = fields.text_or_none("source_set_by")?;
    Ok((package, properties, account, text("refresh_schedule")?, form::names(fields, "scopes")?))
}

/// A site of an earlier release says nothing of them.
fn read_options(fields: Fields<'_>) -> Result<Options, Why> {
    let excludes = match fields.get("excludes") {
        None => Vec::new(),
        Some(_) => fields.texts("excludes")?,
    };
    Ok(Options {
        names_policy: fields.parse_or_none("names_policy")?.unwrap_or_default(),
        excludes: ExcludeRules::new(excludes)
            .map_err(|error| Why::new("OBJECT_FORM", format!("the field excludes of the body: {error}")))?,
    })
}

fn read_properties(fields: Fields<'_>) -> Result<Properties, Why> {
    let text = |field: &str| form::text(fields, field);
    Ok(Properties {
        package_type: fields.u32("package_type")?,
        share_name: text("share_name")?,
        share_type: fields.u32("share_type")?,
        pkg_flags: fields.u32("pkg_flags")?,
        forced_disconnect_delay: fields.u32("forced_disconnect_delay")?,
        forced_disconnect_enabled: fields.bool("forced_disconnect_enabled")?,
        forced_disconnect_retries: fields.u32("forced_disconnect_retries")?,
        ignore_address_schedule: fields.bool("ignore_address_schedule")?,
        isv_string: text("isv_string")?,
        mif_filename: text("mif_filename")?,
        mif_name: text("mif_name")?,
        mif_publisher: text("mif_publisher")?,
        mif_version: text("mif_version")?,
        preferred_address_type: text("preferred_address_type")?,
        alternate_content_providers: text("alternate_content_providers")?,
        stored_pkg_path: text("stored_pkg_path")?,
        default_image_flags: i32::try_from(fields.i64("default_image_flags")?).map_err(|_unfit| {
            Why::new("OBJECT_FORM", "the field default_image_flags of the body is not valid")
        })?,
        transform_readiness: fields.u32("transform_readiness")?,
        transform_analysis_at: fields.time_or_none("transform_analysis_at")?,
        extended_data: fields.bytes_or_none("extended_data")?,
        isv_data: fields.bytes_or_none("isv_data")?,
        icon: fields.bytes_or_none("icon")?,
        sedo_version: text("sedo_version")?,
        source_set_by: None,
    })
}

impl Tx {
    /// The number of the account with this logon name.
    async fn account_number(&mut self, logon_name: &str) -> Result<Option<u32>, DatabaseError> {
        let row = self.row("SELECT admin_id FROM admins WHERE logon_name = $1", bind![logon_name]).await?;
        row.map(|row| row.u32("admin_id")).transpose()
    }
}

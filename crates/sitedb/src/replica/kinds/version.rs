//! Objects of kind `version`: the newest version of a package, by its ID, with the statement its
//! owner signed. The highest (epoch, version) stands, and two roots never have the same one.

use restock_names::{ContentVersion, Epoch, PackageId, SiteCode, SourceVersion, Timestamp};
use serde_json::json;

use crate::announced::Announced;
use crate::replica::object::to_hex;
use crate::replica::{Arrival, CheckedVersion, Kind, Object, Taken, Told, Writer};
use crate::version::Version;
use crate::{DatabaseError, Tx, Wake, Why, message};

/// A version's number may lie this far above the known one.
pub(crate) const VERSION_JUMP_MAX: u32 = 1_000_000;
/// Likewise the generation of its epoch.
pub(crate) const GENERATION_JUMP_MAX: u32 = 1_000;

/// What is to become of a version that arrived.
pub(crate) enum Judged {
    /// It is the newest: to be taken.
    Higher,
    /// Nothing that was not known.
    Known,
    /// Its signer, or the signer's keys, are not known.
    WaitsFor(SiteCode),
    /// It is not acceptable.
    Refused(Why),
    /// No key of the signer that is known here signed it.
    Unsigned(SiteCode, Why),
}

/// What the rows say about it.
pub(crate) async fn told(tx: &mut Tx, _kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    let Ok(id) = key.parse::<PackageId>() else { return Ok(Told::Others) };
    let Some(announced) = tx.announced(id).await? else { return Ok(Told::Others) };
    let v = &announced.version;
    // A version never changes: rows about it that do (attempts, a lease) are this site's own.
    if let Some(stored) = tx.replica(Kind::Version, key).await?
        && number(&stored.object) == Some((v.content.epoch, v.content.version))
    {
        return Ok(Told::Others);
    }
    Ok(Told::Body(json!({
        "epoch": v.content.epoch,
        "version": v.content.version,
        "statement": to_hex(&announced.statement),
        "root": to_hex(&v.root.0),
        "root_length": v.root_length,
        "pages": v.pages,
        "entries": v.entries,
        "chunks": v.chunks,
        "bytes": v.bytes,
        "files": v.files,
        "bytes_read": v.bytes_read,
        "chunks_new": v.chunks_new,
        "bytes_new": v.bytes_new,
        "published_at": v.published_at,
        "duration_ms": v.duration_ms,
    })))
}

/// All that this site writes.
pub(crate) async fn keys(tx: &mut Tx, _kind: Kind) -> Result<Vec<String>, DatabaseError> {
    tx.announced_packages().await
}

/// Who may write it: whoever passes on what the owner signed.
pub(crate) async fn writer(_tx: &mut Tx, _object: &Object) -> Result<Writer, DatabaseError> {
    Ok(Writer::Any)
}

/// Makes the rows say what it says. [`judge`] has checked it.
pub(crate) async fn take(
    tx: &mut Tx,
    object: &Object,
    arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    let Ok((announced, _)) = read(object) else {
        return Ok(Taken::Refused(Why::new("OBJECT_FORM", "the body is no version")));
    };
    let content = announced.version.content;
    let before = tx.announced(content.package).await?;
    tx.put_announced(&announced).await?;
    tx.follow_version(content, arrival.now).await?;
    if before.is_some_and(|before| was_passed_over(&before, content, arrival.own)) {
        ask_again(tx, content.package, arrival).await?;
    }
    tx.wake(Wake::Fetch);
    Ok(Taken::Done)
}

/// Did this site publish a version that the owner who follows did not know: its number is not above?
fn was_passed_over(before: &Announced, content: ContentVersion, own: SiteCode) -> bool {
    let made = before.version.content;
    before.signer == own && made.epoch < content.epoch && made.version >= content.version
}

/// The refreshes that a version covered which nobody will see are asked for once more: they were
/// acknowledged here.
async fn ask_again(tx: &mut Tx, id: PackageId, arrival: &Arrival<'_>) -> Result<(), DatabaseError> {
    let (Some(package), Some(refresh)) = (tx.package(id).await?, tx.refresh(id).await?) else {
        return Ok(());
    };
    if !package.is_deleting {
        tx.request_refresh(&package, refresh, arrival.own, arrival.now, None).await?;
    }
    Ok(())
}

/// Whether a version that arrived is to be taken. The number of one that is signed and refused is
/// never given again by this site all the same.
pub(crate) async fn judge(
    tx: &mut Tx,
    before: Option<&Object>,
    object: &Object,
    arrival: &Arrival<'_>,
) -> Result<Judged, DatabaseError> {
    let (announced, signer) = match read(object) {
        Ok(read) => read,
        Err(why) => return Ok(Judged::Refused(why)),
    };
    let got = announced.version.content;
    let id = got.package;
    let known = tx.announced(id).await?;
    let have = known.as_ref().map(|known| known.version.content);
    let is_same_root = known.as_ref().is_some_and(|known| known.version.root == announced.version.root);
    let order = |content: ContentVersion| (content.epoch, content.version);
    let is_at_most = have.is_some_and(|have| order(got) <= order(have));
    let is_old = before.is_some_and(|before| (object.clock, object.writer) <= (before.clock, before.writer));
    // The same again, or what was true before what is known was written.
    if is_at_most && (have == Some(got) && is_same_root || have != Some(got) && is_old) {
        return Ok(Judged::Known);
    }
    let Some(site) = tx.site_row(signer).await?.filter(|site| !site.key_list.is_empty()) else {
        return Ok(Judged::WaitsFor(signer));
    };
    match arrival.check.check(&site, &announced.statement) {
        Ok(checked) if is_said(&announced.version, &checked) => {}
        Ok(checked) => {
            let text = format!("the statement is about {}, the object about {got}", checked.content);
            return Ok(Judged::Refused(Why::new("MANIFEST_SUBJECT", text)));
        }
        Err(why) if why.rule == "MANIFEST_SIGNATURE" => return Ok(Judged::Unsigned(signer, why)),
        Err(why) => return Ok(Judged::Refused(why)),
    }
    let package = tx.package(id).await?;
    let floor =
        have.map_or(0, |have| have.version.0).max(package.map_or(0, |package| package.source_version.0));
    let epoch = tx.highest_epoch(id).await?;
    if got.version.0 > floor.saturating_add(VERSION_JUMP_MAX)
        || got.epoch.generation() > epoch.generation().saturating_add(GENERATION_JUMP_MAX)
    {
        let text = format!(
            "version {} in epoch {} lies too far above version {floor} in epoch {epoch}",
            got.version, got.epoch
        );
        return Ok(Judged::Refused(Why::new("VERSION_JUMP", text)));
    }
    let Some(have) = have.filter(|_| is_at_most) else { return Ok(Judged::Higher) };
    tx.raise_version_floor(id, got.version).await?;
    let why = if have == got {
        let text = format!(
            "version {} of package {id} in epoch {} was published twice with different content; the first one stands here",
            got.version, got.epoch
        );
        let why = Why::new("VERSION_CONFLICT", text)
            .with_fix(format!("restock refresh {id} at the site that owns it"));
        tx.raise(&message::version_conflict(id, got.version, signer, &why), arrival.now).await?;
        why
    } else if have.epoch == got.epoch {
        Why::new(
            "VERSION_DOWNGRADE",
            format!(
                "version {} of package {id} is known, version {} came after it",
                have.version, got.version
            ),
        )
    } else {
        Why::new(
            "FENCED",
            format!(
                "epoch {} of package {id} is over: site {signer} owned it then, epoch {} has begun",
                got.epoch, have.epoch
            ),
        )
    };
    Ok(Judged::Refused(why))
}

fn number(object: &Object) -> Option<(Epoch, SourceVersion)> {
    let fields = object.fields();
    Some((Epoch(fields.u32("epoch").ok()?), SourceVersion(fields.u32("version").ok()?)))
}

fn is_said(version: &Version, checked: &CheckedVersion) -> bool {
    let said = CheckedVersion {
        content: version.content,
        root: version.root,
        root_length: version.root_length,
        pages: version.pages,
        entries: version.entries,
        chunks: version.chunks,
        bytes: version.bytes,
    };
    said == *checked
}

/// The version and who is to have signed it.
fn read(object: &Object) -> Result<(Announced, SiteCode), Why> {
    let form = |text: &str| Why::new("OBJECT_FORM", text);
    let package: PackageId = object.key.parse().map_err(|_unfit| form("the key is no package ID"))?;
    let fields = object.fields();
    let epoch = Epoch(fields.u32("epoch")?);
    let signer = epoch.signer(package).ok_or_else(|| form("the epoch names no site"))?;
    let root = fields.bytes("root")?.try_into().map_err(|_unfit| form("the root is no digest"))?;
    let version = Version {
        content: ContentVersion { package, epoch, version: SourceVersion(fields.u32("version")?) },
        root: restock_names::Digest(root),
        root_length: fields.u32("root_length")?,
        pages: fields.u64("pages")?,
        entries: fields.u64("entries")?,
        chunks: fields.u64("chunks")?,
        bytes: fields.u64("bytes")?,
        files: fields.u64("files")?,
        bytes_read: fields.u64("bytes_read")?,
        chunks_new: fields.u64("chunks_new")?,
        bytes_new: fields.u64("bytes_new")?,
        published_at: Timestamp(fields.i64("published_at")?),
        duration_ms: fields.u64("duration_ms")?,
    };
    if version.content.version.0 == 0 {
        return Err(form("no version has the number 0"));
    }
    Ok((Announced::new(version, signer, fields.bytes("statement")?), signer))
}

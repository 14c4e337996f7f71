//! Objects of kind `message`: a status message, under `SITE/TIME/RECORD`, for the sites above. It never
//! changes. The time, in microseconds, keeps apart what a site raised under one number before and
//! after it was put back to an earlier state.

use restock_names::{PackageId, SiteCode, Timestamp};
use serde_json::{Value, json};

use super::form;
use super::target::bad_key;
use crate::replica::object::Fields;
use crate::replica::{Arrival, Kind, Object, Taken, Told, Writer};
use crate::tx::bind;
use crate::{DatabaseError, Tx, Why};

/// Messages that a site above is told of when the link to it is made: the newest.
const FIRST_MAX: u32 = 10_000;
/// Strings, and attributes, of a message at most.
const PARTS_MAX: usize = 64;
/// The longest string or attribute, in bytes.
const STRING_BYTES_MAX: usize = 4_096;
/// `MessageType` of what components say; audit messages stay where they were written.
const TYPE_COMPONENT: u32 = 256;

/// The key of the object of a message.
pub(crate) fn key(site: SiteCode, time: Timestamp, record: i64) -> String {
    format!("{site}/{}/{record}", time.0)
}

fn of_key(key: &str) -> Result<(SiteCode, Timestamp, i64), Why> {
    let mut parts = key.split('/');
    let mut next = || parts.next().ok_or_else(bad_key);
    let (site, time, record) = (next()?, next()?, next()?);
    let site: SiteCode = site.parse().map_err(|_unfit| bad_key())?;
    let time = Timestamp(time.parse().map_err(|_unfit| bad_key())?);
    let record: i64 = record.parse().map_err(|_unfit| bad_key())?;
    if self::key(site, time, record) == key { Ok((site, time, record)) } else { Err(bad_key()) }
}

/// A message as it travels.
struct Message {
    id: u32,
    severity: u32,
    component: String,
    time: Timestamp,
    package: Option<PackageId>,
    point: Option<String>,
    strings: Vec<String>,
    attributes: Vec<(u32, String)>,
}

fn message(object: &Object) -> Result<Message, Why> {
    let fields = object.fields();
    let bad = |field: &str| Why::new("OBJECT_FORM", format!("the field {field} of the body is not valid"));
    let strings = fields.texts("strings")?;
    if strings.len() > PARTS_MAX || strings.iter().any(|text| is_bad(text)) {
        return Err(bad("strings"));
    }
    let list = fields.get("attributes").and_then(Value::as_array).filter(|list| list.len() <= PARTS_MAX);
    let mut attributes = Vec::new();
    for attribute in list.ok_or_else(|| bad("attributes"))? {
        let fields = Fields(Some(attribute));
        let value = fields.text("value")?;
        if is_bad(&value) {
            return Err(bad("attributes"));
        }
        attributes.push((fields.u32("attribute")?, value));
    }
    let severity = fields.u32("severity")?;
    if ![0x4000_0000, 0x8000_0000, 0xC000_0000].contains(&severity) {
        return Err(bad("severity"));
    }
    Ok(Message {
        id: fields.u32("id")?,
        severity,
        component: form::name(fields, "component")?,
        time: fields.time("time")?,
        package: fields.parse_or_none("package")?,
        point: fields
            .text_or_none("point")?
            .map(|text| form::within(text, "point", form::NAME_BYTES_MAX))
            .transpose()?,
        strings,
        attributes,
    })
}

fn is_bad(text: &str) -> bool {
    text.len() > STRING_BYTES_MAX || text.contains('\0')
}

/// What the rows say about it; nothing where no site is above, to which alone messages go.
pub(crate) async fn told(tx: &mut Tx, _kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    let Ok((site, time, record)) = of_key(key) else { return Ok(Told::Others) };
    let row = tx
        .row(
            "SELECT m.message_id, m.severity, m.component, m.time, m.package_id, m.point
             FROM status_messages m JOIN site s ON s.site_code = m.site
             WHERE m.record = $1 AND m.message_type = 256 AND m.site = $2 AND m.time = $3
                 AND EXISTS (SELECT 1 FROM site_links l WHERE l.is_above = 1)",
            bind![record, site, time],
        )
        .await?;
    // Messages go by themselves after a time, at each site.
    let Some(row) = row else { return Ok(Told::Others) };
    let strings = tx.message_strings(record).await?;
    let attributes: Vec<Value> = tx
        .message_attributes(record)
        .await?
        .into_iter()
        .map(|(attribute, value)| json!({ "attribute": attribute, "value": value }))
        .collect();
    Ok(Told::Body(json!({
        "id": row.u32("message_id")?,
        "severity": row.u32("severity")?,
        "component": row.text("component")?,
        "time": row.i64("time")?,
        "package": row.text_or_none("package_id")?,
        "point": row.text_or_none("point")?,
        "strings": strings,
        "attributes": attributes,
    })))
}

/// All that this site writes.
pub(crate) async fn keys(tx: &mut Tx, _kind: Kind) -> Result<Vec<String>, DatabaseError> {
    let own = tx.own_code().await?;
    let rows = tx
        .rows(
            "SELECT record, time FROM status_messages WHERE message_type = 256 AND site = $1
             ORDER BY record DESC LIMIT $2",
            bind![own, FIRST_MAX],
        )
        .await?;
    rows.iter().map(|row| Ok(key(own, row.time("time")?, row.i64("record")?))).collect()
}

/// Who may write it: the site in the key.
pub(crate) async fn writer(_tx: &mut Tx, object: &Object) -> Result<Writer, DatabaseError> {
    // A key that is none is refused when the object is taken.
    Ok(of_key(&object.key).map_or(Writer::Any, |(site, ..)| Writer::Site(site)))
}

/// Makes the rows say what it says.
pub(crate) async fn take(
    tx: &mut Tx,
    object: &Object,
    arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    let site = match of_key(&object.key) {
        Ok((site, ..)) => site,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    // It never changes: whoever has one keeps it.
    if site == arrival.own || object.body.is_none() || tx.replica(Kind::Message, &object.key).await?.is_some()
    {
        return Ok(Taken::Done);
    }
    let message = match message(object) {
        Ok(message) => message,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    let row = tx
        .row(
            "INSERT INTO status_messages (message_id, severity, message_type, component, time, package_id, point, site)
             VALUES ($1, $2, $3, $4, $5, $6, (SELECT d.name FROM distribution_points d WHERE d.name = $7), $8)
             RETURNING record",
            bind![
                message.id,
                message.severity,
                TYPE_COMPONENT,
                &message.component,
                message.time,
                message.package,
                message.point,
                site
            ],
        )
        .await?;
    let record = row.map_or(Ok(0), |row| row.i64("record"))?;
    tx.put_message_parts(record, &message.strings, &message.attributes).await?;
    Ok(Taken::Done)
}

//! Objects of kind `point`: a distribution point. Under its name stands what its site tells of it,
//! under `NAME/settings` what people of any site set.

use restock_names::{DistributionPointName, NalPath, SiteCode, Timestamp};
use serde_json::json;

use super::target::bad_key;
use super::{form, scope};
use crate::admin::TYPE_POINT;
use crate::hierarchy::STATUS_DELETED;
use crate::point::Point;
use crate::replica::{Arrival, Kind, Object, Taken, Told, Writer};
use crate::tx::bind;
use crate::{DatabaseError, Tx, Why};

/// What follows the name in the key of its settings.
const SETTINGS: &str = "/settings";

/// The distribution point a key names, and whether it names its settings.
fn of_key(key: &str) -> Result<(DistributionPointName, bool), Why> {
    let (text, is_settings) = key.strip_suffix(SETTINGS).map_or((key, false), |name| (name, true));
    let name: DistributionPointName = text.parse().map_err(|_unfit| bad_key())?;
    if name.as_str() == text { Ok((name, is_settings)) } else { Err(bad_key()) }
}

/// What its site tells of a distribution point.
struct Facts {
    site: SiteCode,
    library_id: Option<String>,
    serve_urls: Vec<String>,
    software: Option<String>,
    certificate_expires: Timestamp,
    enrolled_at: Timestamp,
    is_connected: bool,
    last_seen_at: Option<Timestamp>,
}

fn body(point: &Point, own: SiteCode) -> serde_json::Value {
    json!({
        "site": own,
        "library_id": point.library_id,
        "serve_urls": point.serve_urls,
        "software": point.software,
        "certificate_expires": point.certificate_expires.0,
        "enrolled_at": point.enrolled_at.0,
        "is_connected": point.connected_to.is_some(),
        "last_seen_at": point.last_seen_at.map(|at| at.0),
    })
}

fn facts(object: &Object) -> Result<Facts, Why> {
    let fields = object.fields();
    let short = |field: &str| match fields.text_or_none(field)? {
        Some(text) => form::within(text, field, form::NAME_BYTES_MAX).map(Some),
        None => Ok(None),
    };
    Ok(Facts {
        site: fields.parse("site")?,
        library_id: short("library_id")?,
        serve_urls: form::names(fields, "serve_urls")?,
        software: short("software")?,
        certificate_expires: fields.time("certificate_expires")?,
        enrolled_at: fields.time("enrolled_at")?,
        is_connected: fields.bool("is_connected")?,
        last_seen_at: fields.time_or_none("last_seen_at")?,
    })
}

/// What the rows say about it.
pub(crate) async fn told(tx: &mut Tx, kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    let Ok((name, is_settings)) = of_key(key) else { return Ok(Told::Others) };
    let Some(point) = tx.point(&name).await? else { return Ok(Told::Gone) };
    if is_settings {
        let scopes = scope::told_of(tx, TYPE_POINT, name.as_str(), (kind, key)).await?;
        return Ok(Told::Body(json!({
            "description": point.description,
            "is_in_maintenance": point.is_in_maintenance,
            "scopes": scopes,
        })));
    }
    let own = tx.own_code().await?;
    if point.site.is_some_and(|site| site != own) {
        return Ok(Told::Others);
    }
    Ok(Told::Body(body(&point, own)))
}

/// All that this site writes.
pub(crate) async fn keys(tx: &mut Tx, _kind: Kind) -> Result<Vec<String>, DatabaseError> {
    let own = tx.own_code().await?;
    let points = tx.points().await?.into_iter().filter(|point| point.site.is_none_or(|site| site == own));
    Ok(points.flat_map(|point| [point.name.to_string(), format!("{}{SETTINGS}", point.name)]).collect())
}

/// Who may write it: its site, and everybody its settings.
pub(crate) async fn writer(tx: &mut Tx, object: &Object) -> Result<Writer, DatabaseError> {
    // A key that is none is refused when the object is taken.
    let Ok((name, false)) = of_key(&object.key) else { return Ok(Writer::Any) };
    if object.body.is_some() {
        return Ok(facts(object).map_or(Writer::Any, |facts| Writer::Site(facts.site)));
    }
    let site = tx.site_of_point(&name).await?;
    Ok(site.map_or_else(|| Writer::WaitsFor(Kind::Point, name.to_string()), Writer::Site))
}

/// Makes the rows say what it says.
pub(crate) async fn take(
    tx: &mut Tx,
    object: &Object,
    arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    match of_key(&object.key) {
        Ok((name, true)) => take_settings(tx, &name, object).await,
        Ok((name, false)) => take_facts(tx, &name, object, arrival).await,
        Err(why) => Ok(Taken::Refused(why)),
    }
}

async fn take_settings(
    tx: &mut Tx,
    name: &DistributionPointName,
    object: &Object,
) -> Result<Taken, DatabaseError> {
    if object.body.is_none() {
        return Ok(Taken::Done);
    }
    let read = || -> Result<_, Why> {
        let fields = object.fields();
        let scopes = form::names(fields, "scopes")?;
        Ok((form::text(fields, "description")?, fields.bool("is_in_maintenance")?, scopes))
    };
    let (description, is_in_maintenance, scopes) = match read() {
        Ok(settings) => settings,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    if !tx.update_point(name, &description, is_in_maintenance).await? {
        return Ok(Taken::WaitsFor(Kind::Point, name.to_string()));
    }
    scope::take_of(tx, TYPE_POINT, name.as_str(), &scopes).await?;
    Ok(Taken::Done)
}

async fn take_facts(
    tx: &mut Tx,
    name: &DistributionPointName,
    object: &Object,
    arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    let known = tx.site_of_point(name).await?;
    if object.body.is_none() {
        if known.is_some_and(|site| site != arrival.own) {
            tx.forget_point(name).await?;
        }
        return Ok(Taken::Done);
    }
    let facts = match facts(object) {
        Ok(facts) => facts,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    if let Some(site) = known.filter(|site| *site != facts.site)
        && (site == arrival.own || is_active(tx, site).await?)
    {
        let text =
            format!("site {} tells of a distribution point {name}, which is one of site {site}", facts.site);
        return Ok(Taken::Refused(Why::new("POINT_NAME", text)));
    }
    if facts.site == arrival.own {
        // What this site told before it was put back to an earlier state. One it does not know any
        // more is not brought back: it would be nobody's.
        return Ok(Taken::Done);
    }
    if !is_active(tx, facts.site).await? {
        return Ok(Taken::WaitsFor(Kind::Site, facts.site.to_string()));
    }
    tx.put_other_point(name, &facts).await?;
    Ok(Taken::Done)
}

/// True for a site that is known and has not left: of another one, nothing is shown.
pub(super) async fn is_active(tx: &mut Tx, site: SiteCode) -> Result<bool, DatabaseError> {
    Ok(tx.site_row(site).await?.is_some_and(|row| row.status != STATUS_DELETED))
}

impl Tx {
    /// Keeps what another site tells of its distribution point.
    async fn put_other_point(
        &mut self,
        name: &DistributionPointName,
        facts: &Facts,
    ) -> Result<(), DatabaseError> {
        let serve_urls = serde_json::to_string(&facts.serve_urls).expect("a list of texts is plain data");
        let connected_to = facts.is_connected.then(|| facts.site.to_string());
        let nal_path = NalPath::new(facts.site, name).to_string();
        let values = bind![
            name,
            facts.site,
            nal_path,
            facts.certificate_expires,
            facts.enrolled_at,
            facts.library_id.clone(),
            serve_urls,
            facts.software.clone(),
            connected_to,
            facts.last_seen_at
        ];
        let changed = self
            .execute(
                "UPDATE distribution_points SET site_code = $2, nal_path = $3, certificate_expires = $4,
                     enrolled_at = $5, library_id = $6, serve_urls = $7, software = $8, connected_to = $9,
                     last_seen_at = $10
                 WHERE name = $1",
                values.clone(),
            )
            .await?;
        if changed == 0 {
            let number = self.next_number("point").await?;
            let mut values = values;
            values.extend(bind![number]);
            self.execute(
                "INSERT INTO distribution_points (name, site_code, nal_path, certificate_expires, enrolled_at,
                     library_id, serve_urls, software, connected_to, last_seen_at, number, fingerprint)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, '')",
                values,
            )
            .await?;
        }
        Ok(())
    }
}

//! Objects of kind `site`: a site as everybody knows it, by its code.
//!
//! A site writes itself, and the sites below it as they are enrolled and removed.

use restock_names::SiteCode;
use serde_json::json;

use crate::hierarchy::{SiteRow, SiteType};
use crate::replica::object::to_hex;
use crate::replica::{Arrival, Kind, Object, Taken, Told, Writer};
use crate::{DatabaseError, Tx, Why};

/// What the rows say about it.
pub(crate) async fn told(tx: &mut Tx, _kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    let Ok(code) = key.parse::<SiteCode>() else { return Ok(Told::Others) };
    let own = tx.own_code().await?;
    let Some(site) = tx.site_row(code).await? else { return Ok(Told::Others) };
    if site.code != own && site.parent != Some(own) {
        return Ok(Told::Others);
    }
    Ok(Told::Body(json!({
        "parent": site.parent,
        "type": site.site_type.number(),
        "name": site.name,
        "server_name": site.server_name,
        "url": site.url,
        "software": site.software,
        "root_public_key": site.root_public_key,
        "key_list": to_hex(&site.key_list),
        "ca_fingerprint": site.ca_fingerprint,
        "status": site.status,
    })))
}

/// All that this site writes.
pub(crate) async fn keys(tx: &mut Tx, _kind: Kind) -> Result<Vec<String>, DatabaseError> {
    Ok(tx.sites().await?.into_iter().map(|site| site.code.to_string()).collect())
}

/// Who may write it: what is said of a known site comes from its side.
pub(crate) async fn writer(tx: &mut Tx, object: &Object) -> Result<Writer, DatabaseError> {
    let Ok(code) = object.key.parse::<SiteCode>() else { return Ok(Writer::Any) };
    let is_known = tx.site_row(code).await?.is_some();
    Ok(if is_known { Writer::Site(code) } else { Writer::Any })
}

/// Makes the rows say what it says.
pub(crate) async fn take(
    tx: &mut Tx,
    object: &Object,
    arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    let site = match read(object) {
        Ok(site) => site,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    let code = site.code;
    if let Some(taken) = place(tx, &site, arrival).await? {
        return Ok(taken);
    }
    if let Some(known) = tx.site_row(code).await?
        && !known.root_public_key.is_empty()
        && known.root_public_key != site.root_public_key
    {
        let text = format!("the root key of site {code} is not the one that is known");
        let fix =
            format!("remove site {code} at the site above it, and let it join again under another code");
        return Ok(Taken::Refused(Why::new("KEY_CHANGED", text).with_fix(fix)));
    }
    tx.put_site(&site).await?;
    Ok(Taken::Done)
}

/// Where a site says that it stands: a neighbour tells of sites on its own side, and only this site of
/// those right below it.
async fn place(tx: &mut Tx, site: &SiteRow, arrival: &Arrival<'_>) -> Result<Option<Taken>, DatabaseError> {
    let code = site.code;
    let refused = |text: String| Ok(Some(Taken::Refused(Why::new("OBJECT_WRITER", text))));
    if site.parent == Some(arrival.own) && tx.link(code).await?.is_none() {
        return refused(format!(
            "site {code} says that it stands below this one, and there is no link to it"
        ));
    }
    if tx.site_row(code).await?.is_some() {
        return Ok(None);
    }
    let from = arrival.peer;
    match site.parent {
        Some(parent) if parent == from => Ok(None),
        Some(parent) if tx.site_row(parent).await?.is_none() => {
            Ok(Some(Taken::WaitsFor(Kind::Site, parent.to_string())))
        }
        Some(parent) if tx.hierarchy().await?.next_hop(parent) == Some(from) => Ok(None),
        None if tx.link(from).await?.is_some_and(|link| link.is_above) => Ok(None),
        _ => refused(format!("site {from} told of site {code}, which does not lie on its side")),
    }
}

fn read(object: &Object) -> Result<SiteRow, Why> {
    let form = |text: String| Why::new("OBJECT_FORM", text);
    let code = object.key.parse().map_err(|error: restock_names::SiteCodeError| form(error.to_string()))?;
    if object.body.is_none() {
        return Err(form(format!("site {code} is marked as deleted, never taken away")));
    }
    let fields = object.fields();
    let parent = fields.parse_or_none("parent")?;
    if parent == Some(code) {
        return Err(form(format!("site {code} says that it stands below itself")));
    }
    Ok(SiteRow {
        code,
        parent,
        site_type: SiteType::of_number(fields.u32("type")?).map_err(|error| form(error.to_string()))?,
        name: fields.text("name")?,
        server_name: fields.text("server_name")?,
        url: fields.text("url")?,
        software: fields.text("software")?,
        root_public_key: fields.text("root_public_key")?,
        key_list: fields.bytes("key_list")?,
        ca_fingerprint: fields.text("ca_fingerprint")?,
        status: fields.u32("status")?,
    })
}

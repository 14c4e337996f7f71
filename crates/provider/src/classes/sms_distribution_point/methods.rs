//! `SMS_DistributionPoint`: one package on one distribution point.

use restock_names::{DistributionPointName, PackageId};
use restock_sitedb::Tx;

use crate::object::{
    MethodAnswer, MethodContext, NamedPoint, ObjectContext, PutContext, PutForm, ResolvedKeys, shown,
};
use crate::packages::known;
use crate::rights::Securable;
use crate::rights::operations::{DISTRIBUTE, READ};
use crate::{Refusal, distribution};

/// The package and the distribution point, if the caller may distribute the one to the other.
async fn allowed(
    object: &ObjectContext,
    tx: &mut Tx,
    package: &str,
    nal_path: &str,
) -> Result<(PackageId, DistributionPointName), Refusal> {
    let id = crate::object::package_id(package)?;
    object.require(tx, Securable::Package(id), READ).await?;
    known(tx, id).await?;
    let point = object.point(tx, nal_path, READ | DISTRIBUTE).await?;
    Ok((id, point))
}

async fn of_keys(object: &ObjectContext, tx: &mut Tx) -> Result<(PackageId, DistributionPointName), Refusal> {
    let (site, nal_path) = (object.key("SiteCode"), object.key("ServerNALPath"));
    // The site stands in both keys; a path that is none is refused with the rights of the caller.
    if NamedPoint::of_nal(nal_path).is_ok_and(|named| !site.eq_ignore_ascii_case(named.site.as_str())) {
        let text = format!("{}: the distribution point is not one of site {}", object.shown(), shown(site));
        return Err(Refusal::provider("POINT_UNKNOWN", text));
    }
    allowed(object, tx, object.key("PackageID"), nal_path).await
}

/// Distributes when the object is new; with `RefreshNow` redistributes.
pub(crate) async fn put(put: &PutContext, tx: &mut Tx) -> Result<ResolvedKeys, Refusal> {
    let object = &put.object;
    let Some(keys) = &object.keys else {
        let text = "PackageID, ServerNALPath and SiteCode must have values";
        return Err(Refusal::provider("REQUIRED", text));
    };
    let (id, point) = of_keys(object, tx).await?;
    let is_new = tx.target(id, &point).await?.is_none();
    if is_new && put.must_exist {
        return Err(Refusal::not_found(format_args!("package {id} at distribution point {point}")));
    }
    if !is_new && put.form != PutForm::Create {
        put.check_partial()?;
    }
    if is_new || put.form == PutForm::Create {
        distribution::add(tx, &object.at, id, vec![point.clone()]).await?;
    }
    if put.flag("RefreshNow") == Some(true) && !is_new {
        distribution::redistribute(tx, &object.at, id, vec![point.clone()]).await?;
    }
    if let Some(text) = put.text("ISVString") {
        tx.set_target_isv_string(id, &point, &text).await?;
    }
    if let Some(data) = put.bytes("ISVData") {
        tx.set_target_isv_data(id, &point, data).await?;
    }
    Ok(keys.clone())
}

/// Removes the content.
pub(crate) async fn delete(object: &ObjectContext, tx: &mut Tx) -> Result<(), Refusal> {
    let (id, point) = of_keys(object, tx).await?;
    distribution::remove(tx, &object.at, id, vec![point]).await?;
    Ok(())
}

/// Lets the distribution point read all content of the package again and fetch what is damaged.
pub(crate) async fn verify_package(call: &MethodContext, tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    let (id, point) = allowed(&call.object, tx, call.text("PackageId")?, call.text("NALPath")?).await?;
    distribution::redistribute(tx, &call.object.at, id, vec![point]).await?;
    Ok(MethodAnswer::done())
}

/// Stops what is under way to the distribution point.
pub(crate) async fn cancel_distribution(call: &MethodContext, tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    let (id, point) = allowed(&call.object, tx, call.text("PackageId")?, call.text("NALPath")?).await?;
    distribution::cancel(tx, &call.object.at, id, vec![point]).await?;
    Ok(MethodAnswer::done())
}

//! `SMS_DistributionPoint`: one package on one distribution point.

use restock_names::{DistributionPointName, PackageId, SiteCode};
use restock_sitedb::Tx;

use crate::object::{MethodAnswer, MethodContext, ObjectContext, PutContext, PutForm, ResolvedKeys};
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
    let point = object.point(nal_path)?;
    object.require(tx, Securable::Point(point.clone()), READ | DISTRIBUTE).await?;
    Ok((id, point))
}

async fn of_keys(object: &ObjectContext, tx: &mut Tx) -> Result<(PackageId, DistributionPointName), Refusal> {
    let is_own = object.key("SiteCode").parse::<SiteCode>().is_ok_and(|site| site == object.site());
    if !is_own {
        let text = format!("{}: the site is not this one, which is {}", object.shown(), object.site());
        return Err(Refusal::provider("POINT_UNKNOWN", text));
    }
    allowed(object, tx, object.key("PackageID"), object.key("ServerNALPath")).await
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

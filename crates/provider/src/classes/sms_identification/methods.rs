//! `SMS_Identification`: which site this is, which program, and who asks.

use restock_cim::Value;
use restock_sitedb::Tx;

use crate::Refusal;
use crate::object::{MethodAnswer, MethodContext};

/// The caller's account.
pub(crate) async fn get_current_user(call: &MethodContext, _tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    Ok(MethodAnswer::with(vec![("UserName", Value::String(call.object.caller.account.clone()))]))
}

/// The version of the provider, as `SMS_Site.Version` shows it.
pub(crate) async fn get_provider_version(
    call: &MethodContext,
    _tx: &mut Tx,
) -> Result<MethodAnswer, Refusal> {
    Ok(MethodAnswer::with(vec![("VersionString", Value::String(call.object.config.version.clone()))]))
}

/// The site code.
pub(crate) async fn get_site_id(call: &MethodContext, _tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    Ok(MethodAnswer::with(vec![("SiteID", Value::String(call.object.site().to_string()))]))
}

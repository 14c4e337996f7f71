//! `SMS_RbacSecuredObject`: what the caller may do.

use restock_cim::{KeyValue, Keys, ObjectPath, Value};
use restock_names::PackageId;
use restock_sitedb::Tx;

use crate::Refusal;
use crate::object::{MethodAnswer, MethodContext};
use crate::rights::object_types::{ADMIN, ROLE, SCOPE, STATUS_MESSAGE};
use crate::rights::operations::READ;
use crate::rights::{Denied, Securable, require};

/// `CategoryTypeID` of security scopes, for GetAvailableScopes.
const SCOPES: u64 = 29;

/// Whether the caller holds all of `Permissions` on an object; answers those of them that are held.
///
/// Errors: `NOT_FOUND` for an object that may not be read, as for one that does not exist.
pub(crate) async fn user_has_permissions(call: &MethodContext, tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    let path = match call.argument("ObjectPath") {
        Value::Reference(path) => (**path).clone(),
        Value::String(text) => text.parse().map_err(|_unfit| bad_path(text))?,
        _ => return Err(required(call, "ObjectPath")),
    };
    let asked = match call.argument("Permissions") {
        Value::Unsigned(bits) => u32::try_from(*bits).unwrap_or(u32::MAX),
        _ => return Err(required(call, "Permissions")),
    };
    let rights = &call.object.caller.rights;
    let object = secured(call, tx, &path).await?;
    let held = match object.key() {
        None => rights.on_type(object.object_type()),
        Some(key) => {
            require_visible(tx, call, &object).await?;
            rights.on_object(object.object_type(), &tx.scopes_of_object(object.object_type(), key).await?)
        }
    };
    let answer = vec![("Permissions", Value::Unsigned((held & asked).into()))];
    let mut answer = MethodAnswer::with(answer);
    answer.return_value = Value::Boolean(held & asked == asked);
    Ok(answer)
}

/// The scopes within which the caller holds one of the roles.
pub(crate) async fn get_available_scopes(call: &MethodContext, tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    let roles = call.texts("RoleIDs")?;
    let kind = match call.argument("ScopeTypeID") {
        Value::Unsigned(kind) => *kind,
        _ => SCOPES,
    };
    let (mut ids, mut names) = (Vec::new(), Vec::new());
    if kind == SCOPES {
        let rights = &call.object.caller.rights;
        for scope in tx.scopes().await? {
            if rights.has_role_in(&roles, &scope.id) {
                ids.push(Value::String(scope.id));
                names.push(Value::String(scope.name));
            }
        }
    }
    let mut answer =
        MethodAnswer::with(vec![("ScopeIDs", Value::Array(ids)), ("ScopeNames", Value::Array(names))]);
    answer.return_value = Value::Unsigned(0);
    Ok(answer)
}

fn required(call: &MethodContext, name: &str) -> Refusal {
    Refusal::provider("REQUIRED", format!("{}: parameter {name} must have a value", call.method))
}

fn bad_path(text: &str) -> Refusal {
    let shown: String = text.chars().take(200).collect();
    Refusal::core("INVALID_PATH", format!("{} is no object path", restock_names::Escaped(shown.as_bytes())))
}

/// What a path names: an object that scopes hold, or a type.
async fn secured(call: &MethodContext, tx: &mut Tx, path: &ObjectPath) -> Result<Securable, Refusal> {
    let hidden = || Refusal::not_found(path);
    let class = path.class.as_str().to_ascii_lowercase();
    let keys = match &path.keys {
        Keys::Class | Keys::Singleton => &[],
        Keys::Named(keys) => keys.as_slice(),
        Keys::Single(value) => {
            // The only key, whatever it is called.
            let named = vec![(restock_cim::Name::from("*"), value.clone())];
            return by_key(call, tx, &class, &named).await?.ok_or_else(hidden);
        }
    };
    if keys.is_empty() {
        let number = match class.as_str() {
            "sms_package" => crate::rights::object_types::PACKAGE,
            "sms_site" => crate::rights::object_types::SITE,
            "sms_distributionpointinfo" => crate::rights::object_types::POINT,
            "sms_distributionpointgroup" => crate::rights::object_types::GROUP,
            "sms_admin" => ADMIN,
            "sms_role" => ROLE,
            "sms_securedcategory" => SCOPE,
            "sms_statusmessage" => STATUS_MESSAGE,
            _ => return Err(unsecured(path)),
        };
        return Ok(Securable::Type(number));
    }
    by_key(call, tx, &class, keys).await?.ok_or_else(hidden)
}

fn unsecured(path: &ObjectPath) -> Refusal {
    Refusal::provider("NOT_SUPPORTED", format!("objects of {} have no rights of their own", path.class))
}

async fn by_key(
    call: &MethodContext,
    tx: &mut Tx,
    class: &str,
    keys: &[(restock_cim::Name, KeyValue)],
) -> Result<Option<Securable>, Refusal> {
    let text = |name: &str| {
        let found = keys.iter().find(|(key, _)| key.is(name) || key.is("*")).map(|(_, value)| value);
        match found {
            Some(KeyValue::String(text)) => Some(text.clone()),
            Some(KeyValue::Integer(number)) => Some(number.to_string()),
            _ => None,
        }
    };
    Ok(match class {
        "sms_package" | "sms_packagebaseclass" => {
            text("PackageID").and_then(|id| id.parse::<PackageId>().ok()).map(Securable::Package)
        }
        "sms_site" => text("SiteCode").and_then(|code| code.parse().ok()).map(Securable::Site),
        "sms_distributionpointgroup" => text("GroupID").map(Securable::Group),
        "sms_distributionpointinfo" => match text("ID").and_then(|id| id.parse::<u64>().ok()) {
            Some(number) => {
                let points = tx.points().await?;
                points
                    .into_iter()
                    .find(|point| u64::from(point.number) == number)
                    .map(|p| Securable::Point(p.name))
            }
            None => match text("NALPath") {
                Some(nal) => match call.object.point(tx, &nal, READ).await {
                    Ok(name) => Some(Securable::Point(name)),
                    Err(refusal) if refusal.code() == "POINT_UNKNOWN" => None,
                    Err(refusal) => return Err(refusal),
                },
                None => None,
            },
        },
        "sms_admin" => text("AdminID").map(|_| Securable::Type(ADMIN)),
        "sms_role" => text("RoleID").map(|_| Securable::Type(ROLE)),
        "sms_securedcategory" => text("CategoryID").map(|_| Securable::Type(SCOPE)),
        _ => {
            return Err(Refusal::provider(
                "NOT_SUPPORTED",
                format!("objects of {class} have no rights of their own"),
            ));
        }
    })
}

/// Refuses an object that does not exist or may not be read, both alike.
async fn require_visible(tx: &mut Tx, call: &MethodContext, object: &Securable) -> Result<(), Refusal> {
    require(tx, &call.object.caller.rights, object.clone(), READ).await?;
    let exists = match object {
        Securable::Package(id) => tx.package(*id).await?.is_some_and(|package| !package.is_deleting),
        Securable::Point(name) => tx.point(name).await?.is_some(),
        Securable::Site(code) => tx.site_row(*code).await?.is_some(),
        Securable::Group(id) => tx.group(id).await?.is_some(),
        Securable::Type(_) => true,
    };
    if exists { Ok(()) } else { Err(Denied::Hidden(object.clone()).into()) }
}

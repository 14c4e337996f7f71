//! What the demo leaves for clients of the AdminService: an account, and a group of all DPs.

use restock_names::{NalPath, PackageId};
use restock_provider::account::{Secret, random_password};
use restock_provider::admin::{AdminAnswer, AdminOperation, PermissionRow};
use serde_json::{Map, Value, json};

use super::cast::Cast;
use super::stop::Stop;
use crate::control::{AdminServiceAt, Ask, Client, ObjectAsk, ObjectVerb};
use crate::failure::{Failure, Kind};

/// The account's logon name, and what it may do: everything.
const USER: &str = "admin";
const FULL_ADMINISTRATOR: &str = "SMS0001R";
const ALL_SCOPES: &str = "SMS00ALL";
/// The group's name.
const GROUP: &str = "All demo points";

/// How to reach the site as a client does.
#[derive(Debug)]
pub(super) struct Management {
    pub(super) at: AdminServiceAt,
    pub(super) user: &'static str,
    pub(super) password: Secret,
    pub(super) group: String,
}

/// Makes an account with a random password, and a group with all DPs and `package`; waits until the
/// child site, if there is one, has both.
pub(super) fn prepare(cast: &mut Cast, package: PackageId, stop: &Stop) -> Result<Management, Failure> {
    let at = cast.site.admin_service.clone();
    let at = at.ok_or_else(|| Failure::failed("the site has no AdminService"))?;
    let paths: Vec<String> =
        cast.points.iter().map(|point| NalPath::new(point.site, &point.name).to_string()).collect();
    let description = cast.names().iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let client = &mut cast.site.client;
    let password =
        random_password().map_err(|e| Failure::caused(Kind::Failed, "cannot make a password", &e))?;
    let permission = PermissionRow { role: FULL_ADMINISTRATOR.to_owned(), scope: ALL_SCOPES.to_owned() };
    let _made: AdminAnswer = client.ask(Ask::Administer(AdminOperation::AddAccount {
        name: USER.to_owned(),
        display_name: "Administrator of the demo".to_owned(),
        password: Some(password.clone()),
        permissions: vec![permission],
    }))?;
    let group = object(
        client,
        ObjectVerb::Put {
            path: "SMS_DistributionPointGroup".to_owned(),
            values: members(json!({ "Name": GROUP, "Description": description })),
        },
    )?;
    let group = group["GroupID"].as_str().unwrap_or_default().to_owned();
    let path = format!("SMS_DistributionPointGroup.GroupID=\"{group}\"");
    let mut call = |method: &str, arguments: Value| {
        let (path, method) = (path.clone(), method.to_owned());
        object(client, ObjectVerb::Invoke { path, method, arguments: members(arguments) })
    };
    call("AddDistributionPoints", json!({ "DPNALPath": paths, "AddTargetedPackages": false }))?;
    call("AddPackages", json!({ "PackageIDs": [package.as_str()] }))?;
    cast.until("the account and the group are known at the child site", stop, |cast| {
        let Some(child) = &mut cast.child else { return Ok(true) };
        let has_account = match child.client.ask(Ask::Administer(AdminOperation::ListAccounts))? {
            AdminAnswer::Accounts(rows) => rows.iter().any(|row| row.name == USER),
            _ => false,
        };
        Ok(has_account && object(&mut child.client, ObjectVerb::Get { path: path.clone() }).is_ok())
    })?;
    Ok(Management { at, user: USER, password, group })
}

fn object(client: &mut Client, verb: ObjectVerb) -> Result<Value, Failure> {
    client.ask(Ask::Objects(ObjectAsk { r#as: None, verb }))
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

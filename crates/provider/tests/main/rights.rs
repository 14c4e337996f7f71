//! Who may do what, through the object API.

mod grants;
mod hidden;
mod roles;
mod same_answer;
mod source_scopes;

use restock_cim::query::wql;
use restock_cim::{Instance, Value};
use restock_provider::admin::{AdminAnswer, AdminOperation, PermissionRow};
use restock_provider::rights::{Rights, object_types};
use restock_provider::{Caller, Door, MethodAnswer, MethodCall, OperationError, Put, PutForm, Refusal};
use restock_sitedb::DatabaseError;
use std::sync::Arc;

use crate::objects::{Objects, caller, named, path, text};

/// The role that exports of real sites give to those who look after packages.
pub(crate) const PACKAGE_TEAM: &str = r#"<SMS_Roles>
  <SMS_Role CopiedFromID="SMS0009R" RoleName="Package team" RoleDescription="Makes, distributes and refreshes packages">
    <Operations>
      <Operation GrantedOperations="805446679" ObjectTypeID="2"/>
      <Operation GrantedOperations="1" ObjectTypeID="6"/>
      <Operation GrantedOperations="1" ObjectTypeID="29"/>
      <Operation GrantedOperations="9" ObjectTypeID="42"/>
      <Operation GrantedOperations="9" ObjectTypeID="43"/>
    </Operations>
  </SMS_Role>
</SMS_Roles>"#;

impl Objects {
    pub(crate) async fn admin(&self, operation: AdminOperation) -> AdminAnswer {
        self.provider.administer(&caller(), operation).await.unwrap()
    }

    pub(crate) async fn admin_as(
        &self,
        who: &Caller,
        operation: AdminOperation,
    ) -> Result<AdminAnswer, OperationError> {
        self.provider.administer(who, operation).await
    }

    /// A scope; its ID.
    pub(crate) async fn scope(&self, name: &str) -> String {
        let operation = AdminOperation::AddScope { name: name.to_owned(), description: String::new() };
        match self.admin(operation).await {
            AdminAnswer::Scope(row) => row.scope,
            other => panic!("{other:?}"),
        }
    }

    /// An account without a password that has roles within scopes, and what it is as a caller.
    pub(crate) async fn account(&self, name: &str, permissions: &[(&str, &str)]) -> Caller {
        let rows = permissions
            .iter()
            .map(|(role, scope)| PermissionRow { role: (*role).to_owned(), scope: (*scope).to_owned() });
        let operation = AdminOperation::AddAccount {
            name: name.to_owned(),
            display_name: String::new(),
            password: None,
            permissions: rows.collect(),
        };
        match self.admin(operation).await {
            AdminAnswer::Account(row) => self.caller_of(row.admin_id, name).await,
            other => panic!("{other:?}"),
        }
    }

    /// The account as it may act at this moment.
    pub(crate) async fn caller_of(&self, admin_id: u32, name: &str) -> Caller {
        let rights: Result<Rights, DatabaseError> = self
            .site
            .database
            .read("rights", move |tx| Box::pin(async move { Rights::load(tx, admin_id, None).await }))
            .await;
        Caller {
            account: name.to_owned(),
            admin_id: Some(admin_id),
            rights: Arc::new(rights.unwrap()),
            door: Door::AdminService,
            address: "192.0.2.7".to_owned(),
            ..caller()
        }
    }

    /// Moves an object into `scope` and out of Default.
    pub(crate) async fn move_to(&self, scope: &str, object_type: u32, object: &str) {
        let (scope, object) = (scope.to_owned(), object.to_owned());
        let add = AdminOperation::AddMember { scope, object_type, object: object.clone() };
        self.admin(add).await;
        let remove = AdminOperation::RemoveMember { scope: "SMS00UNA".to_owned(), object_type, object };
        self.admin(remove).await;
    }

    pub(crate) async fn import_package_team(&self) {
        let call = [("RolesXml", text(PACKAGE_TEAM)), ("OverwrittenExisted", Value::Boolean(false))];
        self.invoke(r#"SMS_Role.RoleID="SMS0001R""#, "ImportRole", &call).await;
    }

    pub(crate) async fn query_as(&self, who: &Caller, query: &str) -> Result<Vec<Instance>, Refusal> {
        self.provider.query(who, wql::parse(query).unwrap()).await?.all().await
    }

    /// The texts of `property` in the answer to `query`.
    pub(crate) async fn seen_by(&self, who: &Caller, query: &str, property: &str) -> Vec<String> {
        let rows = self.query_as(who, query).await.unwrap();
        let mut found: Vec<String> = rows
            .iter()
            .map(|row| match row.get(property) {
                Some(Value::String(text)) => text.clone(),
                other => format!("{other:?}"),
            })
            .collect();
        found.sort();
        found
    }

    pub(crate) async fn invoke_as(
        &self,
        who: &Caller,
        object: &str,
        method: &str,
        arguments: &[(&str, Value)],
    ) -> Result<MethodAnswer, Refusal> {
        let call = MethodCall { path: path(object), method: method.into(), arguments: named(arguments) };
        self.provider.invoke(who, call).await
    }

    pub(crate) async fn put_as(
        &self,
        who: &Caller,
        class: &str,
        form: PutForm,
        values: &[(&str, Value)],
    ) -> Result<Instance, Refusal> {
        let put = Put { class: class.into(), path: None, values: named(values), form };
        self.provider.put(who, put).await
    }
}

/// The text of a property.
pub(crate) fn read(instance: &Instance, property: &str) -> String {
    match instance.get(property) {
        Some(Value::String(text)) => text.clone(),
        other => panic!("{property} is {other:?}"),
    }
}

pub(crate) use object_types::{GROUP, PACKAGE, POINT, SITE};

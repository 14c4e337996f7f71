//! `restock admin`: an operation in, an answer out.

use std::time::Duration;

use restock_sitedb::Tx;
use restock_sitedb::admin::{Account, ApiToken, Membership, PasswordHash, Permission, Role, Scope};

use super::accounts::NewAccount;
use super::operation::{
    AccountRow, AdminAnswer, AdminOperation, MemberRow, NtlmMade, PermissionRow, RoleRow, ScopeRow,
    TokenMade, TokenRow,
};
use super::scopes::Change;
use super::{Giver, accounts, certificates, ntlm, principals, roles, scopes, tokens};
use crate::account::{SealingKey, Secret, TokenText, hash_password, random_ntlm_secret};
use crate::object::Caller;
use crate::rights::object_types::{ADMIN, ROLE, SCOPE};
use crate::rights::operations::READ;
use crate::rights::{Securable, require};
use crate::{ErrorKind, OperationError, Provider, audit};

/// Passwords have at least this many characters.
const PASSWORD_CHARS_MIN: usize = 8;
/// And at most this many bytes.
const PASSWORD_BYTES_MAX: usize = 1_024;
/// Objects of a scope that are listed at most.
const MEMBERS_MAX: u32 = 10_000;

/// What was made before the transaction: hashes are slow, and randomness must be the same when a
/// transaction runs again.
#[derive(Debug, Clone, Default)]
struct Prepared {
    password: Option<PasswordHash>,
    token: Option<TokenText>,
    ntlm: Option<(SealingKey, Secret)>,
}

impl Provider {
    /// Performs an operation on accounts, roles, scopes or tokens for `caller`.
    ///
    /// A change, allowed or refused, is in the audit trail. Errors: see [`OperationError`]; nothing
    /// was changed then.
    pub async fn administer(
        &self,
        caller: &Caller,
        operation: AdminOperation,
    ) -> Result<AdminAnswer, OperationError> {
        let is_change = operation.is_change();
        let (path, parameters, name) = (operation.path(), operation.parameters(), operation.name());
        let result = self.administer_unaudited(caller, operation).await;
        match &result {
            Ok(_) => tracing::info!(target: "smsprov", operation = name, user = caller.account, "performed"),
            Err(error) => {
                tracing::info!(target: "smsprov", operation = name, user = caller.account, %error, "refused");
            }
        }
        if let (Err(error), true) = (&result, is_change) {
            let code = audit::result_of(error);
            let (now, caller) = (self.clock.now(), caller.clone());
            let kept: Result<(), OperationError> = self
                .database
                .transact("audit_refusal", move |tx| {
                    Box::pin(async move {
                        let Some(site) = tx.site().await? else { return Ok(()) };
                        let kept = audit::Kept {
                            operation: name,
                            path: &path,
                            method: "",
                            parameters,
                            package: None,
                            result: code,
                            before: None,
                        };
                        Ok(audit::keep(tx, site.code, now, &caller, &kept).await?)
                    })
                })
                .await;
            if let Err(error) = kept {
                tracing::error!(target: "smsprov", %error, "a refusal could not be kept in the audit trail");
            }
        }
        result
    }

    async fn administer_unaudited(
        &self,
        caller: &Caller,
        operation: AdminOperation,
    ) -> Result<AdminAnswer, OperationError> {
        let prepared = prepare(&operation, self.sealing.as_ref()).await?;
        let (now, caller) = (self.clock.now(), caller.clone());
        let name = operation.name();
        if !operation.is_change() {
            return self
                .database
                .read(name, move |tx| Box::pin(async move { look(tx, &caller, operation).await }))
                .await;
        }
        self.database
            .transact(name, move |tx| {
                Box::pin(async move {
                    let site = tx.site().await?.ok_or_else(OperationError::site_incomplete)?;
                    let giver = Giver { rights: &caller.rights, by: &caller.account, now, site: site.code };
                    let (path, parameters) = (operation.path(), operation.parameters());
                    let before = audit::digest_of(tx, &path).await?;
                    let answer = change(tx, &giver, operation, prepared).await?;
                    let kept = audit::Kept {
                        operation: name,
                        path: &path,
                        method: "",
                        parameters,
                        package: None,
                        result: 0,
                        before,
                    };
                    audit::keep(tx, site.code, now, &caller, &kept).await?;
                    Ok(answer)
                })
            })
            .await
    }
}

async fn prepare(
    operation: &AdminOperation,
    sealing: Option<&SealingKey>,
) -> Result<Prepared, OperationError> {
    let failed =
        |error: &dyn std::fmt::Display| OperationError::new(ErrorKind::Failed, "FAILED", error.to_string());
    match operation {
        AdminOperation::AddAccount { password: Some(password), .. }
        | AdminOperation::SetPassword { password: Some(password), .. } => {
            check_password(password)?;
            let password = password.clone();
            let hashed = tokio::task::spawn_blocking(move || hash_password(&password)).await;
            let hash = hashed.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
            Ok(Prepared { password: Some(hash), ..Prepared::default() })
        }
        AdminOperation::CreateToken { .. } => {
            let token = TokenText::random().map_err(|error| failed(&error))?;
            Ok(Prepared { token: Some(token), ..Prepared::default() })
        }
        AdminOperation::EnableNtlm { .. } => {
            let key = sealing.ok_or_else(|| failed(&"this site has no key to seal secrets with"))?;
            let secret = random_ntlm_secret().map_err(|error| failed(&error))?;
            Ok(Prepared { ntlm: Some((key.clone(), secret)), ..Prepared::default() })
        }
        _ => Ok(Prepared::default()),
    }
}

fn check_password(password: &Secret) -> Result<(), OperationError> {
    let text = password.reveal();
    if text.chars().count() < PASSWORD_CHARS_MIN || text.len() > PASSWORD_BYTES_MAX || text.contains('\0') {
        let text = format!(
            "a password has at least {PASSWORD_CHARS_MIN} characters and at most {PASSWORD_BYTES_MAX} bytes"
        );
        return Err(OperationError::invalid("RANGE", text));
    }
    Ok(())
}

async fn look(
    tx: &mut Tx,
    caller: &Caller,
    operation: AdminOperation,
) -> Result<AdminAnswer, OperationError> {
    let object_type = match operation {
        AdminOperation::ListRoles | AdminOperation::ExportRole { .. } => ROLE,
        AdminOperation::ListScopes | AdminOperation::ListMembers { .. } => SCOPE,
        _ => ADMIN,
    };
    require(tx, &caller.rights, Securable::Type(object_type), READ).await?;
    Ok(match operation {
        AdminOperation::ListAccounts => {
            let mut rows = Vec::new();
            for account in tx.accounts().await? {
                rows.push(account_row(tx, account).await?);
            }
            AdminAnswer::Accounts(rows)
        }
        AdminOperation::ListRoles => {
            AdminAnswer::Roles(tx.roles().await?.into_iter().map(role_row).collect())
        }
        AdminOperation::ExportRole { role } => {
            AdminAnswer::RoleFile(roles::export(&roles::find(tx, &role).await?))
        }
        AdminOperation::ListScopes => {
            AdminAnswer::Scopes(tx.scopes().await?.into_iter().map(scope_row).collect())
        }
        AdminOperation::ListMembers { scope } => {
            let scope = scopes::find(tx, &scope).await?;
            let members = tx.members_of_scope(&scope.id, MEMBERS_MAX).await?;
            AdminAnswer::Members(members.into_iter().map(member_row).collect())
        }
        AdminOperation::ListTokens { account } => {
            let account = match account {
                Some(name) => Some(accounts::named(tx, &name).await?.id),
                None => None,
            };
            let mut rows = Vec::new();
            for token in tx.api_tokens(account).await? {
                let of = tx.account(token.account).await?;
                rows.push(token_row(token, of.map(|account| account.logon_name).unwrap_or_default()));
            }
            AdminAnswer::Tokens(rows)
        }
        AdminOperation::ListCertificates { account } => {
            let account = match account {
                Some(name) => Some(accounts::named(tx, &name).await?.id),
                None => None,
            };
            AdminAnswer::Certificates(certificates::list(tx, account).await?)
        }
        AdminOperation::ListPrincipals { account } => {
            let account = match account {
                Some(name) => Some(accounts::named(tx, &name).await?.id),
                None => None,
            };
            AdminAnswer::Principals(principals::list(tx, account).await?)
        }
        change => {
            return Err(OperationError::invalid(
                "INVALID_OPERATION",
                format!("{} is a change", change.name()),
            ));
        }
    })
}

async fn change(
    tx: &mut Tx,
    giver: &Giver<'_>,
    operation: AdminOperation,
    prepared: Prepared,
) -> Result<AdminAnswer, OperationError> {
    match operation {
        AdminOperation::AddAccount { .. }
        | AdminOperation::SetPassword { .. }
        | AdminOperation::SetDisabled { .. }
        | AdminOperation::RemoveAccount { .. }
        | AdminOperation::Grant { .. }
        | AdminOperation::Revoke { .. } => {
            let account = change_account(tx, giver, operation, prepared).await?;
            Ok(AdminAnswer::Account(account))
        }
        AdminOperation::ImportRole { xml, overwrite } => {
            let roles = roles::import(tx, giver, &xml, overwrite).await?;
            Ok(AdminAnswer::Roles(roles.into_iter().map(role_row).collect()))
        }
        AdminOperation::RemoveRole { role } => {
            let role = roles::find(tx, &role).await?;
            roles::remove(tx, giver, &role).await?;
            Ok(AdminAnswer::Role(role_row(role)))
        }
        AdminOperation::AddScope { name, description } => {
            scopes::create(tx, giver, name, description).await.map(scope_row).map(AdminAnswer::Scope)
        }
        AdminOperation::RemoveScope { scope } => {
            let scope = scopes::find(tx, &scope).await?;
            scopes::remove(tx, giver, &scope).await?;
            Ok(AdminAnswer::Scope(scope_row(scope)))
        }
        AdminOperation::AddMember { scope, object_type, object } => {
            change_member(tx, giver, Change::Add, (&scope, object_type, object)).await
        }
        AdminOperation::RemoveMember { scope, object_type, object } => {
            change_member(tx, giver, Change::Remove, (&scope, object_type, object)).await
        }
        AdminOperation::CreateToken { account, name, role, valid_ms } => {
            let account = accounts::named(tx, &account).await?;
            let text = prepared.token.ok_or_else(|| {
                OperationError::new(ErrorKind::Failed, "FAILED", "no token was made beforehand")
            })?;
            let valid = Duration::from_millis(valid_ms);
            let token = tokens::create(tx, giver, &account, (&name, role.as_deref()), valid, &text).await?;
            let row = token_row(token, account.logon_name);
            Ok(AdminAnswer::TokenMade(TokenMade { token: Secret::new(text.reveal()), row }))
        }
        AdminOperation::RevokeToken { account, name } => {
            let account = accounts::named(tx, &account).await?;
            tokens::revoke(tx, giver, &account, &name).await?;
            let tokens = tx.api_tokens(Some(account.id)).await?;
            let revoked = tokens.into_iter().find(|token| token.name.eq_ignore_ascii_case(&name));
            let row = revoked.ok_or_else(|| super::unknown("token", &name))?;
            Ok(AdminAnswer::Token(token_row(row, account.logon_name)))
        }
        AdminOperation::EnableNtlm { account, is_forced } => {
            let account = accounts::named(tx, &account).await?;
            let (key, secret) = prepared.ntlm.ok_or_else(|| {
                OperationError::new(ErrorKind::Failed, "FAILED", "no secret was made beforehand")
            })?;
            ntlm::enable(tx, giver, &account, is_forced, (&key, &secret)).await?;
            Ok(AdminAnswer::NtlmMade(NtlmMade { account: account.logon_name, secret }))
        }
        AdminOperation::DisableNtlm { account } => {
            let account = accounts::named(tx, &account).await?;
            ntlm::disable(tx, giver, &account).await?;
            Ok(AdminAnswer::Account(account_row(tx, account).await?))
        }
        AdminOperation::AddCertificate { account, name, certificate } => {
            let account = accounts::named(tx, &account).await?;
            let row = certificates::add(tx, giver, &account, &name, &certificate).await?;
            Ok(AdminAnswer::Certificate(row))
        }
        AdminOperation::RemoveCertificate { account, name } => {
            let account = accounts::named(tx, &account).await?;
            Ok(AdminAnswer::Certificate(certificates::remove(tx, giver, &account, &name).await?))
        }
        AdminOperation::AddPrincipal { account, principal } => {
            let account = accounts::named(tx, &account).await?;
            Ok(AdminAnswer::Principal(principals::add(tx, giver, &account, &principal).await?))
        }
        AdminOperation::RemovePrincipal { account, principal } => {
            let account = accounts::named(tx, &account).await?;
            Ok(AdminAnswer::Principal(principals::remove(tx, giver, &account, &principal).await?))
        }
        look => Err(OperationError::invalid("INVALID_OPERATION", format!("{} is no change", look.name()))),
    }
}

async fn change_account(
    tx: &mut Tx,
    giver: &Giver<'_>,
    operation: AdminOperation,
    prepared: Prepared,
) -> Result<AccountRow, OperationError> {
    let account = match operation {
        AdminOperation::AddAccount { name, display_name, permissions, .. } => {
            let name = name.parse().map_err(|error: crate::account::AccountNameError| {
                OperationError::invalid("NAME_INVALID", error.to_string())
            })?;
            let mut resolved = Vec::with_capacity(permissions.len());
            for asked in &permissions {
                resolved.push(permission(tx, asked).await?);
            }
            let new = NewAccount { name, display_name, password: prepared.password, permissions: resolved };
            accounts::create(tx, giver, new).await?
        }
        AdminOperation::SetPassword { account, .. } => {
            let account = Account { password: prepared.password, ..accounts::named(tx, &account).await? };
            accounts::change(tx, giver, &account).await?;
            account
        }
        AdminOperation::SetDisabled { account, is_disabled } => {
            let account = Account { is_disabled, ..accounts::named(tx, &account).await? };
            accounts::change(tx, giver, &account).await?;
            account
        }
        AdminOperation::RemoveAccount { account } => {
            let account = accounts::named(tx, &account).await?;
            let row = account_row(tx, account.clone()).await?;
            accounts::remove(tx, giver, &account).await?;
            return Ok(row);
        }
        AdminOperation::Grant { account, role, scope } => {
            let account = accounts::named(tx, &account).await?;
            let granted = permission(tx, &PermissionRow { role, scope }).await?;
            let mut permissions = tx.permissions(account.id).await?;
            if !permissions.contains(&granted) {
                permissions.push(granted);
            }
            accounts::set_permissions(tx, giver, &account, &permissions).await?;
            account
        }
        AdminOperation::Revoke { account, role, scope } => {
            let account = accounts::named(tx, &account).await?;
            let revoked = permission(tx, &PermissionRow { role, scope }).await?;
            let before = tx.permissions(account.id).await?;
            let permissions: Vec<Permission> =
                before.iter().filter(|permission| **permission != revoked).cloned().collect();
            if permissions.len() == before.len() {
                let text = format!(
                    "account {} has no role {} within scope {}",
                    account.logon_name, revoked.role, revoked.scope
                );
                return Err(OperationError::not_found("NOT_FOUND", text).hint("restock admin account list"));
            }
            accounts::set_permissions(tx, giver, &account, &permissions).await?;
            account
        }
        other => {
            let text = format!("{} is not about an account", other.name());
            return Err(OperationError::invalid("INVALID_OPERATION", text));
        }
    };
    account_row(tx, account).await
}

/// The permission that IDs or names stand for.
async fn permission(tx: &mut Tx, asked: &PermissionRow) -> Result<Permission, OperationError> {
    Ok(Permission {
        role: roles::find(tx, &asked.role).await?.id,
        scope: scopes::find(tx, &asked.scope).await?.id,
    })
}

async fn change_member(
    tx: &mut Tx,
    giver: &Giver<'_>,
    change: Change,
    (scope, object_type, object): (&str, u32, String),
) -> Result<AdminAnswer, OperationError> {
    let scope = scopes::find(tx, scope).await?.id;
    let member = Membership { scope, object_type, object };
    scopes::change_members(tx, giver, change, std::slice::from_ref(&member)).await?;
    Ok(AdminAnswer::Member(member_row(member)))
}

async fn account_row(tx: &mut Tx, account: Account) -> Result<AccountRow, OperationError> {
    let permissions = tx.permissions(account.id).await?;
    let permissions =
        permissions.into_iter().map(|p| PermissionRow { role: p.role, scope: p.scope }).collect();
    Ok(AccountRow {
        admin_id: account.id,
        name: account.logon_name,
        display_name: account.display_name,
        is_disabled: account.is_disabled,
        has_password: account.password.is_some(),
        has_ntlm: tx.ntlm_secret(account.id).await?.is_some(),
        permissions,
        created_by: account.created.by,
        created_at: account.created.at,
    })
}

fn role_row(role: Role) -> RoleRow {
    RoleRow {
        role: role.id,
        name: role.name,
        description: role.description,
        is_built_in: role.is_built_in,
        operations: role.operations.into_iter().collect(),
    }
}

fn scope_row(scope: Scope) -> ScopeRow {
    ScopeRow {
        scope: scope.id,
        name: scope.name,
        description: scope.description,
        is_built_in: scope.is_built_in,
    }
}

fn member_row(member: Membership) -> MemberRow {
    MemberRow { scope: member.scope, object_type: member.object_type, object: member.object }
}

fn token_row(token: ApiToken, account: String) -> TokenRow {
    TokenRow {
        account,
        name: token.name,
        role: token.role,
        created_at: token.created_at,
        expires_at: token.expires_at,
        last_used_at: token.last_used_at,
        revoked_at: token.revoked_at,
    }
}

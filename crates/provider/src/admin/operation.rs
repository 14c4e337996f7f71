//! What `restock admin` can ask, and what is answered.

use restock_names::Timestamp;
use serde::{Deserialize, Serialize};

use crate::account::Secret;

/// One operation on accounts, roles, scopes or tokens. All or nothing.
///
/// Accounts are named by logon name, roles and scopes by ID or name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
pub enum AdminOperation {
    /// All accounts.
    ListAccounts,
    /// Makes an account.
    AddAccount {
        /// Its logon name.
        name: String,
        /// The name people see; the logon name when empty.
        #[serde(default)]
        display_name: String,
        /// Without one it signs in with tokens only.
        password: Option<Secret>,
        /// Roles within scopes.
        #[serde(default)]
        permissions: Vec<PermissionRow>,
    },
    /// Sets or takes away a password.
    SetPassword {
        /// The account.
        account: String,
        /// Without one it signs in with tokens only.
        password: Option<Secret>,
    },
    /// Lets an account sign in no more, or again.
    SetDisabled {
        /// The account.
        account: String,
        /// Whether it is disabled.
        is_disabled: bool,
    },
    /// Removes an account with its permissions and tokens.
    RemoveAccount {
        /// The account.
        account: String,
    },
    /// Gives an account a role within a scope.
    Grant {
        /// The account.
        account: String,
        /// The role.
        role: String,
        /// The scope.
        scope: String,
    },
    /// Takes a role within a scope from an account.
    Revoke {
        /// The account.
        account: String,
        /// The role.
        role: String,
        /// The scope.
        scope: String,
    },
    /// All roles.
    ListRoles,
    /// Makes the roles of an exported file.
    ImportRole {
        /// The file's text.
        xml: String,
        /// Whether roles of the same name are replaced.
        overwrite: bool,
    },
    /// The file of a role.
    ExportRole {
        /// The role.
        role: String,
    },
    /// Removes a role nobody has.
    RemoveRole {
        /// The role.
        role: String,
    },
    /// All scopes.
    ListScopes,
    /// Makes a scope.
    AddScope {
        /// Its name.
        name: String,
        /// What it is for.
        #[serde(default)]
        description: String,
    },
    /// Removes a scope nothing and nobody is in.
    RemoveScope {
        /// The scope.
        scope: String,
    },
    /// What is in a scope, at most 10,000 objects.
    ListMembers {
        /// The scope.
        scope: String,
    },
    /// Puts an object into a scope.
    AddMember {
        /// The scope.
        scope: String,
        /// The object's type: 2, 6, 42 or 43.
        object_type: u32,
        /// Package ID, site code, name of the distribution point, or group ID.
        object: String,
    },
    /// Takes an object out of a scope; it stays in at least one.
    RemoveMember {
        /// The scope.
        scope: String,
        /// See [`AdminOperation::AddMember`].
        object_type: u32,
        /// See [`AdminOperation::AddMember`].
        object: String,
    },
    /// Makes a token.
    CreateToken {
        /// The account it stands for.
        account: String,
        /// What it is called.
        name: String,
        /// A role that limits it further.
        role: Option<String>,
        /// How long it is valid; at most 366 days.
        valid_ms: u64,
    },
    /// Tokens of one account, or of all.
    ListTokens {
        /// The account.
        account: Option<String>,
    },
    /// Takes a token back.
    RevokeToken {
        /// The account.
        account: String,
        /// What it is called.
        name: String,
    },
    /// Gives an account an NTLM secret, in place of the one it had.
    EnableNtlm {
        /// The account.
        account: String,
        /// Also when the account may do everything.
        #[serde(default)]
        is_forced: bool,
    },
    /// Takes an account's NTLM secret away.
    DisableNtlm {
        /// The account.
        account: String,
    },
    /// Registers a certificate that signs an account in.
    AddCertificate {
        /// The account.
        account: String,
        /// What it is called.
        name: String,
        /// The certificate in PEM.
        certificate: String,
    },
    /// Certificates of one account, or of all.
    ListCertificates {
        /// The account.
        account: Option<String>,
    },
    /// Removes a certificate: it signs nobody in any more.
    RemoveCertificate {
        /// The account.
        account: String,
        /// What it is called.
        name: String,
    },
    /// Registers a principal of Kerberos that signs an account in.
    AddPrincipal {
        /// The account.
        account: String,
        /// `NAME@REALM`; letter case counts.
        principal: String,
    },
    /// Principals of one account, or of all.
    ListPrincipals {
        /// The account.
        account: Option<String>,
    },
    /// Removes a principal: it signs nobody in any more.
    RemovePrincipal {
        /// The account.
        account: String,
        /// See [`AdminOperation::AddPrincipal`].
        principal: String,
    },
}

/// What an [`AdminOperation`] answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "value", rename_all = "snake_case")]
pub enum AdminAnswer {
    /// The account as it is afterwards.
    Account(AccountRow),
    /// All accounts.
    Accounts(Vec<AccountRow>),
    /// The role as it was before it was removed.
    Role(RoleRow),
    /// All roles, or the imported ones.
    Roles(Vec<RoleRow>),
    /// A role's file.
    RoleFile(String),
    /// The scope.
    Scope(ScopeRow),
    /// All scopes.
    Scopes(Vec<ScopeRow>),
    /// What was put in or taken out.
    Member(MemberRow),
    /// What is in a scope.
    Members(Vec<MemberRow>),
    /// A fresh token.
    TokenMade(TokenMade),
    /// A token.
    Token(TokenRow),
    /// Tokens.
    Tokens(Vec<TokenRow>),
    /// A fresh NTLM secret.
    NtlmMade(NtlmMade),
    /// A certificate.
    Certificate(CertificateRow),
    /// Certificates.
    Certificates(Vec<CertificateRow>),
    /// A principal.
    Principal(PrincipalRow),
    /// Principals.
    Principals(Vec<PrincipalRow>),
}

/// A role within a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermissionRow {
    /// The role's ID or name.
    pub role: String,
    /// The scope's ID or name.
    pub scope: String,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// `SMS_Admin.AdminID`.
    pub admin_id: u32,
    /// The logon name.
    pub name: String,
    /// The name people see.
    pub display_name: String,
    /// It may not sign in.
    pub is_disabled: bool,
    /// It has a password.
    pub has_password: bool,
    /// It has an NTLM secret.
    #[serde(default)]
    pub has_ntlm: bool,
    /// Its roles within scopes, by ID.
    pub permissions: Vec<PermissionRow>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleRow {
    /// Its ID.
    pub role: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// It came with the program.
    pub is_built_in: bool,
    /// Object type and bit field of operations.
    pub operations: Vec<(u32, u32)>,
}

/// A scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeRow {
    /// Its ID.
    pub scope: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// It came with the program.
    pub is_built_in: bool,
}

/// An object in a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// The scope's ID.
    pub scope: String,
    /// The object's type.
    pub object_type: u32,
    /// What names it.
    pub object: String,
}

/// A token that was just made. `Debug` hides it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenMade {
    /// The token; it is shown this once.
    pub token: Secret,
    /// What is known of it.
    #[serde(flatten)]
    pub row: TokenRow,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    /// The account's logon name.
    pub account: String,
    /// What it is called.
    pub name: String,
    /// The role that limits it.
    pub role: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// It is refused from then on.
    pub expires_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// It was taken back then.
    pub revoked_at: Option<Timestamp>,
}

/// An NTLM secret that was just made. `Debug` hides it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NtlmMade {
    /// The account's logon name.
    pub account: String,
    /// The secret; it is shown this once.
    pub secret: Secret,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRow {
    /// The account's logon name.
    pub account: String,
    /// What it is called.
    pub name: String,
    /// SHA-256 of the certificate, in hex.
    pub fingerprint: String,
    /// Whom it names.
    pub subject: String,
    /// It is refused before.
    pub not_before: Timestamp,
    /// It is refused afterwards.
    pub not_after: Timestamp,
    /// Who registered it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

/// A principal of Kerberos.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrincipalRow {
    /// The account's logon name.
    pub account: String,
    /// `NAME@REALM`.
    pub principal: String,
    /// Who registered it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

impl AdminOperation {
    /// The operation's name, for logs and audit records.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ListAccounts => "list_accounts",
            Self::AddAccount { .. } => "add_account",
            Self::SetPassword { .. } => "set_password",
            Self::SetDisabled { .. } => "set_disabled",
            Self::RemoveAccount { .. } => "remove_account",
            Self::Grant { .. } => "grant",
            Self::Revoke { .. } => "revoke",
            Self::ListRoles => "list_roles",
            Self::ImportRole { .. } => "import_role",
            Self::ExportRole { .. } => "export_role",
            Self::RemoveRole { .. } => "remove_role",
            Self::ListScopes => "list_scopes",
            Self::AddScope { .. } => "add_scope",
            Self::RemoveScope { .. } => "remove_scope",
            Self::ListMembers { .. } => "list_members",
            Self::AddMember { .. } => "add_member",
            Self::RemoveMember { .. } => "remove_member",
            Self::CreateToken { .. } => "create_token",
            Self::ListTokens { .. } => "list_tokens",
            Self::RevokeToken { .. } => "revoke_token",
            Self::EnableNtlm { .. } => "enable_ntlm",
            Self::DisableNtlm { .. } => "disable_ntlm",
            Self::AddCertificate { .. } => "add_certificate",
            Self::ListCertificates { .. } => "list_certificates",
            Self::RemoveCertificate { .. } => "remove_certificate",
            Self::AddPrincipal { .. } => "add_principal",
            Self::ListPrincipals { .. } => "list_principals",
            Self::RemovePrincipal { .. } => "remove_principal",
        }
    }

    /// True when it changes something.
    pub fn is_change(&self) -> bool {
        !matches!(
            self,
            Self::ListAccounts
                | Self::ListRoles
                | Self::ExportRole { .. }
                | Self::ListScopes
                | Self::ListMembers { .. }
                | Self::ListTokens { .. }
                | Self::ListCertificates { .. }
                | Self::ListPrincipals { .. }
        )
    }

    /// The object it is about, as audit records name it.
    pub(crate) fn path(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        match self {
            Self::ListAccounts
            | Self::ListTokens { .. }
            | Self::ListCertificates { .. }
            | Self::ListPrincipals { .. } => "SMS_Admin".to_owned(),
            Self::AddAccount { name: account, .. }
            | Self::SetPassword { account, .. }
            | Self::SetDisabled { account, .. }
            | Self::RemoveAccount { account }
            | Self::Grant { account, .. }
            | Self::Revoke { account, .. }
            | Self::CreateToken { account, .. }
            | Self::RevokeToken { account, .. }
            | Self::EnableNtlm { account, .. }
            | Self::DisableNtlm { account }
            | Self::AddCertificate { account, .. }
            | Self::RemoveCertificate { account, .. }
            | Self::AddPrincipal { account, .. }
            | Self::RemovePrincipal { account, .. } => format!("SMS_Admin.LogonName={}", quoted(account)),
            Self::ListRoles | Self::ImportRole { .. } => "SMS_Role".to_owned(),
            Self::ExportRole { role } | Self::RemoveRole { role } => {
                format!("SMS_Role.RoleID={}", quoted(role))
            }
            Self::ListScopes => "SMS_SecuredCategory".to_owned(),
            Self::AddScope { name, .. } => format!("SMS_SecuredCategory.CategoryName={}", quoted(name)),
            Self::RemoveScope { scope } | Self::ListMembers { scope } => {
                format!("SMS_SecuredCategory.CategoryID={}", quoted(scope))
            }
            Self::AddMember { scope, object_type, object }
            | Self::RemoveMember { scope, object_type, object } => {
                format!(
                    "SMS_SecuredCategoryMembership.CategoryID={},ObjectKey={},ObjectTypeID={object_type}",
                    quoted(scope),
                    quoted(object)
                )
            }
        }
    }

    /// What it was given, as JSON without secrets.
    pub(crate) fn parameters(&self) -> String {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        if let Some(members) = json.as_object_mut() {
            members.remove("operation");
            if members.get("password").is_some_and(|password| !password.is_null()) {
                members.insert("password".to_owned(), "hidden".into());
            }
            for file in ["xml", "certificate"] {
                if let Some(length) = members.get(file).and_then(|text| text.as_str()).map(str::len) {
                    members.insert(file.to_owned(), format!("{length} bytes").into());
                }
            }
        }
        json.to_string()
    }
}

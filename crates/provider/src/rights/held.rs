//! The grants of an account, and what they come to.

use std::collections::BTreeMap;

use restock_sitedb::admin::{ROLE_FULL, SCOPE_ALL, SCOPE_DEFAULT};
use restock_sitedb::{DatabaseError, Tx};

use super::object_types::{self, operations_of};
use super::operations::CREATE;

/// Bit fields of operations by object type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operations {
    /// All bits of all types, also of types this release does not know: Full Administrator.
    Every,
    /// These; a type that is not listed has none.
    Of(BTreeMap<u32, u32>),
}

impl Operations {
    /// The operations of a role.
    pub fn of_role(id: &str, operations: BTreeMap<u32, u32>) -> Self {
        if id.eq_ignore_ascii_case(ROLE_FULL) { Self::Every } else { Self::Of(operations) }
    }

    /// The bits for one object type.
    pub fn on(&self, object_type: u32) -> u32 {
        match self {
            Self::Every => u32::MAX,
            Self::Of(operations) => operations.get(&object_type).copied().unwrap_or(0),
        }
    }
}

/// A role within a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) role: String,
    /// The scope's ID; [`SCOPE_ALL`] holds every object.
    pub(super) scope: String,
    pub(super) operations: Operations,
}

impl Held {
    pub(super) fn holds_everything(&self) -> bool {
        self.scope.eq_ignore_ascii_case(SCOPE_ALL)
    }

    fn holds_any(&self, scopes: &[String]) -> bool {
        self.holds_everything() || scopes.iter().any(|scope| scope.eq_ignore_ascii_case(&self.scope))
    }
}

/// The effective grants of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    pub(super) account: Option<u32>,
    pub(super) held: Vec<Held>,
    /// What a token leaves of them.
    pub(super) limit: Operations,
}

impl Default for Rights {
    /// Nothing.
    fn default() -> Self {
        Self::none()
    }
}

impl Rights {
    /// Everything on every object.
    pub fn full() -> Self {
        let held =
            Held { role: ROLE_FULL.to_owned(), scope: SCOPE_ALL.to_owned(), operations: Operations::Every };
        Self { account: None, held: vec![held], limit: Operations::Every }
    }

    /// Nothing.
    pub fn none() -> Self {
        Self { account: None, held: Vec::new(), limit: Operations::Every }
    }

    /// The rights of the account with this number; nothing for a number without permissions.
    ///
    /// `token_role`: a role to which a token is limited; one that does not exist leaves nothing.
    pub async fn load(tx: &mut Tx, account: u32, token_role: Option<&str>) -> Result<Self, DatabaseError> {
        let limit = match token_role {
            None => Operations::Every,
            Some(role) => Operations::of_role(role, tx.role_operations(role).await?),
        };
        let mut held: Vec<Held> = Vec::new();
        for grant in tx.grants(account).await? {
            let is_same =
                held.last().is_some_and(|last| (&last.role, &last.scope) == (&grant.role, &grant.scope));
            if !is_same {
                let operations = Operations::of_role(&grant.role, BTreeMap::new());
                held.push(Held { role: grant.role, scope: grant.scope, operations });
            }
            if let (Some(last), Some((object_type, bits))) = (held.last_mut(), grant.operations)
                && let Operations::Of(operations) = &mut last.operations
            {
                operations.insert(object_type, bits);
            }
        }
        Ok(Self { account: Some(account), held, limit })
    }

    /// True for a full administrator: everything, on every object.
    pub fn is_everything(&self) -> bool {
        self.limit == Operations::Every
            && self.held.iter().any(|held| held.holds_everything() && held.operations == Operations::Every)
    }

    /// The bits held on an object of `object_type` that is in `scopes`.
    pub fn on_object(&self, object_type: u32, scopes: &[String]) -> u32 {
        let is_scoped = object_types::is_scoped(object_type);
        let reaching = self.held.iter().filter(|held| !is_scoped || held.holds_any(scopes));
        reaching.fold(0, |bits, held| bits | held.operations.on(object_type)) & self.limit.on(object_type)
    }

    /// The bits held on any object of `object_type`.
    pub fn on_type(&self, object_type: u32) -> u32 {
        let all = self.held.iter().fold(0, |bits, held| bits | held.operations.on(object_type));
        all & self.limit.on(object_type)
    }

    /// True when all of `operations` are held on an object of `object_type` that is in `scopes`.
    pub fn may(&self, object_type: u32, operations: u32, scopes: &[String]) -> bool {
        self.on_object(object_type, scopes) & operations == operations
    }

    /// True when all of `operations` are held on some object of `object_type`.
    pub fn may_type(&self, object_type: u32, operations: u32) -> bool {
        self.on_type(object_type) & operations == operations
    }

    /// True when all of `operations` are held on every object of `object_type`.
    pub fn may_all(&self, object_type: u32, operations: u32) -> bool {
        self.may(object_type, operations, &[])
    }

    /// True when the account has a role within the scope, or within all.
    pub fn is_in_scope(&self, scope: &str) -> bool {
        self.held.iter().any(|held| held.holds_everything() || held.scope.eq_ignore_ascii_case(scope))
    }

    /// True when the account has the role within any scope.
    pub fn has_role(&self, role: &str) -> bool {
        self.held.iter().any(|held| held.role.eq_ignore_ascii_case(role))
    }

    /// True when the account has any role within the scope itself.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.held.iter().any(|held| held.scope.eq_ignore_ascii_case(scope))
    }

    /// True when the account has one of `roles` within the scope, or within all.
    pub fn has_role_in(&self, roles: &[&str], scope: &str) -> bool {
        self.held.iter().any(|held| {
            (held.holds_everything() || held.scope.eq_ignore_ascii_case(scope))
                && roles.iter().any(|role| held.role.eq_ignore_ascii_case(role))
        })
    }

    /// The bits held on `object_type` in every object of `scope`.
    pub(super) fn within(&self, object_type: u32, scope: &str) -> u32 {
        let reaching =
            self.held.iter().filter(|held| held.holds_everything() || held.scope.eq_ignore_ascii_case(scope));
        reaching.fold(0, |bits, held| bits | held.operations.on(object_type)) & self.limit.on(object_type)
    }

    /// The scopes an object that this account makes is put into: Default when it may create such
    /// objects there, or else all scopes in which it may.
    pub fn home_scopes(&self, object_type: u32) -> Vec<String> {
        let creating = self.held.iter().filter(|held| held.operations.on(object_type) & CREATE != 0);
        let mut scopes: Vec<String> = creating.map(|held| held.scope.clone()).collect();
        let is_default = |scope: &String| {
            scope.eq_ignore_ascii_case(SCOPE_DEFAULT) || scope.eq_ignore_ascii_case(SCOPE_ALL)
        };
        if scopes.is_empty() || scopes.iter().any(is_default) {
            return vec![SCOPE_DEFAULT.to_owned()];
        }
        scopes.dedup();
        scopes
    }

    /// The bits of `object_type` that exist and are held on any object of it.
    pub fn shown_on_type(&self, object_type: u32) -> u32 {
        self.on_type(object_type) & operations_of(object_type)
    }
}

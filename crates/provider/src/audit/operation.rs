//! What operations of the control socket are in the audit trail.

use restock_cim::Status;
use restock_names::{Digest, PackageId};

use super::Kept;
use crate::object::{Caller, Door};
use crate::{Call, ErrorKind, Operation, OperationError};

/// An operation as its audit record names it.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    operation: &'static str,
    path: String,
    method: &'static str,
    parameters: String,
    package: Option<PackageId>,
}

impl Subject {
    /// The subject of an operation that changes something.
    pub(crate) fn of(operation: &Operation) -> Self {
        let (what, method, package) = match operation {
            Operation::SetPackage(change) => ("PutInstance", "", Some(change.package)),
            Operation::DeletePackage { package } => ("DeleteInstance", "", Some(*package)),
            Operation::RefreshPkgSource { package } => ("ExecMethod", "RefreshPkgSource", Some(*package)),
            Operation::CancelRefresh { package } => ("ExecMethod", "CancelRefresh", Some(*package)),
            Operation::SetSourceSite { package, .. } => ("ExecMethod", "SetSourceSite", Some(*package)),
            Operation::AdoptPackage { package } => ("ExecMethod", "Unlock", Some(*package)),
            Operation::AddDistributionPoints { package, .. } => {
                ("ExecMethod", "AddDistributionPoints", Some(*package))
            }
            Operation::RemoveDistributionPoints { package, .. } => {
                ("ExecMethod", "RemoveDistributionPoints", Some(*package))
            }
            Operation::Redistribute { package, .. } => ("ExecMethod", "Redistribute", Some(*package)),
            Operation::CancelDistribution { package, .. } => {
                ("ExecMethod", "CancelDistribution", Some(*package))
            }
            Operation::CreatePackage(_) => ("PutInstance", "", None),
            other => (other.name(), "", None),
        };
        let path = match (operation, package) {
            (_, Some(package)) => path_of(package),
            (Operation::CreatePackage(_), None) => "SMS_Package".to_owned(),
            _ => "SourceRoot".to_owned(),
        };
        let mut parameters = serde_json::to_value(operation).unwrap_or_default();
        if let Some(members) = parameters.as_object_mut() {
            members.remove("operation");
        }
        let parameters = super::parameters::limited(parameters.to_string());
        Self { operation: what, path, method, parameters, package }
    }

    /// The object it is about.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The same of a package that it has made.
    #[must_use]
    pub(crate) fn made(mut self, package: PackageId) -> Self {
        self.path = path_of(package);
        self.package = Some(package);
        self
    }

    /// What is kept of it when it ended with `result`.
    pub(crate) fn kept(&self, result: u32, before: Option<Digest>) -> Kept<'_> {
        Kept {
            operation: self.operation,
            path: &self.path,
            before,
            method: self.method,
            parameters: self.parameters.clone(),
            package: self.package,
            result,
        }
    }
}

pub(super) fn path_of(package: PackageId) -> String {
    format!("SMS_Package.PackageID=\"{package}\"")
}

/// Who calls an operation: somebody at the control socket.
pub(crate) fn caller_of(call: &Call) -> Caller {
    let caller = Caller::local(super::correlation_id());
    let account = if call.user.is_empty() { caller.account.clone() } else { format!(r"local\{}", call.user) };
    debug_assert_eq!(caller.door, Door::Control);
    Caller { account, ..caller }
}

/// The result of an operation that was refused: the WBEM status of its kind.
pub(crate) fn result_of(error: &OperationError) -> u32 {
    let status = match error.kind {
        ErrorKind::NotFound => Status::NotFound,
        ErrorKind::Refused if matches!(error.code.as_str(), "SCOPE" | "GRANT") => Status::AccessDenied,
        ErrorKind::Refused | ErrorKind::Failed => Status::Failed,
        ErrorKind::Invalid => Status::InvalidParameter,
    };
    status.wbem()
}

//! What SMSProv.log says: one line for each change and each refusal.
//!
//! The words are those that people search for in the log of a deployed site: `Auditing`, the
//! method as `SMS_Package.PackageID="X"::RefreshPkgSource`, `SMSAppName`, `ErrorCode`.

use super::Caller;
use crate::Refusal;

/// A change that is in force. `action` is the method behind `::`, or `PutInstance`,
/// `DeleteInstance` before the path.
pub(crate) fn done(caller: &Caller, action: &str) {
    tracing::info!(
        target: "smsprov",
        user = %caller.account,
        SMSAppName = %caller.application,
        address = %caller.address,
        door = %caller.door,
        correlation = %caller.correlation,
        "Auditing: User {} called an audited method: {action}", caller.account
    );
}

/// A request that changed nothing.
pub(crate) fn refused(caller: &Caller, action: &str, refusal: &Refusal) {
    tracing::warn!(
        target: "smsprov",
        user = %caller.account,
        SMSAppName = %caller.application,
        address = %caller.address,
        door = %caller.door,
        correlation = %caller.correlation,
        ErrorCode = refusal.error_code(),
        status = format_args!("0x{:08X}", refusal.status().wbem()),
        code = refusal.code(),
        "*~*~{action} refused: {} ~*~*", refusal.description()
    );
}

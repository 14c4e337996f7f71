//! Events for the component logs: what the log layer writes to distmgr.log and PkgXferMgr.log.

/// The target of events of the distribution manager.
macro_rules! distmgr {
    ($level:ident, $($rest:tt)*) => { tracing::$level!(target: "distmgr", component = "SMS_DISTRIBUTION_MANAGER", $($rest)*) };
}

/// The target of events of the package transfer manager.
macro_rules! transfers {
    ($level:ident, $($rest:tt)*) => { tracing::$level!(target: "PkgXferMgr", component = "SMS_PACKAGE_TRANSFER_MANAGER", $($rest)*) };
}

pub(crate) use {distmgr, transfers};

/// An error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

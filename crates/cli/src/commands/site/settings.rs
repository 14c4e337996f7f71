//! A site that does not run and is changed by a command: its configuration, its lock.

use restock_transfer::SiteUrl;

use crate::config::{self, Role, SiteSettings};
use crate::data_folder::{DataFolder, DataLock};
use crate::failure::Failure;

/// The configuration of the site of `folder`, held by this process alone as `command`.
///
/// Errors: no site there; kind refused, naming the holder, when it runs.
pub(super) fn locked(folder: &DataFolder, command: &str) -> Result<(SiteSettings, DataLock), Failure> {
    folder.expect(Role::Site)?;
    let lock = folder.lock(command)?;
    Ok((config::read(&folder.config())?, lock))
}

/// Keeps where others reach the site in its configuration, whose other lines stay as they are.
pub(super) fn keep_url(folder: &DataFolder, url: &SiteUrl) -> Result<(), Failure> {
    folder.change_config("link", "url", &format!("\"{url}\""))
}

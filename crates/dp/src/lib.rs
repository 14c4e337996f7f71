//! A distribution point: receives content and serves it over HTTP.

mod packages;
mod serve;

pub use packages::{PACKAGES_FILE, PackageFacts, Packages, PackagesError};
pub use serve::{ContentServer, Damage, ListenerConfig, ServeConfig, ServeError, ServeLimits, ServeStats};

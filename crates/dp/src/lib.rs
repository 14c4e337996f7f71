//! A distribution point: receives content and serves it over HTTP.
//!
//! [`DistributionPoint::start`] brings everything up: [`ContentServer`] answers readers from the
//! library, and the link to the site brings jobs (install, redistribute, remove, cancel) that are
//! done one at a time for each package. The two meet only in the library and in [`Packages`].
//!
//! It needs a folder, a port and a certificate; there is no database. It reads no source, decides
//! nothing about what is distributed, and never opens content for writing.

mod clean;
mod packages;
mod point;
mod receive;
mod scrub;
mod serve;
mod share;

pub use packages::{PACKAGES_FILE, PackageFacts, Packages, PackagesError};
pub use point::{DistributionPoint, DistributionPointConfig, DistributionPointError};
pub use receive::{Activity, JobStatus, queue};
#[doc(hidden)]
pub use serve::fuzz_heads;
pub use serve::{
    ContentKeys, ContentServer, Damage, ListenerConfig, ServeConfig, ServeError, ServeLimits, ServeParts,
    ServeStats, TlsFiles, TlsFilesError, TlsListenerConfig,
};
pub use share::{ShareDamage, ShareError, ShareReport, Shares};

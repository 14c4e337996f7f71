//! How things are called, and the rules and errors of those names.
//!
//! Every other crate speaks in these types: site codes, package IDs, source versions, digests,
//! entry paths, link and names policies, distribution point names, NAL paths, and the clock. Nothing here
//! does I/O except [`clock::SystemClock`], which reads the machine's clocks.

mod clock;
mod digest;
mod display;
mod entry_path;
mod excludes;
mod link_policy;
mod names_policy;
mod package;
mod place;
mod share_name;
mod site;
mod zone;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use digest::{Digest, DigestError};
pub use display::{Escaped, HumanBytes, HumanDuration};
pub use entry_path::{EntryPath, PathError, compare_paths};
pub use excludes::{EXCLUDE_RULE_BYTES_MAX, EXCLUDE_RULES_MAX, ExcludeError, ExcludeMatcher, ExcludeRules};
pub use link_policy::{LinkPolicy, LinkPolicyError};
pub use names_policy::{
    Collision, NameRule, NamesPolicy, NamesPolicyError, PORTABLE_DEPTH_MAX, PORTABLE_PATH_BYTES_MAX,
    check_name, check_path, collisions,
};
pub use package::{ContentVersion, Epoch, PackageId, PackageIdError, SourceVersion};
pub use place::{DistributionPointName, DistributionPointNameError, NalPath};
pub use share_name::{ShareName, ShareNameError};
pub use site::{SiteCode, SiteCodeError};
pub use zone::{Zone, ZoneError};

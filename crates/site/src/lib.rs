//! What a site keeps doing: it reads sources, publishes versions and brings them to distribution
//! points.
//!
//! [`Site`] opens database, library and keys and runs the loops: `refresh` makes asked-for
//! versions, `schedule` asks for those whose time has come, `distribute` hands jobs to distribution
//! points, `fetch` brings versions of other sites that are needed here or beyond, `clean` forgets
//! what is old. Each is a `run_once` without timer or task of its own; a
//! driver wakes it. [`ProgressBoard`] holds what is live and never stored.
//!
//! A site stands in a hierarchy: [`Site::join`] puts it below another one, [`Side`] answers what its
//! links ask, [`Site::tree`] shows it. [`Site::backup`] and [`Site::restore`] bring it back.
//!
//! It does not parse requests and does not decide what a person may do: that is
//! `restock-provider`, which it meets in the database.

mod backup;
mod clean;
mod config;
mod content_token;
mod distribute;
mod driver;
mod error;
mod fetch;
mod join;
mod keys;
mod message;
mod own_row;
mod plan;
mod progress;
mod publish;
mod refresh;
mod remove;
mod restored;
mod rollback;
mod rotation;
mod run;
mod schedule;
mod scrub;
mod side;
mod site;
mod source;
mod token;
mod tree;

#[doc(hidden)]
pub use backup::fuzz_backups;
pub use backup::{ArchiveError, BackedUp, Promoted, Restored};
pub use clean::{CleanLoop, LibraryCleaned};
pub use config::SiteConfig;
pub use content_token::ContentTokenMade;
pub use distribute::DistributeLoop;
pub use error::SiteError;
pub use fetch::{Fetch, FetchError, FetchLoop, Fetched, LinkFetch, Neighbour};
pub use join::{Joined, Left};
pub use own_row::Made;
pub use plan::{
    Applied, PLAN_LEASE, PLAN_LEASE_MAX, PLANS_MAX, Plan, PlanError, PlanRoot, PlanTotals, Planned,
    PointCost, WithinApply,
};
pub use progress::{FetchProgress, Progress, ProgressBoard, RefreshProgress, SiteTraffic, TransferProgress};
pub use refresh::{Outcome, RefreshLoop};
pub use remove::Removed;
pub use restock_sitedb::hierarchy::SiteType;
pub use restock_sitedb::state::RetryPolicy;
pub use restock_transfer::TokenKind;
pub use rollback::{RollbackError, RolledBack};
pub use schedule::ScheduleLoop;
pub use scrub::{Mended, ScrubLoop};
pub use side::Side;
pub use site::{Site, SiteInitialised};
pub use token::TokenMade;
pub use tree::{LinkState, Tree, TreeRow};

//! The control socket `DATA/control.sock`: how commands reach a running site or DP.
//!
//! Newline-delimited JSON, versioned, described in docs/formats/control.md. [`protocol`] has the
//! lines, [`listener`] the side of the running process, [`client`] the side of a command, and
//! [`site_desk`] and [`dp_desk`] what a site and a DP answer. A command without a running site asks
//! the same desk in its own process ([`door`]). Only the account of the process, and root, may
//! connect.

mod admin_desk;
mod client;
mod content_desk;
mod content_rows;
mod door;
mod dp_desk;
mod health_desk;
mod health_rows;
mod listener;
mod object_desk;
mod protocol;
mod site_desk;
mod site_rows;
mod sites_desk;
mod socket;

pub(crate) use admin_desk::RecordLine;
pub(crate) use client::Client;
pub(crate) use content_desk::{diff_here, library_root};
pub(crate) use content_rows::{
    Change, ContentRoot, DiffEnd, DiffLine, FRAMES_MAX, FrameLine, PlanApplied, PlanEvent, PlanMade,
    VersionRef,
};
pub(crate) use door::{Door, unexpected};
pub(crate) use dp_desk::DpDesk;
pub(crate) use health_desk::{clean_point, cleaner_here};
pub(crate) use health_rows::{LibraryRepaired, LibraryTidied};
pub(crate) use listener::{Desk, Events, Listener};
pub(crate) use protocol::{
    AdminServiceAt, Ask, CheckProgress, FileKind, FileLine, FilesEnd, Hello, LibraryChecked, LibraryMeasured,
    PackageHeld, TokenFor, TokenGiven, Watched,
};
pub(crate) use protocol::{ObjectAsk, ObjectVerb};
pub(crate) use site_desk::{SiteDesk, put, site_failure};
pub(crate) use site_rows::{
    AuthorityChange, BackedUp, LinkNow, Promoted, Restored, SiteRemoved, SiteTree, TreeRow,
};
pub(crate) use sites_desk::type_of;

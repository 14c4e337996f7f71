//! What can be asked, and what is answered.

use restock_names::{DistributionPointName, ExcludeRules, LinkPolicy, NamesPolicy, PackageId, SiteCode};
use serde::{Deserialize, Serialize};

use crate::rows::{
    LoopRow, MessageRow, OwnerChanged, PackageChanged, PackageDeleted, PackageRow, PackageStatus, PointRow,
    RefreshAccepted, RefreshCancelled, SiteRow, SourceFlag, SourceRootRow, TargetsChanged, VersionRow,
};

/// Who asks, and under which request id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// 1-64 printable ASCII characters. The same id with the same operation gives the same answer
    /// and takes no second step; answers are kept for seven days.
    #[serde(default)]
    pub request_id: Option<String>,
    /// The account that asks, as it is shown in logs.
    #[serde(default)]
    pub user: String,
}

/// One operation. All or nothing: an error means nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
pub enum Operation {
    /// Creates a package; with a source its first snapshot is version 1.
    CreatePackage(NewPackage),
    /// Changes a package. A changed source path is one refresh.
    SetPackage(PackageChange),
    /// Deletes a package: hidden at once, gone when no distribution point holds it.
    DeletePackage {
        /// The package.
        package: PackageId,
    },
    /// Reads the source again and brings the new version to all distribution points.
    RefreshPkgSource {
        /// The package.
        package: PackageId,
    },
    /// Ends all refresh requests of a package.
    CancelRefresh {
        /// The package.
        package: PackageId,
    },
    /// Makes a site the owner of a package: it alone reads the source from then on.
    SetSourceSite {
        /// The package.
        package: PackageId,
        /// A site of the hierarchy that may own packages.
        site: SiteCode,
    },
    /// Makes this site the owner of a package whose owner is gone.
    AdoptPackage {
        /// The package.
        package: PackageId,
    },
    /// Distributes a package. One that is targeted already is left as it is; one that is being
    /// removed is kept.
    AddDistributionPoints {
        /// The package.
        package: PackageId,
        /// At least one.
        points: Vec<DistributionPointName>,
    },
    /// Removes a package from distribution points.
    RemoveDistributionPoints {
        /// The package.
        package: PackageId,
        /// At least one.
        points: Vec<DistributionPointName>,
    },
    /// Lets distribution points read all content again and fetch what is missing or damaged.
    Redistribute {
        /// The package.
        package: PackageId,
        /// At least one.
        points: Vec<DistributionPointName>,
    },
    /// Stops the distribution to distribution points.
    CancelDistribution {
        /// The package.
        package: PackageId,
        /// At least one.
        points: Vec<DistributionPointName>,
    },
    /// Registers a folder beneath which sources may lie.
    AddSourceRoot(NewSourceRoot),
    /// Forgets a registered folder.
    RemoveSourceRoot {
        /// Its name.
        name: String,
    },
    /// All packages that are not being deleted.
    ListPackages,
    /// One package that is not being deleted.
    ShowPackage {
        /// The package.
        package: PackageId,
    },
    /// Packages with their distribution points; one that is being deleted only when it is named.
    Status {
        /// One package, or all.
        package: Option<PackageId>,
    },
    /// The published versions of a package, newest first, at most 1,000.
    History {
        /// The package.
        package: PackageId,
    },
    /// Status messages, oldest first.
    Messages {
        /// One package, or all.
        package: Option<PackageId>,
        /// Those after this record; without it the newest.
        after: Option<i64>,
        /// 100 when absent, at most 1,000.
        limit: Option<u32>,
    },
    /// All enrolled distribution points.
    ListPoints,
    /// All registered source folders.
    ListSourceRoots,
    /// What each loop did last.
    ListLoops,
    /// The site itself.
    ShowSite,
}

impl Operation {
    /// The operation's name, for logs and labels.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreatePackage(_) => "create_package",
            Self::SetPackage(_) => "set_package",
            Self::DeletePackage { .. } => "delete_package",
            Self::RefreshPkgSource { .. } => "refresh_pkg_source",
            Self::CancelRefresh { .. } => "cancel_refresh",
            Self::SetSourceSite { .. } => "set_source_site",
            Self::AdoptPackage { .. } => "adopt_package",
            Self::AddDistributionPoints { .. } => "add_distribution_points",
            Self::RemoveDistributionPoints { .. } => "remove_distribution_points",
            Self::Redistribute { .. } => "redistribute",
            Self::CancelDistribution { .. } => "cancel_distribution",
            Self::AddSourceRoot(_) => "add_source_root",
            Self::RemoveSourceRoot { .. } => "remove_source_root",
            Self::ListPackages => "list_packages",
            Self::ShowPackage { .. } => "show_package",
            Self::Status { .. } => "status",
            Self::History { .. } => "history",
            Self::Messages { .. } => "messages",
            Self::ListPoints => "list_points",
            Self::ListSourceRoots => "list_source_roots",
            Self::ListLoops => "list_loops",
            Self::ShowSite => "show_site",
        }
    }

    /// True when it changes something.
    pub fn is_change(&self) -> bool {
        matches!(
            self,
            Self::CreatePackage(_)
                | Self::SetPackage(_)
                | Self::DeletePackage { .. }
                | Self::RefreshPkgSource { .. }
                | Self::CancelRefresh { .. }
                | Self::SetSourceSite { .. }
                | Self::AdoptPackage { .. }
                | Self::AddDistributionPoints { .. }
                | Self::RemoveDistributionPoints { .. }
                | Self::Redistribute { .. }
                | Self::CancelDistribution { .. }
                | Self::AddSourceRoot(_)
                | Self::RemoveSourceRoot { .. }
        )
    }
}

/// A package to be created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NewPackage {
    /// 1-255 characters.
    pub name: String,
    /// Where the source lies: UNC, drive or absolute POSIX form.
    pub source_path: Option<String>,
    /// `NoSource` when absent, as documented.
    pub source_flag: Option<SourceFlag>,
    /// The version of the software, at most 255 characters.
    pub version: Option<String>,
    /// Who made it, at most 255 characters.
    pub manufacturer: Option<String>,
    /// Its language, at most 255 characters.
    pub language: Option<String>,
    /// Free text, at most 1,024 characters.
    pub description: Option<String>,
    /// 1 high, 2 normal (when absent), 3 low.
    pub priority: Option<u32>,
    /// Whether distribution points serve it to anybody.
    pub is_public: bool,
    /// Whether an empty source is a version.
    pub allow_empty: bool,
    /// What becomes of symbolic links in the source; they are kept when absent.
    pub link_policy: LinkPolicy,
    /// What becomes of names that other systems cannot hold; they are kept when absent.
    pub names_policy: NamesPolicy,
    /// What is left out of the source.
    pub excludes: ExcludeRules,
    /// The folder in which distribution points keep its files too; none when absent.
    pub share: Share,
}

/// The folder of plain files that distribution points keep of a package beside their library.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// None.
    #[default]
    None,
    /// Named by the package ID: `PkgFlags` with `COPY_CONTENT`, `ShareType` 1.
    Common,
    /// With a name of its own: `ShareName`, `ShareType` 2.
    Named(String),
}

/// What is to be changed of a package; what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageChange {
    /// The package.
    pub package: PackageId,
    /// See [`NewPackage`].
    #[serde(default)]
    pub name: Option<String>,
    /// An empty text takes the source away.
    #[serde(default)]
    pub source_path: Option<String>,
    /// See [`NewPackage`].
    #[serde(default)]
    pub source_flag: Option<SourceFlag>,
    /// See [`NewPackage`].
    #[serde(default)]
    pub version: Option<String>,
    /// See [`NewPackage`].
    #[serde(default)]
    pub manufacturer: Option<String>,
    /// See [`NewPackage`].
    #[serde(default)]
    pub language: Option<String>,
    /// See [`NewPackage`].
    #[serde(default)]
    pub description: Option<String>,
    /// See [`NewPackage`].
    #[serde(default)]
    pub priority: Option<u32>,
    /// See [`NewPackage`].
    #[serde(default)]
    pub is_public: Option<bool>,
    /// See [`NewPackage`].
    #[serde(default)]
    pub allow_empty: Option<bool>,
    /// See [`NewPackage`]. Takes effect at the next refresh.
    #[serde(default)]
    pub link_policy: Option<LinkPolicy>,
    /// See [`NewPackage`]. Takes effect at the next refresh.
    #[serde(default)]
    pub names_policy: Option<NamesPolicy>,
    /// See [`NewPackage`]. Takes effect at the next refresh.
    #[serde(default)]
    pub excludes: Option<ExcludeRules>,
    /// See [`NewPackage`]. Distribution points are told at once.
    #[serde(default)]
    pub share: Option<Share>,
    /// When it is refreshed by itself: tokens of 16 hexadecimal digits; an empty text for never.
    #[serde(default)]
    pub schedule: Option<String>,
}

impl PackageChange {
    /// A change that changes nothing yet.
    pub fn of(package: PackageId) -> Self {
        Self {
            package,
            name: None,
            source_path: None,
            source_flag: None,
            version: None,
            manufacturer: None,
            language: None,
            description: None,
            priority: None,
            is_public: None,
            allow_empty: None,
            link_policy: None,
            names_policy: None,
            excludes: None,
            share: None,
            schedule: None,
        }
    }
}

/// A folder to be registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSourceRoot {
    /// 1-64 letters, digits, `.`, `-` or `_`.
    pub name: String,
    /// An absolute folder of the site's machine.
    pub folder: String,
    /// Other forms by which source paths may name it, at most 16.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// IDs or names of its security scopes, at most 64; Default when there is none. Who sets a source
    /// path beneath it needs a role on packages within one of them.
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// What an operation answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "value", rename_all = "snake_case")]
pub enum Answer {
    /// `CreatePackage`, `ShowPackage`.
    Package(PackageRow),
    /// `ListPackages`.
    Packages(Vec<PackageRow>),
    /// `SetPackage`.
    Changed(PackageChanged),
    /// `DeletePackage`.
    Deleted(PackageDeleted),
    /// `RefreshPkgSource`.
    Refresh(RefreshAccepted),
    /// `CancelRefresh`.
    Cancelled(RefreshCancelled),
    /// `SetSourceSite`, `AdoptPackage`.
    Owner(OwnerChanged),
    /// The four operations on distribution points of a package.
    Targets(TargetsChanged),
    /// `AddSourceRoot`, `RemoveSourceRoot`.
    SourceRoot(SourceRootRow),
    /// `ListSourceRoots`.
    SourceRoots(Vec<SourceRootRow>),
    /// `Status`.
    Status(Vec<PackageStatus>),
    /// `History`.
    History(Vec<VersionRow>),
    /// `Messages`.
    Messages(Vec<MessageRow>),
    /// `ListPoints`.
    Points(Vec<PointRow>),
    /// `ListLoops`.
    Loops(Vec<LoopRow>),
    /// `ShowSite`.
    Site(SiteRow),
}

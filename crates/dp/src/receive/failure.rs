//! Why a job was not done, as it is logged and reported to the site.

use std::error::Error;

use restock_content::library::LibraryError;
use restock_content::transfer::AcceptError;
use restock_names::ContentVersion;
use restock_transfer::PullError;

use crate::packages::PackagesError;
use crate::share::ShareError;

/// Why a job was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// The statement that came with the job is not acted on.
    #[error(transparent)]
    Statement(#[from] AcceptError),
    /// The same (epoch, version) is known with other content.
    #[error("VERSION_CONFLICT: {0} is stored here with other content; its number must not be used twice")]
    Conflict(ContentVersion),
    /// Fetching failed.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The library failed.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The records of packages failed.
    #[error("PACKAGES_FILE: the record of the package cannot be kept")]
    Packages(#[from] PackagesError),
    /// The version is served, and the package's folder of plain files is not made.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// Objects are still damaged after they were fetched again.
    #[error("CONTENT_DAMAGED: {pages} pages and {chunks} chunks are damaged again after they were fetched")]
    Unrepaired { pages: usize, chunks: usize },
    /// A kind of job this release does not know.
    #[error("JOB_UNKNOWN: this distribution point does not know the job; bring it to the site's release")]
    Unknown,
    /// The job was ended from outside.
    #[error("CANCELLED: the job was ended")]
    Cancelled,
    /// A bug.
    #[error("INTERNAL: the job ended unexpectedly; see the log")]
    Internal,
}

impl JobError {
    /// The stable code, empty when there is none.
    pub(crate) fn code(&self) -> String {
        match self {
            Self::Library(error) | Self::Pull(PullError::Library(error)) if error.is_no_space() => {
                "NO_SPACE".to_owned()
            }
            Self::Pull(error) => error.code(),
            Self::Share(error) => error.code().to_owned(),
            other => code_of(&other.to_string()),
        }
    }

    /// May the same job succeed later without anybody doing something about it?
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Pull(error) => error.is_transient(),
            Self::Share(error) => error.is_transient(),
            Self::Library(LibraryError::Downgrade { .. }) => false,
            Self::Library(_) | Self::Packages(_) | Self::Unrepaired { .. } => true,
            // The keys of a site that has just joined may be on their way.
            Self::Statement(error) => error.is_transient(),
            Self::Conflict(_) | Self::Unknown | Self::Cancelled | Self::Internal => false,
        }
    }

    /// Whether the job was ended from outside.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Pull(PullError::Cancelled) | Self::Share(ShareError::Stopped))
    }

    /// The error and its causes in one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let next = error.to_string();
            if !text.ends_with(&next) {
                text.push_str(": ");
                text.push_str(&next);
            }
            cause = error.source();
        }
        text
    }
}

fn code_of(text: &str) -> String {
    let code = text.split_once(':').map_or("", |(code, _)| code);
    let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    if is_code { code.to_owned() } else { "LIBRARY_FAILED".to_owned() }
}

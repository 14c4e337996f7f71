//! Why a simulation could not be run. What a simulation finds is no error but a verdict.

use std::io;

use restock_site::SiteError;
use restock_sitedb::DatabaseError;

/// Why a simulation could not be run.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// Its folder cannot be made, copied or written.
    #[error("failed to write the folder of the simulation")]
    Folder(#[source] io::Error),
    /// A site cannot be made or opened.
    #[error("failed to run a site")]
    Site(#[from] SiteError),
    /// A database cannot be read or written.
    #[error("failed to use a database of a site")]
    Database(#[from] DatabaseError),
    /// A site of the image was refused.
    #[error("failed to make the hierarchy: {0}")]
    Refused(String),
    /// The image cannot be made.
    #[error("failed to make the hierarchy: {0}")]
    Image(&'static str),
    /// A run broke off.
    #[error("failed to run {options}")]
    Run {
        /// What was run.
        options: String,
        /// Why.
        source: Box<SimulateError>,
    },
    /// A thread or runtime of the simulator failed.
    #[error("failed to run the simulator: {0}")]
    Runtime(String),
}

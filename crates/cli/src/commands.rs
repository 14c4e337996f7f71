//! The commands: one file each, whose doc comments are the help people read.

mod admin;
mod apply;
mod audit;
mod bugreport;
mod cancel;
mod completions;
mod content_token;
mod demo;
mod diff;
mod distribute;
mod doctor;
mod dp;
mod files_text;
mod get;
mod library;
mod man;
mod objects;
mod package;
mod plan;
mod progress;
mod redistribute;
mod refresh;
mod remove;
mod rollback;
mod schedule;
mod simulate;
mod site;
mod source;
mod status;
mod targets;
mod token;
mod version_ref;
mod wait;
mod why;

#[cfg(test)]
mod docs_tests;
#[cfg(test)]
mod help_tests;

use std::path::{Component, Path, PathBuf};

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use restock_names::PackageId;

use crate::data_folder::DataFolder;
use crate::failure::{Failure, Kind};
use crate::output::{Done, Output, shown_path};

/// The data folder when neither `--data` nor `RESTOCK_DATA` names one.
const DATA_DEFAULT: &str = "/var/lib/restock";

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 partly done, 4 not found, 5 timed out, 6 refused.
Output goes to standard output, talk to standard error. Colour only on a terminal; NO_COLOR turns it off.

Example:
  restock demo                                 see it work on this machine
  restock --data /srv/restock site init        make a site
  restock refresh XYZ00001 --wait              bring a package up to date everywhere";

/// Keeps the content of packages the same at every distribution point.
///
/// A site keeps packages; distribution points (DPs) fetch what they lack over an authenticated link,
/// verify it, switch to it at once and serve it over HTTP.
#[derive(Debug, Parser)]
#[command(name = "restock", version, after_help = EXIT_CODES, subcommand_required = true, arg_required_else_help = true)]
#[command(max_term_width = 100)]
pub(crate) struct Arguments {
    /// Data folder of the site or DP [default: /var/lib/restock]
    #[arg(long, global = true, value_name = "DIR", env = "RESTOCK_DATA", hide_env_values = true)]
    pub(crate) data: Option<PathBuf>,

    /// Print one JSON document on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// The folder was named on the command line, not by the environment.
    #[arg(skip)]
    names_data: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    #[command(subcommand)]
    Site(site::Site),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    ContentToken(content_token::ContentToken),
    #[command(subcommand)]
    Dp(dp::Dp),
    #[command(subcommand)]
    Source(source::Source),
    #[command(subcommand)]
    Package(package::Package),
    #[command(subcommand)]
    Schedule(schedule::Schedule),
    Distribute(distribute::Distribute),
    Remove(remove::Remove),
    Redistribute(redistribute::Redistribute),
    Refresh(refresh::Refresh),
    Rollback(rollback::Rollback),
    Plan(plan::Plan),
    Apply(apply::Apply),
    Cancel(cancel::Cancel),
    Status(status::Status),
    Why(why::Why),
    Diff(diff::Diff),
    Query(objects::query::Query),
    Get(get::Get),
    Put(objects::put::Put),
    Delete(objects::delete::Delete),
    Invoke(objects::invoke::Invoke),
    #[command(subcommand)]
    Admin(admin::Admin),
    #[command(subcommand)]
    Audit(audit::Audit),
    #[command(subcommand)]
    Library(library::Library),
    Doctor(doctor::Doctor),
    Bugreport(bugreport::Bugreport),
    Simulate(simulate::Simulate),
    Completions(completions::Completions),
    Man(man::Man),
}

/// What every command is given besides its own arguments.
#[derive(Debug)]
pub(crate) struct Session {
    data: Option<PathBuf>,
    names_data: bool,
    pub(crate) output: Output,
}

impl Session {
    /// The data folder that was named, or the default one.
    pub(crate) fn folder(&self) -> Result<DataFolder, Failure> {
        DataFolder::at(self.data.as_deref().unwrap_or(DATA_DEFAULT.as_ref()))
    }

    /// The data folder that was named on the command line.
    pub(crate) fn folder_named(&self) -> Option<&Path> {
        self.data.as_deref().filter(|_| self.names_data)
    }
}

impl Arguments {
    /// The arguments of this process.
    pub(crate) fn of_process() -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches()?;
        let mut arguments = Self::from_arg_matches(&matches)?;
        arguments.names_data = matches.value_source("data") == Some(ValueSource::CommandLine);
        Ok(arguments)
    }

    /// Runs the command.
    pub(crate) fn run(self, output: Output) -> Result<Done, Failure> {
        let session = Session { data: self.data, names_data: self.names_data, output };
        match self.command {
            Command::Demo(c) => c.run(&session),
            Command::Site(c) => c.run(&session),
            Command::Token(c) => c.run(&session),
            Command::ContentToken(c) => c.run(&session),
            Command::Dp(c) => c.run(&session),
            Command::Source(c) => c.run(&session),
            Command::Package(c) => c.run(&session),
            Command::Schedule(c) => c.run(&session),
            Command::Distribute(c) => c.run(&session),
            Command::Remove(c) => c.run(&session),
            Command::Redistribute(c) => c.run(&session),
            Command::Refresh(c) => c.run(&session),
            Command::Rollback(c) => c.run(&session),
            Command::Plan(c) => c.run(&session),
            Command::Apply(c) => c.run(&session),
            Command::Cancel(c) => c.run(&session),
            Command::Status(c) => c.run(&session),
            Command::Why(c) => c.run(&session),
            Command::Diff(c) => c.run(&session),
            Command::Query(c) => c.run(&session),
            Command::Get(c) => c.run(&session),
            Command::Put(c) => c.run(&session),
            Command::Delete(c) => c.run(&session),
            Command::Invoke(c) => c.run(&session),
            Command::Admin(c) => c.run(&session),
            Command::Audit(c) => c.run(&session),
            Command::Library(c) => c.run(&session),
            Command::Doctor(c) => c.run(&session),
            Command::Bugreport(c) => c.run(&session),
            Command::Simulate(c) => c.run(&session),
            Command::Completions(c) => c.run(&session),
            Command::Man(c) => c.run(&session),
        }
    }
}

pub(crate) use progress::{ProgressView, bar_style};
pub(crate) use status::state_word;
pub(crate) use wait::{Goal, Verdict, judge};

/// Reads a package ID in any letter case.
///
/// Errors: kind not-found, because no package can have such an ID.
pub(crate) fn package_id(text: &str) -> Result<PackageId, Failure> {
    text.parse().map_err(|e: restock_names::PackageIdError| {
        Failure::new(Kind::NotFound, format!("NOT_FOUND: {e}")).hint("restock package list")
    })
}

/// A source path as it was written, except that `./x` and `../x` mean the present folder.
fn source_text(path: String) -> Result<String, Failure> {
    match path.split('/').next() {
        Some("." | "..") => folder_text(Path::new(&path)),
        _ => Ok(path),
    }
}

/// A folder as the site stores it: absolute, and text.
fn folder_text(path: &Path) -> Result<String, Failure> {
    // Where a link is above "..", only the file system knows what is meant.
    let has_parents = path.components().any(|c| c == Component::ParentDir);
    let absolute = if has_parents { path.canonicalize() } else { std::path::absolute(path) };
    let absolute =
        absolute.map_err(|e| Failure::caused(Kind::Usage, format!("cannot use {}", shown_path(path)), &e))?;
    match absolute.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(Failure::usage(format!("the path {} is not UTF-8 text", shown_path(&absolute)))
            .hint("register a folder above it, or a mount of it with a plain name")),
    }
}

//! The one binary `restock`: arguments, configuration, composition, output, exit codes.
//!
//! Each command is a file in [`commands`]. A command reaches a site through its control socket
//! ([`control`]) or opens the data folder itself. Only this crate reads the environment, prints
//! and decides exit codes; what commands *do* is written in `provider`, `site` and `dp`.

mod accept;
mod commands;
mod config;
mod control;
mod data_folder;
mod demo;
mod failure;
mod logs;
mod metrics;
mod output;
mod running;
mod units;

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::commands::Arguments;
use crate::output::Output;

fn main() -> ExitCode {
    let arguments = match Arguments::of_process() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let output = Output::of_process(arguments.json);
    match arguments.run(output) {
        Ok(done) => {
            output.print(&done);
            ExitCode::from(done.kind.map_or(0, failure::Kind::exit_code))
        }
        Err(failure) => {
            output.print_failure(&failure);
            ExitCode::from(failure.kind.exit_code())
        }
    }
}

/// Prints help on standard output, and mistakes on standard error with exit code 2.
fn usage(error: &clap::Error) -> ExitCode {
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if error.print().is_err() {
        // The reader closed the pipe.
    }
    ExitCode::from(
        if is_help && !matches!(error.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
            0
        } else {
            failure::Kind::Usage.exit_code()
        },
    )
}

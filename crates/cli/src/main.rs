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

use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::commands::Arguments;
use crate::failure::Failure;
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
        Err(mut failure) => {
            if failure.hints.is_empty() {
                failure.hints.push(help_meant());
            }
            output.print_failure(&failure);
            ExitCode::from(failure.kind.exit_code())
        }
    }
}

/// Prints help on standard output, and mistakes on standard error with exit code 2; with `--json`
/// also as a document on standard output.
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        if error.print().is_err() {
            // The reader closed the pipe.
        }
        return ExitCode::SUCCESS;
    }
    // The arguments are not understood, so they are looked at as they are.
    let wants_json = std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json");
    if wants_json {
        Output::of_process(true).print_document_of(&mistake(error));
    }
    if error.print().is_err() {
        // As above.
    }
    ExitCode::from(failure::Kind::Usage.exit_code())
}

/// A mistake in the arguments as a failure.
fn mistake(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let message = text.split("Usage: ").next().unwrap_or(&text);
    let message = message.split("For more information, try").next().unwrap_or(message);
    let message = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "a command or an argument is missing".to_owned()
        }
        _ => message.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" "),
    };
    Failure::usage(output::guarded(&message)).hint(help_meant())
}

/// Asks for the help of the command that the arguments name, as far as they do.
fn help_meant() -> String {
    let whole = Arguments::command();
    let (mut at, mut words) = (&whole, vec![whole.get_name().to_owned()]);
    for word in std::env::args_os().skip(1).take_while(|word| word != "--") {
        if let Some(below) = at.find_subcommand(&word) {
            words.push(below.get_name().to_owned());
            at = below;
        }
    }
    format!("{} --help", words.join(" "))
}

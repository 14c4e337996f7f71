//! `restock package show`.

use clap::Args;
use restock_names::HumanBytes;
use restock_provider::rows::PackageRow;
use restock_provider::{Answer, Operation};

use crate::commands::status::refresh_text;
use crate::commands::{Session, package_id};
use crate::control::{Door, unexpected};
use crate::failure::Failure;
use crate::output::{Done, Style, count, shown};

const EXAMPLE: &str = "\
Example:
  restock package show XYZ00001
  restock package show XYZ00001 --json";

/// Show one package
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Show {
    /// Package ID
    #[arg(value_name = "PKG")]
    package: String,
}

impl Show {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let package = package_id(&self.package)?;
        let mut door = Door::open(&session.folder()?, "restock package show")?;
        match door.perform(Operation::ShowPackage { package })? {
            Answer::Package(row) => {
                let text = text(&row, session.output.style);
                Ok(Done::with(&row, text))
            }
            other => Err(unexpected(&other)),
        }
    }
}

fn text(row: &PackageRow, style: Style) -> String {
    let mut text = format!("{} {}\n", style.strong(row.package.as_str()), shown(&row.name));
    let action = match row.action_in_progress {
        1 => "update",
        2 => "add",
        3 => "delete",
        _ => "none",
    };
    let mut line = |label: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("  {label:<18}{value}\n"));
        }
    };
    line("Source version", row.source_version.to_string());
    line("Stored version", row.stored_version.to_string());
    line("Content", format!("{}, {}", count(row.entries, "entry"), HumanBytes(row.bytes)));
    line("Source", shown(&row.source_path));
    line("Symlinks", row.link_policy.to_string());
    line("Names", row.names_policy.map(|policy| policy.to_string()).unwrap_or_default());
    for rule in row.excludes.as_slice() {
        line("Excluded", shown(rule));
    }
    line("Share", row.share.as_deref().map(shown).unwrap_or_default());
    line("Public", if row.is_public { "yes" } else { "no" }.to_owned());
    line("Version text", shown(&row.version));
    line("Manufacturer", shown(&row.manufacturer));
    line("Language", shown(&row.language));
    line("Description", shown(&row.description));
    line("Owner site", row.source_site.to_string());
    line("Created", row.created_at.to_string());
    line("Last refresh", row.last_refresh_at.map(|t| t.to_string()).unwrap_or_default());
    if let Some(schedule) = &row.schedule {
        for meaning in &schedule.meanings {
            line("Schedule", meaning.clone());
        }
        line("Next by schedule", schedule.next_at.map_or("never".to_owned(), |next| next.to_string()));
    }
    for warning in &row.warnings {
        line("Warning", format!("{}: {}", warning.rule, warning.text));
    }
    line("Action", action.to_owned());
    line("Refresh", row.refresh.as_ref().map(refresh_text).unwrap_or_default());
    text
}

//! `restock admin role`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use restock_provider::admin::{AdminAnswer, AdminOperation, RoleRow};
use restock_provider::rights::{object_types, operations};
use serde_json::json;

use super::text::{ask, unexpected};
use crate::commands::Session;
use crate::failure::{Failure, Kind};
use crate::output::{Done, Table, shown, shown_path};

/// The longest file of roles that is read, in bytes.
const FILE_BYTES_MAX: u64 = 512 * 1024;

/// List, import, export and remove roles
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    List(List),
    Show(Show),
    Import(Import),
    Export(Export),
    Remove(Remove),
}

impl Role {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::List(c) => c.run(session),
            Self::Show(c) => c.run(session),
            Self::Import(c) => c.run(session),
            Self::Export(c) => c.run(session),
            Self::Remove(c) => c.run(session),
        }
    }
}

/// List the roles
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin role list
  restock admin role list --json")]
pub(crate) struct List {}

impl List {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let rows = roles(ask(session, "restock admin role list", AdminOperation::ListRoles)?)?;
        let mut table = Table::new(&["ID", "Name", "Made by", "For"]);
        for row in &rows {
            let made_by = if row.is_built_in { "the program" } else { "the site" };
            table
                .row([shown(&row.role), shown(&row.name), made_by.to_owned(), shown(&row.description)], None);
        }
        Ok(Done::with(&rows, table.text(session.output.style, "No roles.")))
    }
}

/// Show what a role grants
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin role show 'Application Administrator'")]
pub(crate) struct Show {
    /// ID or name of the role
    role: String,
}

impl Show {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let rows = roles(ask(session, "restock admin role show", AdminOperation::ListRoles)?)?;
        let is_meant = |row: &&RoleRow| {
            row.role.eq_ignore_ascii_case(&self.role) || row.name.eq_ignore_ascii_case(&self.role)
        };
        let Some(row) = rows.iter().find(is_meant) else {
            let text = format!("NOT_FOUND: role {} does not exist", shown(&self.role));
            return Err(Failure::new(Kind::NotFound, text).hint("restock admin role list"));
        };
        let mut table = Table::new(&["On", "Grants"]);
        for (object_type, bits) in &row.operations {
            let on = object_types::name_of(*object_type)
                .map_or_else(|| format!("objects of type {object_type}"), str::to_owned);
            table.row([on, operations::names(*bits)], None);
        }
        let text = format!(
            "{} ({})\n{}",
            shown(&row.name),
            shown(&row.role),
            table.text(session.output.style, "It grants nothing.")
        );
        Ok(Done::with(row, text))
    }
}

/// Make the roles of a file that Configuration Manager or another site exported
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin role import team.xml
  restock admin role import team.xml --overwrite")]
pub(crate) struct Import {
    /// The exported XML
    file: PathBuf,

    /// Replace roles of the same name
    #[arg(long)]
    overwrite: bool,
}

impl Import {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let fail = |e: &dyn std::error::Error| {
            Failure::caused(Kind::Usage, format!("cannot read {}", shown_path(&self.file)), e)
        };
        let length = std::fs::metadata(&self.file).map_err(|e| fail(&e))?.len();
        if length > FILE_BYTES_MAX {
            let path = shown_path(&self.file);
            return Err(Failure::usage(format!(
                "{path} is longer than {FILE_BYTES_MAX} bytes: no file of roles is"
            )));
        }
        let bytes = std::fs::read(&self.file).map_err(|e| fail(&e))?;
        let xml = decoded(&bytes).ok_or_else(|| {
            Failure::usage(format!("{} is neither UTF-8 nor UTF-16", shown_path(&self.file)))
        })?;
        let operation = AdminOperation::ImportRole { xml, overwrite: self.overwrite };
        let rows = roles(ask(session, "restock admin role import", operation)?)?;
        let made: Vec<String> =
            rows.iter().map(|row| format!("Role {} is {}.\n", shown(&row.name), shown(&row.role))).collect();
        Ok(Done::with(&rows, made.concat()))
    }
}

/// Text in UTF-8, or in UTF-16 with a byte order mark as Windows tools write it.
fn decoded(bytes: &[u8]) -> Option<String> {
    let units = |of: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let pairs = bytes.chunks_exact(2).map(|pair| of([pair[0], pair[1]])).collect::<Vec<u16>>();
        String::from_utf16(&pairs).ok().filter(|_| bytes.len().is_multiple_of(2))
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => units(u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => units(u16::from_be_bytes, rest),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        _ => String::from_utf8(bytes.to_vec()).ok(),
    }
}

/// Print a role as the XML that Configuration Manager imports
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin role export 'Package team' > team.xml
  restock admin role export 'Package team' --json")]
pub(crate) struct Export {
    /// ID or name of the role
    role: String,
}

impl Export {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        match ask(session, "restock admin role export", AdminOperation::ExportRole { role: self.role })? {
            AdminAnswer::RoleFile(xml) => Ok(Done::with(&json!({ "xml": xml }), xml)),
            other => Err(unexpected(&other)),
        }
    }
}

/// Remove a role that no account has
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin role remove 'Package team'")]
pub(crate) struct Remove {
    /// ID or name of the role
    role: String,
}

impl Remove {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        match ask(session, "restock admin role remove", AdminOperation::RemoveRole { role: self.role })? {
            AdminAnswer::Role(row) => {
                Ok(Done::with(&row, format!("Role {} is removed.\n", shown(&row.name))))
            }
            other => Err(unexpected(&other)),
        }
    }
}

fn roles(answer: AdminAnswer) -> Result<Vec<RoleRow>, Failure> {
    match answer {
        AdminAnswer::Roles(rows) => Ok(rows),
        other => Err(unexpected(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn files_of_windows_tools_are_text() {
        let utf16 = |mark: [u8; 2], of: fn(u16) -> [u8; 2]| {
            mark.into_iter().chain("<ä/>".encode_utf16().flat_map(of)).collect::<Vec<u8>>()
        };
        assert_eq!(decoded(&utf16([0xff, 0xfe], u16::to_le_bytes)).as_deref(), Some("<ä/>"));
        assert_eq!(decoded(&utf16([0xfe, 0xff], u16::to_be_bytes)).as_deref(), Some("<ä/>"));
        assert_eq!(decoded("\u{feff}<ä/>".as_bytes()).as_deref(), Some("<ä/>"));
        assert_eq!(decoded(b"\xff\xfe<"), None);
        assert_eq!(decoded(b"<\xe4/>"), None);
    }
}

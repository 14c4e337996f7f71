//! `restock admin scope`.

use clap::{Args, Subcommand, ValueEnum};
use restock_provider::admin::{AdminAnswer, AdminOperation};
use restock_provider::rights::object_types;

use super::text::{ask, unexpected};
use crate::commands::Session;
use crate::failure::Failure;
use crate::output::{Done, Table, shown};

/// Make, list and remove scopes, and say what is in them
#[derive(Debug, Subcommand)]
pub(crate) enum Scope {
    Add(Add),
    List(List),
    Remove(Remove),
    Members(Members),
    Include(Include),
    Exclude(Exclude),
}

impl Scope {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Add(c) => c.run(session),
            Self::List(c) => c.run(session),
            Self::Remove(c) => c.run(session),
            Self::Members(c) => c.run(session),
            Self::Include(c) => {
                let Member { scope, kind, object } = c.member;
                let operation = AdminOperation::AddMember { scope, object_type: kind.number(), object };
                member(session, "restock admin scope include", operation, "is in")
            }
            Self::Exclude(c) => {
                let Member { scope, kind, object } = c.member;
                let operation = AdminOperation::RemoveMember { scope, object_type: kind.number(), object };
                member(session, "restock admin scope exclude", operation, "is not in")
            }
        }
    }
}

/// What can be in a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A package, by its ID
    Package,
    /// A distribution point, by its name
    Dp,
    /// A distribution point group, by its ID
    Group,
    /// The site, by its code
    Site,
}

impl Kind {
    fn number(self) -> u32 {
        match self {
            Self::Package => object_types::PACKAGE,
            Self::Dp => object_types::POINT,
            Self::Group => object_types::GROUP,
            Self::Site => object_types::SITE,
        }
    }
}

fn kind_word(object_type: u32) -> String {
    let known = [Kind::Package, Kind::Dp, Kind::Group, Kind::Site];
    let kind = known.into_iter().find(|kind| kind.number() == object_type);
    let word = kind.and_then(|kind| kind.to_possible_value()).map(|value| value.get_name().to_owned());
    word.unwrap_or_else(|| object_type.to_string())
}

/// Make a scope
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin scope add North --description 'Everything of the northern offices'")]
pub(crate) struct Add {
    /// Name of the scope
    name: String,

    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
}

impl Add {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let operation = AdminOperation::AddScope { name: self.name, description: self.description };
        match ask(session, "restock admin scope add", operation)? {
            AdminAnswer::Scope(row) => {
                let text = format!("Scope {} is {}.\n", shown(&row.name), shown(&row.scope));
                Ok(Done::with(&row, text))
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// List the scopes
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin scope list
  restock admin scope list --json")]
pub(crate) struct List {}

impl List {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        match ask(session, "restock admin scope list", AdminOperation::ListScopes)? {
            AdminAnswer::Scopes(rows) => {
                let mut table = Table::new(&["ID", "Name", "For"]);
                for row in &rows {
                    table.row([shown(&row.scope), shown(&row.name), shown(&row.description)], None);
                }
                Ok(Done::with(&rows, table.text(session.output.style, "No scopes.")))
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// Remove a scope that nothing and nobody is in
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin scope remove North")]
pub(crate) struct Remove {
    /// ID or name of the scope
    scope: String,
}

impl Remove {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        match ask(session, "restock admin scope remove", AdminOperation::RemoveScope { scope: self.scope })? {
            AdminAnswer::Scope(row) => {
                Ok(Done::with(&row, format!("Scope {} is removed.\n", shown(&row.name))))
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// List what is in a scope
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin scope members Default")]
pub(crate) struct Members {
    /// ID or name of the scope
    scope: String,
}

impl Members {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        match ask(session, "restock admin scope members", AdminOperation::ListMembers { scope: self.scope })?
        {
            AdminAnswer::Members(rows) => {
                let mut table = Table::new(&["Kind", "Object"]);
                for row in &rows {
                    table.row([kind_word(row.object_type), shown(&row.object)], None);
                }
                Ok(Done::with(&rows, table.text(session.output.style, "Nothing is in the scope.")))
            }
            other => Err(unexpected(&other)),
        }
    }
}

#[derive(Debug, Args)]
struct Member {
    /// ID or name of the scope
    scope: String,

    /// What the object is
    #[arg(value_enum)]
    kind: Kind,

    /// Package ID, name of the distribution point, group ID, or site code
    object: String,
}

/// Put an object into a scope
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin scope include North package XYZ00001
  restock admin scope include North dp DP01")]
pub(crate) struct Include {
    #[command(flatten)]
    member: Member,
}

/// Take an object out of a scope; it stays in at least one
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin scope exclude Default package XYZ00001")]
pub(crate) struct Exclude {
    #[command(flatten)]
    member: Member,
}

fn member(session: &Session, command: &str, operation: AdminOperation, verb: &str) -> Result<Done, Failure> {
    match ask(session, command, operation)? {
        AdminAnswer::Member(row) => {
            let kind = kind_word(row.object_type);
            let text = format!("The {kind} {} {verb} scope {}.\n", shown(&row.object), shown(&row.scope));
            Ok(Done::with(&row, text))
        }
        other => Err(unexpected(&other)),
    }
}

//! `restock package …`.

mod adopt;
mod create;
mod delete;
mod files;
mod history;
mod list;
mod owner;
mod set;
mod set_source_site;
mod show;

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use restock_names::{ExcludeRules, LinkPolicy, NamesPolicy};
use restock_provider::Share;

use crate::commands::Session;
use crate::failure::Failure;
use crate::output::Done;

/// Reads a link policy, and names all of them in the help.
fn link_policies() -> impl TypedValueParser<Value = LinkPolicy> {
    PossibleValuesParser::new(LinkPolicy::ALL.map(LinkPolicy::as_str))
        .try_map(|word| word.parse::<LinkPolicy>())
}

/// Reads a names policy, and names both of them in the help.
fn names_policies() -> impl TypedValueParser<Value = NamesPolicy> {
    PossibleValuesParser::new(NamesPolicy::ALL.map(NamesPolicy::as_str))
        .try_map(|word| word.parse::<NamesPolicy>())
}

/// The rules as they were given one by one; the first that is none is refused.
fn exclude_rules(rules: Vec<String>) -> Result<ExcludeRules, Failure> {
    ExcludeRules::new(rules).map_err(|error| Failure::usage(error.to_string()))
}

/// What `--share` with or without a name asks for.
fn share(name: String) -> Share {
    if name.is_empty() { Share::Common } else { Share::Named(name) }
}

/// Create, change, look at and delete packages
#[derive(Debug, Subcommand)]
pub(crate) enum Package {
    Create(create::Create),
    List(list::List),
    Show(show::Show),
    Set(set::Set),
    Delete(delete::Delete),
    History(history::History),
    Files(files::Files),
    Adopt(adopt::Adopt),
    SetSourceSite(set_source_site::SetSourceSite),
}

impl Package {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Create(c) => c.run(session),
            Self::List(c) => c.run(session),
            Self::Show(c) => c.run(session),
            Self::Set(c) => c.run(session),
            Self::Delete(c) => c.run(session),
            Self::History(c) => c.run(session),
            Self::Files(c) => c.run(session),
            Self::Adopt(c) => c.run(session),
            Self::SetSourceSite(c) => c.run(session),
        }
    }
}

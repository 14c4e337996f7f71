//! `restock content-token create`.

use std::time::Duration;

use clap::Args;
use restock_names::{HumanDuration, PackageId};
use restock_site::ContentTokenMade;

use crate::commands::Session;
use crate::control::{Ask, Door};
use crate::failure::Failure;
use crate::output::Done;
use crate::units::parse_duration;

const EXAMPLE: &str = "\
Example:
  restock content-token create XYZ00001 XYZ00002
  restock content-token create --all --valid 12h --json
  curl -H \"Authorization: Bearer $TOKEN\" https://dp01.example.org:8726/SMS_DP_SMSPKG$/XYZ00001/setup.exe";

/// Make a token that lets its holder read packages at the DPs of this site
///
/// The holder shows it over TLS as a bearer token, or as the password of Basic with any user name. DPs
/// verify it by themselves, so it cannot be taken back: give it a short life. It is shown once.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Create {
    /// Packages it opens
    #[arg(value_name = "PKG", required_unless_present = "all", conflicts_with = "all")]
    packages: Vec<PackageId>,

    /// It opens every package, also those still to come
    #[arg(long)]
    all: bool,

    /// How long it can be used, at most 366d
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "30d")]
    valid: Duration,
}

impl Create {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut door = Door::open(&session.folder()?, "restock content-token create")?;
        let valid_ms = u64::try_from(self.valid.as_millis()).unwrap_or(u64::MAX);
        let packages = (!self.all).then_some(self.packages);
        let made: ContentTokenMade = door.ask(Ask::CreateContentToken { packages, valid_ms })?;
        if !session.output.json {
            let opened = match &made.packages {
                None => "every package".to_owned(),
                Some(packages) => packages.iter().map(PackageId::to_string).collect::<Vec<_>>().join(", "),
            };
            session.output.talk(&format!(
                "Content token {} for {opened}, good for {} (until {}):\n",
                made.id,
                HumanDuration(self.valid),
                made.expires_at
            ));
        }
        let text = format!("{}\n", made.token);
        Ok(Done::with(&made, text))
    }
}

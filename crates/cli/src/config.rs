//! `restock.toml`: one file per data folder, one struct per section.
//!
//! `site init` and `dp init` write a commented template; a missing key has the default the
//! template shows. An unknown key, a wrong type or a wrong unit refuses to start and names file
//! and line. Nothing here is read from the environment.

mod admin_service;
mod doors;
mod dp;
mod edit;
mod health;
mod kerberos;
mod site;
mod values;

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use doors::shared_doors;
pub(crate) use dp::DpSettings;
pub(crate) use edit::with_key;
pub(crate) use kerberos::KerberosSection;
pub(crate) use site::SiteSettings;
pub(crate) use values::LogSettings;

use crate::failure::{Failure, Kind};
use crate::output::shown_path;

/// What a data folder belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// A site.
    Site,
    /// A distribution point.
    Dp,
}

/// Reads only the role from a configuration file; the rest may be invalid.
pub(crate) fn read_role(path: &Path) -> Result<Role, Failure> {
    #[derive(Deserialize)]
    struct OnlyRole {
        role: Role,
    }
    read::<OnlyRole>(path).map(|r| r.role)
}

/// Reads a configuration file.
///
/// Errors: kind usage, with file, line and what is wrong there; kind not-found when it is missing.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::new(Kind::NotFound, format!("there is no {}", shown_path(path)))
                .hint("restock site init, or restock dp init, writes one"));
        }
        Err(e) => return Err(Failure::caused(Kind::Failed, format!("cannot read {}", shown_path(path)), &e)),
    };
    parse(&text, path)
}

fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, Failure> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |s| s.start).min(text.len());
        let line = text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
        let message = error.message().trim().replace('\n', " ");
        Failure::usage(format!("CONFIG_INVALID: {}:{line}: {message}", shown_path(path)))
            .hint(format!("correct line {line} of {}, or remove it to take the default", shown_path(path)))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{DpSettings, SiteSettings, parse};

    fn refusal(text: &str) -> String {
        parse::<SiteSettings>(text, Path::new("/d/restock.toml")).expect_err("must be refused").message
    }

    #[test]
    fn the_templates_say_the_defaults() {
        let template = SiteSettings::default().template();
        let read: SiteSettings = parse(&template, Path::new("t")).expect("the template is valid");
        assert_eq!(read, SiteSettings::default());
        let template = DpSettings::default().template();
        let read: DpSettings = parse(&template, Path::new("t")).expect("the template is valid");
        assert_eq!(read, DpSettings::default());
        assert_eq!(
            parse::<SiteSettings>("", Path::new("t")).expect("empty is valid"),
            SiteSettings::default()
        );
    }

    #[test]
    fn the_documentation_shows_the_templates() {
        let document = include_str!("../../../docs/configuration.md");
        for template in [SiteSettings::default().template(), DpSettings::default().template()] {
            assert!(document.contains(&template), "docs/configuration.md lacks:\n{template}");
        }
    }

    #[test]
    fn a_template_keeps_what_was_chosen() {
        let mut chosen = SiteSettings::default();
        chosen.link.listen = "127.0.0.1:4444".parse().expect("an address");
        chosen.link.url = "restock://site.example:99".into();
        chosen.logs.folder = "/var/log/\"quoted\"\n".into();
        let read: SiteSettings = parse(&chosen.template(), Path::new("t")).expect("valid");
        assert_eq!(read, chosen);
    }

    #[test]
    fn mistakes_name_file_and_line() {
        for (text, wanted) in [
            ("[link]\nlisten = \"127.0.0.1:1\"\nlisen = 3\n", "/d/restock.toml:3: unknown field `lisen`"),
            ("\n[lnik]\n", "/d/restock.toml:2: unknown field `lnik`"),
            (
                "[refresh]\nretry_delay = \"30 parsecs\"\n",
                "/d/restock.toml:2: \"30 parsecs\" is not a duration",
            ),
            ("[refresh]\nretry_delay = 30\n", "/d/restock.toml:2: invalid type"),
            ("[logs]\nsize_max = \"1 MB\"\n", "/d/restock.toml:2: \"1 MB\" is not a size"),
            (
                "[metrics]\nlisten = \"0.0.0.0:80000\"\n",
                "/d/restock.toml:2: \"0.0.0.0:80000\" is not an address",
            ),
            (
                "[admin_service]\nhttp_listen = \"0.0.0.0:80\"\n",
                "/d/restock.toml:2: 0.0.0.0:80 is not a loopback address",
            ),
            ("[compatibility]\nmethod_failure = \"shrug\"\n", "/d/restock.toml:2: unknown variant `shrug`"),
            ("[refresh]\npackages_at_once = 0\n", "/d/restock.toml:2: invalid value: integer `0`"),
            ("[logs]\nlevel = \"info,x=loud\"\n", "/d/restock.toml:2: \"info,x=loud\" is not a log level"),
            ("\n[link]\nurl = \"ftp://x\"\n", "/d/restock.toml:3: "),
            ("[database]\nurl = \"mysql://x\"\n", "/d/restock.toml:2: the database URL does not begin"),
            ("[link\n", "/d/restock.toml:1:"),
        ] {
            let found = refusal(text);
            assert!(found.contains(wanted), "{found:?} should contain {wanted:?}");
            assert!(found.starts_with("CONFIG_INVALID: "), "{found}");
        }
    }
}

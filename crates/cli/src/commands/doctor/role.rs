//! What a site or DP says of itself: links, loops, and whether its library is what its records say.

use restock_names::{Clock, HumanDuration, SystemClock, Timestamp};
use restock_provider::{Answer, Operation};
use std::time::Duration;

use super::Finding;
use crate::commands::library::{LibraryDoor, open};
use crate::config::{self, DpSettings, Role, SiteSettings};
use crate::control::{Ask, Client, Door, Hello, LibraryMeasured, SiteTree};
use crate::data_folder::DataFolder;
use crate::failure::Failure;
use crate::output::count;

/// A loop that has not looked for work for so long does not run.
const LOOP_SILENCE_MAX: Duration = Duration::from_secs(300);

pub(super) fn examine(folder: &DataFolder) -> Vec<Finding> {
    let configuration = configuration(folder);
    let is_readable = configuration.fix.is_none();
    let mut findings = vec![configuration];
    if !is_readable {
        return findings;
    }
    let looked = match folder.role() {
        Ok(Role::Site) => site(folder, &mut findings),
        Ok(Role::Dp) => point(folder, &mut findings),
        Err(failure) => Err(failure),
    };
    if let Err(failure) = looked {
        let fix = failure.hints.first().cloned().unwrap_or_else(|| "see the logs".to_owned());
        findings.push(Finding::problem("process", failure.message, fix));
    }
    findings
}

fn configuration(folder: &DataFolder) -> Finding {
    let read = match folder.role() {
        Ok(Role::Site) => config::read::<SiteSettings>(&folder.config()).map(drop),
        Ok(Role::Dp) => config::read::<DpSettings>(&folder.config()).map(drop),
        Err(failure) => Err(failure),
    };
    match read {
        Ok(()) => Finding::good("configuration", "restock.toml is understood"),
        Err(failure) => {
            let fix = failure.hints.first().cloned().unwrap_or_default();
            Finding::problem("configuration", failure.message, fix)
        }
    }
}

fn site(folder: &DataFolder, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let mut door = Door::open(folder, "restock doctor")?;
    let is_running = door.is_running();
    if is_running {
        let hello: Hello = door.ask(Ask::Hello)?;
        let text = format!("site {} runs as process {}, {}", hello.site_code, hello.pid, hello.software);
        findings.push(Finding::good("process", text));
        findings.extend(hello.metrics.map(|url| Finding::good("metrics", url)));
        loops(&mut door, findings)?;
        links(&mut door, findings)?;
    } else {
        let path = crate::output::shown_path(folder.path());
        let fix = format!("restock --data {path} site run");
        findings.push(Finding::notice("process", "the site does not run: nothing moves until it does", fix));
    }
    library(&mut door, findings)
}

fn loops(door: &mut Door, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let Answer::Loops(rows) = door.perform(Operation::ListLoops)? else { return Ok(()) };
    let now = SystemClock.now();
    let silent: Vec<String> = rows
        .iter()
        .filter(|row| now.since(row.last_run_at) > LOOP_SILENCE_MAX)
        .map(|row| format!("{} (last {})", row.name, row.last_run_at))
        .collect();
    findings.push(if silent.is_empty() {
        Finding::good("loops", format!("{} look for work", count(rows.len() as u64, "loop")))
    } else {
        let text = format!("not heard for {}: {}", HumanDuration(LOOP_SILENCE_MAX), silent.join(", "));
        Finding::notice("loops", text, "see restock.jsonl for what keeps them")
    });
    Ok(())
}

fn links(door: &mut Door, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let tree: SiteTree = door.ask(Ask::SiteTree)?;
    if let Answer::Points(points) = door.perform(Operation::ListPoints)? {
        let own: Vec<_> = points.iter().filter(|point| point.site == tree.site_code).collect();
        let away: Vec<&str> = own.iter().filter(|p| !p.is_connected).map(|p| p.point.as_str()).collect();
        findings.push(if away.is_empty() {
            Finding::good("links", format!("{} connected", count(own.len() as u64, "distribution point")))
        } else {
            let fix = "restock --data DIR doctor, at the DP; can it reach the site's link?";
            Finding::problem("links", format!("not connected: {}", away.join(", ")), fix)
        });
    }
    for row in &tree.sites {
        let Some(link) = row.link.as_ref().filter(|link| !link.is_connected && !link.is_revoked) else {
            continue;
        };
        let since = link.last_seen_at.map(seen).unwrap_or_default();
        let text = format!("the link to site {} is down{since}", row.site_code);
        let why = row.why.as_ref().and_then(|why| why.fix.clone());
        findings.push(Finding::problem("links", text, why.unwrap_or_else(|| "restock site tree".to_owned())));
    }
    Ok(())
}

fn seen(at: Timestamp) -> String {
    format!(", since {at}")
}

/// Does the library serve what the database says?
fn library(door: &mut Door, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let Answer::Packages(packages) = door.perform(Operation::ListPackages)? else { return Ok(()) };
    let measured: LibraryMeasured = door.ask(Ask::StatLibrary)?;
    let mut wrong = Vec::new();
    for package in packages.iter().filter(|package| package.stored_version.0 > 0) {
        let held = measured.packages.iter().find(|held| held.package == package.package);
        match held.map(|held| held.version) {
            Some(version) if version == package.stored_version => {}
            Some(version) => wrong.push(format!(
                "{}: the database has version {}, the library {version}",
                package.package, package.stored_version
            )),
            None => wrong.push(format!(
                "{}: version {} is not in the library",
                package.package, package.stored_version
            )),
        }
    }
    findings.push(if wrong.is_empty() {
        let text = format!(
            "{} in {}, as the database says",
            count(measured.versions, "version"),
            count(measured.packs, "pack")
        );
        Finding::good("library", text)
    } else {
        Finding::problem("library", wrong.join("; "), "restock refresh PKG reads the source of each again")
    });
    Ok(())
}

fn point(folder: &DataFolder, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let Some(mut client) = Client::connect(&folder.socket())? else {
        let path = crate::output::shown_path(folder.path());
        let fix = format!("restock --data {path} dp run");
        findings.push(Finding::notice("process", "the DP does not run: nothing is served", fix));
        let LibraryDoor::Opened(library, _lock) = open(folder, "restock doctor")? else { return Ok(()) };
        let packages = library.packages().len() as u64;
        findings.push(Finding::good(
            "library",
            format!("it can be opened; {} active", count(packages, "package")),
        ));
        return Ok(());
    };
    let hello: Hello = client.ask(Ask::Hello)?;
    let name = hello.name.unwrap_or_default();
    let text =
        format!("{name} of site {} runs as process {}, {}", hello.site_code, hello.pid, hello.software);
    findings.push(Finding::good("process", text));
    findings.extend(hello.metrics.map(|url| Finding::good("metrics", url)));
    findings.push(match (hello.is_connected, hello.stale_since) {
        (Some(true), None) => Finding::good("links", format!("connected to site {}", hello.site_code)),
        (Some(true), Some(since)) => {
            let text = format!("site {} has not vouched for what it tells since {since}", hello.site_code);
            Finding::notice("links", text, "set both clocks; see smsdpprov.log")
        }
        _ => {
            let text = format!("not connected to site {}; what is here is served", hello.site_code);
            Finding::problem(
                "links",
                text,
                "does the site run, and is its address right? restock dp set --site URL",
            )
        }
    });
    let measured: LibraryMeasured = client.ask(Ask::StatLibrary)?;
    let packages = count(measured.packages.len() as u64, "package");
    findings.push(Finding::good("library", format!("{packages} in {}", count(measured.packs, "pack"))));
    Ok(())
}

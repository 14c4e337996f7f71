//! The demo: the main job on one machine, with real processes, real files and an honest summary.
//!
//! Site XYZ and the distribution points DP01 and DP02 are this same program, started as processes
//! of their own with folders of their own; with `--sites` also site DEF below XYZ, and DP03 of it
//! ([`cast`]). The package XYZ00001 is made from a copy of a folder of
//! real files; the copy is changed and refreshed. After each step everything is fetched from all
//! DPs over HTTP and compared with the copy ([`compare`]). Nothing outside the data folder changes.

mod cast;
mod change;
mod compare;
mod folder;
mod kept;
mod management;
mod processes;
mod stop;
mod summary;
mod talk;

use std::path::{Path, PathBuf};
use std::time::Duration;

use restock_names::{Clock, DistributionPointName, HumanBytes, PackageId, SystemClock};
use restock_provider::rows::SourceFlag;
use restock_provider::{Answer, NewPackage, NewSourceRoot, Operation};

use self::cast::{Cast, PARTS};
use self::compare::{Compared, Tree};
use self::kept::Kept;
use self::stop::Stop;
use self::summary::{Step, Summary};
use self::talk::Talk;
use crate::commands::Goal;
use crate::control::{Ask, unexpected};
use crate::failure::{Failure, Kind};
use crate::output::{Done, Output, count, grouped, shown_path};

/// How long the site may take for one step before the demo gives up.
const STEP_MAX: Duration = Duration::from_secs(3 * 3600);

/// A file whose ctime is younger than this when it is scanned is read again by the next refresh.
const SETTLED_AFTER: Duration = Duration::from_millis(2_100);

/// What the demo is to do.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Where the files come from.
    pub(crate) folder: Option<PathBuf>,
    /// Everything stays running until a signal.
    pub(crate) keep: bool,
    /// A child site plays too.
    pub(crate) sites: bool,
}

/// Runs the demo. `data`: where everything goes and stays; without it a temporary folder.
pub(crate) fn run(wanted: Wanted, data: Option<&Path>, output: Output) -> Result<Done, Failure> {
    let stop = Stop::default();
    let _watch = stop.watch()?;
    let temporary = match data {
        Some(_) => None,
        None => Some(
            tempfile::Builder::new()
                .prefix("restock-demo-")
                .tempdir()
                .map_err(|e| Failure::caused(Kind::Failed, "cannot make a temporary folder", &e))?,
        ),
    };
    let data = match (data, &temporary) {
        (Some(data), _) => std::path::absolute(data)
            .map_err(|e| Failure::caused(Kind::Usage, format!("cannot use {}", shown_path(data)), &e))?,
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => unreachable!("one of the two is there"),
    };
    let result = play(wanted, &data, &stop, output);
    if let Some(temporary) = temporary {
        // Copies of read-only folders cannot be emptied before they may be written.
        make_writable(temporary.path());
        temporary
            .close()
            .map_err(|e| Failure::caused(Kind::Failed, "cannot delete the temporary folder", &e))?;
    }
    result
}

fn play(wanted: Wanted, data: &Path, stop: &Stop, output: Output) -> Result<Done, Failure> {
    let clock = SystemClock;
    let start = clock.monotonic();
    let mut talk = Talk::new(output);
    for part in PARTS {
        if data.join(part).exists() {
            return Err(Failure::refused(format!("{} holds an earlier demo", shown_path(data)))
                .hint(format!("restock --data {}/site site run, to look at it", shown_path(data)))
                .hint("another folder with --data DIR, or delete this one"));
        }
    }
    let (chosen, bounds) = folder::choose(wanted.folder)?;
    std::fs::create_dir_all(data)
        .map_err(|e| Failure::caused(Kind::Failed, format!("cannot make {}", shown_path(data)), &e))?;

    talk.phase(&format!("Copying files of {}", shown_path(&chosen)));
    let source = data.join("source");
    let copied = folder::copy(&chosen, &source, bounds, stop, &mut |c| talk.copied(c))?;
    talk.done(&format!("{}, {}", copied.text(), HumanBytes(copied.bytes)));
    let copied_at = clock.monotonic();

    talk.phase(match wanted.sites {
        false => "Starting a site and two distribution points",
        true => "Starting a site with two distribution points, and a site below it with one",
    });
    let mut cast = Cast::start(data, wanted.sites, stop)?;
    talk.done(&cast.text());

    let age = clock.monotonic() - copied_at;
    if age < SETTLED_AFTER {
        talk.phase("Waiting two seconds, after which a file's time proves that it has not changed");
        let until = clock.monotonic() + (SETTLED_AFTER - age);
        stop.wait(|| clock.monotonic() < until);
        stop.check()?;
        talk.done("unchanged files need not be read again");
    }

    talk.phase("Reading the source as version 1 of a package");
    let begin = clock.monotonic();
    let package = create_package(&mut cast, &source, &chosen)?;
    let stored = wait(&mut cast, &Goal::Stored(package), stop, &mut talk)?;
    talk.done(&format!(
        "{package}: {}, {} read and stored",
        count(stored.entries, "entry"),
        HumanBytes(stored.bytes)
    ));
    let reading = clock.monotonic() - begin;

    let names = cast.names();
    talk.phase(&format!("Distributing it to {}", and(&names)));
    let begin = clock.monotonic();
    let crossed = cast.crossed()?;
    let operation = Operation::AddDistributionPoints { package, points: names.clone() };
    match cast.site.client.ask(Ask::Perform(operation))? {
        Answer::Targets(_) => {}
        other => return Err(unexpected(&other)),
    }
    wait(&mut cast, &Goal::Installed(package, names.clone()), stop, &mut talk)?;
    let took = reading + (clock.monotonic() - begin);
    let first = Step::measure(&mut cast, package, crossed, took)?;
    talk.done(&first.wire_text());
    let mut compared = vec![compare_all(&mut cast, package, &source, stop, &mut talk, 1)?];

    talk.phase("Changing some files of the copy");
    let changes = change::make(&source)?;
    talk.done(&changes.text());

    talk.phase("Refreshing the package's source at all its distribution points");
    let (begin, crossed) = (clock.monotonic(), cast.crossed()?);
    let accepted = match cast.site.client.ask(Ask::Perform(Operation::RefreshPkgSource { package }))? {
        Answer::Refresh(accepted) => accepted,
        other => return Err(unexpected(&other)),
    };
    wait(&mut cast, &Goal::Refreshed(vec![accepted]), stop, &mut talk)?;
    let second = Step::measure(&mut cast, package, crossed, clock.monotonic() - begin)?;
    talk.done(&second.wire_text());
    compared.push(compare_all(&mut cast, package, &source, stop, &mut talk, 2)?);
    let mut steps = vec![first, second];

    if let Some(child) = cast.child.as_ref().map(|child| child.code) {
        talk.phase(&format!("Adding a file, and asking for a refresh at site {child}"));
        std::fs::write(
            source.join(format!("asked for at {child}")),
            "This file came with the third version.\n",
        )
        .map_err(|e| Failure::caused(Kind::Failed, "cannot change the copy", &e))?;
        let (begin, crossed) = (clock.monotonic(), cast.crossed()?);
        refresh_at_child(&mut cast, package, stop)?;
        let third = Step::measure(&mut cast, package, crossed, clock.monotonic() - begin)?;
        talk.done(&third.wire_text());
        compared.push(compare_all(&mut cast, package, &source, stop, &mut talk, 3)?);
        steps.push(third);
    }

    let summary = Summary::new(package, data, &chosen, changes, steps, &compared, clock.monotonic() - start);
    if summary.differences > 0 {
        for difference in compared.iter().flatten().flat_map(|c| &c.1.differences) {
            output.talk(&format!("DIFFERENCE {difference}\n"));
        }
        let kept =
            if data.join("site").exists() { format!(" in {}", shown_path(data)) } else { String::new() };
        return Err(Failure::failed(format!(
            "what the distribution points serve differs from the source in {}{kept}",
            count(summary.differences, "place")
        ))
        .hint("restock demo --data DIR keeps everything for a closer look"));
    }
    if !wanted.keep {
        drop(cast);
        return Ok(Done::with(&summary, summary.text()));
    }
    let management = management::prepare(&mut cast, package, stop)?;
    let kept = Kept::new(&cast, data, &management, package);
    if output.json {
        output.line(&serde_json::to_string(&kept).expect("plain data with text keys serialises"));
        output.line(&serde_json::to_string(&summary).expect("plain data with text keys serialises"));
    } else {
        output.data(&summary.text());
        output.data(&kept.text());
    }
    let mut failed = None;
    stop.wait(|| match cast.check() {
        Ok(()) => true,
        Err(failure) => {
            failed = Some(failure);
            false
        }
    });
    drop(cast);
    match failed {
        Some(failure) => Err(failure),
        None => Ok(Done::silent()),
    }
}

/// Asks the child site for a refresh, and waits until both sites say that every DP serves its version.
fn refresh_at_child(cast: &mut Cast, package: PackageId, stop: &Stop) -> Result<(), Failure> {
    let Some(child) = &mut cast.child else { return Ok(()) };
    let before = match child.client.ask(Ask::Perform(Operation::RefreshPkgSource { package }))? {
        Answer::Refresh(accepted) => accepted.source_version,
        other => return Err(unexpected(&other)),
    };
    cast.until("the refresh has reached every distribution point", stop, |cast| {
        for site in std::iter::once(&mut cast.site).chain(&mut cast.child) {
            match site.client.ask(Ask::Perform(Operation::Status { package: Some(package) }))? {
                Answer::Status(rows) => {
                    let is_there = rows.first().is_some_and(|p| {
                        p.package.source_version > before && p.counters.installed == p.counters.targeted
                    });
                    if !is_there {
                        return Ok(false);
                    }
                }
                other => return Err(unexpected(&other)),
            }
        }
        Ok(true)
    })
}

/// `DP01, DP02 and DP03`.
fn and(names: &[DistributionPointName]) -> String {
    match names {
        [] => String::new(),
        [one] => one.to_string(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(DistributionPointName::as_str).collect();
            format!("{} and {last}", first.join(", "))
        }
    }
}

fn create_package(cast: &mut Cast, source: &Path, chosen: &Path) -> Result<PackageId, Failure> {
    let folder = source
        .to_str()
        .ok_or_else(|| Failure::usage(format!("the path {} is not UTF-8 text", shown_path(source))))?
        .to_owned();
    let root = NewSourceRoot {
        name: "demo".to_owned(),
        folder: folder.clone(),
        aliases: Vec::new(),
        scopes: Vec::new(),
    };
    match cast.site.client.ask(Ask::Perform(Operation::AddSourceRoot(root)))? {
        Answer::SourceRoot(_) => {}
        other => return Err(unexpected(&other)),
    }
    let package = NewPackage {
        name: format!("Demo of {}", shown_path(chosen)).chars().take(200).collect(),
        source_path: Some(folder),
        source_flag: Some(SourceFlag::Direct),
        is_public: true,
        ..NewPackage::default()
    };
    match cast.site.client.ask(Ask::Perform(Operation::CreatePackage(package)))? {
        Answer::Package(row) => Ok(row.package),
        Answer::Changed(changed) => Ok(changed.package.package),
        other => Err(unexpected(&other)),
    }
}

/// Waits for a goal while showing live bytes; returns the package as it is then.
fn wait(
    cast: &mut Cast,
    goal: &Goal,
    stop: &Stop,
    talk: &mut Talk,
) -> Result<restock_provider::rows::PackageRow, Failure> {
    use crate::commands::Verdict;
    use std::ops::ControlFlow;

    let start = SystemClock.monotonic();
    let mut client = cast.site.connect()?;
    let package = goal.packages()[0];
    let mut last = None;
    let mut status = Vec::new();
    let watched = client.stream(Ask::Watch { package: Some(package) }, &mut |event| {
        stop.check()?;
        cast.check()?;
        let event: crate::control::Watched = serde_json::from_value(event)
            .map_err(|e| Failure::caused(Kind::Failed, "the answer is not understood", &e))?;
        if let Some(now) = event.packages {
            last = Some(crate::commands::judge(goal, &now));
            status = now;
        }
        talk.live(&status, &event.progress);
        let is_over = matches!(last, Some(Verdict::Over { .. }));
        if !is_over && SystemClock.monotonic() - start > STEP_MAX {
            return Err(Failure::new(Kind::TimedOut, "the site does not come to an end with this step"));
        }
        Ok(if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    talk.clear();
    if let Err(failure) = watched {
        stop.check()?;
        cast.check()?;
        return Err(failure);
    }
    match last {
        Some(Verdict::Over { problems, .. }) if problems.is_empty() => {
            let found = status.into_iter().find(|p| p.package.package == package);
            found.map(|p| p.package).ok_or_else(|| Failure::failed(format!("{package} is gone")))
        }
        Some(Verdict::Over { problems, .. }) => Err(Failure::failed(problems.join("; "))),
        _ => Err(Failure::failed("the site stopped telling what it does")),
    }
}

/// Fetches everything from each DP and compares it with the source.
fn compare_all(
    cast: &mut Cast,
    package: PackageId,
    source: &Path,
    stop: &Stop,
    talk: &mut Talk,
    version: u32,
) -> Result<Vec<(String, Compared)>, Failure> {
    let mut all = Vec::new();
    let tree = Tree::read(source)?;
    let (entries, bytes) = tree.measure();
    for point in &cast.points {
        talk.phase(&format!("Fetching version {version} from {} over HTTP and comparing it", point.name));
        let bar = talk.bar(bytes);
        let compared = compare::run(&point.url, package.as_str(), &tree, stop, &|n| bar.add(n))?;
        talk.clear();
        talk.done(&format!(
            "{} of {} compared, {}: {}",
            grouped(compared.files + compared.folders + compared.links),
            count(entries, "entry"),
            HumanBytes(compared.bytes),
            if compared.differences_count == 0 {
                "no difference".to_owned()
            } else {
                count(compared.differences_count, "difference")
            }
        ));
        all.push((point.name.to_string(), compared));
    }
    cast.check()?;
    Ok(all)
}

/// Gives the owner the right to empty every folder below.
fn make_writable(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            let path = entry.path();
            if let Ok(facts) = path.metadata()
                && facts.permissions().mode() & 0o700 != 0o700
            {
                let mode = facts.permissions().mode() | 0o700;
                if std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).is_err() {
                    // Deleting the folder will say so.
                }
            }
            make_writable(&path);
        }
    }
}

//! The demo: the main job on one machine, with real processes, real files and an honest summary.
//!
//! Site XYZ and the distribution points DP01 and DP02 are this same program, started as processes
//! of their own with folders of their own. The package XYZ00001 is made from a copy of a folder of
//! real files; the copy is changed and refreshed. After each step everything is fetched from both
//! DPs over HTTP and compared with the copy ([`compare`]). Nothing outside the data folder changes.

mod change;
mod compare;
mod folder;
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
use serde::{Deserialize, Serialize};

use self::compare::{Compared, Tree};
use self::management::Management;
use self::processes::Process;
use self::stop::Stop;
use self::summary::{Step, Summary};
use self::talk::Talk;
use crate::commands::Goal;
use crate::control::{AdminServiceAt, Ask, Client, TokenFor, TokenGiven, unexpected};
use crate::failure::{Failure, Kind};
use crate::output::{Done, Output, count, grouped, shown_path};

/// How long the site may take for one step before the demo gives up.
const STEP_MAX: Duration = Duration::from_secs(3 * 3600);

/// A free port of this machine alone.
const FREE: &str = "127.0.0.1:0";

/// The demo's site.
const SITE: &str = "XYZ";

/// A file whose ctime is younger than this when it is scanned is read again by the next refresh.
const SETTLED_AFTER: Duration = Duration::from_millis(2_100);

/// The first line of `--keep --json`.
#[derive(Debug, Serialize)]
struct Kept<'a> {
    site_code: String,
    package_id: PackageId,
    data_dir: String,
    dps: Vec<KeptPoint<'a>>,
    /// Base of the AdminService, and the same without TLS on loopback.
    adminservice: Option<String>,
    adminservice_http: Option<String>,
    /// An account that may do everything.
    user: &'a str,
    password: &'a str,
    /// What clients must trust: the CA's certificate in PEM.
    ca_file: String,
    dp_group_id: &'a str,
}

#[derive(Debug, Serialize)]
struct KeptPoint<'a> {
    name: &'a str,
    url: &'a str,
}

/// Site and DPs, in the order in which they are stopped.
#[derive(Debug)]
struct Cast {
    points: Vec<Point>,
    site: Process,
    client: Client,
    admin_service: Option<AdminServiceAt>,
}

#[derive(Debug)]
struct Point {
    name: DistributionPointName,
    url: String,
    process: Process,
}

/// Runs the demo. `data`: where everything goes and stays; without it a temporary folder.
pub(crate) fn run(
    folder: Option<PathBuf>,
    keep: bool,
    data: Option<&Path>,
    output: Output,
) -> Result<Done, Failure> {
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
    let result = play(folder, keep, &data, &stop, output);
    if let Some(temporary) = temporary {
        // Copies of read-only folders cannot be emptied before they may be written.
        make_writable(temporary.path());
        temporary
            .close()
            .map_err(|e| Failure::caused(Kind::Failed, "cannot delete the temporary folder", &e))?;
    }
    result
}

fn play(
    folder: Option<PathBuf>,
    keep: bool,
    data: &Path,
    stop: &Stop,
    output: Output,
) -> Result<Done, Failure> {
    let clock = SystemClock;
    let start = clock.monotonic();
    let mut talk = Talk::new(output);
    for part in ["site", "dp1", "dp2", "source"] {
        if data.join(part).exists() {
            return Err(Failure::refused(format!("{} holds an earlier demo", shown_path(data)))
                .hint(format!("restock --data {}/site site run, to look at it", shown_path(data)))
                .hint("another folder with --data DIR, or delete this one"));
        }
    }
    let (chosen, bounds) = folder::choose(folder)?;
    std::fs::create_dir_all(data)
        .map_err(|e| Failure::caused(Kind::Failed, format!("cannot make {}", shown_path(data)), &e))?;

    talk.phase(&format!("Copying files of {}", shown_path(&chosen)));
    let source = data.join("source");
    let copied = folder::copy(&chosen, &source, bounds, stop, &mut |c| talk.copied(c))?;
    talk.done(&format!("{}, {}", copied.text(), HumanBytes(copied.bytes)));
    let copied_at = clock.monotonic();

    talk.phase("Starting a site and two distribution points");
    let mut cast = start_all(data, stop)?;
    let ids: Vec<String> =
        cast.points.iter().map(|p| format!("{} (process {})", p.name, p.process.id())).collect();
    talk.done(&format!("site XYZ (process {}), {}", cast.site.id(), ids.join(", ")));

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

    talk.phase("Distributing it to DP01 and DP02");
    let begin = clock.monotonic();
    let names: Vec<DistributionPointName> = cast.points.iter().map(|p| p.name.clone()).collect();
    let operation = Operation::AddDistributionPoints { package, points: names.clone() };
    match cast.client.ask(Ask::Perform(operation))? {
        Answer::Targets(_) => {}
        other => return Err(unexpected(&other)),
    }
    wait(&mut cast, &Goal::Installed(package, names.clone()), stop, &mut talk)?;
    let first = Step::measure(&mut cast.client, package, reading, clock.monotonic() - begin)?;
    talk.done(&first.wire_text());
    let mut compared = vec![compare_all(&mut cast, package, &source, stop, &mut talk, 1)?];

    talk.phase("Changing some files of the copy");
    let changes = change::make(&source)?;
    talk.done(&changes.text());

    talk.phase("Refreshing the package's source at all its distribution points");
    let begin = clock.monotonic();
    let accepted = match cast.client.ask(Ask::Perform(Operation::RefreshPkgSource { package }))? {
        Answer::Refresh(accepted) => accepted,
        other => return Err(unexpected(&other)),
    };
    wait(&mut cast, &Goal::Refreshed(vec![accepted]), stop, &mut talk)?;
    let second = Step::measure(&mut cast.client, package, Duration::ZERO, clock.monotonic() - begin)?;
    talk.done(&second.wire_text());
    compared.push(compare_all(&mut cast, package, &source, stop, &mut talk, 2)?);

    let summary =
        Summary::new(package, data, &chosen, changes, first, second, &compared, clock.monotonic() - start);
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
    if !keep {
        drop(cast);
        return Ok(Done::with(&summary, summary.text()));
    }
    let at = cast.admin_service.clone().ok_or_else(|| Failure::failed("the site has no AdminService"))?;
    let site = SITE.parse().expect("a valid code");
    let management = management::prepare(&mut cast.client, at, site, package, &names)?;
    let Management { at, user, password, group } = &management;
    let kept = Kept {
        site_code: SITE.to_owned(),
        adminservice: at.url.clone(),
        adminservice_http: at.http_url.clone(),
        user,
        password: password.reveal(),
        ca_file: at.ca_file.to_string_lossy().into_owned(),
        dp_group_id: group,
        package_id: package,
        data_dir: data.to_string_lossy().into_owned(),
        dps: cast.points.iter().map(|p| KeptPoint { name: p.name.as_str(), url: &p.url }).collect(),
    };
    if output.json {
        output.line(&serde_json::to_string(&kept).expect("plain data with text keys serialises"));
        output.line(&serde_json::to_string(&summary).expect("plain data with text keys serialises"));
    } else {
        output.data(&summary.text());
        output.data(&kept_text(&kept, package));
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

fn kept_text(kept: &Kept<'_>, package: PackageId) -> String {
    let mut text = "\nSite and distribution points are left running:\n".to_owned();
    for point in &kept.dps {
        text.push_str(&format!("  {}  {}/SMS_DP_SMSPKG$/{package}/\n", point.name, point.url));
    }
    for url in [&kept.adminservice, &kept.adminservice_http].into_iter().flatten() {
        text.push_str(&format!("  AdminService  {url}\n"));
    }
    text.push_str(&format!(
        "  curl --cacert {} -u {}:{} {}wmi/SMS_Package\n",
        kept.ca_file,
        kept.user,
        kept.password,
        kept.adminservice.as_deref().unwrap_or_default()
    ));
    text.push_str(&format!("  restock --data {}/site status --watch\nStop with Ctrl-C.\n", kept.data_dir));
    text
}

/// Makes and starts the site, then enrols and starts both DPs.
fn start_all(data: &Path, stop: &Stop) -> Result<Cast, Failure> {
    #[derive(Deserialize)]
    struct Ignored {}
    let site_data = data.join("site");
    let Ignored {} = processes::run(
        &site_data,
        &["site", "init", "--code", SITE, "--listen", FREE, "--admin-http", FREE],
        None,
    )?;
    let (site, hello) = Process::start(&site_data, "site", &["site", "run"])?;
    let socket = site_data.join("control.sock");
    let mut client = Client::connect(&socket)?
        .ok_or_else(|| Failure::failed(format!("nothing answers at {}", shown_path(&socket))))?;
    client.set_patience(Some(Duration::from_secs(120)))?;
    let mut points = Vec::new();
    for (name, part) in [("DP01", "dp1"), ("DP02", "dp2")] {
        stop.check()?;
        let valid_ms = 3_600_000;
        let given: TokenGiven =
            client.ask(Ask::CreateToken { kind: TokenFor::Dp, name: name.to_owned(), valid_ms })?;
        let point_data = data.join(part);
        let Ignored {} = processes::run(
            &point_data,
            &["dp", "init", "--site", &hello.url, "--serve", FREE],
            Some(&given.token),
        )?;
        let (process, hello) = Process::start(&point_data, "distribution point", &["dp", "run"])?;
        let name = name.parse().expect("a valid name");
        points.push(Point { name, url: hello.url, process });
    }
    Ok(Cast { points, site, client, admin_service: hello.admin_service })
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
    match cast.client.ask(Ask::Perform(Operation::AddSourceRoot(root)))? {
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
    match cast.client.ask(Ask::Perform(Operation::CreatePackage(package)))? {
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
    let socket = cast.socket()?;
    let mut client = Client::connect(&socket)?.ok_or_else(|| Failure::failed("the site is gone"))?;
    client.set_patience(Some(Duration::from_secs(120)))?;
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

impl Cast {
    /// Fails when one of the processes has ended.
    fn check(&mut self) -> Result<(), Failure> {
        self.site.check()?;
        self.points.iter_mut().try_for_each(|p| p.process.check())
    }

    fn socket(&mut self) -> Result<PathBuf, Failure> {
        let hello: crate::control::Hello = self.client.ask(Ask::Hello)?;
        Ok(hello.data_dir.join("control.sock"))
    }
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

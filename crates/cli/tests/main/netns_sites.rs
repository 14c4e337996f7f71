//! Two sites as processes in network namespaces of their own: what becomes of a replication when the
//! wire, the site above or the disk fails. Each case ends with both agreeing.
//!
//! Sizes and times are small; `RESTOCK_NETNS_MIB` (of a package) and `RESTOCK_NETNS_AWAY` (seconds of
//! an outage) make them those of a long run: 1024 and 600.

#![expect(clippy::print_stdout, reason = "a harness says how often its faults fired")]

mod net;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use restock_names::{Clock, SystemClock};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Ran, Running, json};
use net::{ABOVE, BELOW, Net};

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|e| panic!("{name}: {e}")))
}

/// How long a package is, in MiB.
fn size_mib() -> u64 {
    setting("RESTOCK_NETNS_MIB", 48)
}

/// How long an outage is.
fn away() -> Duration {
    Duration::from_secs(setting("RESTOCK_NETNS_AWAY", 4))
}

/// What a step may take at most: only a broken site lets it pass.
fn patience() -> Duration {
    Duration::from_secs(120 + size_mib()) + away()
}

/// Site ABC above, site DEF below with the distribution point DP02.
struct Pair {
    folder: TempDir,
    net: Net,
    running: BTreeMap<String, Running>,
    /// A file system that was mounted for a test.
    mounted: Option<PathBuf>,
}

impl Pair {
    fn new() -> Self {
        Self::with_library(None)
    }

    /// The library of DEF lies on a file system of its own of so many MiB.
    fn with_library(mib: Option<u64>) -> Self {
        let folder = TempDir::with_prefix("restock-netns-").unwrap();
        std::fs::create_dir(folder.path().join("root")).unwrap();
        let mut pair = Self { folder, net: Net::new(), running: BTreeMap::new(), mounted: None };
        pair.init("ABC", ABOVE, &[]);
        pair.start("ABC");
        pair.ask("ABC", &["source", "add", "root", pair.path("root").to_str().unwrap()]).done();
        let token = pair.ask("ABC", &["token", "create", "DEF", "--kind", "site"]).done();
        let parent = format!("restock://{ABOVE}:8720");
        pair.init("DEF", BELOW, &["--parent", &parent, "--token", token["token"].as_str().unwrap()]);
        if let Some(mib) = mib {
            pair.move_library(mib);
        }
        pair.start("DEF");
        let token = pair.ask("DEF", &["token", "create", "DP02"]).done();
        let (site, serve) = (format!("restock://{BELOW}:8720"), format!("{BELOW}:8721"));
        let token = token["token"].as_str().unwrap();
        let made = pair.inside("DP02", &["dp", "init", "--site", &site, "--token", token, "--serve", &serve]);
        made.done();
        pair.start("DP02");
        pair.poll("ABC", &["dp", "list"], |points| points.as_array().is_some_and(|all| all.len() == 1));
        pair
    }

    fn init(&self, code: &str, address: &str, more: &[&str]) {
        let listen = format!("{address}:8720");
        let init = ["site", "init", "--code", code, "--listen", &listen, "--admin-listen", "127.0.0.1:0"];
        self.inside(code, &[&init[..], more].concat()).done();
        // What failed is tried again soon.
        let file = self.path(code).join("restock.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let (before, transfer) = text.split_once("[transfer]").unwrap();
        let (delay, after) = transfer.split_once("retry_count").unwrap();
        let delay = delay
            .lines()
            .map(|line| if line.starts_with("retry_delay") { "retry_delay = \"1s\"" } else { line });
        let delay: Vec<&str> = delay.collect();
        let text = format!("{before}[transfer]{}\nretry_count{after}", delay.join("\n"));
        std::fs::write(&file, text).unwrap();
    }

    /// Puts a small file system where the library of DEF is.
    fn move_library(&mut self, mib: u64) {
        let (library, aside) = (self.path("DEF").join("library"), self.path("aside"));
        std::fs::rename(&library, &aside).unwrap();
        std::fs::create_dir(&library).unwrap();
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&aside).unwrap()) & 0o777;
        let options = format!("size={mib}m,mode={mode:o}");
        let text = library.to_str().unwrap();
        assert!(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &options, "tmpfs", text])
                .status()
                .unwrap()
                .success()
        );
        let copied =
            Command::new("cp").arg("-a").arg(format!("{}/.", aside.display())).arg(&library).status();
        assert!(copied.unwrap().success());
        self.mounted = Some(library);
    }

    /// Gives the library of DEF more room.
    fn make_room(&self, mib: u64) {
        let options = format!("remount,size={mib}m");
        let mount = Command::new("mount").args(["-o", &options]).arg(self.mounted.as_ref().unwrap()).status();
        assert!(mount.unwrap().success());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn namespace(&self, name: &str) -> &str {
        if name == "ABC" { &self.net.above } else { &self.net.below }
    }

    /// The program in the namespace of a data folder.
    fn command(&self, name: &str) -> Command {
        let mut command = Net::command(self.namespace(name), env!("CARGO_BIN_EXE_restock"));
        command.arg("--data").arg(self.path(name)).env_remove("RESTOCK_DATA").env_remove("RESTOCK_LOG");
        command
    }

    /// A command that needs the network of its data folder.
    fn inside(&self, name: &str, arguments: &[&str]) -> Ran {
        let output: Output = self.command(name).arg("--json").args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    fn start(&mut self, name: &str) {
        let role = if name.starts_with("DP") { "dp" } else { "site" };
        let running = Running::of(self.command(name), role);
        self.running.insert(name.to_owned(), running);
    }

    /// SIGTERM.
    fn stop(&mut self, name: &str) {
        assert_eq!(self.running.remove(name).unwrap().stop(), 0);
    }

    /// SIGKILL.
    fn kill(&mut self, name: &str) {
        drop(self.running.remove(name).unwrap());
    }

    /// A command over the control socket, for which no network is needed.
    fn ask(&self, name: &str, arguments: &[&str]) -> Ran {
        json(&self.path(name), arguments)
    }

    /// Asks until the document is as wanted.
    #[track_caller]
    fn poll(&self, name: &str, arguments: &[&str], is_wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = SystemClock.monotonic();
        loop {
            let ran = self.ask(name, arguments);
            let document = if ran.code == 0 { ran.document() } else { Value::Null };
            if is_wanted(&document) {
                return document;
            }
            assert!(SystemClock.monotonic() - begun < patience(), "{arguments:?}: {ran:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Makes a package of ABC with one file of `bytes` that do not compress, stored as version 1.
    fn package(&self, name: &str, bytes: u64) -> String {
        let source = self.path("root").join(name);
        std::fs::create_dir(&source).unwrap();
        write_noise(&source.join("big"), bytes, name);
        let source = source.to_str().unwrap();
        let create =
            ["package", "create", name, "--public", "--source", source, "--wait", "--timeout", "900s"];
        let made = self.ask("ABC", &create).done();
        made["packages"][0]["package"]["package"].as_str().unwrap().to_owned()
    }

    /// Targets DP02 and returns at once.
    fn distribute(&self, package: &str) {
        self.ask("ABC", &["distribute", package, "--to", "DP02"]).done();
    }

    /// Waits until DP02 serves the newest version as both sites see it, and compares every byte.
    #[track_caller]
    fn until_served(&self, package: &str, name: &str) {
        for site in ["ABC", "DEF"] {
            self.poll(site, &["status", package], |status| {
                status[0]["installed"] == 1 && status[0]["package"]["refresh"].is_null()
            });
        }
        let url = format!("http://{BELOW}:8721/SMS_DP_SMSPKG$/{package}/big");
        let got = self.path("got");
        let curl = Net::command(&self.net.below, "curl").args(["-sf", "-o"]).arg(&got).arg(url).status();
        assert!(curl.unwrap().success());
        let same = Command::new("cmp").arg(&got).arg(self.path("root").join(name).join("big")).status();
        assert!(same.unwrap().success(), "other bytes than the source");
    }

    /// What comes down the wire for a package of `bytes` undisturbed: reckoned from one of an eighth.
    fn undisturbed(&self, name: &str, bytes: u64) -> u64 {
        const PARTS: u64 = 8;
        let bytes = bytes / PARTS;
        let package = self.package(name, bytes);
        let before = self.net.came_down();
        self.distribute(&package);
        self.until_served(&package, name);
        let came = self.net.came_down() - before;
        assert!(came >= bytes, "{came} of {bytes} bytes came down: the wire is not where they went");
        came * PARTS
    }

    /// Waits until so many bytes have come down since `before`.
    fn until_came(&self, before: u64, bytes: u64) {
        let begun = SystemClock.monotonic();
        while self.net.came_down() - before < bytes {
            assert!(SystemClock.monotonic() - begun < patience(), "nothing comes");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Content that ABC has sent to DEF since it began, as it counts itself.
    fn content_sent(&self) -> u64 {
        let mut socket = UnixStream::connect(self.path("ABC").join("control.sock")).unwrap();
        writeln!(socket, r#"{{"restock":1,"id":1,"ask":"progress"}}"#).unwrap();
        let mut line = String::new();
        BufReader::new(socket).read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        let traffic = answer["answer"]["traffic"].as_array().unwrap().clone();
        traffic.iter().map(|row| row["content_sent"].as_u64().unwrap()).sum()
    }

    /// The sites agree on every package: version, owner, where it is served.
    fn agree(&self) {
        let facts = |site: &str| -> Vec<String> {
            let status = self.ask(site, &["status"]).done();
            let fact = |row: &Value| {
                let package = &row["package"];
                format!(
                    "{} {} {} {}",
                    package["package"], package["source_version"], package["source_site"], row["installed"]
                )
            };
            let mut facts: Vec<String> = status.as_array().unwrap().iter().map(fact).collect();
            facts.sort();
            facts
        };
        let begun = SystemClock.monotonic();
        loop {
            let (above, below) = (facts("ABC"), facts("DEF"));
            if above == below {
                break;
            }
            assert!(SystemClock.monotonic() - begun < patience(), "{above:?} {below:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
        for site in ["ABC", "DEF"] {
            self.poll(site, &["site", "tree"], |tree| {
                let rows = tree["sites"].as_array().map(Vec::as_slice).unwrap_or_default();
                rows.len() == 2 && rows.iter().filter(|row| row["link"]["backlog"] == 0).count() == 1
            });
            let checked = self.ask(site, &["library", "check"]);
            assert_eq!(checked.code, 0, "{checked:?}");
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.running.clear();
        if let Some(mounted) = &self.mounted {
            let _gone = Command::new("umount").arg("-l").arg(mounted).status();
        }
    }
}

/// Writes bytes that do not compress, others for another name.
fn write_noise(path: &Path, bytes: u64, name: &str) {
    let mut state = name
        .bytes()
        .fold(0x9e37_79b9_7f4a_7c15_u64, |state, b| (state ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
        | 1;
    let mut file = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path).unwrap());
    for _ in 0..bytes / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()).unwrap();
    }
    file.flush().unwrap();
}

/// At most one of a hundred bytes more came down than without the fault.
#[track_caller]
fn assert_sent_once(came: u64, undisturbed: u64) {
    let more = came.saturating_sub(undisturbed);
    println!("{came} bytes came down, {undisturbed} without the fault: {more} more");
    assert!(more * 100 <= undisturbed, "{more} bytes of {undisturbed} were sent again");
}

#[test]
fn a_wire_that_is_cut_during_a_replication_costs_no_payload_twice() {
    let pair = Pair::new();
    let bytes = size_mib() << 20;
    // It takes some four seconds, so that there is a middle.
    pair.net.set_rate(size_mib().max(8) * 2);
    let undisturbed = pair.undisturbed("base", bytes);
    let package = pair.package("cut", bytes);
    let before = pair.net.came_down();
    pair.distribute(&package);
    pair.until_came(before, bytes / 3);
    // First the connections are lost, then the wire itself.
    pair.net.reset_connections();
    std::thread::sleep(Duration::from_millis(500));
    pair.net.set_up(false);
    assert!(pair.net.end_faults() > 0, "no connection was reset");
    let cut_at = pair.net.came_down();
    std::thread::sleep(away());
    assert_eq!(pair.net.came_down(), cut_at, "the wire is out");
    let status = pair.ask("DEF", &["status", &package]).done();
    assert_eq!(status[0]["installed"], 0, "{status}");
    pair.net.set_up(true);
    pair.until_served(&package, "cut");
    assert_sent_once(pair.net.came_down() - before, undisturbed);
    pair.agree();
}

#[test]
fn a_parent_that_is_killed_for_a_while_holds_nothing_up_below_and_sends_no_payload_twice() {
    let mut pair = Pair::new();
    let bytes = size_mib() << 20;
    pair.net.set_rate(size_mib().max(8) * 2);
    let undisturbed = pair.undisturbed("base", bytes);
    let package = pair.package("killed", bytes);
    let before = pair.net.came_down();
    pair.distribute(&package);
    pair.until_came(before, bytes / 3);
    pair.kill("ABC");
    let begun = SystemClock.monotonic();
    // The site below does what it can do alone, and says what it waits for.
    pair.poll("DEF", &["site", "tree"], |tree| tree.to_string().contains("\"is_connected\":false"));
    pair.ask("DEF", &["source", "add", "root", pair.path("root").to_str().unwrap()]).done();
    let own = pair.path("root/own");
    std::fs::create_dir(&own).unwrap();
    write_noise(&own.join("big"), 100_000, "own");
    let create = ["package", "create", "Own", "--public", "--source", own.to_str().unwrap(), "--wait"];
    let made = pair.ask("DEF", &create).done();
    let own = made["packages"][0]["package"]["package"].as_str().unwrap().to_owned();
    let served = pair.ask("DEF", &["distribute", &own, "--to", "DP02", "--wait", "--timeout", "60s"]).done();
    assert_eq!(served["outcome"], "done", "{served}");
    std::thread::sleep(away().saturating_sub(SystemClock.monotonic() - begun));
    pair.start("ABC");
    pair.until_served(&package, "killed");
    assert_sent_once(pair.net.came_down() - before, undisturbed);
    pair.poll("ABC", &["status", &own], |status| status[0]["installed"] == 1);
    pair.agree();
}

#[test]
fn a_fifth_of_all_packets_may_be_lost() {
    let pair = Pair::new();
    let bytes = (size_mib() << 20) / 32;
    let package = pair.package("lossy", bytes);
    pair.net.lose(20);
    pair.distribute(&package);
    pair.poll("ABC", &["status", &package], |status| status[0]["installed"] == 1);
    let lost = pair.net.end_faults();
    assert!(lost > bytes / 1_500 / 10, "only {lost} packets were lost");
    pair.until_served(&package, "lossy");
    // What TCP sends again is its own; of the content nothing goes twice.
    assert_sent_once(pair.content_sent(), bytes + bytes / 500 + 4_096);
    println!("{lost} packets were lost");
    pair.agree();
}

#[test]
fn a_full_disk_below_is_told_by_name_and_the_work_goes_on_when_there_is_room() {
    let mib = size_mib().min(256);
    let pair = Pair::with_library(Some(mib / 2 + 24));
    pair.net.set_rate(mib.max(8) * 4);
    let bytes = mib << 20;
    let undisturbed = pair.undisturbed("fits", bytes);
    let package = pair.package("more", bytes);
    let before = pair.net.came_down();
    pair.distribute(&package);
    // Both sites say why it waits.
    let is_told = |document: &Value| document.to_string().contains("NO_SPACE");
    let status = pair.poll("DEF", &["status", &package], is_told);
    assert_eq!(status[0]["installed"], 0, "{status}");
    pair.poll("ABC", &["status", &package], is_told);
    // What is held is served on, and the process lives.
    pair.until_served("ABC00001", "fits");
    std::thread::sleep(away());
    pair.make_room(2 * mib + 64);
    pair.until_served(&package, "more");
    assert_sent_once(pair.net.came_down() - before, undisturbed);
    pair.agree();
}

#[test]
fn a_child_that_is_restored_from_an_old_backup_agrees_again_and_fetches_only_what_is_new() {
    let mut pair = Pair::new();
    let bytes = (size_mib() << 20) / 4;
    let first = pair.package("first", bytes);
    pair.distribute(&first);
    pair.until_served(&first, "first");
    let file = pair.path("backup");
    pair.ask("DEF", &["site", "backup", file.to_str().unwrap()]).done();
    // After the backup: a second version, a second package, one that goes.
    let gone = pair.package("gone", 100_000);
    pair.distribute(&gone);
    pair.until_served(&gone, "gone");
    let second = pair.package("second", bytes);
    pair.distribute(&second);
    pair.until_served(&second, "second");
    write_noise(&pair.path("root/first/big"), bytes, "first, changed");
    pair.ask("ABC", &["refresh", &first, "--wait", "--timeout", "120s"]).done();
    pair.until_served(&first, "first");
    pair.stop("DEF");
    pair.ask("ABC", &["package", "delete", &gone]).done();
    pair.inside("DEF", &["site", "restore", "--replace", file.to_str().unwrap()]).done();
    let before = pair.net.came_down();
    pair.start("DEF");
    pair.until_served(&first, "first");
    pair.until_served(&second, "second");
    pair.agree();
    let came = pair.net.came_down() - before;
    println!("{came} bytes came down after the restore");
    assert!(came < bytes / 10, "the content was there: {came} bytes came again");
    pair.poll("DEF", &["status"], |status| !status.to_string().contains(&gone));
    // It goes on from there.
    write_noise(&pair.path("root/second/big"), bytes, "second, changed");
    let refreshed = pair.ask("ABC", &["refresh", &second, "--wait", "--timeout", "120s"]).done();
    assert_eq!(refreshed["packages"][0]["package"]["source_version"], 2, "{refreshed}");
    pair.until_served(&second, "second");
    pair.agree();
}

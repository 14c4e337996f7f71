//! `restock demo` from its first to its last line.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use restock_names::{Clock, SystemClock};
use serde_json::Value;

use crate::support::{Ran, curl, json};

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..300_u32 {
        let folder = dir.path().join(format!("{}", n % 7));
        std::fs::create_dir_all(&folder).unwrap();
        let line = format!("file {n} ");
        std::fs::write(folder.join(format!("{n}.txt")), line.repeat(500)).unwrap();
    }
    std::os::unix::fs::symlink("1.txt", dir.path().join("1/link")).unwrap();
    dir
}

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_restock"));
    command.args(arguments).env_remove("RESTOCK_DATA").env_remove("RESTOCK_LOG").stdin(Stdio::null());
    command
}

#[test]
fn the_demo_is_green_and_leaves_nothing_behind() {
    let (source, temporary) = (folder(), tempfile::tempdir().unwrap());
    let elsewhere = temporary.path().join("a site of its own");
    let output = demo(&["demo", source.path().to_str().unwrap()])
        .env("TMPDIR", temporary.path())
        .env("RESTOCK_DATA", elsewhere)
        .output()
        .unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stderr}");
    assert!(stdout.contains("no difference") && stdout.contains("% saved"), "{stdout}");
    assert!(stderr.contains("Refreshing the package's source") && !stderr.contains('\r'), "{stderr}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "the temporary folder is deleted");
}

#[test]
fn a_kept_demo_says_where_it_is_first_and_stops_at_sigterm() {
    let (source, data) = (folder(), tempfile::tempdir().unwrap());
    let mut child = demo(&["demo", source.path().to_str().unwrap(), "--keep", "--json", "--data"])
        .arg(data.path().join("kept"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let Ok(kept) = serde_json::from_str::<Value>(&line) else {
        panic!("{line} {:?}", child.wait_with_output());
    };
    assert_eq!((kept["site_code"].as_str(), kept["package_id"].as_str()), (Some("XYZ"), Some("XYZ00001")));
    assert_eq!(kept["data_dir"].as_str(), data.path().join("kept").to_str());
    for (n, name) in ["DP01", "DP02"].iter().enumerate() {
        assert_eq!(kept["dps"][n]["name"], *name);
        let url = kept["dps"][n]["url"].as_str().unwrap();
        let (status, body) = curl(&format!("{url}/SMS_DP_SMSPKG$/XYZ00001/1/link"));
        assert_eq!((status, body), (200, std::fs::read(source.path().join("1/1.txt")).unwrap()));
    }
    let site = data.path().join("kept/site");
    let status = json(&site, &["status", "XYZ00001"]).done();
    assert_eq!(
        (status[0]["package"]["source_version"].as_u64(), status[0]["installed"].as_u64()),
        (Some(2), Some(2))
    );

    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!site.join("control.sock").exists(), "the site has stopped");
    let ran: Ran = json(&site, &["package", "history", "XYZ00001"]);
    assert_eq!(ran.done().as_array().unwrap().len(), 2, "its data can be opened by any command");
    let again = demo(&["demo", "--data"]).arg(data.path().join("kept")).output().unwrap();
    assert_eq!(again.status.code(), Some(6), "an earlier demo is not overwritten");
}

#[test]
fn a_demo_with_sites_is_refreshed_through_the_admin_service_of_either() {
    let (source, data) = (folder(), tempfile::tempdir().unwrap());
    let mut child = demo(&["demo", source.path().to_str().unwrap(), "--sites", "--keep", "--json", "--data"])
        .arg(data.path().join("kept"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut lines = [String::new(), String::new()];
    for line in &mut lines {
        stdout.read_line(line).unwrap();
    }
    let [kept, summary] = lines.map(|line| serde_json::from_str::<Value>(&line).unwrap_or_default());
    if kept.is_null() {
        panic!("{:?}", child.wait_with_output());
    }
    // The refreshes cost the child site and its point what they cost the others, not the whole.
    assert_eq!(summary["differences"], 0, "{summary}");
    let steps = summary["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 3, "{summary}");
    let between = |step: &Value| step["between_sites"].as_u64().unwrap();
    assert!(between(&steps[0]) > 10 * between(&steps[1]) && between(&steps[2]) > 0, "{summary}");

    let sites = kept["sites"].as_array().unwrap();
    let codes: Vec<&str> = sites.iter().map(|site| site["site_code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["XYZ", "DEF"]);
    assert_eq!(sites[1]["dps"][0]["name"], "DP03");
    let account = format!("{}:{}", kept["user"].as_str().unwrap(), kept["password"].as_str().unwrap());
    let ask = |site: &Value, method: &str, path: &str| {
        let url = format!("{}wmi/{path}", site["adminservice"].as_str().unwrap());
        let ca = site["ca_file"].as_str().unwrap();
        let output =
            Command::new("curl").args(["-sg", "--cacert", ca, "-u", &account, "-X", method, &url]).output();
        serde_json::from_slice::<Value>(&output.unwrap().stdout).unwrap()
    };
    for (version, asked) in [(4, &sites[1]), (5, &sites[0])] {
        let answer = ask(asked, "POST", "SMS_Package('XYZ00001')/AdminService.RefreshPkgSource");
        assert_eq!(answer["ReturnValue"], 0, "{answer}");
        for site in sites {
            let begun = SystemClock.monotonic();
            loop {
                let status =
                    ask(site, "GET", "SMS_PackageStatusRootSummarizer?$filter=PackageID%20eq%20'XYZ00001'");
                let row = &status["value"][0];
                if (&row["SourceVersion"], &row["Installed"]) == (&version.into(), &3.into()) {
                    break;
                }
                assert!(SystemClock.monotonic() - begun < Duration::from_secs(60), "{version} {status}");
            }
        }
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_demo_that_is_stopped_takes_its_processes_and_folders_with_it() {
    let (source, temporary) = (folder(), tempfile::tempdir().unwrap());
    let mut child = demo(&["demo", source.path().to_str().unwrap()])
        .env("TMPDIR", temporary.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut seen = String::new();
    while !seen.contains("site XYZ (process ") {
        assert_ne!(stderr.read_line(&mut seen).unwrap(), 0, "{seen}");
    }
    let pids: Vec<String> =
        seen.split("(process ").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned()).collect();
    assert_eq!(pids.len(), 3, "{seen}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    stderr.read_to_string(&mut seen).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{seen}");
    assert!(seen.contains("the demo was stopped before its end"), "{seen}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "the temporary folder is deleted");
    for pid in pids {
        assert!(!std::path::Path::new("/proc").join(&pid).exists(), "process {pid} has ended");
    }
}

#[test]
fn a_demo_that_is_killed_leaves_no_process_behind() {
    let (source, data) = (folder(), tempfile::tempdir().unwrap());
    let mut child = demo(&["demo", source.path().to_str().unwrap(), "--keep", "--json", "--data"])
        .arg(data.path().join("killed"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let parts = ["site", "dp1", "dp2"].map(|part| data.path().join("killed").join(part));
    assert!(parts.iter().all(|p| p.join("control.sock").exists()), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
    // A process that stops removes its socket; the test runner's limit bounds the wait.
    while parts.iter().any(|p| p.join("control.sock").exists()) {
        std::thread::yield_now();
    }
}

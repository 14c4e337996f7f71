//! Sites as processes: they join, exchange what they have, leave and come back.

mod authority;
mod content;
mod joining;
mod recovery;
mod tree;
mod types;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use restock_names::{Clock, SystemClock};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Ran, Running, add_account, curl, json};

/// Longer than any step takes; only a broken site lets it pass.
const PATIENCE: Duration = Duration::from_secs(90);

/// Running sites and distribution points in one temporary folder.
#[derive(Debug)]
struct Sites {
    folder: TempDir,
    running: BTreeMap<String, Running>,
}

impl Sites {
    fn new() -> Self {
        let folder = TempDir::with_prefix("restock-sites-").unwrap();
        std::fs::create_dir(folder.path().join("root")).unwrap();
        Self { folder, running: BTreeMap::new() }
    }

    /// Site `ABC` with `DEF` below it, both running, and the source root `root` at `ABC`.
    fn pair() -> Self {
        let mut sites = Self::new();
        sites.top("ABC");
        sites.below("DEF", "ABC", &[]);
        sites
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes and starts a site that is alone, with a source root.
    fn top(&mut self, code: &str) {
        self.init(code, &[]).done();
        self.start(code);
        self.ask(code, &["source", "add", "root", self.path("root").to_str().unwrap()]).done();
    }

    /// Makes and starts a site below another.
    fn below(&mut self, code: &str, parent: &str, more: &[&str]) {
        let token = self.token(parent, code);
        self.init(code, &[&["--parent", &self.url(parent), "--token", &token], more].concat()).done();
        self.start(code);
        self.until_up(code, parent);
    }

    fn init(&self, code: &str, more: &[&str]) -> Ran {
        let free = "127.0.0.1:0";
        let arguments = ["site", "init", "--code", code, "--listen", free, "--admin-http", free];
        json(&self.path(code), &[&arguments[..], more].concat())
    }

    fn start(&mut self, code: &str) {
        let running = Running::start(&self.path(code), "site");
        self.running.insert(code.to_owned(), running);
    }

    /// SIGTERM.
    fn stop(&mut self, name: &str) {
        assert_eq!(self.running.remove(name).unwrap().stop(), 0);
    }

    fn url(&self, name: &str) -> String {
        self.running[name].url().to_owned()
    }

    /// A token by which `code` joins `parent`.
    fn token(&self, parent: &str, code: &str) -> String {
        let made = self.ask(parent, &["token", "create", code, "--kind", "site"]).done();
        made["token"].as_str().unwrap().to_owned()
    }

    /// Enrols and starts a distribution point of `site`.
    fn point(&mut self, name: &str, site: &str) {
        let token = self.ask(site, &["token", "create", name]).done()["token"].as_str().unwrap().to_owned();
        let url = self.url(site);
        let arguments = ["dp", "init", "--site", &url, "--token", &token, "--serve", "127.0.0.1:0"];
        json(&self.path(name), &arguments).done();
        let running = Running::start(&self.path(name), "dp");
        self.running.insert(name.to_owned(), running);
    }

    fn ask(&self, code: &str, arguments: &[&str]) -> Ran {
        json(&self.path(code), arguments)
    }

    /// Writes a file of a source beneath the root.
    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path("root").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// A package of `ABC` with the source `app`, stored as version 1.
    fn package(&self) {
        self.write("app/a", "one\n");
        self.write("app/big", noise(3_000_000, 1));
        let source = self.path("root/app");
        let create = ["package", "create", "App", "--public", "--wait", "--timeout", "60s", "--source"];
        let made = self.ask("ABC", &[&create[..], &[source.to_str().unwrap()]].concat()).done();
        assert_eq!(made["packages"][0]["package"]["package"], "ABC00001");
    }

    /// What the distribution point serves of `ABC00001`.
    fn served(&self, point: &str, path: &str) -> (u16, Vec<u8>) {
        curl(&format!("{}/SMS_DP_SMSPKG$/ABC00001/{path}", self.running[point].url()))
    }

    /// Asks until the document is as wanted, as a client polls, and returns it.
    #[track_caller]
    fn poll(&self, code: &str, arguments: &[&str], is_wanted: impl Fn(&Value) -> bool) -> Value {
        poll(&self.path(code), arguments, is_wanted)
    }

    /// Waits until the link between two sites is up, seen from the lower one.
    #[track_caller]
    fn until_up(&self, code: &str, parent: &str) {
        self.poll(code, &["site", "tree"], |tree| row(tree, parent)["link"]["is_connected"] == true);
    }

    /// One request to the AdminService of a site, as the account `admin` of the top: status and body.
    fn admin(&self, code: &str, method: &str, path: &str) -> (u16, Value) {
        let base = self.running[code].hello["admin_service"]["http_url"].as_str().unwrap();
        let output = Command::new("curl")
            .args(["-s", "-g", "-w", "\n%{http_code}", "-u", "admin:a password of admin", "-X", method])
            .arg(format!("{base}wmi/{}", path.replace(' ', "%20")))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
    }

    /// The account of [`Self::admin`], made at the site at the top.
    fn account(&self, code: &str) {
        add_account(&self.path(code), "admin", Some("SMS0001R"));
    }
}

#[track_caller]
fn poll(data: &Path, arguments: &[&str], is_wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = SystemClock.monotonic();
    loop {
        let ran = json(data, arguments);
        let document = if ran.code == 0 { ran.document() } else { Value::Null };
        if is_wanted(&document) {
            return document;
        }
        assert!(SystemClock.monotonic() - begun < PATIENCE, "{arguments:?}: {ran:?}");
    }
}

/// The row of a site in the document of `site tree`.
fn row<'t>(tree: &'t Value, code: &str) -> &'t Value {
    let rows = tree["sites"].as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter().find(|row| row["site_code"] == code).unwrap_or(&Value::Null)
}

/// Bytes that do not compress and are the same for the same seed.
fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(|_| next()).collect()
}

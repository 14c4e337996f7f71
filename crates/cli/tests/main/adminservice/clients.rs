//! Real clients, unchanged, against the demo: over TLS with the CA checked, and over loopback.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../frontdoor/tests/clients");

/// A Python with the packages that the clients import, made once beside the build.
pub(crate) fn python() -> PathBuf {
    python_with("door-clients", "requirements.txt", &["python3"])
}

/// The same with another name and list of packages, by this interpreter and with these arguments of `venv`.
pub(crate) fn python_with(name: &str, requirements: &str, interpreter_and_venv: &[&str]) -> PathBuf {
    let (python, venv) = interpreter_and_venv.split_first().unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (interpreter, installed) = (folder.join("bin/python3"), folder.join("requirements.txt"));
    let wanted = Path::new(CLIENTS).join(requirements);
    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let text = std::fs::read(&wanted).unwrap();
    if std::fs::read(&installed).is_ok_and(|kept| kept == text) {
        return interpreter;
    }
    let run = |command: &mut Command| {
        let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run(Command::new(python).args(["-m", "venv", "--clear"]).args(venv).arg(&folder));
    let pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"];
    run(Command::new(&interpreter).args(pip).arg(&wanted));
    std::fs::write(&installed, text).unwrap();
    interpreter
}

/// A running demo; stopped when dropped.
pub(crate) struct Demo {
    child: Child,
    kept: Value,
    _folder: TempDir,
}

impl Demo {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        std::fs::create_dir(&source).unwrap();
        for n in 0..3 {
            std::fs::write(source.join(format!("{n}.txt")), [b'x'; 100]).unwrap();
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_restock"))
            .arg("demo")
            .arg(&source)
            .args(["--keep", "--json", "--data"])
            .arg(folder.path().join("data"))
            .env_remove("RESTOCK_DATA")
            .env_remove("RESTOCK_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let kept = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        Self { child, kept, _folder: folder }
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.kept[name].as_str().unwrap_or_else(|| panic!("{name} in {}", self.kept))
    }

    pub(crate) fn port(&self, url: &str) -> &str {
        self.text(url).split(':').nth(2).unwrap().split('/').next().unwrap()
    }

    /// Runs a client script and checks that all of its `steps` passed.
    #[track_caller]
    pub(crate) fn check(&self, script: &str, steps: &str, arguments: &[&str]) {
        let (text, passed) = self.client(script, arguments);
        let summary = format!("{steps} passed, 0 failed, 0 skipped");
        assert!(passed && text.contains(&summary), "{script} {arguments:?}\n{text}");
    }

    /// Runs a client script; returns what it printed and whether all its steps passed.
    pub(crate) fn client(&self, script: &str, arguments: &[&str]) -> (String, bool) {
        let output = Command::new(python())
            .arg(Path::new(CLIENTS).join(script))
            .args(["--user", self.text("user"), "--password", self.text("password")])
            .args(["--package", self.text("package_id")])
            .args(arguments)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed = String::from_utf8_lossy(&output.stderr).into_owned();
        (format!("{text}{failed}"), output.status.success())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let _stopped = Command::new("kill").args(["-TERM", &pid]).status().and_then(|_| self.child.wait());
    }
}

#[test]
fn published_clients_do_all_their_steps() {
    let demo = Demo::start();
    let (ca, tls, plain) = (demo.text("ca_file"), demo.port("adminservice"), demo.port("adminservice_http"));
    for (script, steps) in [("adminservice_requests.py", "16 passed"), ("odata_python.py", "7 passed")] {
        for arguments in
            [&["--scheme", "https", "--port", tls, "--ca", ca][..], &["--scheme", "http", "--port", plain]]
        {
            let (text, passed) = demo.client(script, arguments);
            assert!(
                passed && text.contains(&format!("{steps}, 0 failed, 0 skipped")),
                "{arguments:?}\n{text}"
            );
        }
    }
    // The same client refuses the certificate by its own trust store, and under another name.
    let (text, passed) = demo.client("adminservice_requests.py", &["--scheme", "https", "--port", tls]);
    assert!(!passed && text.contains("CERTIFICATE_VERIFY_FAILED") && text.contains("0 passed"), "{text}");
    // This address reaches the same listener, and the certificate does not name it.
    let other = ["--scheme", "https", "--port", tls, "--ca", ca, "--host", "[::ffff:127.0.0.1]"];
    let (text, passed) = demo.client("adminservice_requests.py", &other);
    assert!(!passed && text.contains("SSLCertVerificationError") && text.contains("0 passed"), "{text}");
}

#[test]
fn a_kept_demo_leaves_a_package_two_points_and_a_group_to_be_managed() {
    let demo = Demo::start();
    let get = |path: &str| -> Value {
        let output = Command::new("curl")
            .args(["-s", "--noproxy", "*", "--cacert", demo.text("ca_file"), "-u"])
            .arg(format!("{}:{}", demo.text("user"), demo.text("password")))
            .arg(format!("{}wmi/{path}", demo.text("adminservice")))
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stdout)))
    };
    assert_eq!(get("SMS_Package")["value"][0]["PackageID"], demo.text("package_id"));
    assert_eq!(get("SMS_DistributionPoint")["value"].as_array().unwrap().len(), 2);
    let groups = get("SMS_DistributionPointGroup")["value"].clone();
    assert_eq!(groups[0]["GroupID"], demo.text("dp_group_id"));
    assert_eq!(get("SMS_DPGroupMembers")["value"].as_array().unwrap().len(), 2);
}

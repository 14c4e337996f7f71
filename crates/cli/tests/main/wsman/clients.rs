//! Published WS-Management clients, unchanged, over TLS with the CA checked and over loopback.

use std::path::Path;
use std::process::Command;

use crate::adminservice::clients::{CLIENTS, Demo, python};
use crate::adminservice::door::Door;

/// Runs each script and checks that all of its steps passed.
#[track_caller]
fn check(demo: &Demo, script: &str, steps: &str, arguments: &[&str]) {
    let (text, passed) = demo.client(script, arguments);
    assert!(
        passed && text.contains(&format!("{steps} passed, 0 failed, 0 skipped")),
        "{script} {arguments:?}\n{text}"
    );
}

#[test]
fn published_clients_do_all_their_steps() {
    let demo = Demo::start();
    let (ca, tls, plain) = (demo.text("ca_file"), demo.port("wsman"), demo.port("wsman_http"));
    let encrypted = ["--scheme", "https", "--port", tls, "--ca", ca];
    let loopback = ["--scheme", "http", "--port", plain];
    for arguments in [&encrypted[..], &loopback] {
        check(&demo, "wsman_pypsrp.py", "15", arguments);
        check(&demo, "wsman_winrm.py", "8", arguments);
    }
    // This client verifies no certificate.
    check(&demo, "wsman_dracclient.py", "13", &loopback);
    check(&demo, "wsman_dracclient.py", "13", &["--scheme", "https", "--port", tls, "--insecure"]);
    let (text, passed) = demo.client("wsman_winrm.py", &["--scheme", "https", "--port", tls]);
    assert!(!passed && text.contains("CERTIFICATE_VERIFY_FAILED") && text.contains("0 passed"), "{text}");
}

#[test]
fn the_first_hour_with_a_package_goes_as_the_sdk_shows_it() {
    let mut door = Door::new(&[]);
    door.world.add_point("DP01");
    let source = door.world.source("editor", &[("setup.exe", b"first")]);
    let output = Command::new(python())
        .arg(Path::new(CLIENTS).join("wsman_first_hour.py"))
        .args(["--port", &door.http.port().to_string(), "--user", door.user, "--password", &door.password])
        .arg("--source")
        .arg(&source)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("13 passed, 0 failed, 0 skipped"), "{text}{failed}");
}

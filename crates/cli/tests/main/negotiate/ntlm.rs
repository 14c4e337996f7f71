//! NTLM: published clients with a secret, and what is refused.

use std::path::Path;
use std::process::Command;

use crate::adminservice::clients::{CLIENTS, python};
use crate::adminservice::door::Door;

/// A site with a package and a distribution point, and an NTLM secret of its account.
fn site() -> (Door, String, String) {
    site_with(&[])
}

/// The same with these lines of `restock.toml` replaced.
fn site_with(settings: &[(&str, &str)]) -> (Door, String, String) {
    let mut door = Door::new(settings);
    door.world.add_point("DP01");
    let source = door.world.source("editor", &[("setup.exe", b"first")]);
    let source = source.to_str().unwrap().to_owned();
    let made = door.world.ask(&["package", "create", "Editor", "--source", &source]).done();
    let package = made["package"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let secret = enable(&door, &["--force"]);
    (door, package, secret)
}

fn enable(door: &Door, more: &[&str]) -> String {
    let arguments = [&["admin", "ntlm", "enable", "admin"], more].concat();
    door.world.ask(&arguments).done()["secret"].as_str().unwrap().to_owned()
}

/// Runs a client script with all of its steps.
#[track_caller]
fn check(door: &Door, package: &str, secret: &str, script: &str, steps: &str, arguments: &[&str]) {
    let ca = door.world.site_data().join("ca.pem");
    let output = Command::new(python())
        .arg(Path::new(CLIENTS).join(script))
        .args(["--user", door.user, "--password", secret, "--package", package])
        .args(["--nal", "[\"Display=\\\\DP01\\\"]MSWNET:[\"SMS_SITE=XYZ\"]\\\\DP01\\"])
        .arg("--ca")
        .arg(ca)
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONWARNINGS", "ignore")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains(&format!("{steps} passed, 0 failed, 0 skipped")),
        "{script} {arguments:?}\n{text}{failed}"
    );
}

#[test]
fn published_clients_do_all_their_steps_with_ntlm() {
    let (door, package, secret) = site();
    let (tls, plain) = (door.https.port().to_string(), door.http.port().to_string());
    for auth in ["ntlm", "negotiate"] {
        let encrypted = ["--auth", auth, "--scheme", "https", "--port", &tls];
        check(&door, &package, &secret, "adminservice_requests.py", "16", &encrypted);
        check(&door, &package, &secret, "wsman_pypsrp.py", "15", &encrypted);
        // Without TLS each body is sealed.
        let sealed = ["--auth", auth, "--scheme", "http", "--port", &plain];
        check(&door, &package, &secret, "wsman_pypsrp.py", "15", &sealed);
    }
    let sealed = ["--auth", "ntlm", "--scheme", "http", "--port", &plain];
    check(&door, &package, &secret, "wsman_winrm.py", "8", &sealed);
}

#[test]
fn what_is_not_bound_proved_and_sealed_is_refused_with_its_code() {
    let (door, package, secret) = site();
    let (tls, plain) = (door.https.port().to_string(), door.http.port().to_string());
    let arguments = ["--port", &tls, "--plain", &plain, "--account-password", &door.password];
    check(&door, &package, &secret, "sign_in.py", "28", &arguments);
    door.check_alive();
}

/// What curl is answered, with this user and password, by `--ntlm`.
fn curl(user: &str, password: &str, url: &str) -> String {
    let output = Command::new("curl")
        .args(["-sk", "--ntlm", "-u", &format!("{user}:{password}"), "-w", "\n%{http_code}", url])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_client_that_sends_no_code_over_its_messages_never_signs_in() {
    let (door, _, secret) = site();
    for url in [
        format!("https://{}/AdminService/wmi/SMS_Site", door.https),
        format!("http://{}/AdminService/wmi/SMS_Site", door.http),
    ] {
        let who = [(door.user, secret.as_str()), (door.user, "wrong"), ("nobody", secret.as_str()), ("", "")];
        for (user, password) in who {
            let text = curl(user, password, &url);
            assert!(text.ends_with("\n401"), "{user} {url}: {text}");
        }
        let text = curl(door.user, &secret, &url);
        assert!(text.contains("NTLM_WEAK"), "{text}");
    }
}

#[test]
fn a_listener_for_sealed_bodies_takes_no_password_and_no_token() {
    let (door, package, secret) = site_with(&[("sealed_listen", "\"0.0.0.0:0\"")]);
    let hello = door.world.site.as_ref().unwrap().hello["admin_service"].clone();
    let port = hello["wsman_sealed"].as_str().unwrap_or_else(|| panic!("{hello}")).to_owned();
    let port = port.rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
    let token = door.world.ask(&["admin", "token", "create", "admin", "t"]).done()["token"].clone();
    let basic = format!("{}:{}", door.user, door.password);
    let bearer = format!("Authorization: Bearer {}", token.as_str().unwrap());
    for path in ["/AdminService/wmi/SMS_Site", "/wsman"] {
        for credential in [["-u", &basic], ["-H", &bearer]] {
            let url = format!("http://127.0.0.1:{port}{path}");
            let output =
                Command::new("curl").arg("-s").args(credential).args(["-d", "", &url]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains("TLS_REQUIRED"), "{path}: {text}");
        }
    }
    for auth in ["ntlm", "negotiate"] {
        let sealed = ["--auth", auth, "--scheme", "http", "--port", &port];
        check(&door, &package, &secret, "wsman_pypsrp.py", "15", &sealed);
    }
}

#[test]
fn an_account_has_ntlm_only_when_it_was_given_and_only_as_long() {
    let door = Door::new(&[]);
    let url = format!("https://{}/AdminService/wmi/SMS_Site", door.https);
    let offers = || door.request_as("", "GET", "/AdminService/wmi/SMS_Site", &[], "").headers;
    assert!(!offers().contains("Negotiate") && !offers().contains("NTLM"), "{}", offers());
    assert!(curl(door.user, &door.password, &url).ends_with("\n401"));
    // Somebody who may do everything gets it by force alone.
    let refused = door.world.ask(&["admin", "ntlm", "enable", "admin"]);
    assert_ne!(refused.code, 0);
    assert!(
        refused.document()["error"]["message"].as_str().is_some_and(|m| m.contains("may do everything")),
        "{refused:?}"
    );
    door.account("builds", Some("SMS0002R"));
    let ask = |arguments: &[&str]| door.world.ask(arguments).done();
    let first = ask(&["admin", "ntlm", "enable", "builds"])["secret"].as_str().unwrap().to_owned();
    assert_eq!(first.replace('-', "").len(), 28, "140 bits: {first}");
    assert!(offers().contains("Negotiate") && offers().contains("NTLM"));
    let accounts = ask(&["admin", "account", "list"]);
    let builds = accounts.as_array().unwrap().iter().find(|row| row["name"] == "builds").unwrap().clone();
    assert_eq!(builds["has_ntlm"], true, "{builds}");
    let second = ask(&["admin", "ntlm", "enable", "builds"])["secret"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    // A role that holds everything makes the secret of no use.
    ask(&["admin", "grant", "builds", "SMS0001R"]);
    assert_eq!(sign_in(&door, &second), "401");
    ask(&["admin", "revoke", "builds", "SMS0001R"]);
    assert_eq!((sign_in(&door, &first), sign_in(&door, &second)), ("401".to_owned(), "200".to_owned()));
    ask(&["admin", "ntlm", "disable", "builds"]);
    assert_eq!(sign_in(&door, &second), "401");
    assert_ne!(door.world.ask(&["admin", "ntlm", "disable", "builds"]).code, 0);
    // Neither text is anywhere, nor what could be computed of it without the key.
    let site = door.world.site_data();
    for secret in [&first, &second] {
        let text: Vec<u8> = secret.bytes().collect();
        for needle in [text, nt_hash(secret)] {
            let pattern: String = needle.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            let grep = Command::new("grep").env("LC_ALL", "C").args(["-rlaP", &pattern]).arg(&site).output();
            let found = String::from_utf8(grep.unwrap().stdout).unwrap();
            assert_eq!(found, "", "these hold a secret");
        }
    }
    let log = Command::new("grep").args(["-rl", "enable_ntlm"]).arg(site.join("logs")).output().unwrap();
    assert!(!log.stdout.is_empty(), "the search looks where the site writes");
    let mode =
        std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(site.join("keys/sealing-key")).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

/// What a client with a MIC and a channel binding is answered.
fn sign_in(door: &Door, secret: &str) -> String {
    let program = "
import sys, requests
from requests_ntlm import HttpNtlmAuth
url, ca, secret = sys.argv[1:]
print(requests.get(url, auth=HttpNtlmAuth('builds', secret), verify=ca).status_code, end='')
";
    let output = Command::new(python())
        .args(["-c", program, &format!("https://127.0.0.1:{}/AdminService/wmi/SMS_Site", door.https.port())])
        .arg(door.world.site_data().join("ca.pem"))
        .arg(secret)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn nt_hash(secret: &str) -> Vec<u8> {
    let program = "
import sys
from impacket.ntlm import compute_nthash
sys.stdout.buffer.write(compute_nthash(sys.argv[1]))
";
    Command::new(python()).args(["-c", program, secret]).output().unwrap().stdout
}

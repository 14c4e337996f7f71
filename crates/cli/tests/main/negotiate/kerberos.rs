//! Kerberos: published clients with tickets of a KDC, and tickets that are refused.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::realm::{REALM, Realm};
use crate::adminservice::clients::{CLIENTS, python, python_with};
use crate::adminservice::door::Door;
use crate::support::{Running, World, command, json};

/// The services of this machine, and of others, whose keys the site's keytab has.
const SERVICES: [&str; 5] =
    ["HTTP/localhost", "WSMAN/localhost", "host/localhost", "cifs/localhost", "HTTP/other.example"];

/// A site in a realm. `anna` signs in as the account that may do everything.
fn site(realm: &Realm, settings: &[(&str, &str)]) -> Door {
    let keytab = format!("{:?}", realm.keytab());
    let settings = [&[("keytab", keytab.as_str())], settings].concat();
    let door = Door::started_by(&settings, |world: &mut World| start(world, realm));
    register(&door, "admin", "anna");
    door
}

fn start(world: &mut World, realm: &Realm) {
    let mut command = command(&world.site_data());
    command.envs(realm.environment());
    world.site = Some(Running::of(command, "site"));
}

fn register(door: &Door, account: &str, name: &str) {
    door.world.ask(&["admin", "kerberos", "add", account, &format!("{name}@{REALM}")]).done();
}

/// Runs a client script with all of its steps.
#[track_caller]
fn check(door: &Door, realm: &Realm, interpreter: &Path, script: &str, steps: &str, arguments: &[&str]) {
    let output = Command::new(interpreter)
        .arg(Path::new(CLIENTS).join(script))
        .args(["--host", "localhost"])
        .arg("--ca")
        .arg(door.world.site_data().join("ca.pem"))
        .args(arguments)
        .envs(realm.environment())
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

/// A Python whose clients know Kerberos: Debian's, which has a module of the library.
fn with_kerberos() -> PathBuf {
    let debian = ["/usr/bin/python3", "--system-site-packages"];
    python_with("kerberos-clients", "requirements-kerberos.txt", &debian)
}

#[test]
fn published_clients_do_all_their_steps_with_kerberos() {
    let realm = Realm::new(&["anna", "bob"], &SERVICES);
    let mut door = site(&realm, &[]);
    door.world.add_point("DP01");
    let source = door.world.source("editor", &[("setup.exe", b"first")]);
    let made = door.world.ask(&["package", "create", "Editor", "--source", source.to_str().unwrap()]).done();
    let package = made["package"].as_str().unwrap();
    let (tls, plain) = (door.https.port().to_string(), door.http.port().to_string());
    let (user, interpreter) = (format!("anna@{REALM}"), with_kerberos());
    let common = ["--user", &user, "--password", "secret of anna", "--package", package];
    let nal = ["--nal", "[\"Display=\\\\DP01\\\"]MSWNET:[\"SMS_SITE=XYZ\"]\\\\DP01\\"];
    realm.sign_in("anna");
    let other = format!("bob@{REALM}");
    let ports = ["--port", &tls, "--plain", &plain, "--other", &other, "--other-password", "secret of bob"];
    let arguments = [&common[..], &ports].concat();
    check(&door, &realm, &interpreter, "kerberos_clients.py", "16", &arguments);
    for auth in ["kerberos", "negotiate"] {
        for (scheme, port) in [("https", &tls), ("http", &plain)] {
            let how = ["--auth", auth, "--scheme", scheme, "--port", port];
            let arguments = [&common[..], &nal, &how].concat();
            check(&door, &realm, &interpreter, "wsman_pypsrp.py", "15", &arguments);
        }
    }
}

#[test]
fn kerberos_tickets_with_one_thing_wrong_are_refused_with_its_code() {
    let realm = Realm::new(&[], &SERVICES);
    let mut door = site(&realm, &[]);
    for (account, name) in [("carl", "carl"), ("dora", "dora")] {
        door.account(account, Some("SMS0002R"));
        register(&door, if account == "carl" { "admin" } else { account }, name);
    }
    let (tls, plain, keytab) = (door.https.port().to_string(), door.http.port().to_string(), realm.keytab());
    let data = door.world.site_data();
    let arguments = ["--port", &tls, "--plain", &plain, "--keytab", keytab.to_str().unwrap()];
    let saved = door.world.path("used-token");
    let program = ["--restock", env!("CARGO_BIN_EXE_restock"), "--data", data.to_str().unwrap()];
    let arguments = [&arguments[..], &program, &["--save", saved.to_str().unwrap()]].concat();
    check(&door, &realm, &python(), "kerberos_tickets.py", "26", &arguments);
    door.check_alive();
    // A token that was used stays used over a restart.
    assert_eq!(door.world.site.take().unwrap().stop(), 0);
    start(&mut door.world, &realm);
    let url = door.world.site.as_ref().unwrap().hello["admin_service"]["http_url"].clone();
    let header = format!("Authorization: Negotiate {}", std::fs::read_to_string(saved).unwrap());
    let site = format!("{}wmi/SMS_Site", url.as_str().unwrap());
    let output = Command::new("curl").args(["-s", "-H", &header, &site]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("KERBEROS_REPLAY"), "{text}");
}

#[test]
fn curl_signs_in_with_kerberos_at_each_door_where_a_binding_is_checked_when_sent() {
    let realm = Realm::new(&["anna", "bob"], &SERVICES);
    let door = site(&realm, &[("channel_binding", "\"when-sent\"")]);
    let ask = |more: &[&str]| {
        let output = Command::new("curl")
            .args(["-s", "--negotiate", "-u", ":", "-w", "\n%{http_code}", "--cacert"])
            .arg(door.world.site_data().join("ca.pem"))
            .args(more)
            .envs(realm.environment())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (text.rsplit('\n').next().unwrap().to_owned(), text)
    };
    let at = |path: &str| format!("https://localhost:{}{path}", door.https.port());
    let site = at("/AdminService/wmi/SMS_Site");
    assert_eq!(ask(&[&site]).0, "401", "there is no ticket yet");
    realm.sign_in("bob");
    assert_eq!(ask(&[&site]).0, "401", "nobody has that principal");
    realm.sign_in("anna");
    let (status, text) = ask(&[&site]);
    assert!(status == "200" && text.contains("SiteCode"), "{text}");
    let xml = ["-H", "Content-Type: application/xml; charset=utf-8", "-H", "CIMOperation: MethodCall"];
    for (path, answer) in [("/cimom", "CIM"), ("/wsman", "Envelope")] {
        let (status, text) = ask(&[&xml[..], &["-d", "<no/>", &at(path)]].concat());
        assert!(status != "401" && !text.contains("UNAUTHORIZED"), "{path}: {answer} {text}");
    }
    let plain = format!("http://localhost:{}/AdminService/wmi/SMS_Site", door.http.port());
    let (status, text) = ask(&[&plain]);
    assert!(status == "401" && text.contains("KERBEROS_WEAK"), "it cannot seal: {text}");
}

#[test]
fn a_keytab_for_kerberos_that_is_no_use_or_no_secret_is_refused_at_the_start() {
    let realm = Realm::new(&[], &SERVICES[..1]);
    let folder = tempfile::TempDir::with_prefix("restock-keytab-").unwrap();
    let data = folder.path().join("site");
    json(&data, &["site", "init", "--listen", "127.0.0.1:0"]).done();
    let (file, keytab) = (data.join("restock.toml"), data.join("http.keytab"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("keytab = \"\"", "keytab = \"http.keytab\"", 1)).unwrap();
    let refused = |why: &str| {
        let ran = json(&data, &["site", "run"]);
        assert_eq!(ran.document()["error"]["code"], "KERBEROS_KEYTAB", "{why}: {ran:?}");
    };
    refused("it is not there");
    std::fs::write(&keytab, b"").unwrap();
    set_mode(&keytab, "600");
    refused("it is empty");
    std::fs::copy(realm.keytab(), &keytab).unwrap();
    set_mode(&keytab, "644");
    refused("everybody may read it");
    set_mode(&keytab, "640");
    assert_eq!(Running::of(command(&data), "site").stop(), 0);
}

fn set_mode(path: &Path, mode: &str) {
    assert!(Command::new("chmod").arg(mode).arg(path).status().unwrap().success());
}

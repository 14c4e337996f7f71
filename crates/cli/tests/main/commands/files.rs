//! `get`: a version as plain files, from a library and over HTTP.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::{Running, World, json, restock};

fn world() -> World {
    let mut world = World::new();
    let large: Vec<u8> = (0..900_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let app = world.source(
        "app",
        &[("bin/tool", b"#!/bin/sh\n"), ("large", &large), ("caf\u{e9} 100%", b"x"), ("empty", b"")],
    );
    std::fs::set_permissions(app.join("bin/tool"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(app.join("hollow")).unwrap();
    world.add_point("DP01");
    let create = ["package", "create", "App", "--source", app.to_str().unwrap(), "--public"];
    world.ask(&[&create[..], &["--wait", "--timeout", "60s"]].concat()).done();
    world.ask(&["distribute", "XYZ00001", "--to", "DP01", "--wait", "--timeout", "60s"]).done();
    world
}

fn assert_same(a: &Path, b: &Path) {
    let ran = Command::new("diff").arg("-r").arg(a).arg(b).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}

#[test]
fn a_version_is_brought_from_the_library_of_a_site_and_of_a_dp_running_or_not() {
    let mut world = world();
    let app = world.root().join("app");
    symlink("bin/tool", app.join("link")).unwrap();
    world.ask(&["refresh", "XYZ00001", "--wait", "--timeout", "60s"]).done();
    let to = world.path("out");
    let got = world.ask(&["get", "XYZ00001", to.to_str().unwrap()]).done();
    assert_same(&app, &to);
    assert_eq!(
        (got["version"].as_u64(), got["files"].as_u64(), got["symlinks"].as_u64()),
        (Some(2), Some(4), Some(1))
    );
    let (mode, mtime) = (|p: &Path| p.metadata().unwrap().mode(), |p: &Path| p.metadata().unwrap().mtime());
    assert_eq!(mode(&to.join("bin/tool")), mode(&app.join("bin/tool")));
    assert_eq!(mtime(&to.join("large")), mtime(&app.join("large")));

    std::fs::rename(to.join("large"), to.join("renamed")).unwrap();
    let got = json(&world.path("DP01"), &["get", "XYZ00001.1", to.to_str().unwrap(), "--delete"]).done();
    assert_eq!((got["bytes_fetched"].as_u64(), got["removed"].as_u64()), (Some(0), Some(2)), "{got}");
    assert!(!to.join("link").exists() && !to.join("renamed").exists());

    assert_eq!(world.site.take().unwrap().stop(), 0);
    let other = world.path("other");
    let text = restock(&world.site_data(), &["get", "XYZ00001@2", other.to_str().unwrap()]);
    assert!(text.stdout.starts_with("XYZ00001 version 2 is in "), "{text:?}");
    assert_same(&app, &other);
}

#[test]
fn a_version_is_brought_over_http_and_goes_on_where_it_ended() {
    let world = world();
    let (app, to) = (world.root().join("app"), world.path("out"));
    let url = world.points[0].url().to_owned();
    let from = |what: &str| {
        json(&world.path("nobody"), &["get", what, to.to_str().unwrap(), "--from", &url, "--delete"])
    };
    let got = from("XYZ00001").done();
    assert_eq!(
        (got["version"].as_u64(), got["files"].as_u64(), got["files_kept"].as_u64()),
        (Some(1), Some(4), Some(0))
    );
    assert_same(&app, &to);
    assert_eq!(to.join("bin/tool").metadata().unwrap().mode() & 0o777, 0o755);

    // A file that an earlier run began is gone on with; one that is there under another name is copied.
    let digest = Command::new("curl").args(["-sI", &format!("{url}/SMS_DP_SMSPKG$/XYZ00001/large")]).output();
    let head = String::from_utf8(digest.unwrap().stdout).unwrap().to_lowercase();
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().trim().trim_matches('"');
    let whole = std::fs::read(app.join("large")).unwrap();
    std::fs::create_dir(to.join(".restock-get")).unwrap();
    std::fs::write(to.join(".restock-get").join(etag), &whole[..3_000_000]).unwrap();
    std::fs::remove_file(to.join("large")).unwrap();
    std::fs::rename(to.join("bin/tool"), to.join("elsewhere")).unwrap();
    let got = from("XYZ00001.1").done();
    assert_eq!(got["bytes_fetched"].as_u64(), Some(whole.len() as u64 - 3_000_000), "{got}");
    assert_same(&app, &to);

    let missing = from("XYZ00009");
    assert_eq!((missing.code, missing.document()["error"]["code"].as_str()), (4, Some("NOT_FOUND")));
}

/// A DP that serves over TLS as well: its address there, and the certificate to trust it by.
fn with_tls(world: &mut World, name: &str) -> (String, std::path::PathBuf) {
    let token = world.ask(&["token", "create", name]).done()["token"].as_str().unwrap().to_owned();
    let (data, site) = (world.path(name), world.site.as_ref().unwrap().url().to_owned());
    json(&data, &["dp", "init", "--site", &site, "--token", &token, "--serve", "127.0.0.1:0"]).done();
    let (key, certificate) = (data.join("tls-key.pem"), data.join("tls.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-subj", "/CN=dp", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-days", "2", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = data.join("restock.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("tls_listen = \"\"", &format!("tls_listen = \"{address}\""));
    let text = text.replace("tls_certificate = \"\"", "tls_certificate = \"tls.pem\"");
    std::fs::write(&config, text.replace("tls_key = \"\"", "tls_key = \"tls-key.pem\"")).unwrap();
    world.points.push(Running::start(&data, "dp"));
    (format!("https://{address}"), certificate)
}

#[test]
fn a_package_that_is_not_public_is_brought_over_tls_with_a_token_alone() {
    let mut world = world();
    let (url, ca) = with_tls(&mut world, "DP02");
    world.ask(&["distribute", "XYZ00001", "--to", "DP02", "--wait", "--timeout", "60s"]).done();
    world.ask(&["package", "set", "XYZ00001", "--public", "false"]).done();
    world.ask(&["refresh", "XYZ00001", "--wait", "--timeout", "60s"]).done();
    let made = world.ask(&["content-token", "create", "XYZ00001"]).done();
    let token = world.path("token");
    std::fs::write(&token, made["token"].as_str().unwrap()).unwrap();
    let (to, nobody) = (world.path("out"), world.path("nobody"));
    let from = ["get", "XYZ00001", to.to_str().unwrap(), "--from", &url, "--ca", ca.to_str().unwrap()];
    let refused = json(&nobody, &from);
    assert_eq!((refused.code, refused.document()["error"]["code"].as_str()), (4, Some("NOT_FOUND")));
    let with_token = [&from[..], &["--token-file", token.to_str().unwrap()]].concat();
    json(&nobody, &with_token).done();
    assert_same(&world.root().join("app"), &to);
    let strange = world.path("site/ca.pem");
    let distrusted = json(&nobody, &[&from[..6], &[strange.to_str().unwrap()]].concat());
    assert_eq!(distrusted.code, 1, "{distrusted:?}");
}

#[test]
fn get_refuses_what_cannot_be_meant() {
    let world = world();
    let to = world.path("out");
    let to = to.to_str().unwrap();
    let data = world.site_data().join("library/out");
    let token = world.path("token");
    std::fs::write(&token, "x").unwrap();
    let refused = |arguments: &[&str]| {
        let ran = world.ask(&[&["get"], arguments].concat());
        (ran.code, ran.document()["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(refused(&["XYZ00001", data.to_str().unwrap()]), (6, "DEST_IS_DATA".to_owned()));
    assert_eq!(refused(&["XYZ00001.7", to]), (4, "NOT_FOUND".to_owned()));
    assert_eq!(refused(&["XYZ00001.x", to]), (2, "VERSION_INVALID".to_owned()));
    assert_eq!(refused(&["XYZ00001", to, "--from", "ftp://x"]), (2, "URL_INVALID".to_owned()));
    let plain = ["XYZ00001", to, "--from", "http://127.0.0.1:9", "--token-file", token.to_str().unwrap()];
    assert_eq!(refused(&plain), (6, "TOKEN_PLAIN".to_owned()));
    std::fs::create_dir_all(world.path("out/large")).unwrap();
    assert_eq!(refused(&["XYZ00001", to]), (6, "DEST_IN_THE_WAY".to_owned()));
    // An object is still an object.
    let object = world.ask(&["get", "SMS_Package.PackageID=\"XYZ00001\""]).done();
    assert_eq!(object["PackageID"], "XYZ00001");
}

//! Certificates of people: registered ones sign in, others do not, those of the link never.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::adminservice::clients::python;
use crate::adminservice::door::Door;

/// Paths of the three doors, and a request each answers to somebody who has signed in.
const DOORS: [&str; 3] = ["/AdminService/wmi/SMS_Site", "/wsman", "/cimom"];

/// Makes a certificate that is signed by itself, and its key.
const MAKE: &str = "
import datetime, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
name, first, last, certificate, key_file = sys.argv[1:]
key = ec.generate_private_key(ec.SECP256R1())
who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
now = datetime.datetime.now(datetime.timezone.utc)
day = lambda n: now + datetime.timedelta(days=int(n))
made = (x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key()).serial_number(7)
        .not_valid_before(day(first)).not_valid_after(day(last)).sign(key, hashes.SHA256()))
open(certificate, 'wb').write(made.public_bytes(serialization.Encoding.PEM))
form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
open(key_file, 'wb').write(key.private_bytes(*form))
";

/// A certificate that is valid from one day to another, counted from today, and its key.
fn certificate(folder: &Path, name: &str, (first, last): (&str, &str)) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    let output = Command::new(python())
        .args(["-c", MAKE, name, first, last])
        .arg(&certificate)
        .arg(&key)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (certificate, key)
}

/// What curl is answered when it shows a certificate: the status, or its own exit code and words.
fn show(door: &Door, path: &str, (certificate, key): &(PathBuf, PathBuf), more: &[&str]) -> (String, String) {
    let output = Command::new("curl")
        .args(["-sS", "--cacert"])
        .arg(door.world.site_data().join("ca.pem"))
        .arg("--cert")
        .arg(certificate)
        .arg("--key")
        .arg(key)
        .args(["-w", "\n%{http_code}"])
        .args(more)
        .arg(format!("https://127.0.0.1:{}{path}", door.https.port()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let status = text.rsplit('\n').next().unwrap_or_default().to_owned();
    (status, format!("{text}{words}"))
}

#[test]
fn a_registered_certificate_signs_in_and_no_other_one() {
    let door = Door::new(&[]);
    door.account("anna", Some("SMS0002R"));
    let folder = door.world.folder.path();
    let (own, other) =
        (certificate(folder, "anna", ("-1", "30")), certificate(folder, "other", ("-1", "30")));
    assert_eq!(show(&door, DOORS[0], &own, &[]).0, "401", "it is not registered");
    let add = ["admin", "certificate", "add", "anna", "laptop", own.0.to_str().unwrap()];
    let made = door.world.ask(&add).done();
    assert_eq!((&made["subject"], &made["name"]), (&"CN=anna".into(), &"laptop".into()), "{made}");
    assert_eq!(show(&door, DOORS[0], &own, &[]).0, "200");
    assert_eq!(show(&door, DOORS[0], &other, &[]).0, "401");
    // With TLS 1.2 as well, and with the rights of the account.
    assert_eq!(show(&door, DOORS[0], &own, &["--tls-max", "1.2"]).0, "200");
    let body = r#"{"Name":"x","PkgSourceFlag":1}"#;
    let (status, text) = show(
        &door,
        "/AdminService/wmi/SMS_Package",
        &own,
        &["-H", "Content-Type: application/json", "-d", body],
    );
    assert_eq!(status, "403", "{text}");
    // The same one twice, one that is over, a key, something else.
    assert_ne!(door.world.ask(&add).code, 0);
    let again = ["admin", "certificate", "add", "admin", "laptop", own.0.to_str().unwrap()];
    assert_ne!(door.world.ask(&again).code, 0, "one certificate, one account");
    let config = door.world.site_data().join("restock.toml");
    for bad in [own.1.as_path(), config.as_path()] {
        let refused = door.world.ask(&["admin", "certificate", "add", "anna", "bad", bad.to_str().unwrap()]);
        assert_ne!(refused.code, 0, "{}", bad.display());
    }
    let listed = door.world.ask(&["admin", "certificate", "list", "anna"]).done();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    // A disabled account, and a certificate that was removed.
    door.world.ask(&["admin", "account", "disable", "anna"]).done();
    assert_eq!(show(&door, DOORS[0], &own, &[]).0, "401");
    door.world.ask(&["admin", "account", "enable", "anna"]).done();
    assert_eq!(show(&door, DOORS[0], &own, &[]).0, "200");
    door.world.ask(&["admin", "certificate", "remove", "anna", "laptop"]).done();
    assert_eq!(show(&door, DOORS[0], &own, &[]).0, "401");
}

#[test]
fn a_certificate_out_of_its_time_ends_in_the_handshake() {
    let door = Door::new(&[]);
    let folder = door.world.folder.path();
    let over = certificate(folder, "late", ("-2", "-1"));
    let (status, text) = show(&door, DOORS[0], &over, &[]);
    assert!(status == "000" && text.contains("expired"), "{text}");
    let (status, text) = show(&door, DOORS[0], &certificate(folder, "early", ("1", "2")), &[]);
    assert!(status == "000" && text.contains("alert"), "{text}");
    let add = ["admin", "certificate", "add", "admin", "late", over.0.to_str().unwrap()];
    assert_ne!(door.world.ask(&add).code, 0);
    door.check_alive();
}

#[test]
fn a_certificate_of_a_distribution_point_or_of_the_site_opens_no_management_door() {
    let mut door = Door::new(&[]);
    door.world.add_point("DP01");
    let (point, keys) = (door.world.path("DP01").join("identity"), door.world.site_data().join("keys"));
    let password = format!("{}:{}", door.user, door.password);
    for shown in [
        (point.join("certificate.pem"), point.join("key.pem")),
        (keys.join("link.pem"), keys.join("link-key.pem")),
    ] {
        assert!(shown.0.exists() && shown.1.exists(), "{}", shown.0.display());
        for path in DOORS {
            let (status, text) = show(&door, path, &shown, &["-X", "POST"]);
            assert!(status == "403" && text.contains("IDENTITY"), "{path}: {text}");
        }
        // Not even with a password beside it, and it is registered for nobody.
        assert_eq!(show(&door, DOORS[0], &shown, &["-u", &password]).0, "403");
        let add = ["admin", "certificate", "add", "admin", "point", shown.0.to_str().unwrap()];
        assert_ne!(door.world.ask(&add).code, 0);
    }
    door.check_alive();
}

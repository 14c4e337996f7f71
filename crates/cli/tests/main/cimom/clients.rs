//! Published WBEM clients, unchanged, over TLS with the CA checked and over loopback.

use std::path::PathBuf;
use std::process::Command;

use crate::adminservice::clients::{Demo, python};
use crate::adminservice::door::Door;

#[test]
fn pywbem_does_all_its_steps() {
    let demo = Demo::start();
    let (ca, tls, plain) = (demo.text("ca_file"), demo.port("cimom"), demo.port("cimom_http"));
    for arguments in
        [&["--scheme", "https", "--port", tls, "--ca", ca][..], &["--scheme", "http", "--port", plain]]
    {
        demo.check("cimxml_pywbem.py", "19", arguments);
        demo.check("cimxml_operations.py", "24", arguments);
    }
    let (text, passed) = demo.client("cimxml_pywbem.py", &["--scheme", "https", "--port", tls]);
    assert!(!passed && text.contains("CERTIFICATE_VERIFY_FAILED"), "{text}");
}

#[test]
fn the_first_hour_with_a_package_goes_as_the_sdk_shows_it() {
    Door::new(&[]).first_hour("cimxml_first_hour.py", "10");
}

/// What a program printed, when it succeeded.
#[track_caller]
fn run(program: impl Into<PathBuf>, arguments: &[&str]) -> String {
    let program = program.into();
    let output = Command::new(&program).args(arguments).env_remove("http_proxy").output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && failed.is_empty(), "{arguments:?}\n{text}\n{failed}");
    text
}

#[test]
fn wbemcli_enumerates_reads_and_calls() {
    let demo = Demo::start();
    let (user, password, package) = (demo.text("user"), demo.text("password"), demo.text("package_id"));
    let at = |scheme: &str, port: &str, object: &str| {
        format!("{scheme}://{user}:{password}@localhost:{port}/root/sms/site_XYZ:{object}")
    };
    let (plain, tls) = (demo.port("cimom_http"), demo.port("cimom"));
    let one = format!("SMS_Package.PackageID=\"{package}\"");
    let names = run("wbemcli", &["ein", &at("http", plain, "SMS_Package")]);
    assert!(names.contains(&one), "{names}");
    let names = run("wbemcli", &["-cacert", demo.text("ca_file"), "ein", &at("https", tls, "SMS_Package")]);
    assert!(names.contains(&one), "{names}");
    let all = run("wbemcli", &["-nl", "ei", &at("http", plain, "SMS_Package")]);
    assert!(all.contains(&format!("-PackageID=\"{package}\"")) && all.contains("-SourceVersion="), "{all}");
    let read = run("wbemcli", &["-nl", "gi", &at("http", plain, &one)]);
    assert!(read.contains("-Name="), "{read}");
    let classes = run("wbemcli", &["ecn", &at("http", plain, "")]);
    assert!(classes.lines().any(|line| line.ends_with(":SMS_BaseClass")), "{classes}");
    let class = run("wbemcli", &["-nl", "gc", &at("http", plain, "SMS_Package")]);
    assert!(class.contains("-PackageID"), "{class}");
    let partners = run("wbemcli", &["ain", &at("http", plain, &one)]);
    assert!(partners.contains("SMS_DistributionPoint."), "{partners}");
    let called = run("wbemcli", &["cm", &at("http", plain, &one), "RefreshPkgSource"]);
    assert!(called.contains("RefreshPkgSource: 0"), "{called}");
    let nal = "[\\\"Display=\\\\\\\\DP01\\\\\\\"]MSWNET:[\\\"SMS_SITE=XYZ\\\"]\\\\\\\\DP01\\\\";
    let arguments = format!("AddDistributionPoints.SiteCode=\"XYZ\",NALPath=\"{nal}\"");
    let output = Command::new("wbemcli").args(["cm", &at("http", plain, &one), &arguments]).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // Whether the shell's own quoting of a NAL path survives is the client's affair; the array arrived.
    assert!(said.contains("AddDistributionPoints: 0") || said.contains("NAL path"), "{said}");
    let missing = at("http", plain, "SMS_Package.PackageID=\"NOPE0000\"");
    let missing = Command::new("wbemcli").args(["gi", &missing]).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&missing.stdout), String::from_utf8_lossy(&missing.stderr));
    assert!(said.contains("CIM_ERR_NOT_FOUND"), "{said}");
}

#[test]
fn pywbemcli_enumerates_reads_and_calls() {
    let demo = Demo::start();
    let program = python().with_file_name("pywbemcli");
    let port = demo.port("cimom_http");
    let server = format!("http://127.0.0.1:{port}");
    let package = format!("SMS_Package.PackageID=\"{}\"", demo.text("package_id"));
    let ask = |arguments: &[&str]| {
        let mut all = vec!["-s", &server, "-u", demo.text("user"), "-p", demo.text("password")];
        all.extend(["-d", "root/sms/site_XYZ"]);
        all.extend(arguments);
        run(&program, &all)
    };
    assert!(ask(&["instance", "enumerate", "SMS_Package", "--no"]).contains("SMS_Package.PackageID="));
    assert!(ask(&["instance", "get", &package]).contains("SourceVersion = "));
    assert!(ask(&["instance", "invokemethod", &package, "RefreshPkgSource"]).contains("ReturnValue=0"));
    assert!(ask(&["instance", "associators", &package, "--no"]).contains("SMS_DistributionPoint"));
    assert!(ask(&["class", "get", "SMS_Package"]).contains("RefreshPkgSource"));
    assert!(ask(&["class", "enumerate", "--di", "--no"]).contains("SMS_DistributionPoint"));
    assert!(ask(&["namespace", "list"]).contains("root/sms/site_XYZ"));
}

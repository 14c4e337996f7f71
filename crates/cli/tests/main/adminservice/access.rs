//! Who is let in, what they may do, and how the listeners are protected.

use std::process::Command;

use serde_json::Value;

use crate::adminservice::door::{Door, basic, wmi};

/// What curl says: exit code, HTTP status, body.
fn curl(arguments: &[&str]) -> (i32, String) {
    let output = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*"])
        .args(arguments)
        .env_remove("SSL_CERT_FILE")
        .env_remove("CURL_CA_BUNDLE")
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn nobody_is_let_in_without_a_right_credential() {
    let door = Door::new(&[]);
    let token = |name: &str, valid: &str| {
        let made = door.world.ask(&["admin", "token", "create", "admin", name, "--valid", valid]).done();
        made["token"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    };
    let (good, revoked, short) = (token("good", "1h"), token("revoked", "1h"), token("short", "1ms"));
    door.world.ask(&["admin", "token", "revoke", "admin", "revoked"]).done();
    let ask =
        |value: &str| door.request_as(&format!("Authorization: {value}"), "GET", &wmi("SMS_Site"), &[], "");
    assert_eq!(ask(&format!("Bearer {good}")).status, 200);
    assert_eq!(ask(&basic("ADMIN", &door.password)).status, 200, "names are compared without case");
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.";
    let signed = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl";
    let broken = good.replace("rst_", "rst-");
    for value in [
        format!("Bearer {none}"),
        format!("Bearer {signed}"),
        format!("Bearer {revoked}"),
        format!("Bearer {short}"),
        format!("Bearer {broken}"),
        format!("Bearer {good}x"),
        "Bearer ".to_owned(),
        format!("Negotiate {signed}"),
        "Basic !!!".to_owned(),
        basic("admin", "wrong"),
        basic("nobody", &door.password),
        format!("{}\r\nAuthorization: {0}", basic("admin", &door.password)),
    ] {
        let got = ask(&value);
        assert_eq!(got.refusal(), (401, "UNAUTHORIZED".to_owned()), "{value}");
        let offers: Vec<&str> = got.headers.lines().filter(|l| l.starts_with("www-authenticate: ")).collect();
        assert!(offers.iter().any(|offer| offer.contains("Basic realm=")), "{offers:?}");
    }
    // Nothing of a request is looked at before.
    let stranger = door.request_as("", "POST", "/no/such/place", &[], "not json");
    assert_eq!(stranger.status, 401);
}

#[test]
fn many_wrong_passwords_are_turned_away_and_the_right_one_is_let_in_elsewhere() {
    let door = Door::new(&[]);
    let wrong = format!("Authorization: {}", basic("admin", "wrong"));
    let got =
        (0..50).map(|_| door.request_as(&wrong, "GET", &wmi("SMS_Site"), &[], "")).find(|g| g.status == 429);
    let got = got.expect("the back-off begins");
    assert_eq!(got.refusal().1, "TOO_MANY_ATTEMPTS");
    let inner = &got.json()["error"]["innererror"];
    assert_eq!(inner["@odata.type"], "#AdminService.__ExtendedStatus");
    assert_eq!(inner["Description"], "too many attempts to sign in; wait before the next");
    assert!(got.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    let url = format!("http://{}{}", door.http, wmi("SMS_Site"));
    let user = format!("admin:{}", door.password);
    assert_eq!(curl(&["--interface", "127.0.0.9", "-u", &user, &url]), (0, "200".to_owned()));
}

#[test]
fn what_a_right_is_missing_for_is_refused_or_not_there() {
    let door = Door::new(&[]);
    let id = door.package("p");
    let reader = format!("Authorization: {}", basic("reader", &door.account("reader", Some("SMS0002R"))));
    let blind = format!("Authorization: {}", basic("blind", &door.account("blind", None)));
    let one = wmi(&format!("SMS_Package('{id}')"));
    let call = format!("{one}/AdminService.RefreshPkgSource");
    assert_eq!(door.request_as(&reader, "GET", &one, &[], "").status, 200);
    for (method, path, body) in
        [("POST", &call, "{}"), ("PATCH", &one, r#"{"Name":"n"}"#), ("DELETE", &one, "")]
    {
        let got = door.request_as(&reader, method, path, &[], body);
        assert_eq!(got.refusal(), (403, "SCOPE".to_owned()), "{method}");
        let got = door.request_as(&blind, method, path, &[], body);
        assert_eq!(got.refusal(), (404, "NOT_FOUND".to_owned()), "{method}");
    }
    let message = door.request_as(&reader, "POST", &call, &[], "").json()["error"]["message"].clone();
    assert!(message.as_str().unwrap().contains(&id), "{message}");
    let seen = door.request_as(&blind, "GET", &wmi("SMS_Package"), &[], "");
    assert_eq!((seen.status, &seen.json()["value"]), (200, &Value::Array(vec![])));
    assert_eq!(door.request_as(&blind, "GET", &wmi("SMS_Package/$count"), &[], "").body, b"0");
    // The same words as for a package that never was.
    let hidden = door.request_as(&blind, "POST", &call, &[], "");
    let unknown = door.request_as(&blind, "POST", &call.replace(&id, "XYZ99999"), &[], "");
    let text = |got: &crate::adminservice::door::Got| {
        let text = got.json()["error"]["innererror"]["Description"].as_str().unwrap().to_owned();
        text.replace(&id, "ID").replace("XYZ99999", "ID")
    };
    assert_eq!(text(&hidden), text(&unknown));
    // Both are in the audit trail, with the request they belong to.
    let exported = door.world.ask(&["audit", "export"]);
    for got in [&hidden, &unknown] {
        let correlation = got.header("x-correlation-id").unwrap();
        assert!(exported.stdout.contains(correlation), "{correlation} in {}", exported.stdout);
    }
}

#[test]
fn the_certificate_is_checked_by_the_sites_own_authority_alone() {
    let door = Door::new(&[("names", "[\"site.example\"]")]);
    let ca = door.world.site.as_ref().unwrap().hello["admin_service"]["ca_file"].as_str().unwrap().to_owned();
    let user = format!("admin:{}", door.password);
    let port = door.https.port();
    let url = format!("https://{}{}", door.https, wmi("SMS_Site"));
    let good = ["--cacert", &*ca, "-u", &*user];
    let with = |more: &[&str]| curl(&[&good[..], more].concat());
    assert_eq!(with(&[&url]), (0, "200".to_owned()));
    assert_eq!(with(&["--tls-max", "1.2", &url]), (0, "200".to_owned()), "TLS 1.2 for older clients");
    let resolve = |name: &str| format!("{name}:{port}:127.0.0.1");
    let named = |name: &str| format!("https://{name}:{port}{}", wmi("SMS_Site"));
    assert_eq!(with(&["--resolve", &resolve("site.example"), &named("site.example")]), (0, "200".to_owned()));
    let other = with(&["--resolve", &resolve("evil.example"), &named("evil.example")]);
    assert_eq!(other.0, 60, "a name that is not in the certificate is refused");
    assert_eq!(curl(&["-u", &user, &url]).0, 60, "the system's trust store does not know the authority");
    let plain = curl(&["-u", &user, &url.replace("https", "http")]);
    assert_ne!(plain.0, 0, "without TLS nothing is answered there");
    let old = with(&["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", &url]);
    assert_ne!(old.0, 0, "nothing older than TLS 1.2");
}

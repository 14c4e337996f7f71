//! What URLs and bodies say: refused with the code, nothing changed.

use serde_json::{Value, json};

use crate::adminservice::door::{Door, Got, wmi};

#[test]
fn options_outside_their_limits_are_refused_by_name() {
    let door = Door::new(&[]);
    for (query, code, word) in [
        (format!("$filter={}PackageID eq 'a'{}", "(".repeat(10_000), ")".repeat(10_000)), "FILTER_DEPTH", ""),
        ("$expand=Programs".to_owned(), "QUERY_UNSUPPORTED", "$expand"),
        ("$top=-1".to_owned(), "", "$top"),
        ("$top=1000000000000".to_owned(), "QUERY_LIMIT", "$top"),
        ("$filter=PackageID eq".to_owned(), "FILTER_SYNTAX", "column"),
        ("$filter=Nope eq 1".to_owned(), "UNKNOWN_PROPERTY", "Nope"),
        ("$select=Nope".to_owned(), "UNKNOWN_PROPERTY", "Nope"),
    ] {
        let got = door.get(&format!("SMS_Package?{query}"));
        let (status, found) = got.refusal();
        assert_eq!(status, 400, "{word}: {got:?}");
        assert!(code.is_empty() || found == code, "{word}: {found}");
        assert!(got.json()["error"]["message"].as_str().unwrap().contains(word), "{got:?}");
    }
}

#[test]
fn bodies_that_do_not_fit_the_declaration_change_nothing() {
    let door = Door::new(&[]);
    let id = door.package("before");
    let one = format!("SMS_Package('{id}')");
    for (body, code, word) in [
        (r#"{"Name":3}"#, "TYPE", "Name"),
        (r#"{"Name":"a","Priority":NaN}"#, "TYPE", "Priority"),
        (r#"{"Priority":9223372036854775808}"#, "TYPE", "Priority"),
        (r#"{"Priority":"2"}"#, "TYPE", "Priority"),
        (r#"{"Name":"a","name":"b"}"#, "TYPE", "name"),
        (r#"{"Nope":1}"#, "UNKNOWN_PROPERTY", "Nope"),
        (r#"{"Name":"#, "TYPE", "Name"),
        ("[1]", "TYPE", "object"),
    ] {
        for got in [door.post("SMS_Package", body), door.request("PATCH", &wmi(&one), &[], body)] {
            assert_eq!(got.refusal(), (400, code.to_owned()), "{body}");
            assert!(got.json()["error"]["message"].as_str().unwrap().contains(word), "{body}: {got:?}");
        }
    }
    for body in [r#"{"SourceVersion":9}"#, r#"{"Name":"after","SourceVersion":0}"#] {
        let got = door.request("PATCH", &wmi(&one), &[], body);
        assert_eq!(got.refusal(), (400, "READ_ONLY_PROPERTY".to_owned()), "{body}");
    }
    for member in ["__CLASS", "@odata.etag", "@odata.type"] {
        let body = json!({ member: "x", "Name": "after" }).to_string();
        let got = door.request("PATCH", &wmi(&one), &[], &body);
        assert_eq!(got.refusal(), (400, "UNKNOWN_PROPERTY".to_owned()), "{member}");
    }
    let got = door.request("PATCH", &wmi(&one), &["Content-Type: text/plain"], r#"{"Name":"after"}"#);
    assert_eq!(got.refusal(), (415, "CONTENT_TYPE".to_owned()));
    assert_eq!(
        got.json()["error"]["innererror"]["Description"],
        "a body is JSON; say so with Content-Type: application/json"
    );
    let got = door.post("SMS_Package", &format!(r#"{{"Name":"{}"}}"#, "x".repeat(1 << 20)));
    assert_eq!(got.refusal(), (413, "BODY_TOO_LARGE".to_owned()));
    let all = door.get("SMS_Package?$select=PackageID,Name").json()["value"].clone();
    assert_eq!(all.as_array().unwrap().len(), 1);
    assert_eq!(all[0]["Name"], "before");
}

#[test]
fn a_whole_object_is_put_back_as_it_was_read() {
    let door = Door::new(&[]);
    let id = door.package("before");
    let mut read = door.get(&format!("SMS_Package('{id}')")).json()["value"][0].clone();
    read["Description"] = Value::from("changed");
    read["SourceVersion"] = Value::from(99);
    read["__PATH"] = Value::from("of no matter");
    let put = door.post("SMS_Package", &read.to_string());
    assert_eq!(put.status, 201, "{put:?}");
    let put = put.json();
    assert_eq!((&put["Description"], &put["SourceVersion"]), (&Value::from("changed"), &Value::from(0)));
    assert!(put["@odata.context"].as_str().unwrap().ends_with("#SMS_Package/$entity"));
    // It was changed meanwhile: what was read before is stale.
    let stale = door.post("SMS_Package", &read.to_string());
    assert_eq!(stale.refusal(), (409, "STALE_OBJECT".to_owned()));

    // The key with a few properties is a partial Put.
    let partial = door.post("SMS_Package", &json!({ "PackageID": id, "Manufacturer": "m" }).to_string());
    assert_eq!((partial.status, &partial.json()["Description"]), (201, &Value::from("changed")));
    let refused = door.post("SMS_Package", &json!({ "PackageID": id, "SourceVersion": 1 }).to_string());
    assert_eq!(refused.refusal(), (400, "READ_ONLY_PROPERTY".to_owned()));
    // An unknown key creates nothing, whole or partial.
    for extra in [json!({}), json!({ "__PATH": "x" })] {
        let mut body = json!({ "PackageID": "XYZ99999", "Name": "n" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        assert_eq!(door.post("SMS_Package", &body.to_string()).refusal(), (404, "NOT_FOUND".to_owned()));
    }
    assert_eq!(door.get("SMS_Package/$count").body, b"1");
}

#[test]
fn preferences_and_preconditions_are_kept() {
    let door = Door::new(&[]);
    let id = door.package("p");
    let one = wmi(&format!("SMS_Package('{id}')"));
    let patch = |headers: &[&str]| door.request("PATCH", &one, headers, r#"{"Name":"q"}"#);
    let full = patch(&[]);
    assert_eq!((full.status, &full.json()["Name"]), (200, &Value::from("q")));
    let minimal = patch(&["Prefer: return=minimal"]);
    assert_eq!((minimal.status, minimal.body.len()), (204, 0));
    assert_eq!(minimal.header("preference-applied"), Some("return=minimal"));
    assert!(minimal.header("odata-entityid").unwrap().ends_with(&format!("/wmi/SMS_Package('{id}')")));
    let made = door.request("POST", &wmi("SMS_Package"), &["Prefer: return=minimal"], r#"{"Name":"r"}"#);
    assert_eq!(made.status, 204);
    assert!(made.header("location").unwrap().contains("/wmi/SMS_Package('XYZ"), "{made:?}");
    for (value, want) in [("*", 200), (&*format!("\"{id}\""), 200), ("W/\"XYZ00099\"", 412)] {
        assert_eq!(patch(&[&format!("If-Match: {value}")]).status, want, "{value}");
    }
    // The version that was read, until somebody else puts the object.
    let version = |got: &Got| format!("If-Match: {}", got.header("etag").expect("a version"));
    let read = door.request("GET", &format!("{one}?$select=Name"), &[], "");
    let first = patch(&[&version(&read)]);
    assert_eq!(first.status, 200);
    let second = patch(&["Prefer: return=minimal", &format!("{}, \"other\"", version(&first))]);
    assert_eq!(second.status, 204);
    for (verb, body) in [("PATCH", r#"{"Name":"q"}"#), ("DELETE", "")] {
        let stale = door.request(verb, &one, &[&version(&first)], body);
        assert_eq!(stale.refusal(), (412, "STALE_OBJECT".to_owned()), "{verb}");
        assert_eq!(stale.json()["error"]["innererror"]["@odata.type"], "#AdminService.SMS_ExtendedStatus");
    }
    let none = door.request("DELETE", &wmi("SMS_SecuredCategory('SMS00UNA')"), &["If-Match: \"x\""], "");
    assert_eq!(none.refusal(), (412, "IF_MATCH".to_owned()), "a class that keeps no version");
    assert_eq!(
        none.json()["error"],
        json!({
            "code": "412",
            "message": "IF_MATCH: If-Match names another object",
            "innererror": {
                "@odata.type": "#AdminService.__ExtendedStatus",
                "Description": "If-Match names another object",
                "errorCode": "IF_MATCH",
                "correlationId": none.header("x-correlation-id").unwrap(),
            }
        })
    );
    assert_eq!(door.request("DELETE", &one, &["If-Match: \"XYZ00099\""], "").status, 412);
    assert_eq!(door.request("DELETE", &one, &[&version(&first)], "").status, 412);
    assert_eq!(door.request("DELETE", &one, &[], "").status, 204);
    assert_eq!(door.request("DELETE", &one, &[], "").refusal(), (404, "NOT_FOUND".to_owned()));
}

#[test]
fn any_case_finds_an_object_and_impossible_keys_find_none() {
    let door = Door::new(&[]);
    let id = door.package("p");
    let lower = id.to_lowercase();
    for path in [format!("sms_package('{lower}')"), format!("SMS_PACKAGE/{lower}")] {
        let got = door.get(&path);
        assert_eq!(got.json()["value"][0]["PackageID"], *id, "{path}");
        assert_eq!(got.json()["value"][0]["__CLASS"], "SMS_Package", "{path}");
    }
    for path in
        ["SMS_Package('AB''1')", "SMS_Package('XYZ000001')", "SMS_Package(%27%27)", "SMS_Package('a/b')"]
    {
        let path = path.replace("a/b", "a%2Fb");
        let call = format!("{path}/AdminService.RefreshPkgSource");
        for got in [
            door.get(&path),
            door.request("PATCH", &wmi(&path), &[], r#"{"Name":"n"}"#),
            door.request("DELETE", &wmi(&path), &[], ""),
            door.post(&call, ""),
        ] {
            assert_eq!(got.refusal(), (404, "NOT_FOUND".to_owned()), "{path}");
        }
    }
    assert_eq!(door.get("SMS_Package/$count").body, b"1", "nothing was made");
}

#[test]
fn a_method_on_an_unknown_package_fails_with_a_full_status() {
    let door = Door::new(&[]);
    let deleted = door.package("p");
    assert_eq!(door.request("DELETE", &wmi(&format!("SMS_Package('{deleted}')")), &[], "").status, 204);
    for id in ["XYZ99999", &deleted] {
        let got = door.post(&format!("SMS_Package('{id}')/AdminService.RefreshPkgSource"), "{}");
        assert_eq!(got.refusal(), (404, "NOT_FOUND".to_owned()));
        let inner = &got.json()["error"]["innererror"];
        assert_eq!(inner["@odata.type"], "#AdminService.SMS_ExtendedStatus");
        let code = inner["ErrorCode"].as_u64().unwrap();
        assert_eq!(inner["ReturnValue"].as_i64().unwrap(), i64::from((code as u32).cast_signed()));
        assert_ne!(code, 0);
        for (name, want) in [
            ("Operation", Value::from("ExecMethod")),
            ("ObjectInfo", Value::from("SMS_Package")),
            ("ParameterInfo", Value::from(format!("SMS_Package.PackageID=\"{id}\""))),
            ("StatusCode", Value::from(0x8004_1002_u32)),
            ("SQLMessage", Value::Null),
        ] {
            assert_eq!(inner[name], want, "{name} in {inner}");
        }
        assert!(inner["Description"].as_str().unwrap().contains(id));
    }
}

#[test]
fn names_that_would_be_code_elsewhere_are_text_here() {
    let door = Door::new(&[]);
    for name in ["=cmd()", "<script>alert(1)</script>", "]LOG]!>$$<X>", "a'); DROP TABLE packages;--"] {
        let id = door.package(name);
        let got = door.get(&format!("SMS_Package('{id}')"));
        assert_eq!(got.json()["value"][0]["Name"], name);
        assert!(!String::from_utf8_lossy(&got.body).contains('<'), "markup is escaped");
    }
    door.get("SMS_Package('$$<X>%0a')");
    let log = std::fs::read_to_string(door.world.site_data().join("logs/adminservice.log")).unwrap();
    assert!(!log.contains("$$<X>"), "{log}");
    assert_eq!(log.lines().count(), log.matches("$$<SMS_REST_PROVIDER>").count(), "one line a request");
}

#[test]
fn every_refusal_can_be_404_as_deployed_services_answer() {
    let door = Door::new(&[("everything_is_404", "true")]);
    let id = door.package("p");
    for got in [
        door.post("SMS_Package", r#"{"Nope":1}"#),
        door.get("SMS_Package?$filter=x"),
        door.get("SMS_NoSuchClass"),
        door.post(&format!("SMS_Package('{id}')/AdminService.RefreshPkgSource"), ""),
        door.request("PATCH", &wmi(&format!("SMS_Package('{id}')")), &[], r#"{"SourceVersion":1}"#),
    ] {
        assert_eq!(got.refusal().0, 404, "{got:?}");
    }
    assert_eq!(door.request_as("", "GET", &wmi("SMS_Package"), &[], "").status, 401);
}

#[test]
fn a_source_beneath_no_root_is_stored_and_its_refresh_names_path_and_reason() {
    let door = Door::new(&[]);
    let made: Vec<(&str, String)> = [
        r"\\attacker\x",
        "http://169.254.169.254/",
        "file:///etc",
        "/etc",
        r"\\localhost\c$",
        r"\\127.0.0.1\x",
        r"\\169.254.169.254\x",
        r"\\[::1]\x",
    ]
    .into_iter()
    .map(|path| {
        let body = json!({ "Name": "n", "PkgSourceFlag": 2, "PkgSourcePath": path }).to_string();
        let made = door.post("SMS_Package", &body);
        assert_eq!(made.status, 201, "{path}: {made:?}");
        let made = made.json();
        assert_eq!(made["PkgSourcePath"], path);
        (path, made["PackageID"].as_str().unwrap().to_owned())
    })
    .collect();
    for (path, id) in &made {
        let failed = format!("SMS_StatMsgWithInsStrings?$filter=MessageID eq 2306 and InsString1 eq '{id}'");
        let message = door.poll(&failed, Value::is_object);
        assert_eq!(message["InsString3"], *path);
        assert_eq!(message["InsString4"], "SOURCE_ROOT_MISSING", "{path}");
        let shown = door.world.ask(&["package", "show", id]).done();
        assert_eq!(shown["refresh"]["why"]["rule"], "SOURCE_ROOT_MISSING", "{path}");
    }
}

#[test]
fn a_path_may_begin_with_any_name_of_the_server() {
    let door = Door::new(&[("names", r#"["sms.contoso.example"]"#)]);
    let id = door.package("p");
    for (server, status) in [("SMS.contoso.example", 0), (".", 0), ("other", 5)] {
        let path = format!(r#"\\{server}\root\sms\site_XYZ:SMS_Package.PackageID="{id}""#);
        let ran = door.world.ask(&["get", &path]);
        assert_eq!(ran.code == 0, status == 0, "{path}: {ran:?}");
        assert!(status == 0 || ran.document()["error"]["code"] == "INVALID_NAMESPACE", "{ran:?}");
    }
}

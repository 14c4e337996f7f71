//! Messages that are not what they should be, and calls that are not to be carried out.

use restock_names::{Clock, SystemClock};
use serde_json::Value;

use crate::adminservice::door::{Door, basic};
use crate::cimom::messages::{
    call_package, class, escaped, get_package, message, modify_package, operation, package_name, parameter,
    post, post_as, property, protocol, refusal, response, text, values,
};

const XML: &str = "Content-Type: application/xml; charset=utf-8";

/// A body is refused as no XML, at once, and nothing else happens.
#[track_caller]
fn check_not_xml(door: &Door, content: &str, body: impl AsRef<[u8]>, code: &str) {
    let begun = SystemClock.monotonic();
    let got = post_as(door, &basic(door.user, &door.password), content, body);
    assert_eq!(protocol(&got), (400, "request-not-well-formed".to_owned(), code.to_owned()));
    let took = SystemClock.monotonic() - begun;
    assert!(took.as_secs() < 10, "{code} took {took:?}");
}

#[test]
fn documents_that_reach_out_or_blow_up_are_refused_before_they_are_read() {
    let door = Door::new(&[]);
    // A listener that nobody may reach.
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let call = get_package("XYZ00001").replacen("<?xml version=\"1.0\" encoding=\"utf-8\"?>", "", 1);
    for doctype in [
        "<!DOCTYPE CIM [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>".to_owned(),
        format!("<!DOCTYPE CIM SYSTEM \"http://{}/x.dtd\">", trap.local_addr().unwrap()),
        format!("<!DOCTYPE CIM [<!ENTITY % x SYSTEM \"http://{}/x\"> %x;]>", trap.local_addr().unwrap()),
        "<!DOCTYPE l [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">]>".to_owned(),
        format!("<?xml version=\"1.0\"?>\n<!-- x -->\n<!doctype q [<!ENTITY a \"{}\">]>", "a".repeat(50_000)),
    ] {
        check_not_xml(&door, XML, format!("{doctype}{call}"), "XML_DTD_FORBIDDEN");
    }
    assert!(trap.accept().is_err(), "no connection leaves");
    check_not_xml(&door, XML, "<a>".repeat(100_000), "XML_DEPTH");
    let many = |one: fn(usize) -> String| (0..50_000).map(one).collect::<String>();
    check_not_xml(&door, XML, format!("<CIM{}/>", many(|n| format!(" a{n}='1'"))), "XML_ATTRIBUTES");
    check_not_xml(&door, XML, format!("<CIM{}/>", many(|n| format!(" xmlns:a{n}='u'"))), "XML_ATTRIBUTES");
    check_not_xml(&door, XML, format!("<CIM>{}</CIM>", "<a/>".repeat(100_001)), "XML_SIZE");
    door.check_alive();
}

#[test]
fn encodings_characters_and_ids_must_be_right() {
    let door = Door::new(&[]);
    check_not_xml(&door, "Content-Type: application/xml; charset=utf-7", "+ADw-CIM/+AD4-", "XML_ENCODING");
    check_not_xml(&door, XML, "<?xml version=\"1.0\" encoding=\"UTF-7\"?><CIM/>", "XML_ENCODING");
    check_not_xml(&door, XML, b"\xff\xfe<\0C\0/\0>\0", "XML_ENCODING");
    check_not_xml(&door, "Content-Type: text/xml; charset=utf-16le", b"\xfe\xff\0<\0C\0/\0>", "XML_ENCODING");
    check_not_xml(&door, XML, b"<CIM>\xc0\x80</CIM>", "XML_ENCODING");
    for bad in ["]]>", "\0", "\u{fffe}", "&#0;", "&#xFFFE;"] {
        check_not_xml(&door, XML, get_package("XYZ00001").replace("XYZ00001", bad), "XML_CHAR");
    }
    let twice = get_package("XYZ00001").replace("<SIMPLEREQ>", "<SIMPLEREQ ID=\"77\">");
    check_not_xml(&door, XML, twice, "XML_DUPLICATE_ID");
    check_not_xml(&door, XML, "", "XML_SYNTAX");
    // The same message in UTF-16 with its mark is a message.
    let call =
        operation("EnumerateInstanceNames", &class("ClassName", "SMS_Site")).replace("utf-8", "utf-16");
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(call.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let got =
        post_as(&door, &basic(door.user, &door.password), "Content-Type: text/xml; charset=utf-16", utf16);
    assert_eq!(values(&got).len(), 1);
}

#[test]
fn what_is_no_message_is_an_http_error() {
    let door = Door::new(&[]);
    let call = operation("EnumerateClassNames", "");
    let two = |tag: &str| {
        let (from, to) = (call.find(&format!("<{tag}")).unwrap(), call.find(&format!("</{tag}>")).unwrap());
        let end = to + tag.len() + 3;
        format!("{}{}{}", &call[..end], &call[from..end], &call[end..])
    };
    for (body, error, code) in [
        ("<SOAP/>".to_owned(), "request-not-valid", "CIMXML_INVALID"),
        (two("IMETHODCALL"), "request-not-valid", "CIMXML_INVALID"),
        (two("SIMPLEREQ"), "request-not-valid", "CIMXML_INVALID"),
        (two("MESSAGE").replacen("ID=\"77\"", "ID=\"78\"", 1), "request-not-valid", "CIMXML_INVALID"),
        (call.replace("SIMPLEREQ", "MULTIREQ"), "multiple-requests-unsupported", "CIMXML_MULTIPLE"),
        (
            call.replace("CIMVERSION=\"2.0\"", "CIMVERSION=\"9.0\""),
            "unsupported-cim-version",
            "CIMXML_VERSION",
        ),
        (call.replace("PROTOCOLVERSION=\"1.0\"", ""), "unsupported-protocol-version", "CIMXML_VERSION"),
    ] {
        let got = protocol(&post(&door, &body));
        assert_eq!((&*got.1, &*got.2), (error, code), "{body}");
        assert!(matches!(got.0, 400 | 501), "{body}");
    }
    let nobody = door.request_as("", "POST", "/cimom", &[], "<CIM/>");
    assert_eq!(nobody.status, 401);
    assert!(nobody.headers.contains("www-authenticate: Basic realm="), "{}", nobody.headers);
    let got = door.request("GET", "/cimom", &[], "");
    assert_eq!((got.status, got.header("allow")), (405, Some("POST, M-POST, OPTIONS")));
    // What a page of another origin sends is refused before anybody signs in.
    let got = door.request_as("", "POST", "/cimom", &["Origin: https://evil.example"], "x");
    assert_eq!(got.status, 403);
    door.check_alive();
}

#[test]
fn m_post_is_answered_with_its_own_prefix() {
    let door = Door::new(&[]);
    let body = operation("EnumerateInstanceNames", &class("ClassName", "SMS_Site"));
    let send = |man: &str, path: &str| {
        door.raw(format!(
            "M-POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{}{man}73-CIMOperation: MethodCall\r\n\
             Content-Type: application/xml\r\nContent-Length: {}\r\n\r\n{body}",
            door.http,
            door.authorization(),
            body.len()
        ))
    };
    for path in ["/cimom", "/"] {
        let got = send("Man: http://www.dmtf.org/cim/mapping/http/v1.0 ; ns=73\r\n", path);
        assert_eq!((got.status, got.header("73-cimoperation")), (200, Some("MethodResponse")), "{path}");
        assert!(got.header("ext").is_some() && got.header("man").is_some_and(|man| man.ends_with("ns=73")));
    }
    assert_eq!(send("", "/cimom").status, 510);
    assert_eq!(send("Man: \"urn:x\" ; ns=73\r\n", "/cimom").status, 510);
}

#[test]
fn objects_that_are_not_there_are_not_found_and_never_an_empty_success() {
    let door = Door::new(&[]);
    for id in ["NOPE0000", "AB'1", "XYZ000001", "", "x\" OR 1=1"] {
        let found = |body: &str| refusal(&post(&door, body));
        let not_found = (6, "NOT_FOUND".to_owned());
        assert_eq!(found(&get_package(id)), not_found, "{id}");
        assert_eq!(found(&call_package(id, "RefreshPkgSource")), not_found, "{id}");
        let name =
            |parameter: &str| format!("<IPARAMVALUE NAME=\"{parameter}\">{}</IPARAMVALUE>", package_name(id));
        assert_eq!(found(&operation("DeleteInstance", &name("InstanceName"))), not_found, "{id}");
        assert_eq!(found(&operation("Associators", &name("ObjectName"))), not_found, "{id}");
        assert_eq!(found(&operation("ReferenceNames", &name("ObjectName"))), not_found, "{id}");
        let named = property("Name", "string", "n");
        assert_eq!(found(&modify_package(id, &named, &["Name"])), not_found, "{id}");
        assert_eq!(found(&modify_package(id, &named, &[])), not_found, "{id}");
    }
    // The whole status stands beside the text.
    let got = response(&post(&door, call_package("nope0000", "refreshpkgsource")));
    let status = got.child("", "ERROR").unwrap().child("", "INSTANCE").unwrap().clone();
    let value = |name: &str| {
        let found = status.elements().find(|e| e.attribute("NAME") == Some(name));
        found.and_then(|e| e.child("", "VALUE")).map(|e| e.text()).unwrap_or_default()
    };
    assert_eq!(status.attribute("CLASSNAME"), Some("SMS_ExtendedStatus"));
    assert_eq!((&*value("CauseInfo"), &*value("Operation")), ("NOT_FOUND", "ExecMethod"));
    assert!(value("ErrorCode").parse::<u32>().unwrap() > 0);
    assert_eq!(door.get("SMS_Package/$count").body, b"0", "nothing was made");
}

#[test]
fn enumerations_have_limits_and_belong_to_one_account() {
    let door = Door::new(&[]);
    (0..3).for_each(|n| drop(door.package(&format!("p{n}"))));
    let open = |count: &str| {
        operation(
            "OpenEnumerateInstances",
            &(class("ClassName", "SMS_Package") + &text("MaxObjectCount", count)),
        )
    };
    assert_eq!(refusal(&post(&door, open("2147483648"))), (4, "RANGE".to_owned()));
    assert_eq!(refusal(&post(&door, open("-1"))).0, 4);
    let first = post(&door, open("1"));
    assert_eq!((values(&first).len(), &*parameter(&first, "EndOfSequence")), (1, "FALSE"));
    let context = parameter(&first, "EnumerationContext");
    assert!(context.len() == 32 && context.bytes().all(|b| b.is_ascii_hexdigit()), "{context}");
    let pull = operation(
        "PullInstancesWithPath",
        &(text("EnumerationContext", &context) + &text("MaxObjectCount", "1")),
    );
    let unknown = (21, "INVALID_CONTEXT".to_owned());
    let other = basic("other", &door.account("other", Some("SMS0001R")));
    assert_eq!(refusal(&post_as(&door, &other, XML, &pull)), unknown, "it is another account's");
    assert_eq!(refusal(&post(&door, pull.replace(&context, &"0".repeat(32)))), unknown);
    let elsewhere = pull.replace("<NAMESPACE NAME=\"site_XYZ\"/>", "");
    assert_eq!(refusal(&post(&door, elsewhere)), unknown, "it is of another namespace");
    assert_eq!(values(&post(&door, &pull)).len(), 1, "it was not lost by that");
    // With other rights the enumeration is gone.
    let reader = basic("reader", &door.account("reader", Some("SMS0002R")));
    let first = post_as(&door, &reader, XML, open("1"));
    let pull = pull.replace(&context, &parameter(&first, "EnumerationContext"));
    door.world.ask(&["admin", "revoke", "reader", "SMS0002R"]).done();
    assert_eq!(refusal(&post_as(&door, &reader, XML, pull)), unknown);
    // One account has a limited number open.
    let mut last = post(&door, open("1"));
    for _ in 1..65 {
        last = post(&door, open("1"));
    }
    assert_eq!(refusal(&last), (27, "TOO_MANY_CONTEXTS".to_owned()));
    assert_eq!(values(&post_as(&door, &other, XML, open("1"))).len(), 1, "others are not affected");
}

#[test]
fn queries_that_are_none_are_refused_at_their_column() {
    let door = Door::new(&[]);
    door.package("kept");
    let query = |wql: &str| {
        post(&door, operation("ExecQuery", &(text("QueryLanguage", "WQL") + &text("Query", wql))))
    };
    for wql in [
        "SELECT * FROM SMS_Package WHERE Name = '' OR 1=1 --'",
        "SELECT * FROM SMS_Package; DROP TABLE packages",
        "SELECT * FROM SMS_Package SELECT * FROM SMS_Site",
        "SELEKT x",
        "DELETE FROM SMS_Package",
    ] {
        let got = query(wql);
        assert_eq!(refusal(&got).0, 15, "{wql}");
        let description = String::from_utf8_lossy(&got.body).into_owned();
        assert!(description.contains("column") || wql.starts_with("DELETE"), "{description}");
    }
    assert_eq!(refusal(&query("SELECT * FROM SMS_NoSuchClass")), (5, "INVALID_CLASS".to_owned()));
    assert_eq!(refusal(&query("SELECT Nothing FROM SMS_Package")), (12, "UNKNOWN_PROPERTY".to_owned()));
    let cql = operation(
        "ExecQuery",
        &(text("QueryLanguage", "DMTF:CQL") + &text("Query", "SELECT * FROM SMS_Package")),
    );
    assert_eq!(refusal(&post(&door, cql)).0, 14);
    assert_eq!(values(&query("SELECT * FROM SMS_Package")).len(), 1, "it is still there");
}

#[test]
fn a_call_without_the_right_is_refused_or_not_there_and_leaves_its_line() {
    let door = Door::new(&[]);
    let id = door.package("p");
    let reader = basic("reader", &door.account("reader", Some("SMS0002R")));
    let blind = basic("blind", &door.account("blind", None));
    let call = call_package(&id, "RefreshPkgSource");
    let as_account = |who: &str, body: &str| post_as(&door, who, XML, body);
    assert_eq!(values(&as_account(&reader, &get_package(&id))).len(), 1);
    assert_eq!(refusal(&as_account(&reader, &call)), (2, "SCOPE".to_owned()));
    assert_eq!(refusal(&as_account(&blind, &call)), (6, "NOT_FOUND".to_owned()));
    let all = operation("EnumerateInstances", &class("ClassName", "SMS_Package"));
    assert_eq!(values(&as_account(&blind, &all)).len(), 0);
    let log = std::fs::read_to_string(door.world.site_data().join("logs/SMSProv.log")).unwrap();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("::RefreshPkgSource refused")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(
        lines.iter().all(|line| line.contains(&format!("SMS_Package.PackageID=\"{id}\"::RefreshPkgSource")))
    );
    let events = std::fs::read_to_string(door.world.site_data().join("logs/restock.jsonl")).unwrap();
    let events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let said: Vec<Value> = events.filter(|event| event["door"] == "cimxml").collect();
    assert!(said.len() >= 2, "{said:?}");
    let exported = door.world.ask(&["audit", "export"]).stdout;
    assert!(exported.matches("\"cimxml\"").count() >= 2, "{exported}");
}

#[test]
fn values_that_do_not_fit_change_nothing() {
    let door = Door::new(&[]);
    let id = door.package("kept");
    let modify =
        |properties: &str, listed: &[&str]| refusal(&post(&door, modify_package(&id, properties, listed)));
    for (properties, listed, want) in [
        (property("Priority", "string", "2"), "Priority", (13, "TYPE")),
        (property("Priority", "uint32", "two"), "Priority", (13, "TYPE")),
        (property("Priority", "uint32", "9223372036854775808"), "Priority", (13, "TYPE")),
        (property("Nothing", "string", "x"), "Nothing", (12, "UNKNOWN_PROPERTY")),
        (property("SourceVersion", "uint32", "9"), "SourceVersion", (4, "READ_ONLY_PROPERTY")),
        (property("Name", "string", "n"), "Description", (12, "UNKNOWN_PROPERTY")),
    ] {
        let got = modify(&properties, &[listed]);
        assert_eq!((got.0, &*got.1), want, "{properties}");
    }
    let twice = property("Name", "string", "a") + &property("name", "string", "b");
    assert_eq!(protocol(&post(&door, modify_package(&id, &twice, &[]))).2, "CIMXML_INVALID");
    // A whole object: what only the site writes is ignored.
    let whole = property("Description", "string", "d") + &property("SourceVersion", "uint32", "9");
    assert!(response(&post(&door, modify_package(&id, &whole, &[]))).children.is_empty());
    let row = door.get(&format!("SMS_Package('{id}')")).json()["value"][0].clone();
    assert_eq!((&row["Name"], &row["Description"]), (&Value::from("kept"), &Value::from("d")));
    assert_ne!(row["SourceVersion"], 9);
}

#[test]
fn a_source_under_no_root_is_stored_and_never_opened() {
    let door = Door::new(&[]);
    for path in [r"\\attacker\x", "http://169.254.169.254/", "/etc"] {
        let instance = property("Name", "string", "outside")
            + &property("PkgSourceFlag", "uint32", "2")
            + &property("PkgSourcePath", "string", path);
        let create = operation(
            "CreateInstance",
            &format!(
                "<IPARAMVALUE NAME=\"NewInstance\"><INSTANCE CLASSNAME=\"SMS_Package\">{instance}</INSTANCE></IPARAMVALUE>"
            ),
        );
        let got = post(&door, &create);
        let id = values(&got)[0].elements().next().unwrap().elements().next().unwrap().text();
        let waiting = "SMS_StatusMessage?$filter=MessageID eq 2306&$top=1";
        door.poll(waiting, |row| !row.is_null());
        let row = door.get(&format!("SMS_Package('{id}')")).json()["value"][0].clone();
        assert_eq!(row["PkgSourcePath"], path, "{}", escaped(path));
    }
}

#[test]
fn names_are_shown_escaped() {
    let door = Door::new(&[]);
    let id = door.package("=cmd()<script>alert(1)</script>");
    let got = post(&door, get_package(&id));
    let body = String::from_utf8_lossy(&got.body);
    assert!(!body.contains("<script>") && body.contains("=cmd()&lt;script&gt;"), "{body}");
    assert!(post(&door, message("<IMETHODCALL/>")).status == 400);
}

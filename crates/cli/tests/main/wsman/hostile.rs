//! What hostile or careless clients send: each is answered by a fault, and changes nothing.

use crate::adminservice::door::{Door, Got};
use crate::support::World;
use crate::wsman::envelopes::{
    ENUMERATION, TRANSFER, authorization, check_fault, enumerate, fault, find, get, invoke, post, post_as,
    query, selector, sent, text_of, tree, uri,
};

#[track_caller]
fn check_xml(door: &Door, body: impl AsRef<[u8]>, code: &str) {
    let got = post_as(door, &door.authorization(), "Content-Type: application/soap+xml\r\n", body.as_ref());
    assert_eq!(fault(&got).1, code, "{}", String::from_utf8_lossy(&got.body));
}

#[test]
fn documents_that_are_more_than_a_request_are_refused_by_name() {
    let door = Door::new(&[]);
    let site = get("SMS_Site", &selector("SiteCode", "XYZ"));
    for doctype in [
        "<!DOCTYPE s [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>".to_owned(),
        format!("<!DOCTYPE s SYSTEM \"http://{}/x\">", door.http),
        format!(
            "<!DOCTYPE s [<!ENTITY a \"{}\">{}]>",
            "b".repeat(1_000),
            "<!ENTITY c \"&a;&a;\">".repeat(50)
        ),
        "<!-- x --><!DOCTYPE s>".to_owned(),
    ] {
        check_xml(&door, format!("{doctype}{}", site.replace("XYZ<", "&x;<")), "XML_DTD_FORBIDDEN");
    }
    check_xml(&door, "<a>".repeat(100_000), "XML_DEPTH");
    check_xml(&door, format!("<a>{}{}</a>", "<b>".repeat(100), "</b>".repeat(100)), "XML_DEPTH");
    let attributes: String = (0..50_000).map(|n| format!(" a{n}=''")).collect();
    check_xml(&door, format!("<a{attributes}/>"), "XML_ATTRIBUTES");
    let namespaces: String = (0..50_000).map(|n| format!(" xmlns:a{n}='u'")).collect();
    check_xml(&door, format!("<a{namespaces}/>"), "XML_ATTRIBUTES");
    check_xml(&door, b"<a>\xff</a>", "XML_ENCODING");
    check_xml(&door, "<?xml version='1.0' encoding='UTF-7'?><a/>", "XML_ENCODING");
    let utf16 = b"\xfe\xff\0<\0a\0/\0>";
    let mismarked = "Content-Type: application/soap+xml;charset=utf-16le\r\n";
    let got = post_as(&door, &door.authorization(), mismarked, utf16);
    check_fault(&got, "w:EncodingLimit", "XML_ENCODING");
    for text in ["]]>", "\0", "\u{FFFE}", "&#0;"] {
        check_xml(&door, site.replace("XYZ<", &format!("{text}<")), "XML_CHAR");
    }
    check_xml(&door, site.replace("<s:Body>", "<s:Body/><s:Body>"), "XML_DUPLICATE_ID");
    let twice = site.replace("<s:Body>", "<s:Body id='1'>").replace("<s:Header>", "<s:Header id='1'>");
    check_xml(&door, twice, "XML_DUPLICATE_ID");
    door.check_alive();
}

#[test]
fn a_wrong_envelope_or_action_is_no_action() {
    let door = Door::new(&[]);
    let soap11 = get("SMS_Site", "")
        .replace("http://www.w3.org/2003/05/soap-envelope", "http://schemas.xmlsoap.org/soap/envelope/");
    check_fault(&post(&door, &soap11), "a:ActionNotSupported", "SOAP_VERSION");
    for action in [format!("{TRANSFER}/Rename"), "urn:x".to_owned(), format!("{}/No/Such", uri("SMS_Site"))] {
        check_fault(&post(&door, &sent(&action, &uri("SMS_Site"), "", "")), "a:ActionNotSupported", "ACTION");
    }
    check_fault(
        &post(&door, &invoke("SMS_Package", "NoSuchMethod", &selector("PackageID", "X"), "")),
        "a:ActionNotSupported",
        "INVALID_METHOD",
    );
    for method in ["GET", "PUT", "M-POST"] {
        let head = format!("{method} /wsman HTTP/1.1\r\nHost: {}\r\n{}\r\n", door.http, door.authorization());
        let got = door.raw(head);
        assert_eq!((got.status, got.header("allow")), (405, Some("POST, OPTIONS")), "{method}");
    }
    door.check_alive();
}

#[test]
fn an_object_that_is_not_there_is_never_an_empty_success() {
    let door = Door::new(&[]);
    let package = |id: &str| get("SMS_Package", &selector("PackageID", id));
    for id in ["NOPE0000", "XYZ00001", "AB'1", "XYZ000012", ""] {
        let got = post(&door, &package(id));
        check_fault(&got, "a:DestinationUnreachable", "NOT_FOUND");
        assert_eq!(text_of(&got, "RelatesTo"), "uuid:1");
        let call = post(&door, &invoke("SMS_Package", "RefreshPkgSource", &selector("PackageID", id), ""));
        check_fault(&call, "a:DestinationUnreachable", "NOT_FOUND");
        let answer = tree(&call);
        let status = find(&answer, "SMS_ExtendedStatus").unwrap_or_else(|| panic!("{call:?}"));
        assert_eq!(find(status, "CauseInfo").unwrap().text(), "NOT_FOUND");
        assert_eq!(find(status, "Operation").unwrap().text(), "ExecMethod");
        let delete = sent(&format!("{TRANSFER}/Delete"), &uri("SMS_Package"), &selector("PackageID", id), "");
        check_fault(&post(&door, &delete), "a:DestinationUnreachable", "NOT_FOUND");
        let body =
            format!("<p:SMS_Package xmlns:p='{}'><p:Name>x</p:Name></p:SMS_Package>", uri("SMS_Package"));
        let put = sent(&format!("{TRANSFER}/Put"), &uri("SMS_Package"), &selector("PackageID", id), &body);
        check_fault(&post(&door, &put), "a:DestinationUnreachable", "NOT_FOUND");
    }
    assert_eq!(door.get("SMS_Package/$count").body, b"0", "nothing was made");
    check_fault(&post(&door, &get("SMS_NoSuchClass", "")), "a:DestinationUnreachable", "INVALID_CLASS");
    let elsewhere = package("XYZ00001").replace("root/sms/site_XYZ", "root/cimv2");
    check_fault(&post(&door, &elsewhere), "a:DestinationUnreachable", "INVALID_NAMESPACE");
    let shell = package("X")
        .replace(&uri("SMS_Package"), "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd");
    check_fault(&post(&door, &shell), "a:DestinationUnreachable", "RESOURCE_URI");
    check_fault(&post(&door, &get("SMS_Package", "")), "w:InvalidSelectors", "INVALID_PATH");
    check_fault(
        &post(&door, &get("SMS_Package", &selector("Name", "x"))),
        "w:InvalidSelectors",
        "INVALID_PATH",
    );
}

#[test]
fn limits_of_enumerations_are_faults() {
    let door = Door::new(&[]);
    let elements = |number: &str| {
        enumerate("SMS_Site", "", &format!("<w:OptimizeEnumeration/><w:MaxElements>{number}</w:MaxElements>"))
    };
    for number in ["2147483648", "0", "-1", "x", "99999999999999999999"] {
        let got = post(&door, &elements(number));
        check_fault(&got, "w:UnsupportedFeature", "MAX_ELEMENTS");
        assert!(text_of(&got, "Text").contains("32000") || number == "0", "the limit is named");
    }
    assert_eq!(post(&door, &elements("32000")).status, 200);
    let mut last = None;
    for _ in 0..65 {
        last = Some(post(&door, &enumerate("SMS_Site", "", "")));
    }
    check_fault(&last.unwrap(), "w:QuotaLimit", "CONTEXTS");
    let all = "<n:Enumerate/>".to_owned();
    let all = sent(&format!("{ENUMERATION}/Enumerate"), &uri("*"), "", &all);
    check_fault(&post(&door, &all), "w:UnsupportedFeature", "FILTER_REQUIRED");
    door.check_alive();
}

#[test]
fn a_query_that_is_none_says_where() {
    let door = Door::new(&[]);
    for text in [
        "selekt",
        "select * from SMS_Package where Name = '' OR 1=1 --'",
        "select * from SMS_Package;DROP TABLE packages",
        "select * from SMS_Package; select * from SMS_Site",
    ] {
        let got = post(&door, &query(text));
        check_fault(&got, "n:CannotProcessFilter", "WQL_SYNTAX");
        assert!(text_of(&got, "Text").contains("at column "), "{}", text_of(&got, "Text"));
    }
    check_fault(
        &post(&door, &query("select * from SMS_NoSuch")),
        "a:DestinationUnreachable",
        "INVALID_CLASS",
    );
    check_fault(
        &post(&door, &query("select Nope from SMS_Package")),
        "w:InvalidParameter",
        "UNKNOWN_PROPERTY",
    );
    let cql = query("select * from SMS_Package").replace(
        "http://schemas.microsoft.com/wbem/wsman/1/WQL",
        "http://schemas.dmtf.org/wbem/cql/1/dsp0202.pdf",
    );
    check_fault(&post(&door, &cql), "n:FilterDialectRequestedUnavailable", "QUERY_LANGUAGE");
    assert_eq!(door.get("SMS_Package/$count").body, b"0");
    let locator = query("select * from SMS_Package").replace("root/sms/site_XYZ/*", "root/sms/*");
    check_fault(&post(&door, &locator), "a:DestinationUnreachable", "INVALID_CLASS");
}

#[test]
fn values_that_do_not_fit_change_nothing() {
    let door = Door::new(&[]);
    let id = door.package("kept");
    let put = |inner: &str| {
        let body = format!("<p:SMS_Package xmlns:p='{}'>{inner}</p:SMS_Package>", uri("SMS_Package"));
        post(
            &door,
            &sent(&format!("{TRANSFER}/Put"), &uri("SMS_Package"), &selector("PackageID", &id), &body),
        )
    };
    check_fault(&put("<Name>lost</Name><Priority>high</Priority>"), "w:InvalidParameter", "TYPE");
    check_fault(
        &put("<Name>lost</Name><Priority>9223372036854775808</Priority>"),
        "w:InvalidParameter",
        "TYPE",
    );
    check_fault(&put("<Name>lost</Name><Nope>1</Nope>"), "w:InvalidParameter", "UNKNOWN_PROPERTY");
    check_fault(&put("<Name>lost</Name><name>twice</name>"), "w:InvalidParameter", "TYPE");
    let got =
        post(&door, &invoke("SMS_Package", "RefreshPkgSource", &selector("PackageID", &id), "<X>1</X>"));
    check_fault(&got, "w:InvalidParameter", "UNKNOWN_PARAMETER");
    assert_eq!(text_of(&post(&door, &get("SMS_Package", &selector("packageid", &id))), "Name"), "kept");
    assert_eq!(
        put("<SourceVersion>77</SourceVersion><PackageID>Z</PackageID>").status,
        200,
        "read-only ones are ignored"
    );
    let after = text_of(&post(&door, &get("SMS_Package", &selector("PackageID", &id))), "SourceVersion");
    assert_ne!(after, "77");
}

#[test]
fn who_may_not_is_told_so_only_of_what_he_may_read() {
    let door = Door::new(&[]);
    let id = door.package("secret");
    let reader = authorization("reader", &door.account("reader", Some("SMS0002R")));
    let nobody = authorization("nobody", &door.account("nobody", None));
    let call = invoke("SMS_Package", "RefreshPkgSource", &selector("PackageID", &id), "");
    let as_account = |authorization: &str, text: &str| post_as(&door, authorization, "", text.as_bytes());
    check_fault(&as_account(&reader, &call), "w:AccessDenied", "SCOPE");
    check_fault(&as_account(&nobody, &call), "a:DestinationUnreachable", "NOT_FOUND");
    let read = get("SMS_Package", &selector("PackageID", &id));
    assert_eq!(as_account(&reader, &read).status, 200);
    check_fault(&as_account(&nobody, &read), "a:DestinationUnreachable", "NOT_FOUND");
    let all = enumerate("SMS_Package", "", "<w:OptimizeEnumeration/>");
    let none = as_account(&nobody, &all);
    assert_eq!(find(&tree(&none), "Items").unwrap().elements().count(), 0);
    assert_eq!(as_account("", &read).status, 401);
    let log = |name: &str| read_log(&door.world, name);
    let called = format!("SMS_Package.PackageID=\"{id}\"::RefreshPkgSource refused");
    assert!(log("SMSProv.log").contains(&called), "{}", log("SMSProv.log"));
    assert!(log("restock.jsonl").contains("\"door\":\"wsman\""), "each line says the door");
}

fn read_log(world: &World, name: &str) -> String {
    let folder = world.site_data().join("logs");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{error}: {}", folder.display()));
    let found = entries
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().is_some_and(|n| n.eq_ignore_ascii_case(name)));
    std::fs::read_to_string(found.unwrap_or_else(|| panic!("no {name}"))).unwrap()
}

#[test]
fn a_source_outside_the_roots_is_stored_and_opened_by_nobody() {
    let door = Door::new(&[]);
    let source = r"\\attacker\x";
    let body = format!(
        "<p:SMS_Package xmlns:p='{}'><p:Name>a</p:Name><p:PkgSourceFlag>2</p:PkgSourceFlag>\
         <p:PkgSourcePath>{source}</p:PkgSourcePath></p:SMS_Package>",
        uri("SMS_Package")
    );
    let made: Got = post(&door, &sent(&format!("{TRANSFER}/Create"), &uri("SMS_Package"), "", &body));
    assert_eq!(made.status, 200, "{made:?}");
    let answer = tree(&made);
    let created = find(&answer, "ResourceCreated").unwrap();
    let id = created_key(created, "PackageID");
    assert_eq!(door.get(&format!("SMS_Package('{id}')")).json()["value"][0]["PkgSourcePath"], source);
    let failed = format!("SMS_StatMsgWithInsStrings?$filter=MessageID eq 2306 and InsString1 eq '{id}'");
    let message = door.poll(&failed, serde_json::Value::is_object);
    assert_eq!(message["InsString4"], "SOURCE_ROOT_MISSING");
}

fn created_key(created: &restock_wire::xml::Element, name: &str) -> String {
    let set = find(created, "SelectorSet").unwrap();
    set.elements().find(|selector| selector.attribute("Name") == Some(name)).unwrap().text()
}

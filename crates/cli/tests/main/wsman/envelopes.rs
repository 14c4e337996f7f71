//! Envelopes as bytes: what answers look like, contexts, limits.

use restock_wire::wsman::names;
use restock_wire::xml::{self, Element};

use crate::adminservice::door::{Door, Got, basic};

pub(super) const TRANSFER: &str = names::TRANSFER;
pub(super) const ENUMERATION: &str = names::ENUMERATION;

/// The resource URI of a class of the site.
pub(super) fn uri(class: &str) -> String {
    format!("{}root/sms/site_XYZ/{class}", names::WMI_PREFIX)
}

/// An envelope for `resource`; `headers` and `body` are XML with the prefixes declared here.
pub(super) fn sent(action: &str, resource: &str, headers: &str, body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s='{}' xmlns:a='{}' xmlns:w='{}' xmlns:n='{ENUMERATION}' xmlns:xsi='{}'><s:Header>\
         <a:Action>{action}</a:Action><a:MessageID>uuid:1</a:MessageID><w:ResourceURI>{resource}</w:ResourceURI>\
         {headers}</s:Header><s:Body>{body}</s:Body></s:Envelope>",
        names::SOAP,
        names::ADDRESSING,
        names::WSMAN,
        names::SCHEMA_INSTANCE,
    )
}

pub(super) fn selector(name: &str, value: &str) -> String {
    format!("<w:SelectorSet><w:Selector Name='{name}'>{value}</w:Selector></w:SelectorSet>")
}

/// Posts bytes by an account, or by nobody.
pub(super) fn post_as(door: &Door, authorization: &str, headers: &str, body: &[u8]) -> Got {
    let mut bytes = format!(
        "POST /wsman HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{authorization}{headers}Content-Length: {}\r\n\r\n",
        door.http,
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    door.raw(bytes)
}

/// Posts an envelope by the account that may do everything.
pub(super) fn post(door: &Door, text: &str) -> Got {
    post_as(
        door,
        &door.authorization(),
        "Content-Type: application/soap+xml;charset=UTF-8\r\n",
        text.as_bytes(),
    )
}

pub(super) fn authorization(user: &str, password: &str) -> String {
    format!("Authorization: {}\r\n", basic(user, password))
}

/// The answer's envelope.
#[track_caller]
pub(super) fn tree(got: &Got) -> Element {
    assert_eq!(got.header("content-type"), Some("application/soap+xml;charset=UTF-8"), "{got:?}");
    xml::read(
        &got.body,
        Some("utf-8"),
        &xml::Limits { bytes_max: 1 << 24, nodes_max: 1 << 20, ..xml::Limits::default() },
    )
    .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&got.body)))
}

/// The first element `name` at any depth, whatever its namespace.
pub(super) fn find<'e>(element: &'e Element, name: &str) -> Option<&'e Element> {
    if element.name == name {
        return Some(element);
    }
    element.elements().find_map(|inner| find(inner, name))
}

pub(super) fn text_of(got: &Got, name: &str) -> String {
    let tree = tree(got);
    find(&tree, name).unwrap_or_else(|| panic!("no {name}: {}", String::from_utf8_lossy(&got.body))).text()
}

/// Subcode and stable code of a fault, whose form is checked.
#[track_caller]
pub(super) fn fault(got: &Got) -> (String, String) {
    let text = String::from_utf8_lossy(&got.body);
    assert_eq!(got.status, 500, "{text}");
    let tree = tree(got);
    let fault = find(&tree, "Fault").unwrap_or_else(|| panic!("no fault: {text}"));
    let subcode = find(fault, "Subcode").map(|code| code.text() + &find(code, "Value").unwrap().text());
    let reason = find(fault, "Text").unwrap().text();
    let number = find(fault, "WSManFault").unwrap().attribute("Code").unwrap().parse::<u32>();
    assert!(number.is_ok_and(|number| number > 0), "{text}");
    for secret in ["/src/", ".rs:", "SELECT ", "/tmp/", "sqlite"] {
        assert!(!reason.contains(secret), "{reason}");
    }
    let (code, _) = reason.split_once(": ").unwrap_or_else(|| panic!("{reason}"));
    (subcode.unwrap_or_else(|| find(fault, "Value").unwrap().text()), code.to_owned())
}

#[track_caller]
pub(super) fn check_fault(got: &Got, subcode: &str, code: &str) {
    assert_eq!(fault(got), (subcode.to_owned(), code.to_owned()), "{}", String::from_utf8_lossy(&got.body));
}

pub(super) fn get(class: &str, selectors: &str) -> String {
    sent(&format!("{TRANSFER}/Get"), &uri(class), selectors, "")
}

/// An enumeration of a class, or of `*` with a query.
pub(super) fn enumerate(class: &str, headers: &str, body: &str) -> String {
    let body = format!("<n:Enumerate>{body}</n:Enumerate>");
    sent(&format!("{ENUMERATION}/Enumerate"), &uri(class), headers, &body)
}

pub(super) fn pull(class: &str, context: &str, more: &str) -> String {
    let body = format!("<n:Pull><n:EnumerationContext>{context}</n:EnumerationContext>{more}</n:Pull>");
    sent(&format!("{ENUMERATION}/Pull"), &uri(class), "", &body)
}

pub(super) fn query(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    enumerate(
        "*",
        "",
        &format!("<w:OptimizeEnumeration/><w:Filter Dialect='{}'>{text}</w:Filter>", names::WQL),
    )
}

pub(super) fn invoke(class: &str, method: &str, selectors: &str, parameters: &str) -> String {
    let body = format!("<p:{method}_INPUT xmlns:p='{}'>{parameters}</p:{method}_INPUT>", uri(class));
    sent(&format!("{}/{method}", uri(class)), &uri(class), selectors, &body)
}

#[test]
fn identify_answers_strangers_and_nothing_else_does() {
    let door = Door::new(&[]);
    let identify = format!(
        "<s:Envelope xmlns:s='{}' xmlns:i='{}'><s:Header/><s:Body><i:Identify/></s:Body></s:Envelope>",
        names::SOAP,
        names::IDENTITY
    );
    let header = "WSMANIDENTIFY: unauthenticated\r\n";
    let stranger = post_as(&door, "", header, identify.as_bytes());
    assert_eq!(stranger.status, 200, "{stranger:?}");
    assert_eq!(text_of(&stranger, "ProtocolVersion"), names::WSMAN);
    assert_eq!(text_of(&stranger, "ProductVersion"), "0.0", "a stranger is told no version");
    assert_eq!(text_of(&post(&door, &identify), "ProductVersion"), env!("CARGO_PKG_VERSION"));
    let other = post_as(&door, "", header, get("SMS_Site", &selector("SiteCode", "XYZ")).as_bytes());
    assert_eq!(other.status, 401, "the header opens nothing but Identify");
    assert_eq!(post_as(&door, "", "", identify.as_bytes()).status, 401);
    let wrong = post_as(&door, &authorization("admin", "wrong"), header, identify.as_bytes());
    assert_eq!(wrong.status, 401);
}

#[test]
fn an_answer_repeats_the_message_and_names_its_action() {
    let door = Door::new(&[]);
    let odd = get("sms_site", &selector("SITECODE", "xyz")).replace("uuid:1", "uuid:ABC-\u{e9}");
    let got = post(&door, &odd);
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(text_of(&got, "RelatesTo"), "uuid:ABC-\u{e9}");
    assert_eq!(text_of(&got, "Action"), format!("{TRANSFER}/GetResponse"));
    let tree = tree(&got);
    let site = find(&tree, "SMS_Site").expect("the stored spelling");
    assert_eq!(site.namespace.as_deref(), Some(uri("sms_site").as_str()), "the namespace is as it was asked");
    assert_eq!(find(site, "SiteCode").unwrap().text(), "XYZ");
    let selectors = format!(
        "<w:SelectorSet><w:Selector Name='SiteCode'>XYZ</w:Selector>\
         <w:Selector Name='{}'>root/SMS/site_xyz</w:Selector></w:SelectorSet>",
        names::NAMESPACE_SELECTOR
    );
    let by_cim = sent(&format!("{TRANSFER}/Get"), &format!("{}SMS_Site", names::CIM_PREFIX), &selectors, "");
    assert_eq!(text_of(&post(&door, &by_cim), "SiteCode"), "XYZ");
}

#[test]
fn an_enumeration_is_bound_to_account_and_namespace_and_ends_with_a_change_of_rights() {
    let door = Door::new(&[]);
    for name in ["a", "b", "c"] {
        door.package(name);
    }
    let other = door.account("reader", Some("SMS0009R"));
    door.world.ask(&["admin", "grant", "reader", "SMS0002R"]).done();
    let reader = authorization("reader", &other);
    let begin = |authorization: &str| {
        let got = post_as(&door, authorization, "", enumerate("SMS_Package", "", "").as_bytes());
        assert_eq!(got.status, 200, "{got:?}");
        text_of(&got, "EnumerationContext")
    };
    let context = begin(&door.authorization());
    assert!(context.len() == 32 && context.bytes().all(|b| b.is_ascii_hexdigit()), "{context}");
    let theirs = post_as(&door, &reader, "", pull("SMS_Package", &context, "").as_bytes());
    check_fault(&theirs, "n:InvalidEnumerationContext", "CONTEXT");
    let elsewhere = pull("SMS_Package", &context, "")
        .replace("root/sms/site_XYZ/SMS_Package", "root/sms/SMS_ProviderLocation");
    check_fault(&post(&door, &elsewhere), "n:InvalidEnumerationContext", "CONTEXT");
    let first = post(&door, &pull("SMS_Package", &context, ""));
    assert_eq!(tree(&first).elements().count(), 2, "{first:?}");
    assert_eq!(text_of(&first, "Name"), "a", "one element at a time, unless more are asked for");
    let release = format!("<n:Release><n:EnumerationContext>{context}</n:EnumerationContext></n:Release>");
    let release = sent(&format!("{ENUMERATION}/Release"), &uri("SMS_Package"), "", &release);
    assert_eq!(post(&door, &release).status, 200);
    check_fault(&post(&door, &pull("SMS_Package", &context, "")), "n:InvalidEnumerationContext", "CONTEXT");
    check_fault(&post(&door, &release), "n:InvalidEnumerationContext", "CONTEXT");
    let theirs = begin(&reader);
    let more = begin(&reader);
    door.world.ask(&["admin", "revoke", "reader", "SMS0002R"]).done();
    let after = post_as(&door, &reader, "", pull("SMS_Package", &theirs, "").as_bytes());
    check_fault(&after, "n:InvalidEnumerationContext", "CONTEXT");
    door.world.ask(&["admin", "account", "disable", "reader"]).done();
    let after = post_as(&door, &reader, "", pull("SMS_Package", &more, "").as_bytes());
    assert_eq!(after.status, 401, "{after:?}");
}

#[test]
fn an_answer_is_never_larger_than_the_client_takes() {
    let door = Door::new(&[]);
    for name in ["a", "b", "c", "d", "e", "f"] {
        door.package(name);
    }
    let limit = "<w:MaxEnvelopeSize>10000</w:MaxEnvelopeSize>";
    let all = "<w:OptimizeEnumeration/><w:MaxElements>100</w:MaxElements>";
    let mut got = post(&door, &enumerate("SMS_Package", limit, all));
    let mut names = Vec::new();
    loop {
        assert_eq!(got.status, 200, "{got:?}");
        assert!(got.body.len() <= 10_000, "{} bytes", got.body.len());
        let tree = tree(&got);
        let items = find(&tree, "Items").expect("items");
        names.extend(items.elements().map(|item| find(item, "Name").unwrap().text()));
        if find(&tree, "EndOfSequence").is_some() {
            break;
        }
        let context = find(&tree, "EnumerationContext").unwrap().text();
        let more = pull("SMS_Package", &context, "<n:MaxElements>100</n:MaxElements>");
        got = post(&door, &more.replace("</s:Header>", &format!("{limit}</s:Header>")));
    }
    assert_eq!(names, ["a", "b", "c", "d", "e", "f"]);
    // One object that is larger than the client takes is refused, not cut.
    let icon: Vec<u64> = vec![200; 600];
    let id = door.package("icon");
    let set: String = icon.iter().map(|byte| format!("<Icon>{byte}</Icon>")).collect();
    let body = format!("<p:SMS_Package xmlns:p='{}'>{set}</p:SMS_Package>", uri("SMS_Package"));
    let put = sent(&format!("{TRANSFER}/Put"), &uri("SMS_Package"), &selector("PackageID", &id), &body);
    assert_eq!(post(&door, &put).status, 200);
    let whole = get("SMS_Package", &format!("{limit}{}", selector("PackageID", &id)));
    check_fault(&post(&door, &whole), "w:EncodingLimit", "ENVELOPE_SIZE");
    let larger = whole.replace(limit, "<w:MaxEnvelopeSize>100000</w:MaxEnvelopeSize>");
    assert_eq!(tree(&post(&door, &larger)).elements().count(), 2);
}

#[test]
fn time_that_is_over_is_a_fault() {
    let door = Door::new(&[]);
    let none = format!("<w:OperationTimeout>PT0S</w:OperationTimeout>{}", selector("SiteCode", "XYZ"));
    check_fault(&post(&door, &get("SMS_Site", &none)), "w:TimedOut", "TIMED_OUT");
    let enough = none.replace("PT0S", "PT60.000S");
    assert_eq!(post(&door, &get("SMS_Site", &enough)).status, 200);
}

#[test]
fn options_name_the_program_and_unknown_ones_may_be_required() {
    let door = Door::new(&[]);
    for name in ["a", "b", "c"] {
        door.package(name);
    }
    let option = |name: &str, value: &str, must: bool| {
        format!("<w:OptionSet><w:Option Name='{name}' MustComply='{must}'>{value}</w:Option></w:OptionSet>")
    };
    let all = "<w:OptimizeEnumeration/><w:MaxElements>100</w:MaxElements>";
    let two = post(&door, &enumerate("SMS_Package", &option("InstanceCount", "2", true), all));
    assert_eq!(find(&tree(&two), "Items").unwrap().elements().count(), 2);
    assert_eq!(post(&door, &enumerate("SMS_Package", &option("Other", "x", false), all)).status, 200);
    let must = post(&door, &enumerate("SMS_Package", &option("Other", "x", true), all));
    check_fault(&must, "w:InvalidOptions", "OPTIONS");
    let keep = invoke("SMS_ContextMethods", "GetContextHandle", &option("InstanceCount", "2", false), "");
    let handle = text_of(&post(&door, &keep), "ContextHandle");
    let by_handle = post(&door, &enumerate("SMS_Package", &option("ContextHandle", &handle, true), all));
    assert_eq!(find(&tree(&by_handle), "Items").unwrap().elements().count(), 2);
    let named = option("ApplicationName", "my script", false) + &selector("PackageID", "XYZ00001");
    let call = invoke("SMS_Package", "AddChangeNotification", &named, "");
    assert_eq!(text_of(&post(&door, &call), "ReturnValue"), "0");
}

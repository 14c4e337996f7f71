//! What envelopes ask for, and what they are refused for.

use proptest::prelude::*;
use restock_wire::wsman::{
    FaultKind, Filter, Header, Mode, Operation, Polymorphism, Request, SelectorValue, fuzz_one,
};
use restock_wire::xml::{self, Limits};

use super::{ENUMERATION, TRANSFER, URI, tree};

/// An envelope with these headers and body, and an identity.
fn sent(headers: &str, body: &str) -> String {
    format!(
        r#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:x="{TRANSFER}"
            xmlns:e="{ENUMERATION}" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"
            xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
            xmlns:b="http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd"><s:Header>{headers}
            <a:MessageID>uuid:ABC</a:MessageID></s:Header><s:Body>{body}</s:Body></s:Envelope>"#
    )
}

fn headers(action: &str, more: &str) -> String {
    format!("<a:Action>{action}</a:Action><w:ResourceURI> {URI}\n</w:ResourceURI>{more}")
}

fn operation(action: &str, more: &str, body: &str) -> Operation {
    let text = sent(&headers(action, more), body);
    match Request::read(&tree(&text)).unwrap_or_else(|refused| panic!("{refused:?}: {text}")) {
        Request::Operation(_, operation) => operation,
        Request::Identify(_) => panic!("{text}"),
    }
}

fn enumerate(body: &str) -> restock_wire::wsman::Enumerate {
    let body = format!("<e:Enumerate>{body}</e:Enumerate>");
    match operation(&format!("{ENUMERATION}/Enumerate"), "", &body) {
        Operation::Enumerate(asked) => *asked,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_action_is_an_operation() {
    let instance = format!("<p:SMS_Package xmlns:p='{URI}'><p:Name>a</p:Name></p:SMS_Package>");
    assert!(matches!(operation(&format!(" {TRANSFER}/Get "), "", ""), Operation::Get));
    assert!(matches!(operation(&format!("{TRANSFER}/Delete"), "", ""), Operation::Delete));
    let put = operation(&format!("{TRANSFER}/Put"), "", &instance);
    assert!(matches!(put, Operation::Put(object) if object.name == "SMS_Package"));
    assert!(matches!(operation(&format!("{TRANSFER}/Create"), "", &instance), Operation::Create(_)));
    let release = operation(
        &format!("{ENUMERATION}/Release"),
        "",
        "<e:Release><e:EnumerationContext> c </e:EnumerationContext></e:Release>",
    );
    assert_eq!(release, Operation::Release("c".to_owned()));
    let pull = "<e:Pull><e:EnumerationContext>c</e:EnumerationContext><w:MaxElements>7</w:MaxElements>\
                <e:MaxTime>PT1S</e:MaxTime></e:Pull>";
    let Operation::Pull(pull) = operation(&format!("{ENUMERATION}/Pull"), "", pull) else { panic!("a pull") };
    assert_eq!((pull.context.as_str(), pull.elements_max, pull.time_max.unwrap().as_secs()), ("c", 7, 1));
    let no_input = operation(&format!("{}/refreshpkgsource", URI.to_uppercase()), "", "");
    assert_eq!(no_input, Operation::Invoke { method: "refreshpkgsource".to_owned(), input: None });
    let input = operation(&format!("{URI}/Run"), "", "<other:RUN_input xmlns:other='urn:x'/>");
    assert!(matches!(input, Operation::Invoke { method, input: Some(_) } if method == "Run"));
}

#[test]
fn control_headers_are_understood() {
    let more = "<w:MaxEnvelopeSize s:mustUnderstand='true'>153600</w:MaxEnvelopeSize>\
        <w:OperationTimeout>PT20.000S</w:OperationTimeout><a:To s:mustUnderstand='1'>http://h/wsman</a:To>\
        <a:ReplyTo><a:Address s:mustUnderstand='true'>\
        http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address></a:ReplyTo>\
        <q:SessionId xmlns:q='http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd' s:mustUnderstand='false'>x\
        </q:SessionId><w:OptionSet><w:Option Name='A' MustComply='true'>1</w:Option></w:OptionSet>\
        <w:SelectorSet><w:Selector Name='PackageID'>XYZ00001</w:Selector></w:SelectorSet>";
    let text = sent(&headers(&format!("{TRANSFER}/Get"), more), "");
    let Ok(Request::Operation(header, _)) = Request::read(&tree(&text)) else { panic!("{text}") };
    assert_eq!(header.message_id, "uuid:ABC");
    assert_eq!(header.envelope_bytes_max, Some(153_600));
    assert_eq!(header.timeout.unwrap().as_secs(), 20);
    assert!(header.options[0].must_comply && header.options[0].name == "A");
    assert_eq!(header.selectors[0].value, SelectorValue::Text("XYZ00001".to_owned()));
}

#[test]
fn enumerations_have_filters_modes_and_limits() {
    let plain = enumerate("");
    assert_eq!((plain.filter, plain.is_optimized, plain.elements_max), (None, false, 1));
    assert_eq!((plain.mode, plain.polymorphism), (Mode::Object, Polymorphism::IncludeSubClassProperties));
    let wql = "http://schemas.microsoft.com/wbem/wsman/1/WQL";
    let asked = enumerate(&format!(
        "<w:OptimizeEnumeration/><w:MaxElements>32000</w:MaxElements>\
         <w:EnumerationMode>EnumerateObjectAndEPR</w:EnumerationMode><w:Filter Dialect='{wql}'> select 1 </w:Filter>\
         <b:PolymorphismMode>None</b:PolymorphismMode>"
    ));
    assert_eq!(asked.filter, Some(Filter::Wql("select 1".to_owned())));
    assert_eq!((asked.is_optimized, asked.elements_max), (true, 32_000));
    assert_eq!((asked.mode, asked.polymorphism), (Mode::ObjectAndReference, Polymorphism::None));
    assert_eq!(enumerate("<e:Filter>q</e:Filter>").filter, Some(Filter::Wql("q".to_owned())));
    let selectors = enumerate(
        "<w:Filter Dialect='http://schemas.dmtf.org/wbem/wsman/1/wsman/SelectorFilter'><w:SelectorSet>\
         <w:Selector Name='Name'>a</w:Selector></w:SelectorSet></w:Filter>",
    );
    assert!(matches!(selectors.filter, Some(Filter::Selectors(selectors)) if selectors.len() == 1));
    let association = enumerate(&format!(
        "<w:Filter Dialect='http://schemas.dmtf.org/wbem/wsman/1/cimbinding/associationFilter'>\
         <b:AssociatedInstances><b:Object><a:Address>x</a:Address><a:ReferenceParameters>\
         <w:ResourceURI>{URI}</w:ResourceURI><w:SelectorSet><w:Selector Name='PackageID'>X</w:Selector>\
         </w:SelectorSet></a:ReferenceParameters></b:Object><b:ResultClassName>SMS_Site</b:ResultClassName>\
         </b:AssociatedInstances></w:Filter>"
    ));
    let Some(Filter::Association(association)) = association.filter else { panic!("an association") };
    assert_eq!(
        association.object.path().unwrap().to_string(),
        r#"root\sms\site_XYZ:SMS_Package.PackageID="X""#
    );
    assert_eq!(association.result_class.as_deref(), Some("SMS_Site"));
    assert!(!association.is_of_associations && association.role.is_none());
}

/// What a request is refused for: subcode, detail, stable code.
#[track_caller]
fn check_refused(text: &str, kind: FaultKind, detail: Option<&str>, code: &str) {
    let refused = Request::read(&tree(text)).expect_err(text).fault;
    assert_eq!((refused.kind, refused.detail, refused.code), (kind, detail, code), "{text}\n{refused:?}");
}

#[test]
fn requests_that_cannot_be_answered_are_refused_by_subcode() {
    use FaultKind as K;
    let get = format!("{TRANSFER}/Get");
    let with = |more: &str| sent(&headers(&get, more), "");
    let enumeration = |body: &str| {
        sent(&headers(&format!("{ENUMERATION}/Enumerate"), ""), &format!("<e:Enumerate>{body}</e:Enumerate>"))
    };
    let soap11 = "http://schemas.xmlsoap.org/soap/envelope/";
    let cases = [
        (format!("<s:Envelope xmlns:s='{soap11}'/>"), K::ActionNotSupported, None, "SOAP_VERSION"),
        ("<a/>".to_owned(), K::ActionNotSupported, None, "SOAP_VERSION"),
        (
            with("").replace("</s:Envelope>", "<s:Body/></s:Envelope>"),
            K::SchemaValidationError,
            None,
            "XML_DUPLICATE_ID",
        ),
        (
            with("").replace("<s:Body>", "<s:Header/><s:Body>"),
            K::SchemaValidationError,
            None,
            "XML_DUPLICATE_ID",
        ),
        (sent(&headers(&get, ""), "<x/><y/>"), K::SchemaValidationError, None, "SCHEMA"),
        (sent(&headers("urn:other", ""), ""), K::ActionNotSupported, None, "ACTION"),
        (sent(&headers(&format!("{TRANSFER}/Rename"), ""), ""), K::ActionNotSupported, None, "ACTION"),
        (sent(&headers(&format!("{TRANSFER}/Put"), ""), ""), K::SchemaValidationError, None, "SCHEMA"),
        (sent(&headers(&format!("{URI}/A"), ""), "<B_INPUT/>"), K::SchemaValidationError, None, "SCHEMA"),
        (
            sent(&format!("<a:Action>{get}</a:Action>"), ""),
            K::DestinationUnreachable,
            Some("InvalidResourceURI"),
            "RESOURCE_URI",
        ),
        (
            with("").replace(URI, "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd"),
            K::DestinationUnreachable,
            Some("InvalidResourceURI"),
            "RESOURCE_URI",
        ),
        (
            sent(&format!("<w:ResourceURI>{URI}</w:ResourceURI>"), ""),
            K::MessageInformationHeaderRequired,
            None,
            "HEADER_REQUIRED",
        ),
        (
            with("").replace("<a:MessageID>uuid:ABC</a:MessageID>", ""),
            K::MessageInformationHeaderRequired,
            None,
            "HEADER_REQUIRED",
        ),
        (
            with("").replace("uuid:ABC", &"x".repeat(1_025)),
            K::InvalidMessageInformationHeader,
            None,
            "HEADER_VALUE",
        ),
        (
            with(&format!("<a:Action>{get}</a:Action>")),
            K::InvalidMessageInformationHeader,
            None,
            "HEADER_TWICE",
        ),
        (with("<q:X xmlns:q='urn:q' s:mustUnderstand='true'/>"), K::MustUnderstand, None, "MUST_UNDERSTAND"),
        (
            with("<a:ReplyTo><a:Address>http://elsewhere/</a:Address></a:ReplyTo>"),
            K::UnsupportedFeature,
            Some("AddressingMode"),
            "NOT_SUPPORTED",
        ),
        (
            with("<w:FragmentTransfer>Name</w:FragmentTransfer>"),
            K::UnsupportedFeature,
            Some("FragmentLevelAccess"),
            "NOT_SUPPORTED",
        ),
        (
            with("<w:MaxEnvelopeSize>8191</w:MaxEnvelopeSize>"),
            K::EncodingLimit,
            Some("MinimumEnvelopeLimit"),
            "ENVELOPE_SIZE",
        ),
        (
            with("<w:OperationTimeout>soon</w:OperationTimeout>"),
            K::InvalidMessageInformationHeader,
            None,
            "HEADER_VALUE",
        ),
        (
            with(
                "<w:SelectorSet><w:Selector Name='A'>1</w:Selector><w:Selector Name='a'>2</w:Selector>\
                 </w:SelectorSet>",
            ),
            K::InvalidSelectors,
            Some("DuplicateSelectors"),
            "SELECTORS",
        ),
        (
            enumeration("<w:MaxElements>2147483648</w:MaxElements>"),
            K::UnsupportedFeature,
            Some("MaxElements"),
            "MAX_ELEMENTS",
        ),
        (
            enumeration("<w:MaxElements>0</w:MaxElements>"),
            K::UnsupportedFeature,
            Some("MaxElements"),
            "MAX_ELEMENTS",
        ),
        (enumeration("<e:EndTo/>"), K::UnsupportedFeature, Some("AddressingMode"), "NOT_SUPPORTED"),
        (
            enumeration("<w:Filter Dialect='http://schemas.dmtf.org/wbem/cql/1/dsp0202.pdf'>x</w:Filter>"),
            K::FilterDialectRequestedUnavailable,
            None,
            "QUERY_LANGUAGE",
        ),
        (enumeration("<w:Filter>a</w:Filter><e:Filter>b</e:Filter>"), K::CannotProcessFilter, None, "FILTER"),
        (
            sent(&headers(&format!("{ENUMERATION}/Pull"), ""), "<e:Pull/>"),
            K::InvalidEnumerationContext,
            None,
            "CONTEXT",
        ),
    ];
    for (text, kind, detail, code) in &cases {
        check_refused(text, *kind, *detail, code);
    }
}

#[test]
fn a_fault_relates_to_the_request_it_answers() {
    let text = sent(&headers("urn:other", ""), "");
    let refused = Request::read(&tree(&text)).expect_err("the action is not known");
    assert_eq!(refused.message_id.as_deref(), Some("uuid:ABC"));
    let identify = "<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope'><s:Header/><s:Body>\
        <i:Identify xmlns:i='http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd'/></s:Body></s:Envelope>";
    let namespace = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd";
    assert_eq!(Request::read(&tree(identify)), Ok(Request::Identify(namespace)));
    let misspelled = identify.replace("/identity/", "/identify/");
    assert!(matches!(Request::read(&tree(&misspelled)), Ok(Request::Identify(other)) if other != namespace));
}

proptest! {
    #[test]
    fn any_envelope_is_read_or_refused(headers in "(<[aw]:[A-Z][A-Za-z]{2,14}>[ -;=?-~]{0,12}</[aw]:x>){0,3}", body in "[ -~]{0,60}") {
        fuzz_one(sent(&headers, &body).as_bytes());
    }

    #[test]
    fn any_known_header_is_read_or_refused(
        parts in prop::collection::vec((
            prop::sample::select(vec![
                "a:Action", "a:To", "a:ReplyTo", "w:ResourceURI", "w:SelectorSet", "w:OptionSet",
                "w:MaxEnvelopeSize", "w:OperationTimeout",
            ]),
            prop::sample::select(vec![
                URI, "PT1S", "9000", "<w:Selector Name='A'>1</w:Selector>", "<w:Option Name='B'/>", "", " ",
                "<a:Address>x</a:Address>", "http://schemas.xmlsoap.org/ws/2004/09/enumeration/Pull",
                "http://schemas.xmlsoap.org/ws/2004/09/enumeration/Enumerate",
            ]),
        ), 0..6),
        body in prop::sample::select(vec![
            "<e:Pull><e:EnumerationContext>1</e:EnumerationContext></e:Pull>", "<e:Enumerate/>", "",
            "<e:Enumerate><w:MaxElements>5</w:MaxElements><w:Filter>x</w:Filter></e:Enumerate>",
        ]),
    ) {
        let headers: String = parts.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
        fuzz_one(sent(&headers, body).as_bytes());
    }
}

/// A request that a published client sent, kept in docs/formats/samples/wsman.
fn sample(name: &str) -> (Header, Operation) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/formats/samples/wsman");
    let bytes = std::fs::read(std::path::Path::new(path).join(name)).unwrap();
    let element =
        xml::read(&bytes, None, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    match Request::read(&element).unwrap_or_else(|refused| panic!("{name}: {refused:?}")) {
        Request::Operation(header, operation) => (*header, operation),
        Request::Identify(_) => panic!("{name}"),
    }
}

#[test]
fn requests_of_published_clients_are_read_for_ever() {
    let key = |header: &Header, name: &str| {
        let found = header.selectors.iter().find(|selector| selector.name == name);
        found.map(|selector| selector.value.clone())
    };
    let text = |text: &str| Some(SelectorValue::Text(text.to_owned()));
    let (header, get) = sample("pypsrp-get.xml");
    assert_eq!((get, key(&header, "PackageID")), (Operation::Get, text("XYZ00001")));
    assert_eq!(header.resource.of_class("SMS_Package"), URI);
    let (header, asked) = sample("pypsrp-enumerate.xml");
    let Operation::Enumerate(asked) = asked else { panic!("{asked:?}") };
    let query = "select * from SMS_Package where PackageID = 'XYZ00001'";
    assert_eq!((asked.filter, header.resource.class), (Some(Filter::Wql(query.to_owned())), None));
    let (_, invoked) = sample("pypsrp-invoke.xml");
    let Operation::Invoke { method, input: Some(input) } = invoked else { panic!("{invoked:?}") };
    let nal = r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=XYZ"]\\DP01\"#;
    assert_eq!(
        (method.as_str(), input.child(URI, "NALPath").unwrap().text().as_str()),
        ("AddDistributionPoints", nal)
    );
    let (_, pulled) = sample("dracclient-pull.xml");
    let Operation::Pull(pulled) = pulled else { panic!("{pulled:?}") };
    assert_eq!((pulled.context.as_str(), pulled.elements_max), ("00112233445566778899aabbccddeeff", 100));
    let (header, invoked) = sample("dracclient-invoke.xml");
    assert!(matches!(invoked, Operation::Invoke { method, .. } if method == "RefreshPkgSource"));
    assert_eq!(key(&header, "__cimnamespace"), text("root/sms/site_XYZ"));
}

//! WS-Management: envelopes in, faults and instances out, and instances back.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use restock_cim::{DateTime, Instance, KeyValue, Name, ObjectPath, Status, Value};
use restock_names::{Timestamp, Zone};
use restock_wire::wsman::names::WMI_PREFIX;
use restock_wire::wsman::{
    Batch, Fault, FaultKind, Filter, Form, Heading, Mode, Operation, Polymorphism, Request, ResourceUri,
    SelectorValue, Shown, arguments, envelope, fault_envelope, fuzz_one, identify_envelope, items,
    object_values,
};
use restock_wire::xml::{self, Element, Limits, Writer};

use crate::SCHEMA;

const URI: &str = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/sms/site_XYZ/SMS_Package";
const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";
const ENUMERATION: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration";

fn berlin() -> Zone {
    Zone::named("Europe/Berlin").unwrap()
}

fn shown() -> Shown {
    let resource = ResourceUri::parse(URI).unwrap();
    Shown { resource, namespace: r"root\sms\site_XYZ".to_owned(), zone: berlin() }
}

fn tree(text: &str) -> Element {
    xml::read(text.as_bytes(), None, &Limits::default()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

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
        Request::Identify => panic!("{text}"),
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
    assert_eq!(Request::read(&tree(identify)), Ok(Request::Identify));
}

/// An instance of the class with values of every kind.
fn package() -> Instance {
    let noon = 1_782_907_200_000_000;
    let text = |text: &str| Value::String(text.to_owned());
    let mut token = Instance::new(SCHEMA.class("SMS_ST_RecurWeekly").unwrap().clone());
    token.set("Day", Value::Unsigned(3));
    token.set("StartTime", Value::DateTime(DateTime::Local(noon)));
    token.set("IsGMT", Value::Boolean(false));
    let mut package = Instance::new(SCHEMA.class("SMS_Package").unwrap().clone());
    package.set("PackageID", text("XYZ00001"));
    package.set("Name", text("<a> & \"b\"\t"));
    package.set("SourceVersion", Value::Unsigned(3));
    package.set("Priority", Value::Signed(-1));
    package.set("Big", Value::Unsigned(u64::MAX));
    package.set("Flag", Value::Boolean(true));
    package.set("Ratio", Value::Real(2.5));
    package.set("Icon", Value::Array([0u64, 255].map(Value::Unsigned).to_vec()));
    package.set("RefreshSchedule", Value::Array(vec![Value::Object(Box::new(token))]));
    package.set("Providers", Value::Null);
    package.set("SourceDate", Value::DateTime(DateTime::Local(noon)));
    package.set("Seen", Value::DateTime(DateTime::utc(Timestamp(noon))));
    package
}

fn written(instance: &Instance, form: Form) -> String {
    let mut out = Writer::new();
    shown().instance(&mut out, instance, form);
    out.finish()
}

/// `text` within an element that declares the prefixes of answers.
fn declared(text: &str) -> Element {
    let text = format!(
        "<x xmlns:a='http://schemas.xmlsoap.org/ws/2004/08/addressing' xmlns:w='http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd' \
         xmlns:cim='http://schemas.dmtf.org/wbem/wscim/1/common' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'>{text}</x>"
    );
    let outer = tree(&text);
    let inner = outer.elements().next().expect("an element").clone();
    inner
}

#[track_caller]
fn check(text: String, expected: Expect) {
    expected.assert_eq(&text.replace("><", ">\n<"));
}

#[test]
fn an_instance_is_an_element_of_its_class() {
    check(
        written(&package(), Form::Whole),
        expect![[r#"
            <p:SMS_Package xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wmi/root/sms/site_XYZ/SMS_Package" xsi:type="p:SMS_Package_Type">
            <p:Big>18446744073709551615</p:Big>
            <p:Flag>true</p:Flag>
            <p:Icon>0</p:Icon>
            <p:Icon>255</p:Icon>
            <p:Name>&lt;a&gt; &amp; "b"	</p:Name>
            <p:PackageID>XYZ00001</p:PackageID>
            <p:Priority>-1</p:Priority>
            <p:Providers xsi:nil="true"/>
            <p:Ratio>2.5</p:Ratio>
            <p:RefreshSchedule xmlns:e="http://schemas.microsoft.com/wbem/wsman/1/wmi/root/sms/site_XYZ/SMS_ST_RecurWeekly" xsi:type="e:SMS_ST_RecurWeekly_Type">
            <e:Day>3</e:Day>
            <e:IsGMT>false</e:IsGMT>
            <e:StartTime>
            <cim:Datetime>2026-07-01T12:00:00</cim:Datetime>
            </e:StartTime>
            </p:RefreshSchedule>
            <p:Seen>
            <cim:Datetime>2026-07-01T12:00:00Z</cim:Datetime>
            </p:Seen>
            <p:SourceDate>
            <cim:Datetime>2026-07-01T10:00:00Z</cim:Datetime>
            </p:SourceDate>
            <p:SourceVersion>3</p:SourceVersion>
            </p:SMS_Package>"#]],
    );
    let mut some = Instance::new(package().class);
    some.set("Name", Value::String("a".to_owned()));
    check(
        written(&some, Form::Fragment),
        expect![[r#"
            <w:XmlFragment xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wmi/root/sms/site_XYZ/SMS_Package" xsi:type="p:SMS_Package_Type">
            <p:Name>a</p:Name>
            </w:XmlFragment>"#]],
    );
}

#[test]
fn addresses_name_namespace_and_keys() {
    let mut point = Instance::new(SCHEMA.class("SMS_DistributionPoint").unwrap().clone());
    point.set("ServerNALPath", Value::String(r#"["Display=\\DP01\"]"#.to_owned()));
    point.set("PackageID", Value::String("XYZ00001".to_owned()));
    let mut out = Writer::new();
    assert!(!shown().endpoint(&mut out, &point), "a key was not read");
    point.set("Number", Value::Unsigned(7));
    assert!(shown().endpoint(&mut out, &point));
    check(
        out.finish(),
        expect![[r#"
            <a:EndpointReference>
            <a:Address>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address>
            <a:ReferenceParameters>
            <w:ResourceURI>http://schemas.microsoft.com/wbem/wsman/1/wmi/root/sms/site_XYZ/SMS_DistributionPoint</w:ResourceURI>
            <w:SelectorSet>
            <w:Selector Name="__cimnamespace">root/sms/site_XYZ</w:Selector>
            <w:Selector Name="Number">7</w:Selector>
            <w:Selector Name="PackageID">XYZ00001</w:Selector>
            <w:Selector Name="ServerNALPath">["Display=\\DP01\"]</w:Selector>
            </w:SelectorSet>
            </a:ReferenceParameters>
            </a:EndpointReference>"#]],
    );
    let path = ObjectPath::of_instance("SMS_Package", vec![("PackageID".into(), KeyValue::Integer(1))]);
    let mut out = Writer::new();
    shown().reference(&mut out, &path.within(".", r"root\sms"));
    assert!(out.finish().contains(">root/sms</w:Selector>"), "a path's own namespace stands first");
}

fn read_back(instance: &Instance) -> Vec<(Name, Value)> {
    let element = declared(&written(instance, Form::Whole));
    object_values(&SCHEMA, &instance.class, &element, &berlin())
        .unwrap_or_else(|error| panic!("{error}: {element:?}"))
}

#[test]
fn an_instance_that_was_written_is_read_again() {
    let package = package();
    let values = read_back(&package);
    let expected: Vec<(Name, Value)> = package
        .class
        .properties
        .iter()
        .zip(&package.values)
        .filter_map(|(property, value)| Some((property.name.clone(), value.clone()?)))
        .collect();
    assert_eq!(values, expected);
}

proptest! {
    #[test]
    fn values_come_back_as_they_were(
        name in "[ -~äé\u{10000}]{0,20}", priority: i32, big: u64, ratio in -1e9f64..1e9, flag: bool,
        icon in prop::collection::vec(any::<u8>(), 1..5), seen in 0i64..4_000_000_000_000_000,
    ) {
        let mut package = Instance::new(package().class);
        package.set("Name", Value::String(name));
        package.set("Priority", Value::Signed(priority.into()));
        package.set("Big", Value::Unsigned(big));
        package.set("Ratio", Value::Real(ratio));
        package.set("Flag", Value::Boolean(flag));
        package.set("Icon", Value::Array(icon.into_iter().map(|byte| Value::Unsigned(byte.into())).collect()));
        package.set("Seen", Value::DateTime(DateTime::utc(Timestamp(seen))));
        for (name, value) in read_back(&package) {
            prop_assert_eq!(package.get(name.as_str()).unwrap_or(&Value::Null), &value);
        }
    }

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

/// Why the properties in `inner` are refused.
fn refusal(inner: &str) -> String {
    let class = SCHEMA.class("SMS_Package").unwrap();
    let element = declared(&format!("<SMS_Package>{inner}</SMS_Package>"));
    object_values(&SCHEMA, class, &element, &berlin()).expect_err(inner).to_string()
}

#[test]
fn values_that_do_not_fit_are_refused_with_the_property() {
    for (inner, expected) in [
        ("<Nope>1</Nope>", "UNKNOWN_PROPERTY: SMS_Package has no property Nope"),
        ("<Priority>x</Priority>", "TYPE: property Priority of SMS_Package wants sint32, not the text \"x\""),
        (
            "<Priority>2147483648</Priority>",
            "TYPE: property Priority of SMS_Package wants sint32, not 2147483648",
        ),
        (
            "<Priority>1</Priority><priority>2</priority>",
            "TYPE: property Priority of SMS_Package wants sint32, not 2 values",
        ),
        ("<Ratio>NaN</Ratio>", "TYPE: property Ratio of SMS_Package wants real64, not the text \"NaN\""),
        ("<Flag>yes</Flag>", "TYPE: property Flag of SMS_Package wants boolean, not the text \"yes\""),
        ("<Name><b/></Name>", "TYPE: property Name of SMS_Package wants string, not elements"),
        (
            "<Seen>soon</Seen>",
            "TYPE: property Seen of SMS_Package wants a time such as \"2026-11-22T10:00:00Z\", not the text \"soon\"",
        ),
        (
            "<RefreshSchedule xsi:type='SMS_Package_Type'><Name/></RefreshSchedule>",
            "TYPE: property RefreshSchedule of SMS_Package wants object:SMS_ScheduleToken, not the text \"SMS_Package\"",
        ),
        (
            "<RefreshSchedule><IsGMT>true</IsGMT><StartTime/></RefreshSchedule>",
            "TYPE: property RefreshSchedule of SMS_Package wants object:SMS_ScheduleToken, not an object without \
             xsi:type, whose class is abstract",
        ),
        (
            "<RefreshSchedule xsi:type='SMS_ST_RecurWeekly_Type'><Nope/></RefreshSchedule>",
            "UNKNOWN_PROPERTY: SMS_ST_RecurWeekly has no property Nope",
        ),
    ] {
        assert_eq!(refusal(inner), expected, "{inner}");
    }
}

#[test]
fn an_object_that_was_read_may_be_sent_back() {
    let class = SCHEMA.class("SMS_Package").unwrap();
    let element = declared(
        "<SMS_Package><__PATH>x</__PATH><SourceVersion>stale</SourceVersion><Providers xsi:nil='true'/>\
         <RefreshSchedule/><NAME>a</NAME></SMS_Package>",
    );
    let values = object_values(&SCHEMA, class, &element, &berlin()).unwrap();
    let expected = [
        ("Providers", Value::Null),
        ("RefreshSchedule", Value::Array(Vec::new())),
        ("Name", Value::String("a".to_owned())),
    ];
    assert_eq!(values, expected.map(|(name, value)| (Name::from(name), value)));
}

#[test]
fn parameters_are_read_whatever_their_namespace() {
    let class = SCHEMA.class("SMS_Package").unwrap();
    let method = class.method("AddDistributionPoints").unwrap();
    let read = |inner: &str| {
        let element = declared(&format!(
            "<q:AddDistributionPoints_INPUT xmlns:q='urn:q'>{inner}</q:AddDistributionPoints_INPUT>"
        ));
        arguments(&SCHEMA, class, method, Some(&element), &berlin()).map_err(|error| error.to_string())
    };
    let texts =
        |texts: &[&str]| Value::Array(texts.iter().map(|text| Value::String((*text).to_owned())).collect());
    // Clients repeat the two parameters in turn.
    let values =
        read("<q:SiteCode>A</q:SiteCode><NALPath>1</NALPath><q:SITECODE>B</q:SITECODE><NALPath>2</NALPath>");
    let expected = [("SiteCode", texts(&["A", "B"])), ("NALPath", texts(&["1", "2"]))];
    assert_eq!(values, Ok(expected.map(|(name, value)| (Name::from(name), value)).to_vec()));
    let unknown = "UNKNOWN_PARAMETER: SMS_Package.AddDistributionPoints has no parameter X";
    assert_eq!(read("<X>1</X>"), Err(unknown.to_owned()));
    assert_eq!(arguments(&SCHEMA, class, method, None, &berlin()), Ok(Vec::new()));
    let methods = SCHEMA.class("SMS_ScheduleMethods").unwrap();
    let write = methods.method("WriteToString").unwrap();
    let token = declared(
        "<i><TokenData xsi:type='p:SMS_ST_RecurWeekly_Type'><Day>3</Day></TokenData>\
         <TokenData><SMS_ST_RecurWeekly><Day>4</Day></SMS_ST_RecurWeekly></TokenData></i>",
    );
    let values = arguments(&SCHEMA, methods, write, Some(&token), &berlin()).unwrap();
    let Value::Array(tokens) = &values[0].1 else { panic!("{values:?}") };
    let days: Vec<_> = tokens
        .iter()
        .map(|token| match token {
            Value::Object(token) => token.get("Day").cloned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(days, [Some(Value::Unsigned(3)), Some(Value::Unsigned(4))]);
}

#[test]
fn answers_hold_items_and_say_whether_more_follow() {
    let batch = |batch, context| {
        let mut out = Writer::new();
        items(&mut out, batch, context, "<i/>");
        out.finish()
    };
    let begun = "<n:EnumerateResponse><n:EnumerationContext>c</n:EnumerationContext></n:EnumerateResponse>";
    assert_eq!(batch(Batch::Begun, Some("c")), begun);
    assert_eq!(
        batch(Batch::Optimized, None),
        "<n:EnumerateResponse><n:EnumerationContext></n:EnumerationContext><w:Items><i/></w:Items>\
         <w:EndOfSequence/></n:EnumerateResponse>"
    );
    assert_eq!(
        batch(Batch::Pulled, Some("c")),
        "<n:PullResponse><n:EnumerationContext>c</n:EnumerationContext><n:Items><i/></n:Items></n:PullResponse>"
    );
    assert_eq!(
        batch(Batch::Pulled, None),
        "<n:PullResponse><n:Items><i/></n:Items><n:EndOfSequence/></n:PullResponse>"
    );
    let heading = Heading { action: "urn:a", relates_to: Some("uuid:<ABC>"), id: "1", has_estimate: true };
    let text = envelope(&heading, |out| out.raw("<i/>"));
    let root = tree(&text);
    let header = root.elements().next().unwrap();
    let values: Vec<(&str, String)> =
        header.elements().map(|element| (element.name.as_str(), element.text())).collect();
    let anonymous = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous";
    let expected = [
        ("Action", "urn:a"),
        ("MessageID", "uuid:1"),
        ("To", anonymous),
        ("RelatesTo", "uuid:<ABC>"),
        ("TotalItemsCountEstimate", ""),
    ];
    assert_eq!(values, expected.map(|(name, value)| (name, value.to_owned())));
    assert!(tree(&identify_envelope("Restock", "1")).elements().next().is_some());
}

#[test]
fn a_fault_carries_what_both_families_of_clients_read() {
    let mut status = Instance::new(SCHEMA.class("__ExtendedStatus").unwrap().clone());
    status.set("Description", Value::String("gone".to_owned()));
    let fault =
        Fault::of_status(Status::NotFound, "NOT_FOUND", "NOT_FOUND: it is gone", Some(Box::new(status)));
    check(
        fault_envelope(&fault, Some("uuid:ABC"), "1", "HOST", Some(&shown())),
        expect![[r#"
            <s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:n="http://schemas.xmlsoap.org/ws/2004/09/enumeration" xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:cim="http://schemas.dmtf.org/wbem/wscim/1/common" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
            <s:Header>
            <a:Action>http://schemas.xmlsoap.org/ws/2004/08/addressing/fault</a:Action>
            <a:MessageID>uuid:1</a:MessageID>
            <a:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:To>
            <a:RelatesTo>uuid:ABC</a:RelatesTo>
            </s:Header>
            <s:Body>
            <s:Fault>
            <s:Code>
            <s:Value>s:Sender</s:Value>
            <s:Subcode>
            <s:Value>a:DestinationUnreachable</s:Value>
            </s:Subcode>
            </s:Code>
            <s:Reason>
            <s:Text xml:lang="en-US">NOT_FOUND: it is gone</s:Text>
            </s:Reason>
            <s:Detail>
            <w:FaultDetail>http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/InvalidResourceURI</w:FaultDetail>
            <f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="2150858752" Machine="HOST">
            <f:Message>
            <f:ProviderFault provider="SMS Provider" path="restock">
            <f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="2150858752" Machine="HOST">
            <f:Message>NOT_FOUND: it is gone</f:Message>
            </f:WSManFault>
            <f:ExtendedError>
            <p:__ExtendedStatus xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wmi/root/sms/site_XYZ/__ExtendedStatus" xsi:type="p:__ExtendedStatus_Type">
            <p:Description>gone</p:Description>
            <p:StatusCode xsi:nil="true"/>
            </p:__ExtendedStatus>
            </f:ExtendedError>
            </f:ProviderFault>
            </f:Message>
            </f:WSManFault>
            </s:Detail>
            </s:Fault>
            </s:Body>
            </s:Envelope>"#]],
    );
    let plain =
        fault_envelope(&Fault::new(FaultKind::MustUnderstand, "MUST_UNDERSTAND", "x"), None, "1", "", None);
    assert!(
        plain.contains("<s:Value>s:MustUnderstand</s:Value></s:Code>") && !plain.contains("Subcode"),
        "{plain}"
    );
    assert!(plain.contains(">MUST_UNDERSTAND: x</f:Message>"), "{plain}");
}

#[test]
fn every_status_has_a_fault() {
    for (status, subcode) in [
        (Status::NotFound, "a:DestinationUnreachable"),
        (Status::InvalidClass, "a:DestinationUnreachable"),
        (Status::InvalidNamespace, "a:DestinationUnreachable"),
        (Status::InvalidQuery, "n:CannotProcessFilter"),
        (Status::InvalidQueryType, "n:FilterDialectRequestedUnavailable"),
        (Status::InvalidMethod, "a:ActionNotSupported"),
        (Status::InvalidParameter, "w:InvalidParameter"),
        (Status::TypeMismatch, "w:InvalidParameter"),
        (Status::InvalidObjectPath, "w:InvalidSelectors"),
        (Status::AccessDenied, "w:AccessDenied"),
        (Status::AlreadyExists, "w:AlreadyExists"),
        (Status::Conflict, "w:Concurrency"),
        (Status::Timeout, "w:TimedOut"),
        (Status::QuotaViolation, "w:QuotaLimit"),
        (Status::NotSupported, "w:UnsupportedFeature"),
        (Status::ReadOnly, "x:InvalidRepresentation"),
        (Status::Failed, "w:InternalError"),
    ] {
        let text = fault_envelope(&Fault::of_status(status, "C", "d", None), None, "1", "", None);
        assert!(text.contains(&format!("<s:Value>{subcode}</s:Value></s:Subcode>")), "{status:?}: {text}");
    }
    assert!(URI.starts_with(WMI_PREFIX));
}

/// A request that a published client sent, kept in docs/formats/samples/wsman.
fn sample(name: &str) -> (restock_wire::wsman::Header, Operation) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/formats/samples/wsman");
    let bytes = std::fs::read(std::path::Path::new(path).join(name)).unwrap();
    let element =
        xml::read(&bytes, None, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    match Request::read(&element).unwrap_or_else(|refused| panic!("{name}: {refused:?}")) {
        Request::Operation(header, operation) => (*header, operation),
        Request::Identify => panic!("{name}"),
    }
}

#[test]
fn requests_of_published_clients_are_read_for_ever() {
    let key = |header: &restock_wire::wsman::Header, name: &str| {
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

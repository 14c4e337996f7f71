//! Instances as elements, and elements as values.

use expect_test::expect;
use proptest::prelude::*;
use restock_cim::{DateTime, Instance, KeyValue, Name, ObjectPath, Value};
use restock_names::Timestamp;
use restock_wire::wsman::{Form, arguments, object_values};
use restock_wire::xml::{Element, Writer};

use super::{berlin, check, shown, tree};
use crate::SCHEMA;

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
    outer.elements().next().expect("an element").clone()
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
    fn any_value_is_read_or_refused(
        name in prop::sample::select(vec![
            "Priority", "Big", "Ratio", "Flag", "Icon", "Seen", "SourceDate", "Name", "RefreshSchedule", "Providers",
        ]),
        attribute in prop::sample::select(vec![
            "", " xsi:nil='true'", " xsi:type='p:SMS_ST_RecurWeekly_Type'", " xsi:type=':_Type'",
        ]),
        text in prop_oneof!["[0-9TPZDHMS:+.-]{0,24}", "[ -;=?-~]{0,12}", Just("<Day>1</Day><IsGMT>1</IsGMT>".to_owned())],
        count in 1usize..4,
    ) {
        let class = SCHEMA.class("SMS_Package").unwrap();
        let text = text.replace('&', "&amp;");
        let inner = format!("<{name}{attribute}>{text}</{name}>").repeat(count);
        let element = declared(&format!("<SMS_Package>{inner}</SMS_Package>"));
        for (name, value) in object_values(&SCHEMA, class, &element, &berlin()).unwrap_or_default() {
            let property = class.property(name.as_str()).expect("only declared properties are read");
            prop_assert!(property.data_type.check(value).is_ok(), "{name}");
        }
    }

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

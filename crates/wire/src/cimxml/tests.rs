use std::sync::Arc;

use proptest::prelude::*;
use restock_cim::{DateTime, Instance, KeyValue, Keys, Schema, Value};
use restock_names::{Timestamp, Zone};

use super::{Call, CimCode, ClassForm, Message, ProtocolError, Raw, Reading, Reply, Shown, fuzz_one};
use crate::xml::{self, Limits};

const MOF: &str = r#"
    [Abstract, Embedded] class SMS_ScheduleToken { boolean IsGMT; datetime StartTime; };
    [Embedded] class SMS_ST_RecurInterval : SMS_ScheduleToken { uint32 DaySpan; };
    [Description("a thing")] class T_Base { [Key] string ID; };
    class T_Thing : T_Base {
        [Key] uint32 Number;
        boolean Flag = true;
        sint64 Large;
        real64 Share;
        string Text;
        string Texts[];
        uint8 Bytes[];
        [LocalTime] datetime Seen;
        datetime At;
        T_Base REF Other;
        [EmbeddedInstance("SMS_ScheduleToken")] string Token;
        [EmbeddedInstance("SMS_ScheduleToken")] string Tokens[];
        uint32 Do([in] string Names[], [in, EmbeddedInstance("SMS_ScheduleToken")] string Token, [out, in(false)] uint32 Count);
    };
"#;

fn schema() -> Schema {
    Schema::parse(&[("test.mof", MOF)]).expect("the test's own MOF")
}

fn shown(zone: &str) -> Shown {
    Shown {
        host: "HOST".to_owned(),
        namespace: r"root\sms\site_XYZ".to_owned(),
        zone: Zone::named(zone).expect("a zone"),
        only: None,
        has_origins: false,
        has_qualifiers: false,
        is_first_version: false,
    }
}

fn message(call: &str) -> Result<Message, ProtocolError> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?><CIM CIMVERSION=\"2.0\" DTDVERSION=\"2.0\">\
         <MESSAGE ID=\"1001\" PROTOCOLVERSION=\"1.0\"><SIMPLEREQ>{call}</SIMPLEREQ></MESSAGE></CIM>"
    );
    Message::read(text.as_bytes(), Some("utf-8"), &Limits::default())
}

const PLACE: &str = "<LOCALNAMESPACEPATH><NAMESPACE NAME=\"root\"/><NAMESPACE NAME=\"sms\"/>\
                     <NAMESPACE NAME=\"site_XYZ\"/></LOCALNAMESPACEPATH>";

#[test]
fn an_operation_is_taken_apart() {
    let call = format!(
        "<IMETHODCALL NAME=\"GetInstance\">{PLACE}<IPARAMVALUE NAME=\"InstanceName\"><INSTANCENAME CLASSNAME=\"T_Thing\">\
         <KEYBINDING NAME=\"ID\"><KEYVALUE VALUETYPE=\"string\">a&quot;b</KEYVALUE></KEYBINDING>\
         <KEYBINDING NAME=\"Number\"><KEYVALUE VALUETYPE=\"numeric\">7</KEYVALUE></KEYBINDING></INSTANCENAME></IPARAMVALUE>\
         <IPARAMVALUE NAME=\"LocalOnly\"><VALUE>FALSE</VALUE></IPARAMVALUE>\
         <IPARAMVALUE NAME=\"PropertyList\"><VALUE.ARRAY><VALUE>ID</VALUE></VALUE.ARRAY></IPARAMVALUE></IMETHODCALL>"
    );
    let message = message(&call).expect("a message");
    assert_eq!(message.id, "1001");
    let Call::Intrinsic(call) = message.call else { panic!("an operation") };
    assert_eq!((call.name.as_str(), call.namespace.as_str()), ("GetInstance", r"root\sms\site_XYZ"));
    let path = call.path("instancename").expect("a path");
    assert_eq!(path.to_string(), r#"T_Thing.ID="a\"b",Number=7"#);
    assert_eq!(call.flag("LocalOnly", true), Ok(false));
    assert_eq!(call.flag("IncludeQualifiers", true), Ok(true));
    assert_eq!(call.names("PropertyList"), Ok(Some(vec!["ID".into()])));
    assert!(call.only(&["InstanceName", "LocalOnly", "PropertyList"]).is_ok());
    assert!(call.only(&["InstanceName", "LocalOnly"]).is_err());
    assert!(call.flag("PropertyList", true).is_err() && call.number("LocalOnly").is_err());
}

#[test]
fn arguments_have_the_declared_types() {
    let schema = schema();
    let zone = Zone::utc();
    let reading = Reading { schema: &schema, zone: &zone };
    let method = schema.class("T_Thing").and_then(|class| class.method("Do")).expect("a method");
    let token = "&lt;INSTANCE CLASSNAME=\"SMS_ST_RecurInterval\"&gt;&lt;PROPERTY NAME=\"DaySpan\" TYPE=\"uint32\"&gt;\
                 &lt;VALUE&gt;1&lt;/VALUE&gt;&lt;/PROPERTY&gt;&lt;/INSTANCE&gt;";
    let call = |parameters: &str| {
        let call = format!(
            "<METHODCALL NAME=\"do\"><LOCALINSTANCEPATH>{PLACE}<INSTANCENAME CLASSNAME=\"T_Thing\"><KEYBINDING NAME=\"ID\">\
             <KEYVALUE>x</KEYVALUE></KEYBINDING></INSTANCENAME></LOCALINSTANCEPATH>{parameters}</METHODCALL>"
        );
        match message(&call).expect("a message").call {
            Call::Method(call) => call,
            Call::Intrinsic(_) => panic!("a method"),
        }
    };
    // wbemcli says no types.
    let sent = call(&format!(
        "<PARAMVALUE NAME=\"names\"><VALUE.ARRAY><VALUE> a</VALUE><VALUE/></VALUE.ARRAY></PARAMVALUE>\
         <PARAMVALUE NAME=\"Token\" PARAMTYPE=\"string\" EmbeddedObject=\"instance\"><VALUE>{token}</VALUE></PARAMVALUE>"
    ));
    assert_eq!(sent.path.namespace.as_deref(), Some(r"root\sms\site_XYZ"));
    let arguments = reading.arguments(method, &sent.parameters).expect("typed");
    let texts = Value::Array(vec![Value::String(" a".to_owned()), Value::String(String::new())]);
    assert_eq!(arguments[0], ("Names".into(), texts));
    let Value::Object(object) = &arguments[1].1 else { panic!("an object: {arguments:?}") };
    assert_eq!(object.get("DaySpan"), Some(&Value::Unsigned(1)));
    for (parameters, place) in [
        ("<PARAMVALUE NAME=\"Names\"><VALUE>a</VALUE></PARAMVALUE>", "parameter Names of Do"),
        ("<PARAMVALUE NAME=\"Token\"><VALUE>x</VALUE></PARAMVALUE>", "parameter Token of Do"),
        (
            "<PARAMVALUE NAME=\"Token\"><VALUE>&lt;INSTANCE CLASSNAME=\"T_Base\"&gt;&lt;/INSTANCE&gt;</VALUE></PARAMVALUE>",
            "an instance of T_Base",
        ),
        (
            "<PARAMVALUE NAME=\"Token\"><VALUE>&lt;!DOCTYPE x&gt;&lt;INSTANCE CLASSNAME=\"T_Base\"/&gt;</VALUE></PARAMVALUE>",
            "XML_DTD_FORBIDDEN",
        ),
    ] {
        let error = reading.arguments(method, &call(parameters).parameters).expect_err(parameters);
        assert!(error.code() == "TYPE" && error.to_string().contains(place), "{error}");
    }
}

#[test]
fn what_is_no_message_is_refused() {
    let read = |text: &str| Message::read(text.as_bytes(), None, &Limits::default()).expect_err(text);
    for (text, http) in [
        ("<CIM", (400, "request-not-well-formed")),
        ("<!DOCTYPE CIM SYSTEM \"http://x/\"><CIM/>", (400, "request-not-well-formed")),
        ("<X/>", (400, "request-not-valid")),
        ("<CIM xmlns=\"u\" CIMVERSION=\"2.0\" DTDVERSION=\"2.0\"/>", (400, "request-not-valid")),
        ("<CIM CIMVERSION=\"3.0\" DTDVERSION=\"2.0\"/>", (501, "unsupported-cim-version")),
        ("<CIM CIMVERSION=\"2.0\"/>", (501, "unsupported-dtd-version")),
        ("<CIM CIMVERSION=\"2.0\" DTDVERSION=\"2.0\"/>", (400, "request-not-valid")),
        (
            "<CIM CIMVERSION=\"2.0\" DTDVERSION=\"2.0\"><MESSAGE ID=\"1\" PROTOCOLVERSION=\"2.0\"/></CIM>",
            (501, "unsupported-protocol-version"),
        ),
        (
            "<CIM CIMVERSION=\"2.0\" DTDVERSION=\"2.0\"><MESSAGE ID=\"1\" PROTOCOLVERSION=\"1.0\"/><MESSAGE ID=\"2\" PROTOCOLVERSION=\"1.0\"/></CIM>",
            (400, "request-not-valid"),
        ),
        (
            "<CIM CIMVERSION=\"2.0\" DTDVERSION=\"2.0\"><MESSAGE ID=\"1\" PROTOCOLVERSION=\"1.0\"><MULTIREQ/></MESSAGE></CIM>",
            (501, "multiple-requests-unsupported"),
        ),
    ] {
        assert_eq!(read(text).http(), http, "{text}");
    }
    let twice = format!(
        "<IMETHODCALL NAME=\"GetClass\">{PLACE}<IPARAMVALUE NAME=\"a\"/><IPARAMVALUE NAME=\"A\"/></IMETHODCALL>"
    );
    assert!(message(&twice).is_err());
    let call = format!("<IMETHODCALL NAME=\"GetClass\">{PLACE}</IMETHODCALL>");
    assert!(message(&call).is_ok() && message(&format!("{call}{call}")).is_err());
}

fn thing(schema: &Schema) -> Instance {
    let mut thing = Instance::new(Arc::clone(schema.class("T_Thing").expect("declared")));
    let mut token = Instance::new(Arc::clone(schema.class("SMS_ST_RecurInterval").expect("declared")));
    token.set("DaySpan", Value::Unsigned(1));
    token.set("IsGMT", Value::Boolean(false));
    token.set("StartTime", Value::DateTime(DateTime::Local(1_782_907_200_000_000)));
    let text = |text: &str| Value::String(text.to_owned());
    for (name, value) in [
        ("ID", text("a<b")),
        ("Number", Value::Unsigned(7)),
        ("Flag", Value::Boolean(false)),
        ("Large", Value::Signed(i64::MIN)),
        ("Share", Value::Real(0.5)),
        ("Text", text("]]>\r\n\t&")),
        ("Texts", Value::Array(vec![text(""), text(" ")])),
        ("Bytes", Value::Array(vec![])),
        ("Seen", Value::DateTime(DateTime::Local(1_782_907_200_000_000))),
        ("At", Value::DateTime(DateTime::utc(Timestamp(1_782_907_200_000_000)))),
        ("Tokens", Value::Array(vec![Value::Object(Box::new(token))])),
    ] {
        assert!(thing.set(name, value), "{name}");
    }
    thing
}

#[test]
fn an_instance_comes_back_as_it_was_shown() {
    let (schema, zone) = (schema(), Zone::named("Europe/Berlin").expect("a zone"));
    let thing = thing(&schema);
    let mut reply = Reply::intrinsic("1", "x");
    shown("Europe/Berlin").instance(reply.writer(), &thing);
    let text = reply.finish();
    assert!(text.contains("<VALUE>20260701120000.000000+120</VALUE>"), "{text}");
    assert!(text.contains("<VALUE>20260701120000.000000+000</VALUE>"), "{text}");
    assert!(!text.contains("NAME=\"Token\""), "an embedded object that is not there is left out: {text}");
    let root = xml::read(text.as_bytes(), None, &Limits::default()).expect("XML");
    let mut element = &root;
    while element.name != "INSTANCE" {
        element = element.elements().next().expect("an element");
    }
    let sent = super::request::instance(element).expect("an instance");
    let class = schema.class("T_Thing").expect("declared");
    let reading = Reading { schema: &schema, zone: &zone };
    let values = reading.properties(class, &sent.properties).expect("typed");
    for (name, value) in values {
        match (name.as_str(), value) {
            // The digits are the same; which zone they are of is now said.
            ("Tokens", Value::Array(tokens)) => {
                let Value::Object(token) = &tokens[0] else { panic!("an object") };
                let at = Timestamp(1_782_907_200_000_000 - 7_200_000_000);
                assert_eq!(token.get("StartTime"), Some(&Value::DateTime(DateTime::Moment(at, 120))));
            }
            (name, value) => assert_eq!(Some(&value), thing.get(name), "{name}"),
        }
    }
}

#[test]
fn a_declaration_is_shown_in_the_form_asked_for() {
    let schema = schema();
    let class = schema.class("T_Thing").expect("declared");
    let text = |form: &ClassForm| {
        let mut writer = xml::Writer::new();
        form.write(&mut writer, class);
        writer.finish()
    };
    let own = text(&ClassForm { local_only: true, ..ClassForm::default() });
    assert!(
        !own.contains("NAME=\"ID\"") && !own.contains("QUALIFIER") && own.contains("SUPERCLASS=\"T_Base\""),
        "{own}"
    );
    let whole = text(&ClassForm { has_qualifiers: true, has_origins: true, ..ClassForm::default() });
    assert!(
        whole.contains(
            "<PROPERTY NAME=\"ID\" TYPE=\"string\" CLASSORIGIN=\"T_Base\" PROPAGATED=\"true\">\
             <QUALIFIER NAME=\"Key\" TYPE=\"boolean\"><VALUE>TRUE</VALUE></QUALIFIER></PROPERTY>"
        ),
        "{whole}"
    );
    assert!(whole.contains("<PARAMETER.ARRAY NAME=\"Names\" TYPE=\"string\">"), "{whole}");
    assert!(whole.contains("<PROPERTY.REFERENCE NAME=\"Other\" REFERENCECLASS=\"T_Base\""), "{whole}");
    assert!(!whole.contains("/>"), "some clients cannot read elements that close themselves: {whole}");
    let only = text(&ClassForm { only: Some(vec!["Flag".into()]), ..ClassForm::default() });
    assert!(only.contains("NAME=\"Flag\"") && !only.contains("NAME=\"Text\""), "{only}");
}

#[test]
fn a_refusal_carries_its_number_and_what_is_known() {
    let schema = schema();
    let text = Reply::method("4711", "RefreshPkgSource").error(
        CimCode::NotFound,
        "NOT_FOUND: \"x\" does not exist",
        Some((&shown("UTC"), &thing(&schema))),
    );
    assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"utf-8\"?><CIM CIMVERSION=\"2.0\" DTDVERSION=\"2.0\"><MESSAGE ID=\"4711\""));
    assert!(text.contains("<METHODRESPONSE NAME=\"RefreshPkgSource\"><ERROR CODE=\"6\" DESCRIPTION=\"NOT_FOUND: &quot;x&quot; does not exist\"><INSTANCE"));
    assert!(text.ends_with("</ERROR></METHODRESPONSE></SIMPLERSP></MESSAGE></CIM>"));
}

#[test]
fn a_singleton_and_a_lone_key_are_read() {
    let path = |inner: &str| -> Result<Option<Keys>, ProtocolError> {
        let call = format!(
            "<IMETHODCALL NAME=\"GetInstance\">{PLACE}<IPARAMVALUE NAME=\"InstanceName\">{inner}</IPARAMVALUE></IMETHODCALL>"
        );
        match message(&call)?.call {
            Call::Intrinsic(call) => Ok(call.path("InstanceName").map(|path| path.keys.clone()).ok()),
            Call::Method(_) => Ok(None),
        }
    };
    assert_eq!(path("<INSTANCENAME CLASSNAME=\"A\"></INSTANCENAME>"), Ok(Some(Keys::Singleton)));
    let lone = Keys::Single(KeyValue::Integer(-3));
    assert_eq!(
        path("<INSTANCENAME CLASSNAME=\"A\"><KEYVALUE VALUETYPE=\"numeric\">-3</KEYVALUE></INSTANCENAME>"),
        Ok(Some(lone))
    );
    let deep = format!(
        "{}<INSTANCENAME CLASSNAME=\"A\"/>{}",
        "<INSTANCENAME CLASSNAME=\"A\"><VALUE.REFERENCE>".repeat(6),
        "</VALUE.REFERENCE></INSTANCENAME>".repeat(6)
    );
    assert!(path(&deep).is_err());
}

proptest! {
    #[test]
    fn any_elements_are_a_message_or_refused(parts in prop::collection::vec(
        prop_oneof![
            Just("<IMETHODCALL NAME=\"a\">"), Just("</IMETHODCALL>"), Just(PLACE), Just("<IPARAMVALUE NAME=\"x\">"),
            Just("</IPARAMVALUE>"), Just("<VALUE>1</VALUE>"), Just("<VALUE.ARRAY>"), Just("</VALUE.ARRAY>"),
            Just("<INSTANCENAME CLASSNAME=\"A\">"), Just("</INSTANCENAME>"), Just("<KEYVALUE>k</KEYVALUE>"),
            Just("<INSTANCE CLASSNAME=\"A\">"), Just("</INSTANCE>"), Just("<PROPERTY NAME=\"p\" TYPE=\"string\"/>"),
        ], 0..10)) {
        let text = format!(
            "<CIM CIMVERSION=\"2.0\" DTDVERSION=\"2.0\"><MESSAGE ID=\"1\" PROTOCOLVERSION=\"1.0\"><SIMPLEREQ>{}</SIMPLEREQ></MESSAGE></CIM>",
            parts.concat()
        );
        fuzz_one(text.as_bytes());
        fuzz_one(parts.concat().as_bytes());
    }
}

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../../../../docs/formats/samples/cimxml/", $name))
    };
}

/// Messages as published clients sent them once: pywbem 1.9.1 and wbemcli 1.6.3.
#[test]
fn kept_messages_of_clients_are_read_as_they_always_were() {
    let read = |text: &str| {
        let message = Message::read(text.as_bytes(), Some("utf-8"), &Limits::default()).expect("a message");
        (message.id, message.call)
    };
    let (id, Call::Intrinsic(call)) = read(sample!("modify-instance.xml")) else { panic!("an operation") };
    assert_eq!((id.as_str(), call.name.as_str()), ("1001", "ModifyInstance"));
    let (path, sent) = call.instance("ModifiedInstance").expect("an instance");
    assert_eq!(path.map(ToString::to_string).as_deref(), Some("SMS_Package.PackageID=\"XYZ00001\""));
    assert_eq!(call.names("PropertyList"), Ok(Some(vec!["RefreshSchedule".into(), "Name".into()])));
    let Raw::Many(tokens) = &sent.properties[0].raw else { panic!("an array") };
    assert!(
        tokens[0]
            .as_ref()
            .is_some_and(|token| token.starts_with("<INSTANCE CLASSNAME=\"SMS_ST_RecurInterval\">"))
    );
    assert_eq!(sent.properties[1].raw, Raw::One("<a & \"b\">".to_owned()));
    let (_, Call::Method(call)) = read(sample!("add-distribution-points.xml")) else { panic!("a method") };
    assert_eq!(call.path.to_string(), r#"root\sms\site_XYZ:SMS_Package.PackageID="XYZ00001""#);
    let nal = r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=XYZ"]\\DP01\"#.to_owned();
    assert_eq!(call.parameters[1].raw, Raw::Many(vec![Some(nal)]));
    let (id, Call::Intrinsic(call)) = read(sample!("get-instance.xml")) else { panic!("an operation") };
    assert_eq!((id.as_str(), call.flag("IncludeClassOrigin", false)), ("4711", Ok(true)));
    assert!(call.only(&["LocalOnly", "IncludeQualifiers", "IncludeClassOrigin", "InstanceName"]).is_ok());
}

#[test]
fn an_answer_is_written_as_it_always_was() {
    let schema = schema();
    let mut reply = Reply::intrinsic("1001", "GetInstance");
    reply.begin_values();
    shown("Europe/Berlin").instance(reply.writer(), &thing(&schema));
    assert_eq!(reply.finish(), sample!("answer.xml").trim_end());
}

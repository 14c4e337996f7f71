//! What bodies say, and what is refused.

use restock_cim::{DateTime, Instance, Value};
use restock_names::{Timestamp, Zone};
use restock_wire::odata::{Body, BodyError, BodyForm, Selection, Shown, read_json};

use crate::SCHEMA;

fn berlin() -> Zone {
    Zone::named("Europe/Berlin").unwrap()
}

fn object(text: &str, form: BodyForm) -> Result<Body, BodyError> {
    let class = SCHEMA.class("SMS_Package").unwrap();
    Body::of_object(&SCHEMA, class, read_json(text.as_bytes())?, form, &berlin())
}

fn call(class: &str, method: &str, text: &str) -> Result<Body, BodyError> {
    let class = SCHEMA.class(class).unwrap();
    let method = class.method(method).unwrap();
    Body::of_call(&SCHEMA, class, method, read_json(text.as_bytes())?, &berlin())
}

fn refusal(text: &str) -> String {
    let whole = object(text, BodyForm::Whole).expect_err("refused").to_string();
    let partial = object(text, BodyForm::Partial).expect_err("refused").to_string();
    assert_eq!(whole, partial, "{text}");
    whole
}

#[test]
fn properties_take_their_declared_types_and_names() {
    let read = object(
        r##"{"name":"a","PRIORITY":-1,"Big":18446744073709551615,"Flag":false,"Ratio":2,"Icon":"AAH_",
            "SourceDate":"2026-07-01T10:00:00Z","Seen":"2026-07-01T14:00:00+02:00","Providers":["x"],
            "RefreshSchedule":[{"@odata.type":"#AdminService.SMS_ST_RecurWeekly","Day":3,
                                "StartTime":"2026-07-01T12:00:00Z"},
                               {"@odata.type":"#AdminService.SMS_ST_RecurWeekly","IsGMT":true,
                                "StartTime":"2026-07-01T12:00:00Z"}]}"##,
        BodyForm::Partial,
    )
    .unwrap();
    let noon = 1_782_907_200_000_000;
    let value = |name: &str| read.values.iter().find(|(n, _)| n.as_str() == name).map(|(_, v)| v).unwrap();
    assert_eq!(value("Name"), &Value::String("a".to_owned()));
    assert_eq!(value("Priority"), &Value::Signed(-1));
    assert_eq!(value("Big"), &Value::Unsigned(u64::MAX));
    assert_eq!(value("Ratio"), &Value::Real(2.0));
    assert_eq!(value("Icon"), &Value::Array([0u64, 1, 255].map(Value::Unsigned).to_vec()));
    assert_eq!(value("SourceDate"), &Value::DateTime(DateTime::Local(noon)));
    assert_eq!(value("Seen"), &Value::DateTime(DateTime::utc(Timestamp(noon))));
    let Value::Array(tokens) = value("RefreshSchedule") else { panic!("an array") };
    let starts: Vec<_> = tokens
        .iter()
        .map(|token| match token {
            Value::Object(token) => token.get("StartTime").cloned().unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        starts,
        [Value::DateTime(DateTime::Local(noon)), Value::DateTime(DateTime::utc(Timestamp(noon)))],
        "the start of a token in local time is digits of a clock"
    );
}

#[test]
fn values_of_another_type_are_refused_with_their_property() {
    for (body, place) in [
        (r#"{"Name":3}"#, "Name"),
        (r#"{"Priority":"2"}"#, "Priority"),
        (r#"{"Priority":2.0}"#, "Priority"),
        (r#"{"Priority":2147483648}"#, "Priority"),
        (r#"{"Priority":9223372036854775808}"#, "Priority"),
        (r#"{"Big":-1}"#, "Big"),
        (r#"{"Big":18446744073709551616}"#, "Big"),
        (r#"{"Priority":NaN}"#, "Priority"),
        (r#"{"Ratio":Infinity}"#, "Ratio"),
        (r#"{"Flag":"true"}"#, "Flag"),
        (r#"{"Flag":1}"#, "Flag"),
        (r#"{"Providers":"x"}"#, "Providers"),
        (r#"{"Providers":[null]}"#, "Providers"),
        (r#"{"Name":["x"]}"#, "Name"),
        (r#"{"Icon":"?"}"#, "Icon"),
        (r#"{"Seen":"yesterday"}"#, "Seen"),
        (r#"{"Name":"a","NAME":"b"}"#, "NAME"),
        (r#"{"RefreshSchedule":[{"Day":1}]}"#, "RefreshSchedule"),
        (r##"{"RefreshSchedule":[{"@odata.type":"#AdminService.SMS_Package"}]}"##, "RefreshSchedule"),
        (
            r##"{"RefreshSchedule":[{"@odata.type":"#AdminService.SMS_ST_RecurWeekly","Day":"x"}]}"##,
            "RefreshSchedule.Day",
        ),
        ("[]", "body"),
        ("3", "body"),
        ("", "body"),
    ] {
        let text = refusal(body);
        assert!(text.starts_with("TYPE: ") && text.contains(place), "{body}: {text}");
    }
}

#[test]
fn unknown_properties_are_never_dropped() {
    assert_eq!(refusal(r#"{"Nope":1}"#), "UNKNOWN_PROPERTY: SMS_Package has no property Nope");
    let inner = r##"{"RefreshSchedule":[{"@odata.type":"#AdminService.SMS_ST_RecurWeekly","Nope":1}]}"##;
    assert_eq!(refusal(inner), "UNKNOWN_PROPERTY: SMS_ST_RecurWeekly has no property Nope");
    assert!(refusal("{\"a\\u0000\\u001b\":1}").ends_with(r"no property a\x00\x1b"));
}

#[test]
fn a_whole_object_may_hold_what_only_the_site_writes() {
    let body = r##"{"@odata.etag":"XYZ00001","__PATH":"x","__GENUS":"anything","Name@odata.type":"#String",
                   "PackageID":"XYZ00001","SourceVersion":"of any type","Name":"b"}"##;
    let read = object(body, BodyForm::Whole).unwrap();
    let names: Vec<&str> = read.values.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["PackageID", "Name"]);
    let text = object(body, BodyForm::Partial).unwrap_err().to_string();
    assert!(text.starts_with("UNKNOWN_PROPERTY: @odata.etag is no property of SMS_Package"), "{text}");
    // A partial body hands on what is read-only: the provider refuses it by name.
    let read = object(r#"{"SourceVersion":9}"#, BodyForm::Partial).unwrap();
    assert_eq!(read.values, [("SourceVersion".into(), Value::Unsigned(9))]);
}

#[test]
fn parameters_are_read_by_declaration() {
    let read =
        call("SMS_Package", "AddDistributionPoints", r#"{"sitecode":["XYZ"],"NALPath":null}"#).unwrap();
    assert_eq!(
        read.values,
        [
            ("SiteCode".into(), Value::Array(vec![Value::String("XYZ".to_owned())])),
            ("NALPath".into(), Value::Null)
        ]
    );
    for empty in ["{}", "null", r#"{"@odata.type":"x"}"#] {
        assert_eq!(call("SMS_Package", "RefreshPkgSource", empty).unwrap(), Body::default(), "{empty}");
    }
    let unknown = call("SMS_Package", "AddDistributionPoints", r#"{"Nope":1}"#).unwrap_err();
    assert_eq!(unknown.code(), "UNKNOWN_PARAMETER");
    let out = call("SMS_Package", "CheckDuplicateShareName", r#"{"IsDuplicated":true}"#).unwrap_err();
    assert_eq!(out.code(), "UNKNOWN_PARAMETER", "an out-parameter is not sent");
    let array = r##"{"TokenData":[{"@odata.type":"#AdminService.SMS_ST_RecurWeekly","Day":2}]}"##;
    assert_eq!(call("SMS_ScheduleMethods", "WriteToString", array).unwrap().values.len(), 1);
}

#[test]
fn what_is_shown_is_read_back_the_same() {
    let class = SCHEMA.class("SMS_Package").unwrap();
    let mut package = Instance::new(class.clone());
    for (name, value) in [
        ("PackageID", Value::String("XYZ00001".to_owned())),
        ("Name", Value::String("ä \u{1f600} \\ \" / \u{2028} \u{7f}\n".to_owned())),
        ("Priority", Value::Signed(i64::from(i32::MIN))),
        ("Ratio", Value::Real(0.1)),
        ("Icon", Value::Array(vec![Value::Unsigned(200); 5])),
        ("SourceDate", Value::DateTime(DateTime::Local(1_782_907_200_000_001))),
        ("Seen", Value::Null),
        ("RefreshSchedule", Value::Array(vec![])),
    ] {
        package.set(name, value);
    }
    let shown = Shown { server: "H".to_owned(), namespace: "n".to_owned(), zone: berlin() };
    let mut text = String::new();
    shown.write(&mut text, &package, &Selection::Whole, None);
    let read = object(&text, BodyForm::Whole).unwrap();
    let mut again = Instance::new(class.clone());
    for (name, value) in read.values {
        again.set(name.as_str(), value);
    }
    assert_eq!(again, package);
}

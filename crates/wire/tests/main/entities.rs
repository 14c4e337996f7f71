//! Instances as JSON.

use expect_test::expect;
use restock_cim::{DateTime, Instance, Value};
use restock_names::{Timestamp, Zone};
use restock_wire::odata::{Selection, Shown, address_of, etag};

use crate::SCHEMA;

fn shown() -> Shown {
    Shown {
        server: "HOST".to_owned(),
        namespace: r"root\sms\site_XYZ".to_owned(),
        zone: Zone::named("Europe/Berlin").unwrap(),
    }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn package() -> Instance {
    let mut package = Instance::new(SCHEMA.class("SMS_Package").unwrap().clone());
    for (name, value) in [
        ("PackageID", text("XYZ00001")),
        ("Name", text("a \"b\" <i>\u{1b}")),
        ("SourceVersion", Value::Unsigned(7)),
        ("Priority", Value::Signed(-1)),
        ("Big", Value::Unsigned(u64::MAX)),
        ("Flag", Value::Boolean(true)),
        ("Ratio", Value::Real(0.5)),
        ("Icon", Value::Array([0u64, 1, 255].map(Value::Unsigned).to_vec())),
        // Noon in Berlin on 2026-07-01.
        ("SourceDate", Value::DateTime(DateTime::Local(1_782_907_200_000_000))),
        ("Seen", Value::DateTime(DateTime::utc(Timestamp(1_782_907_200_000_000)))),
    ] {
        assert!(package.set(name, value), "{name}");
    }
    package
}

fn written(instance: &Instance, selection: &Selection, context: Option<&str>) -> String {
    let mut out = String::new();
    shown().write(&mut out, instance, selection, context);
    serde_json::from_str::<serde_json::Value>(&out).unwrap_or_else(|e| panic!("{e}: {out}"));
    out.replace(",\"", ",\n\"")
}

#[test]
fn members_stand_in_the_order_that_clients_know() {
    let mut package = package();
    let weekly = SCHEMA.class("SMS_ST_RecurWeekly").unwrap();
    let token = |is_gmt, time| {
        let mut token = Instance::new(weekly.clone());
        token.set("IsGMT", Value::Boolean(is_gmt));
        token.set("StartTime", Value::DateTime(time));
        token.set("Day", Value::Unsigned(3));
        Value::Object(Box::new(token))
    };
    let noon = 1_782_907_200_000_000;
    package.set(
        "RefreshSchedule",
        Value::Array(vec![token(false, DateTime::Local(noon)), token(true, DateTime::utc(Timestamp(noon)))]),
    );
    package.set("Providers", Value::Array(vec![]));
    expect![[r##"
        {"@odata.etag":"XYZ00001",
        "__LAZYPROPERTIES":["Providers",
        "RefreshSchedule"],
        "__QUALIFIER_SECURITYVERBS":null,
        "Big":18446744073709551615,
        "Flag":true,
        "Icon":"AAH/",
        "Name":"a \"b\" \u003ci\u003e\u001b",
        "PackageID":"XYZ00001",
        "Priority":-1,
        "Providers":[],
        "Ratio":0.5,
        "Seen":"2026-07-01T12:00:00Z",
        "SourceDate":"2026-07-01T10:00:00Z",
        "SourceVersion":7,
        "__GENUS":2,
        "__CLASS":"SMS_Package",
        "__SUPERCLASS":"SMS_BaseClass",
        "__DYNASTY":"SMS_BaseClass",
        "__RELPATH":"SMS_Package.PackageID=\"XYZ00001\"",
        "__PROPERTY_COUNT":12,
        "__DERIVATION":["SMS_BaseClass"],
        "__SERVER":"HOST",
        "__NAMESPACE":"root\\sms\\site_XYZ",
        "__PATH":"\\\\HOST\\root\\sms\\site_XYZ:SMS_Package.PackageID=\"XYZ00001\"",
        "RefreshSchedule":[{"@odata.type":"#AdminService.SMS_ST_RecurWeekly",
        "Day":3,
        "IsGMT":false,
        "StartTime":"2026-07-01T12:00:00Z"},{"@odata.type":"#AdminService.SMS_ST_RecurWeekly",
        "Day":3,
        "IsGMT":true,
        "StartTime":"2026-07-01T12:00:00Z"}]}"##]]
    .assert_eq(&written(&package, &Selection::Whole, None));
}

#[test]
fn a_selection_shows_what_was_read_and_the_named_system_members() {
    let mut row = Instance::new(SCHEMA.class("SMS_Package").unwrap().clone());
    row.set("Name", Value::Null);
    let selection = Selection::Named(vec!["__class".into(), "__RELPATH".into()]);
    expect![[r#"
        {"@odata.context":"c",
        "Name":null,
        "__CLASS":"SMS_Package",
        "__RELPATH":null}"#]]
    .assert_eq(&written(&row, &selection, Some("c")));
}

#[test]
fn composite_keys_make_one_etag_and_one_address() {
    let mut point = Instance::new(SCHEMA.class("SMS_DistributionPoint").unwrap().clone());
    assert_eq!(etag(&point), None);
    point.set("PackageID", text("XYZ00001"));
    point.set("ServerNALPath", text(r#"["Display=\\DP'1\"]"#));
    point.set("Number", Value::Unsigned(3));
    assert_eq!(etag(&point).as_deref(), Some(r#"3;XYZ00001;["Display=\\DP'1\"]"#));
    assert_eq!(
        address_of(&point).as_deref(),
        Some(
            "SMS_DistributionPoint(Number=3,PackageID='XYZ00001',\
             ServerNALPath='%5B%22Display=%5C%5CDP''1%5C%22%5D')"
        )
    );
}

//! `$metadata`, the list of classes, method answers and refusals.

use expect_test::expect;
use restock_cim::{Instance, Value};
use restock_names::Zone;
use restock_wire::odata::{
    ErrorBody, ServiceDocument, empty_metadata, entity_sets, metadata, method_answer, service_document,
};

use crate::SCHEMA;

#[test]
fn metadata_declares_every_class_once() {
    let text = metadata(&SCHEMA);
    assert!(
        text.starts_with("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<edmx:Edmx Version=\"4.0\""),
        "{text}"
    );
    for wanted in [
        r#"<ComplexType Name="SMS_ScheduleToken" Abstract="true"><Property Name="IsGMT" Type="Edm.Boolean"/><Property Name="StartTime" Type="Edm.DateTimeOffset"/></ComplexType>"#,
        r#"<ComplexType Name="SMS_ST_RecurWeekly" BaseType="AdminService.SMS_ScheduleToken"><Property Name="Day" Type="Edm.Int64"/></ComplexType>"#,
        r#"<EntityType Name="SMS_Package"><Key><PropertyRef Name="PackageID"/></Key>"#,
        r#"<Property Name="Number" Type="Edm.Int64" Nullable="false"/>"#,
        r#"<Property Name="Icon" Type="Edm.Binary"/>"#,
        r#"<Property Name="RefreshSchedule" Type="Collection(AdminService.SMS_ScheduleToken)"/>"#,
        r#"<EntityType Name="SMS_ScheduleMethods" Abstract="true">"#,
        r#"<Action Name="AddDistributionPoints" IsBound="true"><Parameter Name="bindingParameter" Type="AdminService.SMS_Package"/><Parameter Name="SiteCode" Type="Collection(Edm.String)"/><Parameter Name="NALPath" Type="Collection(Edm.String)"/><ReturnType Type="Edm.Int32"/></Action>"#,
        r#"<Action Name="SMS_Package.CheckDuplicateShareName"><Parameter Name="ShareName" Type="Edm.String"/><ReturnType Type="Edm.Int32"/></Action>"#,
        r#"<EntitySet Name="SMS_Package" EntityType="AdminService.SMS_Package"/>"#,
        r#"<ActionImport Name="SMS_Package.CheckDuplicateShareName" Action="AdminService.SMS_Package.CheckDuplicateShareName"/>"#,
    ] {
        assert_eq!(text.matches(wanted).count(), 1, "{wanted}\n{text}");
    }
    assert!(!text.contains(r#"EntitySet Name="SMS_BaseClass""#), "no key, no set");
    assert!(empty_metadata().contains("<EntityContainer"));
}

#[test]
fn the_list_of_classes_is_that_of_the_sets() {
    let sets = entity_sets(&SCHEMA);
    expect![[
        r#"{"@odata.context":"https://h/AdminService/wmi/$metadata","value":[{"name":"SMS_DistributionPoint","kind":"EntitySet","url":"SMS_DistributionPoint"},{"name":"SMS_Package","kind":"EntitySet","url":"SMS_Package"}]}"#
    ]]
    .assert_eq(&service_document("https://h/AdminService/wmi/", ServiceDocument::Wmi(&sets)));
    expect![[r#"{"@odata.context":"https://h/AdminService/v1.0/$metadata","value":[]}"#]]
        .assert_eq(&service_document("https://h/AdminService/v1.0/", ServiceDocument::Versioned));
}

#[test]
fn a_method_answers_its_return_value_and_out_parameters() {
    let method = SCHEMA.class("SMS_Package").unwrap().method("CheckDuplicateShareName").unwrap();
    let out = [("IsDuplicated".into(), Value::Boolean(true))];
    let answer = |with_value| {
        method_answer(
            "https://h/AdminService/wmi/",
            method,
            &Value::Signed(0),
            &out,
            with_value,
            &Zone::utc(),
        )
    };
    expect![[
        r#"{"@odata.context":"https://h/AdminService/wmi/$metadata#__PARAMETERS","ReturnValue":0,"IsDuplicated":true}"#
    ]]
    .assert_eq(&answer(false));
    expect![[
        r#"{"@odata.context":"https://h/AdminService/wmi/$metadata#__PARAMETERS","ReturnValue":0,"value":0,"IsDuplicated":true}"#
    ]]
    .assert_eq(&answer(true));
}

#[test]
fn a_refusal_says_its_code_once() {
    let mut status = Instance::new(SCHEMA.class("__ExtendedStatus").unwrap().clone());
    status.set("StatusCode", Value::Unsigned(0x8004_1002));
    status.set("Description", Value::String("no <b>".to_owned()));
    let body = |return_value| {
        ErrorBody {
            http: 404,
            code: "NOT_FOUND",
            description: "NOT_FOUND: no <b>",
            status: Some(&status),
            return_value,
            correlation: "c-1",
        }
        .to_json()
    };
    expect![[
        r##"{"error":{"code":"404","message":"NOT_FOUND: no \u003cb\u003e","innererror":{"@odata.type":"#AdminService.__ExtendedStatus","Description":"no \u003cb\u003e","StatusCode":2147749890,"ReturnValue":5,"errorCode":"NOT_FOUND","correlationId":"c-1"}}}"##
    ]]
    .assert_eq(&body(Some(5)));
    assert!(!body(Some(0)).contains("ReturnValue"), "a failure never shows 0");
}

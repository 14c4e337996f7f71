//! Answers: items, envelopes and faults.

use expect_test::expect;
use restock_cim::{Instance, Status, Value};
use restock_wire::wsman::names::WMI_PREFIX;
use restock_wire::wsman::{
    Batch, Fault, FaultKind, Heading, envelope, fault_envelope, identify_envelope, items,
};
use restock_wire::xml::Writer;

use super::{URI, check, shown, tree};
use crate::SCHEMA;

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
    assert!(tree(&identify_envelope("urn:i", "Restock", "1")).elements().next().is_some());
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

//! What calls say beside their object: the names of programs, caps on rows, and handles for both.

use crate::adminservice::door::{Door, Got, basic, wmi};
use crate::cimom::messages::{call_package, class, message, operation, post_as, refusal, response, values};

/// A call of `SMS_ContextMethods`.
fn call(method: &str, parameters: &str) -> String {
    message(&format!(
        "<METHODCALL NAME=\"{method}\"><LOCALCLASSPATH><LOCALNAMESPACEPATH><NAMESPACE NAME=\"root/sms/site_XYZ\"/>\
         </LOCALNAMESPACEPATH><CLASSNAME NAME=\"SMS_ContextMethods\"/></LOCALCLASSPATH>{parameters}</METHODCALL>"
    ))
}

fn with(door: &Door, context: &str, body: &str) -> Got {
    let content = format!("Content-Type: application/xml\r\nSMS-Context: {context}");
    post_as(door, &basic(door.user, &door.password), &content, body)
}

#[test]
fn a_handle_stands_for_what_its_call_said() {
    let door = Door::new(&[]);
    let ids: Vec<String> = (0..3).map(|n| door.package(&format!("p{n}"))).collect();
    let all = operation("EnumerateInstances", &class("ClassName", "SMS_Package"));
    assert_eq!(values(&with(&door, "InstanceCount=2", &all)).len(), 2);
    let made = response(&with(&door, "ApplicationName=Tool; InstanceCount=2", &call("GetContextHandle", "")));
    let handle = made.elements().find(|e| e.attribute("NAME") == Some("ContextHandle")).unwrap().clone();
    let handle = handle.child("", "VALUE").unwrap().text();
    let by_handle = format!("ContextHandle={handle}");
    assert_eq!(values(&with(&door, &by_handle, &all)).len(), 2);
    assert_eq!(
        values(&with(&door, &format!("{by_handle}; InstanceCount=1"), &all)).len(),
        1,
        "what is said goes before"
    );
    // At the other doors it is the same handle, and the program's name is in the log.
    let header = format!("SMS-Context: {by_handle}");
    let rows = door.request("GET", &wmi("SMS_Package"), &[&header], "").json();
    assert_eq!(rows["value"].as_array().unwrap().len(), 2);
    with(&door, &by_handle, &call_package(&ids[0], "RefreshPkgSource"));
    let log = std::fs::read_to_string(door.world.site_data().join("logs/restock.jsonl")).unwrap();
    let line = log.lines().find(|line| line.contains("::RefreshPkgSource")).unwrap();
    assert!(line.contains("\"SMSAppName\":\"Tool\""), "{line}");
    // Another account cannot use it, and cleared it is gone.
    let other = basic("other", &door.account("other", Some("SMS0001R")));
    let content = format!("Content-Type: application/xml\r\nSMS-Context: {by_handle}");
    assert_eq!(post_as(&door, &other, &content, &all).status, 400);
    let parameter = format!("<PARAMVALUE NAME=\"ContextHandle\"><VALUE>{handle}</VALUE></PARAMVALUE>");
    let clear = call("ClearContextHandle", &parameter);
    assert!(response(&with(&door, "", &clear)).child("", "RETURNVALUE").is_some());
    assert_eq!(refusal(&with(&door, "", &clear)), (6, "NOT_FOUND".to_owned()));
    assert_eq!(with(&door, &by_handle, &all).status, 400);
}

#[test]
fn qualifiers_that_are_not_known_are_refused_by_name() {
    let door = Door::new(&[]);
    let all = operation("EnumerateInstances", &class("ClassName", "SMS_Package"));
    for (context, name) in [
        ("Colour=red", "Colour"),
        ("SessionHandle=x", "SessionHandle"),
        ("InstanceCount=many", "InstanceCount"),
        ("ContextHandle=0", "handle"),
        ("nonsense", "Name=value"),
    ] {
        let got = with(&door, context, &all);
        let text = String::from_utf8_lossy(&got.body).into_owned();
        assert!(
            got.status == 400 && text.starts_with("CONTEXT_QUALIFIER: ") && text.contains(name),
            "{text}"
        );
    }
    let got = door.request("GET", &wmi("SMS_Site"), &["SMS-Context: Colour=red"], "");
    assert_eq!(got.refusal(), (400, "CONTEXT_QUALIFIER".to_owned()));
}

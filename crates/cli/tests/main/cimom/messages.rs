//! Messages as text, and what comes back as a tree.

use restock_wire::xml::{self, Element, Limits};

use crate::adminservice::door::{Door, Got, basic};

const NAMESPACE: &str = "<LOCALNAMESPACEPATH><NAMESPACE NAME=\"root\"/><NAMESPACE NAME=\"sms\"/>\
                         <NAMESPACE NAME=\"site_XYZ\"/></LOCALNAMESPACEPATH>";

/// A message around one call.
pub(crate) fn message(call: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><CIM CIMVERSION=\"2.0\" DTDVERSION=\"2.0\">\
         <MESSAGE ID=\"77\" PROTOCOLVERSION=\"1.0\"><SIMPLEREQ>{call}</SIMPLEREQ></MESSAGE></CIM>"
    )
}

/// An operation of the standard. `parameters`: whole elements.
pub(crate) fn operation(name: &str, parameters: &str) -> String {
    message(&format!("<IMETHODCALL NAME=\"{name}\">{NAMESPACE}{parameters}</IMETHODCALL>"))
}

/// A parameter that is a text.
pub(crate) fn text(name: &str, value: &str) -> String {
    format!("<IPARAMVALUE NAME=\"{name}\"><VALUE>{}</VALUE></IPARAMVALUE>", escaped(value))
}

/// A parameter that is the name of a class.
pub(crate) fn class(name: &str, value: &str) -> String {
    format!("<IPARAMVALUE NAME=\"{name}\"><CLASSNAME NAME=\"{value}\"/></IPARAMVALUE>")
}

/// `INSTANCENAME` of a package.
pub(crate) fn package_name(id: &str) -> String {
    format!(
        "<INSTANCENAME CLASSNAME=\"SMS_Package\"><KEYBINDING NAME=\"PackageID\"><KEYVALUE VALUETYPE=\"string\">{}\
         </KEYVALUE></KEYBINDING></INSTANCENAME>",
        escaped(id)
    )
}

/// GetInstance of a package.
pub(crate) fn get_package(id: &str) -> String {
    operation(
        "GetInstance",
        &format!("<IPARAMVALUE NAME=\"InstanceName\">{}</IPARAMVALUE>", package_name(id)),
    )
}

/// A method of a package.
pub(crate) fn call_package(id: &str, method: &str) -> String {
    message(&format!(
        "<METHODCALL NAME=\"{method}\"><LOCALINSTANCEPATH>{NAMESPACE}{}</LOCALINSTANCEPATH></METHODCALL>",
        package_name(id)
    ))
}

/// ModifyInstance of a package. `properties`: whole elements; `listed`: the names in a list.
pub(crate) fn modify_package(id: &str, properties: &str, listed: &[&str]) -> String {
    let list: String = listed.iter().map(|name| format!("<VALUE>{name}</VALUE>")).collect();
    let list = format!("<IPARAMVALUE NAME=\"PropertyList\"><VALUE.ARRAY>{list}</VALUE.ARRAY></IPARAMVALUE>");
    operation(
        "ModifyInstance",
        &format!(
            "<IPARAMVALUE NAME=\"ModifiedInstance\"><VALUE.NAMEDINSTANCE>{}<INSTANCE CLASSNAME=\"SMS_Package\">\
             {properties}</INSTANCE></VALUE.NAMEDINSTANCE></IPARAMVALUE>{}",
            package_name(id),
            if listed.is_empty() { "" } else { &list }
        ),
    )
}

/// `PROPERTY` with a value.
pub(crate) fn property(name: &str, kind: &str, value: &str) -> String {
    format!("<PROPERTY NAME=\"{name}\" TYPE=\"{kind}\"><VALUE>{}</VALUE></PROPERTY>", escaped(value))
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Posts a body by the account that may do everything.
pub(crate) fn post(door: &Door, body: impl AsRef<[u8]>) -> Got {
    post_as(door, &basic(door.user, &door.password), "Content-Type: application/xml; charset=\"utf-8\"", body)
}

/// The same by another account, with another line about the content.
pub(crate) fn post_as(door: &Door, authorization: &str, content: &str, body: impl AsRef<[u8]>) -> Got {
    let body = body.as_ref();
    let mut bytes = format!(
        "POST /cimom HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: {authorization}\r\n{content}\r\n\
         Content-Length: {}\r\n\r\n",
        door.http,
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    door.raw(bytes)
}

/// The response element of an answer.
#[track_caller]
pub(crate) fn response(got: &Got) -> Element {
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(got.header("cimoperation"), Some("MethodResponse"), "{got:?}");
    let mut element =
        xml::read(&got.body, Some("utf-8"), &Limits { bytes_max: 1 << 24, ..Limits::default() })
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&got.body)));
    for name in ["MESSAGE", "SIMPLERSP"] {
        if name == "SIMPLERSP" {
            assert_eq!(element.attribute("ID"), Some("77"));
        }
        element = element.child("", name).unwrap_or_else(|| panic!("{name} in {got:?}")).clone();
    }
    element.elements().next().unwrap().clone()
}

/// The elements of a value.
#[track_caller]
pub(crate) fn values(got: &Got) -> Vec<Element> {
    let response = response(got);
    let values = response.child("", "IRETURNVALUE");
    values
        .unwrap_or_else(|| panic!("a value in {}", String::from_utf8_lossy(&got.body)))
        .elements()
        .cloned()
        .collect()
}

/// The number and the stable code of a refusal, whose form is checked.
#[track_caller]
pub(crate) fn refusal(got: &Got) -> (u32, String) {
    let response = response(got);
    let error = response.child("", "ERROR");
    let error = error.unwrap_or_else(|| panic!("a refusal in {}", String::from_utf8_lossy(&got.body)));
    let description = error.attribute("DESCRIPTION").unwrap();
    for secret in ["/src/", ".rs:", "SELECT \"", "/tmp/", "sqlite"] {
        assert!(!description.contains(secret), "{description}");
    }
    let code = description.split(": ").next().unwrap().to_owned();
    (error.attribute("CODE").unwrap().parse().unwrap(), code)
}

/// The value of a parameter that follows the values.
pub(crate) fn parameter(got: &Got, name: &str) -> String {
    let response = response(got);
    let found = response.elements().find(|e| e.name == "PARAMVALUE" && e.attribute("NAME") == Some(name));
    found.and_then(|e| e.child("", "VALUE")).map(Element::text).unwrap_or_default()
}

/// HTTP status, `CIMError` and the stable code of what is no message.
pub(crate) fn protocol(got: &Got) -> (u16, String, String) {
    let code = String::from_utf8_lossy(&got.body).split(": ").next().unwrap_or_default().to_owned();
    (got.status, got.header("cimerror").unwrap_or_default().to_owned(), code)
}

//! WS-Management: envelopes in, faults and instances out, and instances back.

mod answers;
mod instances;
mod requests;

use expect_test::Expect;
use restock_names::Zone;
use restock_wire::wsman::{ResourceUri, Shown};
use restock_wire::xml::{self, Element, Limits};

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

#[track_caller]
fn check(text: String, expected: Expect) {
    expected.assert_eq(&text.replace("><", ">\n<"));
}

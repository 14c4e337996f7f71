use proptest::prelude::*;

use super::{Element, Limits, Node, Refused, Writer, charset_of, fuzz_one, read};

fn parse(text: &str) -> Result<Element, Refused> {
    read(text.as_bytes(), None, &Limits::default())
}

#[track_caller]
fn refused(bytes: &[u8], charset: Option<&str>, code: &str) {
    let error = read(bytes, charset, &Limits::default()).expect_err("it is to be refused");
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().starts_with(code), "{error}");
}

#[test]
fn names_are_resolved_and_references_read() {
    let element = parse(
        "<?xml version='1.0' encoding=\"utf-8\"?>\n<!-- c --><a:R xmlns:a='urn:1' xmlns='urn:2' a:x=\"1&#x41;\ty\" z='&lt;'>\
         t&amp;<b/><c xmlns=''>&#10;\r\n<![CDATA[<&]]></c></a:R>\n",
    )
    .expect("it is well formed");
    assert!(element.is("urn:1", "R"));
    assert_eq!(element.attribute_of("urn:1", "x"), Some("1A y"));
    assert_eq!(element.attribute("z"), Some("<"));
    assert_eq!(element.children.first(), Some(&Node::Text("t&".to_owned())));
    assert!(element.child("urn:2", "b").is_some());
    assert_eq!(element.child("", "c").map(Element::text).as_deref(), Some("\n\n<&"));
    assert!(element.has_text());
}

#[test]
fn utf_16_with_its_mark_is_read() {
    let text = "<?xml version='1.0' encoding='utf-16'?><a>ü</a>";
    for (mark, unit) in
        [([0xff, 0xfe], u16::to_le_bytes as fn(u16) -> [u8; 2]), ([0xfe, 0xff], u16::to_be_bytes)]
    {
        let bytes: Vec<u8> = mark.into_iter().chain(text.encode_utf16().flat_map(unit)).collect();
        for charset in [None, Some("UTF-16")] {
            let element = read(&bytes, charset, &Limits::default()).expect("it is UTF-16");
            assert_eq!(element.text(), "ü");
        }
    }
}

#[test]
fn a_document_type_is_refused_wherever_it_stands() {
    for text in [
        "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a>&x;</a>",
        "<?xml version='1.0'?>\n<!-- c -->\n<!doctype a [<!ENTITY a 'aa'><!ENTITY b '&a;&a;'>]><a>&b;</a>",
        "\u{feff}<!DOCTYPE a><a/>",
        "<!ELEMENT a ANY><a/>",
    ] {
        refused(text.as_bytes(), None, "XML_DTD_FORBIDDEN");
    }
}

#[test]
fn limits_end_the_reading() {
    let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    refused(deep.as_bytes(), None, "XML_DEPTH");
    let attributes: String = (0..50_000).map(|n| format!(" a{n}=''")).collect();
    refused(format!("<a{attributes}/>").as_bytes(), None, "XML_ATTRIBUTES");
    let namespaces: String = (0..30_000).map(|n| format!(" xmlns:a{n}='u:{n}'")).collect();
    refused(format!("<a{namespaces}/>").as_bytes(), None, "XML_ATTRIBUTES");
    let scopes: String = (0..5)
        .map(|n| {
            let all: String = (0..40).map(|m| format!(" xmlns:a{n}x{m}='u'")).collect();
            format!("<a{all}>")
        })
        .collect();
    refused(scopes.as_bytes(), None, "XML_ATTRIBUTES");
    refused(format!("<a>{}</a>", "<b/>".repeat(100_001)).as_bytes(), None, "XML_SIZE");
    refused(format!("<a>{}</a>", "x".repeat(1 << 20)).as_bytes(), None, "XML_SIZE");
}

#[test]
fn encodings_must_agree() {
    refused(b"+ADw-a/+AD4-", Some("utf-7"), "XML_ENCODING");
    refused(b"<?xml version='1.0' encoding='utf-7'?><a/>", None, "XML_ENCODING");
    refused(b"\xff\xfe<\0a\0/\0>\0", Some("utf-8"), "XML_ENCODING");
    refused(b"\xfe\xff<\0a\0/\0>\0", Some("utf-16le"), "XML_ENCODING");
    refused(b"<\0a\0/\0>\0", Some("utf-16"), "XML_ENCODING");
    refused(b"\xff\xfe<\0a\0/\0>", None, "XML_ENCODING");
    refused(b"\xff\xfe\0\xd8<\0", None, "XML_ENCODING");
    refused(b"<?xml version='1.0' encoding='utf-16'?><a/>", None, "XML_ENCODING");
    refused(b"<a>\xc3</a>", None, "XML_ENCODING");
    refused(b"<a>\xc0\x80</a>", None, "XML_ENCODING");
    refused("<a>ü</a>".as_bytes(), Some("us-ascii"), "XML_ENCODING");
    assert!(read("\u{feff}<a/>".as_bytes(), Some("UTF-8"), &Limits::default()).is_ok());
    assert_eq!(charset_of("application/xml; charset=\"utf-8\""), Some("utf-8"));
    assert_eq!(charset_of("application/soap+xml;charset=UTF-8"), Some("UTF-8"));
    assert_eq!(charset_of("text/xml"), None);
}

#[test]
fn characters_that_xml_lacks_are_refused() {
    for text in [
        "<a>]]></a>",
        "<a>\0</a>",
        "<a>\u{fffe}</a>",
        "<a>\u{1}</a>",
        "<a>&#0;</a>",
        "<a b='&#xFFFE;'/>",
        "<a>&#xD800;</a>",
    ] {
        refused(text.as_bytes(), None, "XML_CHAR");
    }
    // A NUL between the marks of UTF-16 without saying so.
    refused(b"<\0a\0/\0>\0", None, "XML_CHAR");
}

#[test]
fn one_id_stands_once() {
    refused(b"<a><b Id='x'/><b Id='x'/></a>", None, "XML_DUPLICATE_ID");
    refused(b"<a xml:id='x'><b ID='x'/></a>", None, "XML_DUPLICATE_ID");
    let security = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";
    let text = format!("<a xmlns:u='{security}'><b u:Id='x'/><c u:Id='x'/></a>");
    refused(text.as_bytes(), None, "XML_DUPLICATE_ID");
    assert!(parse("<a><b Id='x'/><b Id='y'/></a>").is_ok());
}

#[test]
fn what_is_not_well_formed_is_refused() {
    for text in [
        "",
        " ",
        "x",
        "<a>",
        "<a></b>",
        "</a>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "<a b/>",
        "<a b=c/>",
        "<a b='1' b='2'/>",
        "<a xmlns:p='u' xmlns:q='u' p:x='' q:x=''/>",
        "<p:a/>",
        "<a p:b=''/>",
        "<a xmlns:p=''/>",
        "<a xmlns:xmlns='u'/>",
        "<a xmlns:xml='u'/>",
        "<a xmlns:p='u' xmlns:p='v'/>",
        "<a>&x;</a>",
        "<a>&amp</a>",
        "<a b='&'/>",
        "<a b='<'/>",
        "<a><?php x?></a>",
        "<1/>",
        "<a:b:c xmlns:a='u'/>",
        "<a><?xml version='1.0'?></a>",
        "<a/>&amp;",
        "<a/><![CDATA[]]>",
        "<a><!-- -- --></a>",
        "<a",
        "<a>&#x;</a>x",
    ] {
        let error = parse(text).expect_err(text);
        assert!(matches!(error.code(), "XML_SYNTAX" | "XML_CHAR"), "{text}: {error}");
        fuzz_one(text.as_bytes());
    }
}

#[test]
fn what_is_written_is_escaped_and_closed() {
    let mut writer = Writer::document();
    writer.open("A");
    writer.attribute("b", "<&\"'\n>");
    writer.open("C");
    writer.close();
    writer.open("D");
    writer.close_empty();
    assert_eq!(
        writer.take(),
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><A b=\"&lt;&amp;&quot;'&#10;&gt;\"><C></C><D/>"
    );
    writer.element("E", "]]>\r\0x");
    assert_eq!(writer.finish(), "<E>]]&gt;&#13;\u{fffd}x</E></A>");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        parts in prop::collection::vec(
            prop_oneof![
                Just("<a>".to_owned()), Just("</a>".to_owned()), Just("<b xmlns='u' xmlns:p='v'>".to_owned()),
                Just("</b>".to_owned()), Just("<p:c d='&#9;' xml:id='1' p:d='x'/>".to_owned()), Just("&amp;".to_owned()),
                Just("<![CDATA[ ]]>".to_owned()), Just("<!-- -->".to_owned()), "\\PC{0,6}", "[<>&;'\"=/!?\\[\\]-]{0,4}",
            ],
            0..14,
        )
    ) {
        fuzz_one(parts.concat().as_bytes());
        fuzz_one(format!("<a xmlns:p='v'>{}</a>", parts.concat()).as_bytes());
    }

    #[test]
    fn text_comes_back_as_it_was_written(text in "\\PC{0,40}|[\\r\\n\\t <>&'\"]{0,10}") {
        let mut writer = Writer::new();
        writer.open("a");
        writer.attribute("b", &text);
        writer.text(&text);
        let element = parse(&writer.finish()).expect("the writer makes XML");
        prop_assert_eq!(element.attribute("b"), Some(text.as_str()));
        prop_assert_eq!(element.text(), text);
    }
}

//! Writes the answer to a PROPFIND. Pure: resources in, XML text out, one resource at a time.
//!
//! All text is escaped; names stand percent-encoded in `href`, so that bytes which are not UTF-8
//! survive. Source: RFC 4918 section 13; docs/formats/serving.md, "Listings".

use std::fmt::Write as _;

use quick_xml::escape::escape;
use restock_names::Escaped;

use super::propfind::{APACHE, Asked, DAV, Property, is_xml_char};
use super::validator::http_date;

/// The start of the answer.
pub(crate) const HEAD: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:multistatus xmlns:D=\"DAV:\" xmlns:A=\"http://apache.org/dav/props/\">\n";
/// The end of the answer.
pub(crate) const TAIL: &str = "</D:multistatus>\n";
/// The media type of every file: content is bytes, never shown by a browser.
pub(crate) const OCTETS: &str = "application/octet-stream";

/// One resource of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    /// The path part of its address, percent-encoded; a folder's ends with `/`.
    pub(crate) href: String,
    /// Its last component.
    pub(crate) name: Vec<u8>,
    /// Modification time in whole seconds since 1970.
    pub(crate) modified_s: Option<i64>,
    /// What a file has beside that; `None` for a folder.
    pub(crate) file: Option<FileFacts>,
}

/// What is said about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileFacts {
    pub(crate) size: u64,
    /// Present when asked for.
    pub(crate) etag: Option<String>,
    pub(crate) is_executable: bool,
}

const KNOWN: [(&str, &str); 7] = [
    (DAV, "resourcetype"),
    (DAV, "displayname"),
    (DAV, "getcontentlength"),
    (DAV, "getcontenttype"),
    (DAV, "getetag"),
    (DAV, "getlastmodified"),
    (APACHE, "executable"),
];

impl Resource {
    /// Adds this resource's `response` element to `out`.
    pub(crate) fn write(&self, asked: &Asked, out: &mut String) {
        out.push_str("<D:response><D:href>");
        out.push_str(&escape(&self.href));
        out.push_str("</D:href>");
        let mut missing = Vec::new();
        out.push_str("<D:propstat><D:prop>");
        match asked {
            Asked::Some(properties) => {
                for property in properties {
                    match self.value(&property.namespace, &property.name) {
                        Some(value) => write_property(out, &property.namespace, &property.name, &value),
                        None => missing.push(property),
                    }
                }
            }
            Asked::All | Asked::Names => {
                for (namespace, name) in KNOWN {
                    if let Some(value) = self.value(namespace, name) {
                        let value = if *asked == Asked::Names { String::new() } else { value };
                        write_property(out, namespace, name, &value);
                    }
                }
            }
        }
        out.push_str("</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>");
        if !missing.is_empty() {
            write_missing(out, &missing);
        }
        out.push_str("</D:response>\n");
    }

    /// A property's value as XML, `None` when this resource does not have it.
    fn value(&self, namespace: &str, name: &str) -> Option<String> {
        match (namespace, name, &self.file) {
            (DAV, "resourcetype", None) => Some("<D:collection/>".into()),
            (DAV, "resourcetype", Some(_)) => Some(String::new()),
            (DAV, "displayname", _) => Some(escape(shown(&self.name)).into_owned()),
            (DAV, "getlastmodified", _) => self.modified_s.and_then(http_date),
            (DAV, "getcontentlength", Some(file)) => Some(file.size.to_string()),
            (DAV, "getcontenttype", Some(_)) => Some(OCTETS.into()),
            (DAV, "getetag", Some(file)) => file.etag.as_deref().map(|tag| escape(tag).into_owned()),
            (APACHE, "executable", Some(file)) => Some(if file.is_executable { "T" } else { "F" }.into()),
            _ => None,
        }
    }
}

fn write_property(out: &mut String, namespace: &str, name: &str, value: &str) {
    let prefix = if namespace == DAV { 'D' } else { 'A' };
    let written = match value {
        "" => write!(out, "<{prefix}:{name}/>"),
        value => write!(out, "<{prefix}:{name}>{value}</{prefix}:{name}>"),
    };
    written.expect("writing to a string cannot fail");
}

fn write_missing(out: &mut String, missing: &[&Property]) {
    out.push_str("<D:propstat><D:prop>");
    for Property { namespace, name } in missing {
        let written = match namespace.as_str() {
            "" => write!(out, "<{name} xmlns=\"\"/>"),
            namespace => write!(out, "<x:{name} xmlns:x=\"{}\"/>", escape(namespace)),
        };
        written.expect("writing to a string cannot fail");
    }
    out.push_str("</D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>");
}

/// The name as text: as it is when XML can hold it, else escaped as in logs.
fn shown(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) if text.chars().all(|c| is_xml_char(c) && !c.is_control()) => text.to_owned(),
        _ => Escaped(name).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{FileFacts, HEAD, Resource, TAIL};
    use crate::serve::propfind::{Asked, DAV, Property};
    use expect_test::{Expect, expect};

    fn file(href: &str, name: &[u8]) -> Resource {
        let facts = FileFacts { size: 5, etag: Some("\"ab\"".into()), is_executable: true };
        Resource { href: href.into(), name: name.into(), modified_s: Some(0), file: Some(facts) }
    }

    fn check(resource: &Resource, asked: &Asked, want: Expect) {
        let mut out = String::new();
        resource.write(asked, &mut out);
        let whole = format!("{HEAD}{out}{TAIL}");
        let mut reader = quick_xml::NsReader::from_str(&whole);
        while reader.read_event().expect("well-formed") != quick_xml::events::Event::Eof {}
        want.assert_eq(&out.replace("><", ">\n<"));
    }

    #[test]
    fn a_file_shows_all_its_properties() {
        check(
            &file("/p/a%20%26", b"a &"),
            &Asked::All,
            expect![[r#"
            <D:response>
            <D:href>/p/a%20%26</D:href>
            <D:propstat>
            <D:prop>
            <D:resourcetype/>
            <D:displayname>a &amp;</D:displayname>
            <D:getcontentlength>5</D:getcontentlength>
            <D:getcontenttype>application/octet-stream</D:getcontenttype>
            <D:getetag>&quot;ab&quot;</D:getetag>
            <D:getlastmodified>Thu, 01 Jan 1970 00:00:00 GMT</D:getlastmodified>
            <A:executable>T</A:executable>
            </D:prop>
            <D:status>HTTP/1.1 200 OK</D:status>
            </D:propstat>
            </D:response>
        "#]],
        );
    }

    #[test]
    fn what_a_folder_lacks_is_listed_as_not_found() {
        let folder = Resource { href: "/p/".into(), name: b"\xff<\x01".into(), modified_s: None, file: None };
        let ask = |namespace: &str, name: &str| Property { namespace: namespace.into(), name: name.into() };
        let asked = Asked::Some(vec![
            ask(DAV, "resourcetype"),
            ask(DAV, "displayname"),
            ask(DAV, "getcontentlength"),
            ask("urn:\"<&", "x"),
            ask("", "y"),
        ]);
        check(
            &folder,
            &asked,
            expect![[r#"
            <D:response>
            <D:href>/p/</D:href>
            <D:propstat>
            <D:prop>
            <D:resourcetype>
            <D:collection/>
            </D:resourcetype>
            <D:displayname>\xff&lt;\x01</D:displayname>
            </D:prop>
            <D:status>HTTP/1.1 200 OK</D:status>
            </D:propstat>
            <D:propstat>
            <D:prop>
            <x:getcontentlength xmlns:x="DAV:"/>
            <x:x xmlns:x="urn:&quot;&lt;&amp;"/>
            <y xmlns=""/>
            </D:prop>
            <D:status>HTTP/1.1 404 Not Found</D:status>
            </D:propstat>
            </D:response>
        "#]],
        );
    }

    #[test]
    fn names_alone_have_no_values() {
        check(
            &file("/p/a", b"a"),
            &Asked::Names,
            expect![[r#"
            <D:response>
            <D:href>/p/a</D:href>
            <D:propstat>
            <D:prop>
            <D:resourcetype/>
            <D:displayname/>
            <D:getcontentlength/>
            <D:getcontenttype/>
            <D:getetag/>
            <D:getlastmodified/>
            <A:executable/>
            </D:prop>
            <D:status>HTTP/1.1 200 OK</D:status>
            </D:propstat>
            </D:response>
        "#]],
        );
    }
}

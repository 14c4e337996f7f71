//! One multistatus answer of a DP: the entries of a folder. Source: docs/formats/serving.md, "Listings".

use percent_encoding::percent_decode;
use quick_xml::events::Event;
use restock_content::get::{Listed, ListedFile};
use restock_names::{EntryPath, Escaped};

/// One `response` as it was read.
#[derive(Debug, Default)]
struct Response {
    href: String,
    is_folder: bool,
    size: String,
    etag: String,
    modified: String,
    executable: String,
}

/// The entries directly in the folder `of` (`None`: the package's), whose address has the path `base`.
///
/// Errors: what is no such listing, and entries that lie elsewhere than asked.
pub(super) fn entries(text: &str, base: &str, of: Option<&EntryPath>) -> Result<Vec<Listed>, String> {
    let base: Vec<u8> = percent_decode(base.as_bytes()).collect();
    let mut found = Vec::new();
    for response in responses(text)? {
        let href = path_of(&response.href);
        let plain: Vec<u8> = percent_decode(href.as_bytes()).collect();
        let elsewhere = || format!("the listing has {}, which lies elsewhere", Escaped(&plain));
        let beneath = plain.strip_prefix(base.as_slice()).ok_or_else(elsewhere)?;
        let name = beneath.strip_suffix(b"/").unwrap_or(beneath);
        let name = name.strip_prefix(b"/").unwrap_or(name);
        if name.is_empty() || of.is_some_and(|of| of.as_bytes() == name) {
            // The folder itself is one of the answers.
            continue;
        }
        let path = EntryPath::new(name).map_err(|e| format!("the listing has a path that {e}"))?;
        if path.parent().as_ref() != of {
            return Err(elsewhere());
        }
        let file = if response.is_folder { None } else { Some(file(&response)?) };
        found.push(Listed { path, file });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn file(response: &Response) -> Result<ListedFile, String> {
    let digest = response.etag.trim().trim_matches('"').parse().map_err(|e| format!("{e}"))?;
    let size = response.size.trim().parse();
    let size = size.map_err(|_not_a_number| format!("{:?} is no size", response.size))?;
    let modified = jiff::fmt::rfc2822::parse(response.modified.trim());
    let modified = modified.map_err(|e| format!("{:?} is no date: {e}", response.modified))?;
    let mtime_ns = modified.timestamp().as_second().saturating_mul(1_000_000_000);
    Ok(ListedFile { size, digest, is_executable: response.executable.trim() == "T", mtime_ns })
}

/// The path of an absolute or relative address.
fn path_of(href: &str) -> &str {
    let behind_scheme = href.split_once("://").map(|(_, rest)| rest);
    behind_scheme.map_or(href, |rest| rest.find('/').map_or("/", |at| &rest[at..]))
}

fn responses(text: &str) -> Result<Vec<Response>, String> {
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut found, mut current, mut value) = (Vec::new(), Response::default(), String::new());
    loop {
        match reader.read_event().map_err(|e| format!("the listing is not XML: {e}"))? {
            Event::Eof => return Ok(found),
            Event::DocType(_) => return Err("the listing has a document type".to_owned()),
            Event::Start(e) => {
                value.clear();
                match e.local_name().as_ref() {
                    b"response" => current = Response::default(),
                    b"collection" => current.is_folder = true,
                    _ => {}
                }
            }
            Event::Empty(e) if e.local_name().as_ref() == b"collection" => current.is_folder = true,
            Event::End(e) => match e.local_name().as_ref() {
                b"response" => found.push(std::mem::take(&mut current)),
                b"href" => current.href = std::mem::take(&mut value),
                b"getcontentlength" => current.size = std::mem::take(&mut value),
                b"getetag" => current.etag = std::mem::take(&mut value),
                b"getlastmodified" => current.modified = std::mem::take(&mut value),
                b"executable" => current.executable = std::mem::take(&mut value),
                _ => {}
            },
            Event::Text(e) => value.push_str(&e.decode().map_err(|e| e.to_string())?),
            Event::GeneralRef(e) => {
                let name = e.decode().map_err(|e| e.to_string())?;
                let reference = format!("&{name};");
                value.push_str(&quick_xml::escape::unescape(&reference).map_err(|e| e.to_string())?);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::entries;
    use restock_names::EntryPath;

    const DIGEST: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

    fn listing(href: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><D:multistatus xmlns:D=\"DAV:\" xmlns:A=\"http://apache.org/dav/props/\">\
             <D:response><D:href>/XYZ00001.2/a/</D:href><D:propstat><D:prop><D:resourcetype><D:collection/>\
             </D:resourcetype></D:prop></D:propstat></D:response>\
             <D:response><D:href>{href}</D:href><D:propstat><D:prop><D:resourcetype></D:resourcetype>\
             <D:getcontentlength>7</D:getcontentlength><D:getetag>&quot;{DIGEST}&quot;</D:getetag>\
             <D:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</D:getlastmodified><A:executable>T</A:executable>\
             </D:prop></D:propstat></D:response></D:multistatus>"
        )
    }

    #[test]
    fn files_of_a_listing_have_digest_size_time_and_mode() {
        let folder = EntryPath::new("a").unwrap();
        let found = entries(&listing("/XYZ00001.2/a/b%20%26%ff"), "/XYZ00001.2", Some(&folder)).unwrap();
        assert_eq!(found.len(), 1, "the folder itself is left out");
        assert_eq!(found[0].path.as_bytes(), b"a/b &\xff");
        let file = found[0].file.unwrap();
        assert_eq!((file.size, file.digest.to_string().as_str(), file.is_executable), (7, DIGEST, true));
        assert_eq!(file.mtime_ns, 784_111_777_000_000_000);
    }

    #[test]
    fn entries_that_lie_elsewhere_are_refused() {
        let folder = EntryPath::new("a").unwrap();
        for href in ["/XYZ00001.2/b/c", "/elsewhere", "/XYZ00001.2/a/b/c", "/XYZ00001.2/a/../../etc"] {
            assert!(entries(&listing(href), "/XYZ00001.2", Some(&folder)).is_err(), "{href}");
        }
        assert!(entries("<!DOCTYPE x><a/>", "/XYZ00001.2", None).is_err());
        assert!(entries("not xml <", "/XYZ00001.2", None).is_err());
    }
}

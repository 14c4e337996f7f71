//! Requests and what is answered to them, by section of RFC 9110 (and 9112 for the wire): one table.

use crate::support::{Node, Shop, file, noise};

/// What is asked: method, path, header lines.
type Asked = (&'static str, &'static str, &'static [&'static str]);
/// What is answered: status, header lines that must be there (`!` before a name: must not), body.
type Answered = (u16, &'static [&'static str], Option<&'static str>);

const FILE: &str = "/SMS_DP_SMSPKG$/XYZ00001/digits";
const PINNED: &str = "/XYZ00001.7/digits";
const SAME: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

/// `{etag}` stands for the file's ETag.
const TABLE: &[(&str, Asked, Answered)] = &[
    // Methods.
    ("9.3.1 GET", ("GET", FILE, &[]), (200, &["content-length: 10"], Some("0123456789"))),
    ("9.3.2 HEAD has no body", ("HEAD", FILE, &[]), (200, &["content-length: 10", "etag: {etag}"], Some(""))),
    ("9.3.7 OPTIONS", ("OPTIONS", "*", &[]), (200, &["allow: get, head, options, propfind"], Some(""))),
    (
        "9.3.8 TRACE is not offered",
        ("TRACE", FILE, &[]),
        (405, &["allow: get, head, options, propfind"], None),
    ),
    ("15.5.6 PUT is not allowed", ("PUT", FILE, &["Content-Length: 0"]), (405, &[], None)),
    ("9.1 methods have a case", ("get", FILE, &[]), (405, &[], None)),
    // Expectations.
    (
        "10.1.1 an unknown expectation",
        ("GET", FILE, &["Expect: a-miracle"]),
        (417, &["connection: close"], None),
    ),
    (
        "10.1.1 100-continue without a body",
        ("GET", FILE, &["Expect: 100-continue"]),
        (200, &[], Some("0123456789")),
    ),
    // Fields of the answer.
    ("6.6.1 Date", ("GET", FILE, &[]), (200, &["date: "], None)),
    ("8.3 Content-Type", ("GET", FILE, &[]), (200, &["content-type: application/octet-stream"], None)),
    ("8.7 Content-Location", ("GET", FILE, &[]), (200, &["content-location: /xyz00001.7/digits"], None)),
    (
        "8.8.2 Last-Modified",
        ("GET", FILE, &[]),
        (200, &["last-modified: sun, 09 sep 2001 01:46:40 gmt"], None),
    ),
    ("8.8.3 ETag is strong", ("GET", FILE, &[]), (200, &["etag: {etag}"], None)),
    ("14.3 Accept-Ranges", ("HEAD", FILE, &[]), (200, &["accept-ranges: bytes"], None)),
    // Conditions.
    ("13.1.1 If-Match holds", ("GET", FILE, &["If-Match: {etag}"]), (200, &[], Some("0123456789"))),
    ("13.1.1 If-Match of any", ("GET", FILE, &["If-Match: *"]), (200, &[], None)),
    ("13.1.1 If-Match in a list", ("GET", FILE, &["If-Match: \"a\", {etag}"]), (200, &[], None)),
    ("13.1.1 If-Match is strong", ("GET", FILE, &["If-Match: W/{etag}"]), (412, &[], None)),
    ("13.1.1 If-Match fails", ("GET", FILE, &["If-Match: \"a\""]), (412, &[], None)),
    ("13.1.2 If-None-Match holds", ("GET", FILE, &["If-None-Match: \"a\""]), (200, &[], None)),
    (
        "13.1.2 If-None-Match fails",
        ("GET", FILE, &["If-None-Match: {etag}"]),
        (304, &["etag: {etag}", "!content-length", "!content-type"], Some("")),
    ),
    ("13.1.2 If-None-Match is weak", ("GET", FILE, &["If-None-Match: W/{etag}"]), (304, &[], Some(""))),
    ("13.1.2 If-None-Match of any", ("HEAD", FILE, &["If-None-Match: *"]), (304, &[], Some(""))),
    (
        "13.1.2 lists over lines",
        ("GET", FILE, &["If-None-Match: \"a\"", "If-None-Match: {etag}"]),
        (304, &[], None),
    ),
    (
        "13.1.3 If-Modified-Since the same",
        ("GET", FILE, &["If-Modified-Since: {same}"]),
        (304, &[], Some("")),
    ),
    (
        "13.1.3 a later date at a fixed version",
        ("GET", PINNED, &["If-Modified-Since: Mon, 10 Sep 2001 01:46:40 GMT"]),
        (304, &[], None),
    ),
    (
        "13.1.3 a later date says nothing elsewhere",
        ("GET", FILE, &["If-Modified-Since: Mon, 10 Sep 2001 01:46:40 GMT"]),
        (200, &[], None),
    ),
    (
        "13.1.3 an earlier date",
        ("GET", PINNED, &["If-Modified-Since: Sat, 08 Sep 2001 01:46:40 GMT"]),
        (200, &[], None),
    ),
    ("13.1.3 what is no date is ignored", ("GET", FILE, &["If-Modified-Since: yesterday"]), (200, &[], None)),
    (
        "13.1.3 a date of RFC 850 is ignored or the same",
        ("GET", PINNED, &["If-Modified-Since: Saturday, 08-Sep-01 01:46:40 GMT"]),
        (200, &[], None),
    ),
    ("13.1.4 If-Unmodified-Since holds", ("GET", FILE, &["If-Unmodified-Since: {same}"]), (200, &[], None)),
    (
        "13.1.4 If-Unmodified-Since fails",
        ("GET", PINNED, &["If-Unmodified-Since: Sat, 08 Sep 2001 01:46:40 GMT"]),
        (412, &[], None),
    ),
    (
        "13.2.2 If-Match goes before If-Unmodified-Since",
        ("GET", PINNED, &["If-Match: {etag}", "If-Unmodified-Since: Sat, 08 Sep 2001 01:46:40 GMT"]),
        (200, &[], None),
    ),
    (
        "13.2.2 If-None-Match goes before If-Modified-Since",
        ("GET", FILE, &["If-None-Match: \"a\"", "If-Modified-Since: {same}"]),
        (200, &[], None),
    ),
    (
        "13.2.2 a failed If-Match goes before If-None-Match",
        ("GET", FILE, &["If-Match: \"a\"", "If-None-Match: {etag}"]),
        (412, &[], None),
    ),
    (
        "13.2.1 a condition does not matter for what is not there",
        ("GET", "/SMS_DP_SMSPKG$/XYZ00001/none", &["If-Match: *"]),
        (404, &[], None),
    ),
    // If-Range.
    (
        "13.1.5 If-Range by ETag",
        ("GET", FILE, &["Range: bytes=2-3", "If-Range: {etag}"]),
        (206, &[], Some("23")),
    ),
    (
        "13.1.5 If-Range by another ETag",
        ("GET", FILE, &["Range: bytes=2-3", "If-Range: \"a\""]),
        (200, &[], Some("0123456789")),
    ),
    (
        "13.1.5 If-Range by a weak ETag",
        ("GET", FILE, &["Range: bytes=2-3", "If-Range: W/{etag}"]),
        (200, &[], None),
    ),
    (
        "13.1.5 If-Range by date at a fixed version",
        ("GET", PINNED, &["Range: bytes=2-3", "If-Range: {same}"]),
        (206, &[], Some("23")),
    ),
    (
        "13.1.5 If-Range by date elsewhere",
        ("GET", FILE, &["Range: bytes=2-3", "If-Range: {same}"]),
        (200, &[], None),
    ),
    ("13.1.5 If-Range without Range", ("GET", FILE, &["If-Range: \"a\""]), (200, &[], Some("0123456789"))),
    (
        "13.2.2 a condition goes before the range",
        ("GET", FILE, &["Range: bytes=2-3", "If-None-Match: {etag}"]),
        (304, &[], Some("")),
    ),
    // Ranges.
    (
        "14.1.2 first and last",
        ("GET", FILE, &["Range: bytes=2-5"]),
        (206, &["content-range: bytes 2-5/10", "content-length: 4"], Some("2345")),
    ),
    (
        "14.1.2 to the end",
        ("GET", FILE, &["Range: bytes=7-"]),
        (206, &["content-range: bytes 7-9/10"], Some("789")),
    ),
    (
        "14.1.2 the last ones",
        ("GET", FILE, &["Range: bytes=-3"]),
        (206, &["content-range: bytes 7-9/10"], Some("789")),
    ),
    (
        "14.1.2 more than there are",
        ("GET", FILE, &["Range: bytes=-30"]),
        (206, &["content-range: bytes 0-9/10"], Some("0123456789")),
    ),
    (
        "14.1.2 beyond the end is cut",
        ("GET", FILE, &["Range: bytes=8-99"]),
        (206, &["content-range: bytes 8-9/10"], Some("89")),
    ),
    (
        "14.2 HEAD ignores Range",
        ("HEAD", FILE, &["Range: bytes=2-5"]),
        (200, &["content-length: 10", "!content-range"], Some("")),
    ),
    (
        "14.2 another unit is ignored",
        ("GET", FILE, &["Range: lines=1-2"]),
        (200, &["!content-range"], Some("0123456789")),
    ),
    (
        "14.2 two Range lines are ignored",
        ("GET", FILE, &["Range: bytes=1-2", "Range: bytes=3-4"]),
        (200, &[], Some("0123456789")),
    ),
    (
        "14.4 Content-Range of what is not satisfied",
        ("GET", FILE, &["Range: bytes=10-"]),
        (416, &["content-range: bytes */10"], None),
    ),
    ("15.5.17 reversed", ("GET", FILE, &["Range: bytes=5-2"]), (416, &["content-range: bytes */10"], None)),
    ("15.5.17 none of the last", ("GET", FILE, &["Range: bytes=-0"]), (416, &[], None)),
    (
        "15.5.17 a number beyond 64 bits",
        ("GET", FILE, &["Range: bytes=18446744073709551616-"]),
        (416, &["content-range: bytes */10"], None),
    ),
    (
        "15.3.7.1 of several ranges one is left",
        ("GET", FILE, &["Range: bytes=2-3,20-30"]),
        (206, &["content-range: bytes 2-3/10"], Some("23")),
    ),
    (
        "14.2 ranges that ask for more than there is",
        ("GET", FILE, &["Range: bytes=0-,0-"]),
        (200, &[], Some("0123456789")),
    ),
    // What stands in the way.
    (
        "15.5.5 nothing is there",
        ("GET", "/SMS_DP_SMSPKG$/XYZ00001/none", &[]),
        (404, &["content-type: text/plain; charset=utf-8"], None),
    ),
    ("7.4 another host", ("GET", FILE, &["X-Replace-Host: evil.example"]), (421, &[], None)),
    ("7.2 two hosts", ("GET", FILE, &["Host: dp"]), (400, &["connection: close"], None)),
    (
        "9112 3.2.2 an absolute target",
        ("GET", "http://dp/XYZ00001.7/digits", &[]),
        (200, &[], Some("0123456789")),
    ),
    (
        "9112 3.2.2 an absolute target elsewhere",
        ("GET", "http://evil.example/XYZ00001.7/digits", &[]),
        (421, &[], None),
    ),
    (
        "9112 6.3 two lengths",
        ("GET", FILE, &["Content-Length: 5", "Content-Length: 5"]),
        (400, &["connection: close"], None),
    ),
    (
        "9112 6.3 length and coding",
        ("PROPFIND", FILE, &["Content-Length: 5", "Transfer-Encoding: chunked"]),
        (400, &["connection: close"], None),
    ),
    ("9112 6.3 a length below nothing", ("PROPFIND", FILE, &["Content-Length: -1"]), (400, &[], None)),
    ("9112 6.3 a length with a sign", ("PROPFIND", FILE, &["Content-Length: +5"]), (400, &[], None)),
    (
        "9112 6.3 a length of 2^64",
        ("PROPFIND", FILE, &["Content-Length: 18446744073709551616"]),
        (400, &[], None),
    ),
    (
        "9112 6.1 an unknown coding",
        ("PROPFIND", FILE, &["Transfer-Encoding: gzip"]),
        (501, &["connection: close"], None),
    ),
    ("9112 9.6 close", ("GET", FILE, &["Connection: close"]), (200, &["connection: close"], None)),
];

#[test]
fn every_request_of_the_table_is_answered_as_its_section_says() {
    let shop = Shop::open();
    shop.publish(1, 7, &[(b"digits", file("0123456789"))]);
    let etag = shop.get(FILE).header("etag").expect("an etag").to_owned();
    // Once each way: read and checked, and sent from where it lies.
    for round in 0..2 {
        for (section, (method, path, lines), (status, wanted, body)) in TABLE {
            let filled = |line: &str| line.replace("{etag}", &etag).replace("{same}", SAME);
            let mut host = "dp";
            let mut head = String::new();
            for line in *lines {
                match line.strip_prefix("X-Replace-Host: ") {
                    Some(other) => host = other,
                    None => head += &format!("{}\r\n", filled(line)),
                }
            }
            if !head.contains("Connection:") {
                head += "Connection: close\r\n";
            }
            let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{head}\r\n");
            let answer = shop.raw(request.as_bytes());
            let shown =
                || format!("{section} (round {round}): {request}{:?}\n{}", answer.headers, answer.text());
            assert_eq!(answer.status, *status, "{}", shown());
            // A HEAD announces a length and sends nothing.
            assert!(!answer.is_broken || *method == "HEAD", "{}", shown());
            for line in *wanted {
                let line = filled(line).to_ascii_lowercase();
                match line.strip_prefix('!') {
                    Some(name) => assert_eq!(answer.header(name), None, "{}", shown()),
                    None => assert!(answer.headers.iter().any(|have| have.starts_with(&line)), "{}", shown()),
                }
            }
            if let Some(body) = body {
                assert_eq!(answer.text(), *body, "{}", shown());
            }
        }
    }
}

/// The parts of a multipart answer: content ranges and bytes.
fn parts(content_type: &str, body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let boundary = content_type.split_once("boundary=").expect("a boundary").1;
    let marker = format!("--{boundary}");
    let find = |bytes: &[u8], wanted: &[u8]| bytes.windows(wanted.len()).position(|w| w == wanted);
    let mut rest = body.strip_prefix(marker.as_bytes()).expect("the first boundary");
    let mut parts = Vec::new();
    while let Some(after) = rest.strip_prefix(b"\r\n") {
        let head_end = find(after, b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8_lossy(&after[..head_end]).to_ascii_lowercase();
        let range = head.lines().find_map(|line| line.strip_prefix("content-range: ")).expect("a range");
        let end = find(&after[head_end..], format!("\r\n{marker}").as_bytes()).expect("an end");
        parts.push((range.to_owned(), after[head_end..head_end + end].to_vec()));
        rest = &after[head_end + end + 2 + marker.len()..];
    }
    assert_eq!(rest, b"--\r\n");
    parts
}

#[test]
fn several_ranges_come_as_parts_in_the_order_asked() {
    let shop = Shop::open();
    let whole = noise(5, 2_000_000);
    shop.publish(1, 7, &[(b"big", Node::File(whole.clone()))]);
    for round in 0..3 {
        let range = "Range: bytes=1999990-, 0-9,500000-1200000,-1,3000000-";
        let answer = shop.request("GET", "/XYZ00001.7/big", &[range]);
        assert_eq!((answer.status, answer.is_broken), (206, false), "round {round}");
        let content_type = answer.header("content-type").expect("a type").to_owned();
        assert!(content_type.starts_with("multipart/byteranges; boundary="), "{content_type}");
        assert_eq!(answer.header("content-range"), None);
        let want = [
            ("bytes 1999990-1999999/2000000".to_owned(), whole[1_999_990..].to_vec()),
            ("bytes 0-9/2000000".to_owned(), whole[..10].to_vec()),
            ("bytes 500000-1200000/2000000".to_owned(), whole[500_000..=1_200_000].to_vec()),
            ("bytes 1999999-1999999/2000000".to_owned(), whole[1_999_999..].to_vec()),
        ];
        assert!(parts(&content_type, &answer.body) == want, "round {round}");
        if round == 1 {
            assert!(shop.get("/XYZ00001.7/big").body == whole);
        }
    }
}

//! GET, HEAD and OPTIONS by raw bytes: statuses, headers, ranges, conditions, bad inputs.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::{Answer, Node, Options, Shop, file, noise, package};
use restock_dp::{PackageFacts, ServeLimits};

const LAST_MODIFIED: &str = "sun, 09 sep 2001 01:46:40 gmt";

fn shop() -> Shop {
    let shop = Shop::open();
    shop.publish(
        1,
        7,
        &[
            (b"a.txt", file("hello")),
            (b"empty", file("")),
            (b"big", Node::File(noise(1, 3_000_000))),
            (b"folder", Node::Folder),
            (b"folder/b c#?.txt", file("inside")),
            (b"caf\xe9\xff", file("bytes")),
            (b"%2e%2e%2f", file("an ordinary name")),
            (b"link", Node::Link(b"folder/b c#?.txt")),
            (b"folderlink", Node::Link(b"folder")),
            (b"outside", Node::Link(b"../../etc/passwd")),
            (b"absolute", Node::Link(b"/etc/passwd")),
            (b"loop", Node::Link(b"loop")),
        ],
    );
    shop
}

#[test]
fn a_file_is_served_with_all_that_a_client_needs() {
    let shop = shop();
    let answer = shop.get("/SMS_DP_SMSPKG$/XYZ00001/a.txt");
    assert_eq!((answer.status, answer.text().as_str(), answer.is_broken), (200, "hello", false));
    let etag = answer.header("etag").expect("an etag").to_owned();
    assert_eq!((etag.len(), etag.starts_with('"')), (66, true), "{etag}");
    for (name, want) in [
        ("content-length", "5"),
        ("content-type", "application/octet-stream"),
        ("x-content-type-options", "nosniff"),
        ("accept-ranges", "bytes"),
        ("last-modified", LAST_MODIFIED),
        ("content-location", "/xyz00001.7/a.txt"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(answer.header(name), Some(want), "{name}");
    }
    let versioned = shop.get("/XYZ00001.7/a.txt");
    assert_eq!((versioned.status, versioned.text().as_str()), (200, "hello"));
    assert_eq!(versioned.header("etag"), Some(etag.as_str()));
    assert_eq!(versioned.header("cache-control"), Some("public, max-age=31536000, immutable"));

    let head = shop.request("HEAD", "/SMS_DP_SMSPKG$/XYZ00001/a.txt", &[]);
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, Some("5")));
    assert_eq!(head.header("etag"), Some(etag.as_str()));
}

#[test]
fn any_name_is_served_by_its_escaped_bytes() {
    let shop = shop();
    for (path, want) in [
        ("/SMS_DP_SMSPKG$/XYZ00001/empty", ""),
        ("/sms_dp_smspkg%24/xyz00001/folder/b%20c%23%3F.txt", "inside"),
        ("/SMS_DP_SMSPKG$/XYZ00001/folder/b%20c%23%3F.txt?query", "inside"),
        ("/SMS_DP_SMSPKG$/XYZ00001/caf%e9%ff", "bytes"),
        ("/SMS_DP_SMSPKG$/XYZ00001/%252e%252e%252f", "an ordinary name"),
        ("/SMS_DP_SMSPKG$/XYZ00001/link", "inside"),
        ("/SMS_DP_SMSPKG$/XYZ00001/folderlink/b%20c%23%3f.txt", "inside"),
        ("/XYZ00001.7/link", "inside"),
    ] {
        let answer = shop.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (200, want), "{path}");
    }
    let big = shop.get("/SMS_DP_SMSPKG$/XYZ00001/big");
    assert!(big.body == noise(1, 3_000_000), "{} bytes", big.body.len());
}

#[test]
fn what_cannot_be_read_is_the_same_404_as_what_does_not_exist() {
    let shop = shop();
    shop.publish(2, 1, &[(b"a.txt", file("secret"))]);
    shop.packages.set(package(2), PackageFacts::default()).expect("written");
    shop.store(3, 1, &[(b"a.txt", file("never active"))]);
    let without_id = |mut answer: Answer| {
        answer.raw.clear();
        answer.headers.retain(|line| !line.starts_with("x-request-id") && !line.starts_with("date"));
        answer
    };
    for method in ["GET", "HEAD"] {
        let unknown = without_id(shop.request(method, "/SMS_DP_SMSPKG$/XYZ00009/a.txt", &[]));
        assert_eq!(unknown.status, 404);
        for path in [
            "/SMS_DP_SMSPKG$/XYZ00002/a.txt",
            "/SMS_DP_SMSPKG$/XYZ00002",
            "/SMS_DP_SMSPKG$/XYZ00002/missing",
            "/XYZ00002.1/a.txt",
            "/SMS_DP_SMSPKG$/XYZ00003/a.txt",
            "/XYZ00003.1/a.txt",
            "/XYZ00001.8/a.txt",
            "/",
            "/SMS_DP_SMSPKG$",
            "/SMS_DP_SMSPKG$/XYZ00001",
            "/SMS_DP_SMSPKG$/XYZ00001/",
            "/SMS_DP_SMSPKG$/XYZ00001/folder",
            "/SMS_DP_SMSPKG$/XYZ00001/folder/",
            "/SMS_DP_SMSPKG$/XYZ00001/folderlink",
            "/SMS_DP_SMSPKG$/XYZ00001/a.txt/",
            "/SMS_DP_SMSPKG$/XYZ00001/a.txt/b",
            "/SMS_DP_SMSPKG$/XYZ00001/A.TXT",
            "/SMS_DP_SMSPKG$/XYZ00001/outside",
            "/SMS_DP_SMSPKG$/XYZ00001/absolute",
            "/SMS_DP_SMSPKG$/XYZ00001/loop",
            "/SMS_DP_SMSPKG$/XYZ00001/%c0%ae%c0%ae/a.txt",
            "/SMS_DP_SMSPKG$/XYZ00001/%zz",
            "/SMS_DP_SMSPKG$/AB'1/a.txt",
            "/favicon.ico",
        ] {
            assert_eq!(without_id(shop.request(method, path, &[])), unknown, "{method} {path}");
        }
    }
}

#[test]
fn a_loopback_listener_set_so_serves_every_package() {
    let shop = Shop::open_with(Options { serves_everything: true, ..Options::default() });
    shop.publish(2, 1, &[(b"a.txt", file("for this machine"))]);
    shop.packages.set(package(2), PackageFacts::default()).expect("written");
    assert_eq!(shop.get("/SMS_DP_SMSPKG$/XYZ00002/a.txt").text(), "for this machine");
    let versioned = shop.get("/XYZ00002.1/a.txt");
    assert_eq!(versioned.header("cache-control"), Some("private, max-age=31536000, immutable"));
}

#[test]
fn paths_that_try_to_leave_are_400_with_their_code() {
    let shop = shop();
    for (path, code) in [
        ("/SMS_DP_SMSPKG$/XYZ00001/%2e%2e%2f%2e%2e%2fetc/passwd", "PATH_TRAVERSAL"),
        ("/SMS_DP_SMSPKG$/XYZ00001/../../../etc/passwd", "PATH_TRAVERSAL"),
        ("/SMS_DP_SMSPKG$/XYZ00009/..%2fx", "PATH_TRAVERSAL"),
        ("/SMS_DP_SMSPKG$/XYZ00001/a%00b", "PATH_CONTROL_CHAR"),
        ("/SMS_DP_SMSPKG$/XYZ00001/a%5c..%5c..%5cb", "PATH_SEPARATOR"),
    ] {
        let answer = shop.get(path);
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.text().starts_with(&format!("{code}: ")), "{}", answer.text());
    }
    // Bytes that are no request at all.
    assert_eq!(shop.raw(b"GET /SMS_DP_SMSPKG$/XYZ00001/\xc0\xae HTTP/1.1\r\nHost: dp\r\n\r\n").status, 400);
    assert_eq!(shop.raw(b"GET /SMS_DP_SMSPKG$/XYZ00001/a\0b HTTP/1.1\r\nHost: dp\r\n\r\n").status, 400);
    assert_eq!(shop.get("/SMS_DP_SMSPKG$/XYZ00001/a.txt").status, 200, "the service still answers");
}

#[test]
fn ranges_give_exactly_their_bytes() {
    let shop = shop();
    let whole = noise(1, 3_000_000);
    let path = "/SMS_DP_SMSPKG$/XYZ00001/big";
    for (range, start, end) in [
        ("0-0", 0, 1),
        ("0-1048575", 0, 1 << 20),
        ("65535-65537", 65_535, 65_538),
        ("1234567-2345678", 1_234_567, 2_345_679),
        ("2999999-", 2_999_999, 3_000_000),
        ("-70000", 2_930_000, 3_000_000),
        ("2900000-99999999999999999999", 2_900_000, 3_000_000),
    ] {
        let answer = shop.request("GET", path, &[&format!("Range: bytes={range}")]);
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(
            answer.header("content-range"),
            Some(format!("bytes {start}-{}/3000000", end - 1).as_str())
        );
        assert!(answer.body == whole[start..end], "{range}: {} bytes", answer.body.len());
    }
    for range in ["5-2", "3000000-", "18446744073709551616-", "-0"] {
        let answer = shop.request("GET", path, &[&format!("Range: bytes={range}")]);
        assert_eq!(
            (answer.status, answer.header("content-range")),
            (416, Some("bytes */3000000")),
            "{range}"
        );
        assert!(answer.text().starts_with("RANGE_NOT_SATISFIABLE: "));
    }
    let many = format!("Range: bytes={}0-0", "0-0,".repeat(999));
    let answer = shop.request("GET", path, &[&many]);
    assert_eq!((answer.status, answer.text().starts_with("RANGE_TOO_MANY: ")), (400, true));
    let head = shop.request("HEAD", path, &["Range: bytes=0-1"]);
    assert_eq!((head.status, head.header("content-length")), (200, Some("3000000")));
    assert_eq!(shop.request("GET", "/SMS_DP_SMSPKG$/XYZ00001/empty", &["Range: bytes=0-"]).status, 416);
}

#[test]
fn conditions_spare_bytes_that_the_client_has() {
    let shop = shop();
    let path = "/SMS_DP_SMSPKG$/XYZ00001/a.txt";
    let etag = shop.get(path).header("etag").expect("an etag").to_owned();
    let status = |path: &str, line: &str| shop.request("GET", path, &[line]).status;
    let fresh = shop.request("GET", path, &[&format!("If-None-Match: {etag}")]);
    assert_eq!((fresh.status, fresh.body.len(), fresh.header("etag")), (304, 0, Some(etag.as_str())));
    assert_eq!(status(path, "If-None-Match: \"other\""), 200);
    assert_eq!(status(path, &format!("If-Match: {etag}")), 200);
    assert_eq!(status(path, "If-Match: \"other\""), 412);
    assert_eq!(status(path, "If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT"), 304);
    assert_eq!(status(path, "If-Modified-Since: Mon, 10 Sep 2001 01:46:40 GMT"), 200);
    assert_eq!(status(path, "If-Modified-Since: rubbish"), 200);
    assert_eq!(status("/XYZ00001.7/a.txt", "If-Modified-Since: Mon, 10 Sep 2001 01:46:40 GMT"), 304);

    let resumed = |validator: &str| {
        shop.request("GET", path, &["Range: bytes=2-", &format!("If-Range: {validator}")]).text()
    };
    assert_eq!(resumed(&etag), "llo");
    assert_eq!(resumed("\"other\""), "hello");
    assert_eq!(resumed("Sun, 09 Sep 2001 01:46:40 GMT"), "hello");
}

#[test]
fn other_methods_are_refused_and_options_names_the_allowed_ones() {
    let shop = shop();
    let allow = Some("get, head, options, propfind");
    for method in ["POST", "PUT", "DELETE", "TRACE", "MKCOL", "LOCK", "PROPPATCH", "MOVE", "get"] {
        let answer = shop.request(method, "/SMS_DP_SMSPKG$/XYZ00001/a.txt", &[]);
        assert_eq!((answer.status, answer.header("allow")), (405, allow), "{method}");
    }
    let connect = shop.raw(b"CONNECT example.org:443 HTTP/1.1\r\nHost: dp\r\nConnection: close\r\n\r\n");
    assert_eq!((connect.status, connect.header("allow")), (405, allow));
    for path in ["/", "*", "/SMS_DP_SMSPKG$/XYZ00009/x"] {
        let answer = shop.request("OPTIONS", path, &[]);
        assert_eq!((answer.status, answer.header("dav"), answer.header("allow")), (200, Some("1"), allow));
    }
    let put = shop.request("PUT", "/SMS_DP_SMSPKG$/XYZ00001/a.txt", &["Content-Length: 1000000"]);
    assert_eq!(put.status, 405);
    assert_eq!(shop.get("/SMS_DP_SMSPKG$/XYZ00001/a.txt").text(), "hello");
}

#[test]
fn a_connection_carries_many_requests_and_a_refusal_does_not_end_it() {
    let shop = shop();
    let mut stream = shop.connect();
    let mut request = String::new();
    for path in ["a.txt", "missing", "%2e%2e", "a.txt"] {
        request += &format!("GET /SMS_DP_SMSPKG$/XYZ00001/{path} HTTP/1.1\r\nHost: dp\r\n\r\n");
    }
    request += "GET /XYZ00001.7/a.txt HTTP/1.1\r\nHost: dp\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    let answer = Answer::read(&mut stream);
    let all = format!("HTTP/1.1 {} {}", answer.status, answer.text());
    let statuses: Vec<&str> = all.match_indices("HTTP/1.1 ").map(|(at, _)| &all[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "404", "400", "200", "200"]);
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let limits = ServeLimits { stall_max: Duration::from_millis(300), ..ServeLimits::default() };
    let shop = Shop::open_with(Options { limits, ..Options::default() });
    shop.publish(1, 1, &[(b"big", Node::File(noise(1, 60_000_000)))]);
    let mut stream = shop.connect();
    stream.write_all(b"GET /XYZ00001.1/big HTTP/1.1\r\nHost: dp\r\nConnection: close\r\n\r\n").expect("sent");
    let connections = &shop.server.stats().connections;
    let wait_for = |count| {
        while connections.load(Ordering::Relaxed) != count {
            std::thread::yield_now();
        }
    };
    wait_for(1);
    wait_for(0);
    assert!(Answer::read(&mut stream).is_broken);
}

#[test]
fn connections_above_the_limit_wait_until_one_is_free() {
    let limits = ServeLimits {
        connections_max: 2,
        header_timeout: Duration::from_millis(500),
        ..ServeLimits::default()
    };
    let shop = Shop::open_with(Options { limits, ..Options::default() });
    shop.publish(1, 1, &[(b"a.txt", file("hello"))]);
    let idle = [shop.connect(), shop.connect()];
    assert_eq!(shop.get("/XYZ00001.1/a.txt").text(), "hello", "served once an idle one was closed");
    drop(idle);
}

#[test]
fn heads_are_bounded_in_size_and_time() {
    let limits = ServeLimits { header_timeout: Duration::from_millis(300), ..ServeLimits::default() };
    let shop = Shop::open_with(Options { limits, ..Options::default() });
    shop.publish(1, 1, &[(b"a.txt", file("hello"))]);
    let path = "/SMS_DP_SMSPKG$/XYZ00001/a.txt";
    let long = format!("X-Long: {}", "x".repeat(33 * 1024));
    assert_eq!(shop.request("GET", path, &[&long]).status, 431);
    let many: Vec<String> = (0..10_000).map(|i| format!("x{i}: y")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(shop.request("GET", path, &many).status, 431);
    for line in ["Host: other", "Content-Length: 5\r\nContent-Length: 6"] {
        assert_eq!(shop.request("GET", path, &[line]).status, 400, "{line}");
    }
    assert_eq!(shop.raw(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").status, 400);

    // A head that never ends, and a connection without one: both are closed, others go on.
    let mut dribbling = shop.connect();
    dribbling.write_all(b"GET / HTTP/1.1\r\nHost: d").expect("sent");
    let mut idle = shop.connect();
    assert_eq!(shop.get(path).status, 200);
    assert_eq!(Answer::read(&mut dribbling).body.len(), 0);
    assert_eq!(Answer::read(&mut idle).body.len(), 0);
}

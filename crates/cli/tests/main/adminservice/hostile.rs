//! Raw bytes, slow clients, wrong names: the rows of hostile transport.

use std::io::Write;

use crate::adminservice::door::{Door, is_closed, read_answer, read_some, wmi};

#[test]
fn heads_that_are_too_large_are_431() {
    let door = Door::new(&[]);
    let head = |lines: &str| {
        format!(
            "GET /AdminService/wmi/ HTTP/1.1\r\nHost: {}\r\n{lines}{}\r\n",
            door.http,
            door.authorization()
        )
    };
    let long = door.raw(head(&format!("X-Long: {}\r\n", "x".repeat(33 * 1024))));
    assert_eq!(long.refusal(), (431, "HEADERS_TOO_LARGE".to_owned()));
    let many = door.raw(head(&"A: b\r\n".repeat(10_000)));
    assert_eq!(many.refusal(), (431, "HEADERS_TOO_MANY".to_owned()));
    assert_eq!(many.header("connection"), Some("close"));
    assert_eq!(door.raw(head(&"A: b\r\n".repeat(90))).status, 200, "ordinary heads pass");
    door.check_alive();
}

#[test]
fn requests_whose_end_is_unclear_are_refused_and_the_connection_closed() {
    let door = Door::new(&[]);
    let get = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", wmi("SMS_Site"), door.http);
    let smuggled = "GET /AdminService/wmi/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 5, 5\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X: a\n",
        "X: a\r\n folded\r\n",
        "X: a\0b\r\n",
    ] {
        let mut stream = door.connect();
        let bytes = format!("{get}{}{lines}\r\n{smuggled}", door.authorization());
        stream.write_all(bytes.as_bytes()).unwrap();
        let got = read_answer(&mut stream);
        assert_eq!(got.refusal(), (400, "BAD_FRAMING".to_owned()), "{lines:?}");
        assert!(is_closed(&mut stream), "{lines:?}: nothing after it is read");
    }
    let lines_of_lf = format!("GET / HTTP/1.1\nHost: {}\n\n", door.http);
    assert_eq!(door.raw(lines_of_lf).refusal(), (400, "BAD_FRAMING".to_owned()));
    door.check_alive();
}

#[test]
fn a_request_behind_a_good_one_is_refused_for_itself() {
    let door = Door::new(&[]);
    let good =
        format!("GET {} HTTP/1.1\r\nHost: {}\r\n{}\r\n", wmi("SMS_Site"), door.http, door.authorization());
    let mut stream = door.connect();
    stream.write_all(format!("{good}GET / HTTP/1.1\nHost: a\n\n").as_bytes()).unwrap();
    let mut all = Vec::new();
    while read_some(&mut stream, &mut all) {}
    let text = String::from_utf8_lossy(&all);
    let statuses: Vec<&str> = text.match_indices("HTTP/1.1 ").map(|(at, _)| &text[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "400"], "{text}");
}

#[test]
fn slow_heads_are_cut_off_and_others_are_not_affected() {
    let door = Door::new(&[("header_timeout", "\"400ms\""), ("idle_timeout", "\"600ms\"")]);
    let mut slow: Vec<_> = (0..20)
        .map(|n| {
            let mut stream = door.connect();
            // Silent from the start, in the first line, or within a header.
            let begun = ["", "GET /Admin", "GET / HTTP/1.1\r\nHos"][n % 3];
            stream.write_all(begun.as_bytes()).unwrap();
            stream
        })
        .collect();
    door.check_alive();
    for stream in &mut slow {
        assert!(is_closed(stream));
    }
    let mut idle = door.connect();
    let get =
        format!("GET {} HTTP/1.1\r\nHost: {}\r\n{}\r\n", wmi("SMS_Site"), door.http, door.authorization());
    for _ in 0..2 {
        idle.write_all(get.as_bytes()).unwrap();
        assert_eq!(read_answer(&mut idle).status, 200, "the connection stays open between requests");
    }
    assert!(is_closed(&mut idle), "and is closed when nothing follows");
}

#[test]
fn slow_bodies_are_408() {
    let door = Door::new(&[("rate_grace", "\"400ms\""), ("body_rate_min", "\"64 KiB\"")]);
    let mut stream = door.connect();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\n{}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{",
        wmi("SMS_Package"),
        door.http,
        door.authorization()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let got = read_answer(&mut stream);
    assert_eq!(got.refusal(), (408, "BODY_RATE".to_owned()));
    assert!(is_closed(&mut stream));
    assert_eq!(door.get("SMS_Package/$count").body, b"0", "nothing was made");
}

#[test]
fn a_reader_that_takes_next_to_nothing_loses_its_place() {
    let settings = [("rate_grace", "\"300ms\""), ("write_rate_min", "\"64 KiB\""), ("connections_max", "1")];
    let door = Door::new(&settings);
    let mut slow = door.connect();
    let get =
        format!("GET {} HTTP/1.1\r\nHost: {}\r\n{}\r\n", wmi("$metadata"), door.http, door.authorization());
    // Many megabytes wait for a reader that takes a byte now and then.
    slow.write_all(get.repeat(200).as_bytes()).unwrap();
    let mut byte = [0];
    std::io::Read::read_exact(&mut slow, &mut byte).unwrap();
    // The only place is taken: this is answered when the slow reader has lost it.
    door.check_alive();
    let mut rest = Vec::new();
    while read_some(&mut slow, &mut rest) {}
    assert!(rest.len() < 200 * 100_000, "{} bytes came", rest.len());
}

#[test]
fn only_names_of_the_service_are_answered() {
    let door = Door::new(&[("names", "[\"site.example\"]")]);
    let get = |target: &str, hosts: &[&str]| {
        let hosts: String = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
        door.raw(format!("GET {target} HTTP/1.1\r\n{hosts}{}\r\n", door.authorization()))
    };
    let here = door.http.to_string();
    let path = wmi("SMS_Site");
    assert_eq!(get(&path, &[&here]).status, 200);
    assert_eq!(get(&path, &["SITE.example:443"]).status, 200);
    assert_eq!(get(&format!("http://site.example{path}"), &["site.example"]).status, 200);
    for (target, hosts) in [
        (path.clone(), &["evil.example"][..]),
        (path.clone(), &["169.254.169.254"]),
        (format!("http://evil.example{path}"), &[&here]),
    ] {
        assert_eq!(get(&target, hosts).refusal(), (421, "HOST_UNKNOWN".to_owned()), "{target} {hosts:?}");
    }
    assert_eq!(get(&path, &[]).refusal(), (400, "HOST".to_owned()));
    assert_eq!(get(&path, &[&here, &here]).refusal(), (400, "HOST".to_owned()));
    // It is refused before anybody signs in.
    let stranger = door.raw(format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
    assert_eq!(stranger.status, 421);
}

#[test]
fn methods_that_are_not_understood_are_405_with_what_is() {
    let door = Door::new(&[]);
    for (method, target) in [
        ("TRACE", wmi("SMS_Package")),
        ("CONNECT", door.http.to_string()),
        ("PUT", wmi("SMS_Package('XYZ00001')")),
        ("PROPFIND", wmi("")),
    ] {
        let got = door.request(method, &target, &[], "");
        assert_eq!(got.refusal(), (405, "METHOD_NOT_ALLOWED".to_owned()), "{method}");
        assert_eq!(got.header("allow"), Some("GET, HEAD, POST, PATCH, DELETE, OPTIONS"), "{method}");
    }
    let got = door.request("DELETE", &wmi("SMS_Package"), &[], "");
    assert_eq!((got.status, got.header("allow")), (405, Some("GET, HEAD, POST")));
    let got = door.request("GET", &wmi("SMS_Package('X')/AdminService.RefreshPkgSource"), &[], "");
    assert_eq!((got.status, got.header("allow")), (405, Some("POST")));
    assert_eq!(door.request("OPTIONS", "/", &[], "").status, 204);
}

#[test]
fn what_a_page_of_another_origin_sends_changes_nothing() {
    let door = Door::new(&[("origins", "[\"https://console.example\"]")]);
    let own = format!("Origin: http://{}", door.http);
    let create = |headers: &[&str]| door.request("POST", &wmi("SMS_Package"), headers, r#"{"Name":"x"}"#);
    for headers in [
        &["Origin: https://evil.example"][..],
        &["Origin: null"],
        &["Sec-Fetch-Site: cross-site"],
        &["Sec-Fetch-Site: same-site"],
        &[&own, "Sec-Fetch-Site: cross-site"],
    ] {
        assert_eq!(create(headers).refusal(), (403, "ORIGIN".to_owned()), "{headers:?}");
    }
    let call = wmi("SMS_Package('XYZ00001')/AdminService.RefreshPkgSource");
    let stranger = door.request_as("", "POST", &call, &["Origin: https://evil.example"], "");
    assert_eq!(stranger.status, 403, "before anybody signs in");
    assert_eq!(door.get("SMS_Package/$count").body, b"0");
    for headers in [&[own.as_str(), "Sec-Fetch-Site: same-origin"][..], &["Origin: https://console.example"]]
    {
        assert_eq!(create(headers).status, 201, "{headers:?}");
    }
    let read = door.request("GET", &wmi("SMS_Package"), &["Origin: https://evil.example"], "");
    assert_eq!(read.status, 200);
    assert!(!read.headers.contains("access-control"), "{}", read.headers);
    for header in ["x-content-type-options: nosniff", "cache-control: no-store", "odata-version: 4.0"] {
        assert!(read.headers.contains(header), "{header} in {}", read.headers);
    }
}

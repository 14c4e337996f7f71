//! Slow and hostile clients: each is cut off in its time, and others never notice.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::{Answer, Node, Options, Shop, file, noise};
use restock_dp::ServeLimits;

const FILE: &str = "/SMS_DP_SMSPKG$/XYZ00001/a.txt";

fn shop(limits: ServeLimits) -> Shop {
    let shop = Shop::open_with(Options { limits, ..Options::default() });
    shop.publish(1, 1, &[(b"a.txt", file("hello")), (b"big", Node::File(noise(1, 60_000_000)))]);
    shop
}

/// Sends `bytes` one by one until the server ends the connection; returns what it said.
fn dribble(mut stream: TcpStream, bytes: impl Iterator<Item = u8>) -> Answer {
    for byte in bytes {
        if stream.write_all(&[byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Answer::read(&mut stream)
}

#[test]
fn a_head_that_dribbles_is_closed_and_nobody_else_waits() {
    let shop = shop(ServeLimits { header_timeout: Duration::from_millis(400), ..ServeLimits::default() });
    let slow: Vec<TcpStream> = (0..50).map(|_| shop.connect()).collect();
    let dribbling = std::thread::scope(|scope| {
        let dribbling: Vec<_> = slow
            .into_iter()
            .map(|stream| {
                scope.spawn(|| dribble(stream, b"GET / HTTP/1.1\r\n".iter().copied().cycle().take(300)))
            })
            .collect();
        for _ in 0..20 {
            assert_eq!(shop.get(FILE).text(), "hello");
        }
        dribbling.into_iter().map(|d| d.join().expect("ended")).collect::<Vec<_>>()
    });
    assert!(dribbling.iter().all(|answer| answer.status == 0 || answer.status == 400));
}

#[test]
fn a_body_that_dribbles_is_refused() {
    let shop = shop(ServeLimits { body_timeout: Duration::from_millis(300), ..ServeLimits::default() });
    let mut stream = shop.connect();
    stream
        .write_all(
            b"PROPFIND /SMS_DP_SMSPKG$/ HTTP/1.1\r\nHost: dp\r\nDepth: 1\r\nContent-Length: 5000\r\n\r\n",
        )
        .expect("sent");
    let answer = dribble(stream, std::iter::repeat_n(b' ', 300));
    assert_eq!(answer.status, 408);
    assert!(answer.text().starts_with("BODY_RATE: "), "{}", answer.text());
}

#[test]
fn a_reader_of_single_bytes_is_reset_and_its_place_is_free_again() {
    let limits =
        ServeLimits { stall_max: Duration::from_millis(400), connections_max: 1, ..ServeLimits::default() };
    let shop = shop(limits);
    let mut stream = shop.connect();
    stream.write_all(b"GET /XYZ00001.1/big HTTP/1.1\r\nHost: dp\r\n\r\n").expect("sent");
    let mut byte = [0];
    stream.read_exact(&mut byte).expect("it begins");
    while shop.server.stats().connections.load(Ordering::Relaxed) > 0 {
        // A byte now and then changes nothing.
        drop(stream.read(&mut byte));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(shop.get(FILE).text(), "hello", "the one place is free");
    assert!(Answer::read(&mut stream).is_broken, "it ended in a reset");
}

#[test]
fn a_reader_that_takes_enough_is_not_cut_off() {
    let limits = ServeLimits {
        stall_max: Duration::from_millis(600),
        write_rate_min: 1_000,
        ..ServeLimits::default()
    };
    let shop = shop(limits);
    let mut stream = shop.connect();
    stream.write_all(b"GET /XYZ00001.1/big HTTP/1.1\r\nHost: dp\r\nConnection: close\r\n\r\n").expect("sent");
    let mut total = 0;
    let mut bytes = vec![0; 3_000_000];
    for _ in 0..12 {
        total += stream.read(&mut bytes).expect("it goes on");
        std::thread::sleep(Duration::from_millis(150));
    }
    loop {
        match stream.read(&mut bytes).expect("it goes on") {
            0 => break,
            count => total += count,
        }
    }
    assert!(total > 60_000_000, "{total}");
}

#[test]
fn an_idle_connection_is_closed_in_its_time() {
    let shop = shop(ServeLimits { idle_timeout: Duration::from_millis(200), ..ServeLimits::default() });
    let mut stream = shop.connect();
    stream.write_all(format!("GET {FILE} HTTP/1.1\r\nHost: dp\r\n\r\n").as_bytes()).expect("sent");
    let answer = Answer::read(&mut stream);
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
}

#[test]
fn one_address_has_no_more_than_its_share_of_connections() {
    let shop = shop(ServeLimits { connections_per_address_max: 3, ..ServeLimits::default() });
    let held: Vec<TcpStream> = (0..3).map(|_| shop.connect()).collect();
    while shop.server.stats().connections.load(Ordering::Relaxed) < 3 {
        std::thread::yield_now();
    }
    let mut refused = shop.connect();
    assert_eq!(Answer::read(&mut refused).raw.len(), 0, "closed without a word");
    drop(held);
    while shop.server.stats().connections.load(Ordering::Relaxed) > 0 {
        std::thread::yield_now();
    }
    assert_eq!(shop.get(FILE).text(), "hello");
}

#[test]
fn hostile_heads_are_refused_and_end_the_connection() {
    let shop = shop(ServeLimits::default());
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: dp\r\n\r\n";
    for (head, status) in [
        (format!("GET {FILE} HTTP/1.1\nHost: dp\n\n"), 400),
        (format!("GET {FILE} HTTP/1.1\r\nHost: dp\r\nA : b\r\n\r\n{smuggled}"), 400),
        (format!("GET {FILE} HTTP/1.1\r\nHost: dp\r\nA: b\r\n c\r\n\r\n{smuggled}"), 400),
        (
            format!(
                "PROPFIND / HTTP/1.1\r\nHost: dp\r\nDepth: 0\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG{smuggled}"
            ),
            400,
        ),
        (
            format!(
                "GET {FILE} HTTP/1.1\r\nHost: dp\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{smuggled}"
            ),
            400,
        ),
        (
            format!("GET {FILE} HTTP/1.1\r\nHost: dp\r\nIf-None-Match: {}\r\n\r\n", "\"x\",".repeat(16_384)),
            431,
        ),
        (format!("GET {FILE} HTTP/1.1\r\nHost: dp\r\nX: {}\r\n\r\n", "x".repeat(33 * 1024)), 431),
        (format!("GET {FILE} HTTP/1.1\r\nHost: dp\r\n{}\r\n", "a: b\r\n".repeat(10_000)), 431),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
        ("\u{16}\u{3}\u{1}".to_owned(), 400),
        (
            format!("PROPFIND / HTTP/1.1\r\nHost: dp\r\nDepth: 0\r\nContent-Length: 70000\r\n\r\n{smuggled}"),
            413,
        ),
        (
            format!(
                "PROPFIND / HTTP/1.1\r\nHost: dp\r\nDepth: 0\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{smuggled}"
            ),
            400,
        ),
    ] {
        let answer = shop.raw(head.as_bytes());
        let start: String = head.chars().take(90).collect();
        assert_eq!(answer.status, status, "{start}");
        assert_eq!(answer.header("connection"), Some("close"), "{start}");
        assert!(!answer.text().contains("HTTP/1.1 "), "nothing behind it is answered: {start}");
    }
    assert_eq!(shop.get(FILE).text(), "hello");
}

#[test]
fn hostile_listings_are_refused_by_code() {
    let shop = shop(ServeLimits::default());
    let entity = "<!DOCTYPE x [<!ENTITY e SYSTEM \"http://127.0.0.1:1/\">]><propfind xmlns='DAV:'><prop>&e;</prop></propfind>";
    let laughs: String =
        (1..10).map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))).collect();
    let laughs = format!("<!DOCTYPE x [<!ENTITY l0 \"ha\">{laughs}]><propfind xmlns='DAV:'>&l9;</propfind>");
    let deep = format!("<propfind xmlns='DAV:'>{}", "<a>".repeat(20_000));
    let attributes: String = (0..5_000).map(|n| format!(" a{n}=''")).collect();
    let namespaces: String = (0..3_000).map(|n| format!(" xmlns:n{n}='x'")).collect();
    for (body, code) in [
        (entity.as_bytes(), "XML_DTD_FORBIDDEN"),
        (laughs.as_bytes(), "XML_DTD_FORBIDDEN"),
        (deep.as_bytes(), "XML_DEPTH"),
        (format!("<propfind xmlns='DAV:'{attributes}/>").as_bytes(), "XML_ATTRIBUTES"),
        (format!("<propfind xmlns='DAV:'{namespaces}/>").as_bytes(), "XML_ATTRIBUTES"),
        (
            b"<?xml version='1.0' encoding='utf-7'?><propfind xmlns='DAV:'><allprop/></propfind>",
            "XML_ENCODING",
        ),
        (b"\xfe\xff<\0p\0", "XML_ENCODING"),
        (b"<propfind xmlns='DAV:'>\xc3\x28</propfind>", "XML_ENCODING"),
        (b"<propfind xmlns='DAV:'><prop>]]></prop></propfind>", "XML_CHAR"),
        (b"<propfind xmlns='DAV:'><prop>\0</prop></propfind>", "XML_CHAR"),
        ("<propfind xmlns='DAV:'><prop>\u{fffe}</prop></propfind>".as_bytes(), "XML_CHAR"),
    ] {
        for coding in ["length", "chunked"] {
            let mut request =
                b"PROPFIND /SMS_DP_SMSPKG$/ HTTP/1.1\r\nHost: dp\r\nDepth: 0\r\nConnection: close\r\n"
                    .to_vec();
            match coding {
                "length" => request.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes()),
                _ => {
                    request.extend(format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len()).bytes())
                }
            }
            request.extend(body);
            if coding == "chunked" {
                request.extend(b"\r\n0\r\n\r\n");
            }
            let answer = shop.raw(&request);
            assert_eq!(answer.status, 400, "{code} {coding}");
            assert!(answer.text().starts_with(&format!("{code}: ")), "{code} {coding}: {}", answer.text());
        }
    }
}

#[test]
fn a_body_is_waited_for_with_a_word_when_its_sender_wants_one() {
    let shop = shop(ServeLimits::default());
    let mut stream = shop.connect();
    let body = "<propfind xmlns='DAV:'><prop><resourcetype/></prop></propfind>";
    let head = format!(
        "PROPFIND /SMS_DP_SMSPKG$/ HTTP/1.1\r\nHost: dp\r\nDepth: 1\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut word = [0; 25];
    stream.read_exact(&mut word).expect("a word");
    assert_eq!(&word, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).expect("sent");
    let answer = Answer::read(&mut stream);
    assert_eq!(answer.status, 207);
    assert!(answer.text().contains("XYZ00001"), "{}", answer.text());
}

#[test]
fn an_old_client_gets_its_listing_by_the_end_of_the_connection() {
    let shop = shop(ServeLimits::default());
    let answer = shop.raw(b"PROPFIND /SMS_DP_SMSPKG$/ HTTP/1.0\r\nDepth: 1\r\n\r\n");
    assert_eq!((answer.status, answer.header("transfer-encoding")), (207, None));
    assert!(answer.text().ends_with("</D:multistatus>\n"), "{}", answer.text());
    let kept = shop.raw(
        format!("GET {FILE} HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET {FILE} HTTP/1.0\r\n\r\n")
            .as_bytes(),
    );
    assert_eq!(kept.header("connection"), Some("keep-alive"));
    assert_eq!(kept.text().matches("HTTP/1.1 200 OK").count(), 1, "both are answered");
}

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{Tree, hrefs, run};
use crate::demo::stop::Stop;

/// Answers every request by `answer(method, path)` → status, headers and body.
fn server(answer: impl Fn(&str, &str) -> (u16, Vec<u8>) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let mut words = line.split(' ');
            let (method, path) =
                (words.next().unwrap().to_owned(), words.next().unwrap_or_default().to_owned());
            let mut header = String::new();
            while reader.read_line(&mut header).unwrap() > 2 {
                header.clear();
            }
            let (status, body) = answer(&method, &path);
            let head =
                format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let mut stream = stream;
            if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).is_err() {
                // The client has seen enough.
            }
        }
    });
    url
}

fn source() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a b%.txt"), "hello").unwrap();
    symlink("a b%.txt", dir.path().join("link")).unwrap();
    symlink("/etc/passwd", dir.path().join("out")).unwrap();
    dir
}

fn listing(names: &[&str]) -> (u16, Vec<u8>) {
    let hrefs: String =
        names.iter().map(|n| format!("<D:response><D:href>{n}</D:href></D:response>")).collect();
    (
        207,
        format!("<?xml version=\"1.0\"?><D:multistatus xmlns:D=\"DAV:\">{hrefs}</D:multistatus>")
            .into_bytes(),
    )
}

fn differences(folder: &Path, answer: impl Fn(&str, &str) -> (u16, Vec<u8>) + Send + 'static) -> Vec<String> {
    let mut found = run(&server(answer), "XYZ00001", &Tree::read(folder).unwrap(), &Stop::default(), &|_| {})
        .unwrap()
        .differences;
    found.sort();
    found
}

const ROOT: &str = "/SMS_DP_SMSPKG$/XYZ00001/";
const NAMES: [&str; 3] = ["/x/XYZ00001/", "/x/XYZ00001/a%20b%25.txt", "/x/XYZ00001/link"];

#[test]
fn what_equals_the_source_has_no_difference() {
    let dir = source();
    let found = differences(dir.path(), |method, path| match (method, path.strip_prefix(ROOT)) {
        ("PROPFIND", Some("")) => listing(&NAMES),
        ("GET", Some("a%20b%25.txt" | "link")) => (200, b"hello".to_vec()),
        _ => (404, vec![]),
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_kind_of_difference_is_found() {
    let dir = source();
    let found = differences(dir.path(), |method, path| match (method, path.strip_prefix(ROOT)) {
        ("PROPFIND", Some("")) => listing(&[NAMES[0], NAMES[2], "/x/XYZ00001/extra"]),
        ("GET", Some("a%20b%25.txt")) => (200, b"hellO".to_vec()),
        ("GET", Some("link")) => (200, b"hello!".to_vec()),
        ("GET", Some("out")) => (200, b"root:x:0:0".to_vec()),
        _ => (404, vec![]),
    });
    assert_eq!(
        found,
        [
            ": its listing lacks [a b%.txt] and has [extra] beyond the source",
            "a b%.txt: differs from the source at byte 4",
            "link: Content-Length is 6, 5 is wanted",
            "out: GET gives 200, 404 is wanted",
        ]
    );
}

#[test]
fn hrefs_are_read_with_their_entities() {
    let text =
        "<m xmlns='DAV:'><href>/a&amp;b&#x20;</href><other>no</other><D:href xmlns:D='DAV:'>/c</D:href></m>";
    assert_eq!(hrefs(text).unwrap(), ["/a&b ", "/c"]);
}

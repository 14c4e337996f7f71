//! PROPFIND by raw bytes.

use std::io::Write;

use crate::support::{Answer, Node, Shop, file, package};
use restock_dp::PackageFacts;

fn shop() -> Shop {
    let shop = Shop::open();
    shop.publish(
        1,
        7,
        &[
            (b"a & b.sh", file("hello")),
            (b"caf\xe9", file("bytes")),
            (b"folder", Node::Folder),
            (b"folder/deep", Node::Folder),
            (b"folder/deep/x", file("x")),
            (b"folder-2", file("")),
            (b"link", Node::Link(b"folder/deep/x")),
            (b"folderlink", Node::Link(b"folder")),
            (b"outside", Node::Link(b"/etc")),
            (b"ctrl\x01<>", file("odd")),
        ],
    );
    shop
}

fn propfind(shop: &Shop, path: &str, depth: &str, body: &str) -> Answer {
    let mut stream = shop.connect();
    let head = format!(
        "PROPFIND {path} HTTP/1.1\r\nHost: dp\r\nConnection: close\r\nDepth: {depth}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = Answer::read(&mut stream);
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = unchunked(&answer.body);
    }
    answer
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let end = body.windows(2).position(|w| w == b"\r\n").expect("a chunk head");
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).expect("hex"), 16).expect("hex");
        if length == 0 {
            return out;
        }
        out.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 4 + length..];
    }
}

/// The hrefs of a listing, in order.
fn hrefs(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 207, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/xml; charset=utf-8"));
    let text = answer.text();
    let pieces = text.split("<D:href>").skip(1);
    pieces.map(|piece| piece.split("</D:href>").next().expect("one piece").to_owned()).collect()
}

#[test]
fn a_folder_lists_what_lies_directly_in_it() {
    let shop = shop();
    let base = "/SMS_DP_SMSPKG$/XYZ00001/";
    let with_base = |names: &[&str]| names.iter().map(|n| format!("{base}{n}")).collect::<Vec<_>>();
    assert_eq!(hrefs(&propfind(&shop, base, "0", "")), with_base(&[""]));
    assert_eq!(
        hrefs(&propfind(&shop, base, "1", "")),
        with_base(&["", "a%20%26%20b.sh", "caf%E9", "ctrl%01%3C%3E", "folder/", "folder-2", "link"])
    );
    assert_eq!(
        hrefs(&propfind(&shop, &format!("{base}folder"), "1", "")),
        with_base(&["folder/", "folder/deep/"])
    );
    assert_eq!(
        hrefs(&propfind(&shop, &format!("{base}folderlink/"), "1", "")),
        with_base(&["folderlink/", "folderlink/deep/"])
    );
    assert_eq!(hrefs(&propfind(&shop, &format!("{base}link"), "1", "")), with_base(&["link"]));
    assert_eq!(
        hrefs(&propfind(&shop, "/XYZ00001.7/folder/deep", "1", "")),
        ["/XYZ00001.7/folder/deep/", "/XYZ00001.7/folder/deep/x"]
    );
}

#[test]
fn a_file_tells_its_properties() {
    let shop = shop();
    let path = "/SMS_DP_SMSPKG$/XYZ00001/a%20&%20b.sh";
    let etag = shop.get(path).header("etag").expect("an etag").replace('"', "&quot;");
    let text = propfind(&shop, path, "0", "").text();
    for want in [
        "<D:displayname>a &amp; b.sh</D:displayname>",
        "<D:resourcetype/>",
        "<D:getcontentlength>5</D:getcontentlength>",
        "<D:getlastmodified>Sun, 09 Sep 2001 01:46:40 GMT</D:getlastmodified>",
        "<A:executable>T</A:executable>",
        &format!("<D:getetag>{etag}</D:getetag>"),
    ] {
        assert!(text.contains(want), "{want} in {text}");
    }
    let asked = propfind(
        &shop,
        path,
        "0",
        "<propfind xmlns='DAV:'><prop><getetag/><lockdiscovery/></prop></propfind>",
    );
    let text = asked.text();
    assert!(text.contains("<D:getetag>") && !text.contains("getcontentlength"), "{text}");
    assert!(text.contains("lockdiscovery") && text.contains("404 Not Found"), "{text}");
}

#[test]
fn the_root_lists_only_packages_the_caller_may_read() {
    let shop = shop();
    shop.publish(2, 1, &[(b"secret", file("x"))]);
    shop.packages.set(package(2), PackageFacts::default()).expect("written");
    assert_eq!(hrefs(&propfind(&shop, "/", "1", "")), ["/", "/SMS_DP_SMSPKG$/"]);
    assert_eq!(
        hrefs(&propfind(&shop, "/SMS_DP_SMSPKG$/", "1", "")),
        ["/SMS_DP_SMSPKG$/", "/SMS_DP_SMSPKG$/XYZ00001/"]
    );
    let unknown = propfind(&shop, "/SMS_DP_SMSPKG$/XYZ00009/", "1", "");
    let hidden = propfind(&shop, "/SMS_DP_SMSPKG$/XYZ00002/", "1", "");
    assert_eq!((unknown.status, &unknown.body), (404, &hidden.body));
    for path in ["/XYZ00002.1/", "/SMS_DP_SMSPKG$/XYZ00001/missing", "/SMS_DP_SMSPKG$/XYZ00001/link/", "/x"] {
        assert_eq!(propfind(&shop, path, "1", "").status, 404, "{path}");
    }
}

#[test]
fn only_finite_depths_and_sound_bodies_are_answered() {
    let shop = shop();
    let path = "/SMS_DP_SMSPKG$/XYZ00001/";
    assert_eq!(propfind(&shop, path, "infinity", "").status, 403);
    assert_eq!(propfind(&shop, "/SMS_DP_SMSPKG$/XYZ00009/", "infinity", "").status, 403);
    assert_eq!(shop.request("PROPFIND", path, &[]).status, 403);
    assert_eq!(propfind(&shop, path, "2", "").status, 400);
    let hostile =
        "<!DOCTYPE x [<!ENTITY e SYSTEM 'http://127.0.0.1:1/'>]><propfind xmlns='DAV:'><allprop/></propfind>";
    for (body, code) in [(hostile, "XML_DTD_FORBIDDEN"), ("<x", "XML_SYNTAX"), ("<a/>", "XML_SYNTAX")] {
        let answer = propfind(&shop, path, "1", body);
        assert_eq!((answer.status, answer.text().starts_with(code)), (400, true), "{}", answer.text());
    }
    let long = " ".repeat(70_000);
    assert_eq!(propfind(&shop, path, "1", &long).status, 413);
    assert_eq!(propfind(&shop, "/SMS_DP_SMSPKG$/XYZ00001/%2e%2e/", "1", "").status, 400);
}

#[test]
fn a_folder_of_many_entries_is_listed_whole() {
    let shop = Shop::open();
    let names: Vec<String> = (0..5_000).map(|i| format!("d/file-{i:05}")).collect();
    let mut tree: Vec<(&[u8], Node)> = vec![(b"d", Node::Folder)];
    tree.extend(names.iter().map(|name| (name.as_bytes(), file("x"))));
    shop.publish(1, 1, &tree);
    let listed = hrefs(&propfind(&shop, "/XYZ00001.1/d/", "1", ""));
    assert_eq!(listed.len(), 5_001);
    assert_eq!(listed.last().map(String::as_str), Some("/XYZ00001.1/d/file-04999"));
}

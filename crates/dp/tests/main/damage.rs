//! Bytes that rot on disk are refused, never served.

use std::path::Path;

use crate::support::{Node, Shop, file, noise};

fn flip(shop: &Shop, needle: &[u8]) {
    let library: &Path = &shop.folder.path().join("library");
    crate::support::flip(library, needle);
}

#[test]
fn a_damaged_small_file_is_refused_before_its_first_byte() {
    let mut shop = Shop::open();
    shop.publish(1, 1, &[(b"a", file("some content to damage")), (b"b", file("other content"))]);
    flip(&shop, b"some content to damage");
    for _ in 0..2 {
        let answer = shop.get("/SMS_DP_SMSPKG$/XYZ00001/a");
        assert_eq!(answer.status, 503);
        assert!(answer.text().starts_with("CONTENT_DAMAGED: "), "{}", answer.text());
        assert_eq!(shop.request("GET", "/XYZ00001.1/a", &["Range: bytes=0-0"]).status, 503);
    }
    assert_eq!(shop.get("/SMS_DP_SMSPKG$/XYZ00001/b").text(), "other content");
    let damage = shop.damages.try_recv().expect("the damage is told");
    assert_eq!(damage.content.to_string(), "XYZ00001.1");
}

#[test]
fn damage_met_late_resets_the_connection() {
    let mut shop = Shop::open();
    let whole = noise(1, 20_000_000);
    shop.publish(1, 1, &[(b"large", Node::File(whole.clone()))]);
    flip(&shop, &whole[15_000_000..15_000_064]);
    let answer = shop.get("/SMS_DP_SMSPKG$/XYZ00001/large");
    assert_eq!((answer.status, answer.is_broken), (200, true), "no clean end");
    assert!(answer.body.len() < 15_000_064);
    assert!(whole.starts_with(&answer.body), "only verified bytes were sent");
    assert!(shop.damages.try_recv().is_ok(), "the damage is told");
    // What is not damaged goes on being served.
    let part = shop.request("GET", "/SMS_DP_SMSPKG$/XYZ00001/large", &["Range: bytes=0-999999"]);
    assert!((part.status, &part.body[..]) == (206, &whole[..1_000_000]));
    let part = shop.request("GET", "/SMS_DP_SMSPKG$/XYZ00001/large", &["Range: bytes=15000032-15000033"]);
    assert_eq!(part.status, 503);
}

#[test]
fn bytes_that_change_after_they_were_sent_unread_are_checked_again() {
    let mut shop = Shop::open();
    let whole = noise(1, 3_000_000);
    shop.publish(1, 1, &[(b"large", Node::File(whole.clone())), (b"small", file("a small file to damage"))]);
    for _ in 0..3 {
        assert!(shop.get("/XYZ00001.1/large").body == whole);
        assert_eq!(shop.get("/XYZ00001.1/small").text(), "a small file to damage");
    }
    flip(&shop, &whole[2_000_000..2_000_064]);
    flip(&shop, b"a small file to damage");
    assert_eq!(shop.get("/XYZ00001.1/small").status, 503);
    let answer = shop.get("/XYZ00001.1/large");
    assert!(answer.is_broken && whole.starts_with(&answer.body), "only verified bytes were sent");
    assert!(shop.damages.try_recv().is_ok(), "the damage is told");
    let part = shop.request("GET", "/XYZ00001.1/large", &["Range: bytes=0-999999"]);
    assert!((part.status, &part.body[..]) == (206, &whole[..1_000_000]));
}

#[test]
fn bytes_that_left_memory_are_fetched_and_right() {
    let shop = Shop::open();
    let whole = noise(1, 9_000_000);
    let small: Vec<u8> = noise(2, 5_000);
    shop.publish(1, 1, &[(b"large", Node::File(whole.clone())), (b"small", Node::File(small.clone()))]);
    // With few connections large files are sent in another way than with many.
    let mut others = Vec::new();
    for _ in 0..4 {
        assert!(shop.get("/XYZ00001.1/large").body == whole);
        assert!(shop.get("/XYZ00001.1/small").body == small);
        others.push(shop.connect());
        let part = shop.request("GET", "/XYZ00001.1/large", &["Range: bytes=1000000-1000099,5-8000000"]);
        assert!(part.status == 206 && !part.is_broken);
        for path in crate::support::pack_files(&shop.folder.path().join("library")) {
            let pack = std::fs::File::open(path).expect("opened");
            rustix::fs::fsync(&pack).expect("written");
            rustix::fs::fadvise(&pack, 0, None, rustix::fs::Advice::DontNeed).expect("advised");
        }
    }
}

#[test]
fn the_end_of_a_broken_answer_is_a_reset_and_not_a_fin() {
    let shop = Shop::open();
    let whole = noise(1, 4_000_000);
    shop.publish(1, 1, &[(b"large", Node::File(whole.clone()))]);
    flip(&shop, &whole[2_000_000..2_000_064]);
    let url = shop.url("/SMS_DP_SMSPKG$/XYZ00001/large");
    let output = crate::support::run("curl", &["-sS", "-o", "/dev/null", &url], "");
    // 56: failure in receiving network data, which is how curl calls a reset; a FIN would be 18.
    assert_eq!(output.status.code(), Some(56), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_damaged_manifest_page_hides_nothing_else() {
    let mut shop = Shop::open();
    shop.publish(1, 1, &[(b"a-name-in-the-manifest", file("x"))]);
    shop.publish(2, 1, &[(b"other", file("y"))]);
    let shop = {
        flip(&shop, b"a-name-in-the-manifest");
        while shop.damages.try_recv().is_ok() {}
        shop.restart()
    };
    assert_eq!(shop.get("/SMS_DP_SMSPKG$/XYZ00001/a-name-in-the-manifest").status, 503);
    assert_eq!(shop.get("/SMS_DP_SMSPKG$/XYZ00002/other").text(), "y");
}

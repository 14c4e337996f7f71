//! Readers while versions change.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::support::{Answer, Node, Shop, noise};

/// Files whose every byte tells the version.
fn tree(version: u32) -> [(&'static [u8], Node); 2] {
    [
        (b"small", Node::File(vec![b'0' + (version % 10) as u8; 500])),
        (b"large", Node::File(vec![b'0' + (version % 10) as u8; 900_000])),
    ]
}

#[test]
fn a_reader_sees_all_of_one_version_or_all_of_the_next() {
    const VERSIONS: u32 = 150;
    let shop = Shop::open();
    shop.publish(1, 1, &tree(1));
    let (is_over, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for name in ["small", "large", "small", "large"] {
            let (shop, is_over, reads) = (&shop, &is_over, &reads);
            scope.spawn(move || {
                let mut last = 1;
                while !is_over.load(Ordering::Relaxed) {
                    let answer = shop.get(&format!("/SMS_DP_SMSPKG$/XYZ00001/{name}"));
                    assert_eq!((answer.status, answer.is_broken), (200, false));
                    let location = answer.header("content-location").expect("a location");
                    let version = location["/xyz00001.".len()..].split('/').next().expect("one piece");
                    let version: u32 = version.parse().expect("a number");
                    let want = b'0' + (version % 10) as u8;
                    assert!(
                        answer.body.iter().all(|b| *b == want),
                        "bytes of another version than {version}"
                    );
                    assert!(version >= last, "version {version} after {last}");
                    last = version;
                    let pinned = shop.get(&location.replace("xyz", "XYZ"));
                    assert_eq!((pinned.status, pinned.body == answer.body), (200, true));
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for version in 2..=VERSIONS {
            let enough = reads.load(Ordering::Relaxed) + 2;
            shop.publish(1, version, &tree(version));
            while reads.load(Ordering::Relaxed) < enough {
                std::thread::yield_now();
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(reads.load(Ordering::Relaxed) >= u64::from(VERSIONS), "readers were running");
}

#[test]
fn a_running_download_ends_with_the_version_it_began_with() {
    let shop = Shop::open();
    let old = noise(1, 30_000_000);
    shop.publish(1, 1, &[(b"large", Node::File(old.clone()))]);
    let mut stream = shop.connect();
    stream
        .write_all(b"GET /SMS_DP_SMSPKG$/XYZ00001/large HTTP/1.1\r\nHost: dp\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut first = vec![0; 100_000];
    stream.read_exact(&mut first).expect("the answer begins");
    shop.publish(1, 2, &[(b"large", Node::File(noise(2, 1_000)))]);
    assert_eq!(shop.get("/SMS_DP_SMSPKG$/XYZ00001/large").body.len(), 1_000);
    // Removed for new readers, not for this one.
    shop.library.forget(&crate::support::package(1)).expect("forgotten");
    assert_eq!(shop.get("/SMS_DP_SMSPKG$/XYZ00001/large").status, 404);
    let rest = Answer::read(&mut stream);
    assert!(!rest.is_broken);
    let head = first.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    let mut rest_bytes = Vec::new();
    rest_bytes.extend_from_slice(&first[head..]);
    rest_bytes.extend_from_slice(&rest.raw);
    assert!(rest_bytes == old, "{} bytes", rest_bytes.len());
}

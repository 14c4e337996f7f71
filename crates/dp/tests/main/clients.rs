//! Real clients as child processes: curl, rclone, cadaver.

use std::path::Path;

use crate::support::{Node, Shop, file, noise, run, run_well};

fn shop() -> Shop {
    let shop = Shop::open();
    shop.publish(
        1,
        3,
        &[
            (b"read me.txt", file("hello")),
            (b"empty", file("")),
            (b"setup.sh", file("#!/bin/sh\n")),
            (b"data", Node::Folder),
            (b"data/big.bin", Node::File(noise(3, 5_000_000))),
            (b"data/empty folder", Node::Folder),
            (b"data/gr\xc3\xbc\xc3\x9fe & <more>.txt", file("gr\u{fc}\u{df}e")),
            (b"link.bin", Node::Link(b"data/big.bin")),
            (b"up", Node::Link(b".")),
        ],
    );
    shop
}

fn same(path: &Path, want: &[u8]) {
    let found = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(found == want, "{}: {} bytes differ", path.display(), found.len());
}

#[test]
fn curl_downloads_resumes_and_revalidates() {
    let shop = shop();
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("big");
    let (out, url) = (target.to_str().expect("text"), shop.url("/SMS_DP_SMSPKG$/XYZ00001/data/big.bin"));
    let whole = noise(3, 5_000_000);
    run_well("curl", &["-sSf", "-o", out, &url], "");
    same(&target, &whole);
    std::fs::write(&target, &whole[..1_234_567]).expect("written");
    run_well("curl", &["-sSf", "-C", "-", "-o", out, &url], "");
    same(&target, &whole);

    let tags = folder.path().join("tags");
    let tags = tags.to_str().expect("text");
    let again = ["-sS", "--etag-save", tags, "--etag-compare", tags, "-o", out, "-w", "%{http_code}", &url];
    assert_eq!(run_well("curl", &again, ""), b"200");
    assert_eq!(run_well("curl", &again, ""), b"304");
    let code = ["-sS", "-o", "/dev/null", "-w", "%{http_code}"];
    let missing = shop.url("/SMS_DP_SMSPKG$/XYZ00001/nothing");
    assert_eq!(run_well("curl", &[&code[..], &[&missing]].concat(), ""), b"404");
    let climbing = shop.url("/SMS_DP_SMSPKG$/XYZ00001/../../../../etc/passwd");
    assert_eq!(run_well("curl", &[&code[..], &["--path-as-is", &climbing]].concat(), ""), b"400");
    assert_eq!(run_well("curl", &[&code[..], &["-T", "/etc/hostname", &url]].concat(), ""), b"405");
}

#[test]
fn rclone_lists_and_copies_a_package_over_webdav() {
    let shop = shop();
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().to_str().expect("text");
    let remote = format!(":webdav,url='{}':", shop.url("/SMS_DP_SMSPKG$/"));
    let config = ["--config", "/dev/null"];
    let listed = run_well("rclone", &[&config[..], &["lsf", &remote]].concat(), "");
    assert_eq!(String::from_utf8_lossy(&listed), "XYZ00001/\n");
    let package = format!("{remote}XYZ00001");
    run_well("rclone", &[&config[..], &["copy", &package, target, "--create-empty-src-dirs"]].concat(), "");
    let big = noise(3, 5_000_000);
    same(&folder.path().join("read me.txt"), b"hello");
    same(&folder.path().join("empty"), b"");
    same(&folder.path().join("data/big.bin"), &big);
    same(&folder.path().join("link.bin"), &big);
    same(&folder.path().join("data/gr\u{fc}\u{df}e & <more>.txt"), "gr\u{fc}\u{df}e".as_bytes());
    assert!(folder.path().join("data/empty folder").is_dir());
    assert!(!folder.path().join("up").exists(), "a link to a folder is not walked");
    run_well("rclone", &[&config[..], &["check", "--download", &package, target]].concat(), "");
    let part = run_well(
        "rclone",
        &[&config[..], &["cat", &format!("{package}/data/big.bin"), "--offset", "4000000", "--count", "10"]]
            .concat(),
        "",
    );
    assert_eq!(part, &big[4_000_000..4_000_010]);
    let upload = run("rclone", &[&config[..], &["rcat", &format!("{package}/new")]].concat(), "x");
    assert!(!upload.status.success(), "nothing can be written");
}

#[test]
fn cadaver_browses_and_fetches() {
    let shop = shop();
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("got");
    let url = shop.url("/SMS_DP_SMSPKG$/XYZ00001/");
    let commands = format!("ls\ncd data\nls\nget big.bin {}\nput /etc/hostname\nquit\n", target.display());
    let out = run_well("cadaver", &[&url], &commands);
    let out = String::from_utf8_lossy(&out);
    for want in ["Coll:   data", "setup.sh", "read me.txt", "big.bin", "5000000", "Coll:   empty folder"] {
        assert!(out.contains(want), "{want} in {out}");
    }
    same(&target, &noise(3, 5_000_000));
    assert!(out.contains("405"), "nothing can be written: {out}");
}

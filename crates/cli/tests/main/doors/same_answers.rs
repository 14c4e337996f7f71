//! Generated requests through all doors.

use crate::adminservice::clients::Demo;
use crate::support::add_account;

#[test]
fn the_same_request_gets_the_same_objects_or_the_same_error_at_every_door() {
    let demo = Demo::start();
    let site = std::path::Path::new(demo.text("data_dir")).join("site");
    let password = add_account(&site, "analyst", Some("SMS0002R@SMS00UNA"));
    let plain = demo.port("adminservice_http");
    for seed in ["1", "2"] {
        let arguments =
            ["--port", plain, "--seed", seed, "--analyst", "analyst", "--analyst-password", &password];
        let (text, passed) = demo.client("same_answers.py", &arguments);
        assert!(passed && text.contains("200 passed, 0 failed, 0 skipped"), "{text}");
        // Both kinds of answers were compared, many times.
        let line = text.lines().find(|line| line.starts_with("seed ")).unwrap_or_default();
        let numbers: Vec<u32> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert!(numbers.iter().all(|number| *number >= 30) && numbers.len() == 2, "{line}");
    }
}

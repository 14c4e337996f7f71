//! Content that is not public, opened by a token of the site.

use std::process::Command;

use crate::support::World;

fn get(url: &str, token: &str) -> (String, String) {
    let output = Command::new("curl")
        .args(["-sS", "-w", "\n%{http_code}", "-H", &format!("Authorization: Bearer {token}"), url])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, code) = text.rsplit_once('\n').unwrap();
    (code.to_owned(), body.to_owned())
}

#[test]
fn a_token_of_the_site_opens_what_it_names_at_its_points() {
    let mut world = World::new();
    world.add_point("DP01");
    let wait = ["--wait", "--timeout", "60s"];
    for name in ["one", "two"] {
        let source = world.source(name, &[("a.txt", name.as_bytes())]);
        world
            .ask(&[&["package", "create", name, "--source", source.to_str().unwrap()][..], &wait].concat())
            .done();
    }
    for package in ["XYZ00001", "XYZ00002"] {
        world.ask(&[&["distribute", package, "--to", "DP01"][..], &wait].concat()).done();
    }
    let made = world.ask(&["content-token", "create", "xyz00001", "--valid", "1h"]).done();
    assert_eq!(made["packages"], serde_json::json!(["XYZ00001"]));
    let one = made["token"].as_str().unwrap().to_owned();
    let all = world.ask(&["content-token", "create", "--all"]).done()["token"].as_str().unwrap().to_owned();
    let url = |number: u32| format!("{}/SMS_DP_SMSPKG$/XYZ0000{number}/a.txt", world.points[0].url());
    assert_eq!(get(&url(1), &one), ("200".to_owned(), "one".to_owned()));
    assert_eq!(get(&url(2), &one).0, "404");
    assert_eq!(get(&url(2), &all), ("200".to_owned(), "two".to_owned()));
    assert_eq!(get(&url(1), "rct_").0, "404");

    for arguments in [&["content-token", "create"][..], &["content-token", "create", "XYZ00001", "--all"]] {
        assert_eq!(world.ask(arguments).code, 2, "{arguments:?}");
    }
    let long = world.ask(&["content-token", "create", "--all", "--valid", "400d"]);
    assert!(long.code == 2 && long.stdout.contains("CONTENT_TOKEN_LIFE"), "{long:?}");
}

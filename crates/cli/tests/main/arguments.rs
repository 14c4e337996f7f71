//! Mistakes in arguments and configuration.

use std::path::Path;

use crate::support::{command, json, restock};

#[test]
fn mistakes_in_arguments_end_with_2_and_help_with_0() {
    let data = Path::new("/nowhere");
    assert_eq!(restock(data, &["--help"]).code, 0);
    assert_eq!(restock(data, &["refresh", "--help"]).code, 0);
    for wrong in [&["frobnicate"][..], &["refresh"], &["refresh", "XYZ00001", "--timeout", "5m"], &[]] {
        let ran = restock(data, wrong);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{wrong:?} {}", ran.stderr);
    }
    for (wrong, message, hint) in [
        (&["frobnicate"][..], "unrecognized subcommand 'frobnicate'", "restock --help"),
        (
            &["refresh"],
            "the following required arguments were not provided: <PKG>...",
            "restock refresh --help",
        ),
        (
            &["package", "set", "XYZ00001", "--symlinks", "x"],
            "invalid value 'x' for",
            "restock package set --help",
        ),
        (&["package"], "a command or an argument is missing", "restock package --help"),
        (&[], "'restock' requires a subcommand", "restock --help"),
    ] {
        let ran = json(data, wrong);
        let error = &ran.document()["error"];
        assert_eq!((ran.code, error["kind"].as_str()), (2, Some("usage")), "{wrong:?} {ran:?}");
        assert!(error["message"].as_str().unwrap().starts_with(message), "{wrong:?} {error}");
        assert_eq!(error["try"][0].as_str(), Some(hint), "{wrong:?} {error}");
        assert!(!ran.stderr.is_empty(), "people see it too");
    }
    let ran = json(data, &["refresh", "--help"]);
    assert!(ran.code == 0 && ran.stdout.contains("Usage: restock refresh"), "{ran:?}");
    let ran = restock(data, &["refresh", "XYZ00001", "--wait", "--timeout", "5 parsecs"]);
    assert!(ran.code == 2 && ran.stderr.contains("is not a duration"), "{ran:?}");
}

#[test]
fn a_folder_without_a_site_is_4_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [&["status"][..], &["package", "list"], &["library", "stat"], &["site", "run"]] {
        let ran = restock(dir.path(), arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{arguments:?} {ran:?}");
        let hint = format!("\nTry: restock --data {} site init\n", dir.path().display());
        assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(&hint), "{ran:?}");
    }
    let failure = &json(dir.path(), &["status"]).document()["error"];
    assert_eq!(failure["kind"], "not_found");
}

#[test]
fn the_data_folder_comes_from_the_option_or_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_restock"))
        .env("RESTOCK_DATA", dir.path())
        .arg("status")
        .output()
        .unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains(dir.path().to_str().unwrap()));
}

#[test]
fn no_colour_where_there_is_no_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let output = command(dir.path()).arg("status").env("TERM", "xterm").output().unwrap();
    assert!(!output.stderr.contains(&0x1b));
}

#[test]
fn a_wrong_configuration_refuses_to_start_and_names_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    json(dir.path(), &["site", "init", "--listen", "127.0.0.1:0"]).done();
    let config = dir.path().join("restock.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    for (wrong, wanted) in [
        (text.replace("retry_count = 100", "retry_cuont = 100"), "unknown field `retry_cuont`"),
        (text.replace("retry_delay = \"30m\"", "retry_delay = \"30 fortnights\""), "is not a duration"),
        (text.replace("size_max = \"250000\"", "size_max = \"1 MB\""), "is not a size"),
    ] {
        assert_ne!(wrong, text);
        std::fs::write(&config, &wrong).unwrap();
        for arguments in [&["site", "run"][..], &["status"]] {
            let ran = restock(dir.path(), arguments);
            let line = 1 + wrong.lines().zip(text.lines()).take_while(|(a, b)| a == b).count();
            assert_eq!(ran.code, 2, "{ran:?}");
            assert!(ran.stderr.contains(&format!("restock.toml:{line}: ")), "{line} {ran:?}");
            assert!(ran.stderr.contains(wanted), "{ran:?}");
        }
    }
    std::fs::write(&config, text).unwrap();
    assert_eq!(restock(dir.path(), &["status"]).code, 0);
}

#[test]
fn a_second_init_in_the_same_folder_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    json(dir.path(), &["site", "init", "--code", "abc", "--listen", "127.0.0.1:0"]).done();
    let before = std::fs::read(dir.path().join("restock.toml")).unwrap();
    let ran = json(dir.path(), &["site", "init", "--code", "DEF"]);
    assert_eq!((ran.code, ran.document()["error"]["code"].as_str()), (6, Some("SITE_EXISTS")));
    assert_eq!(std::fs::read(dir.path().join("restock.toml")).unwrap(), before);
}

use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Desk, Events, Listener};
use crate::control::{Ask, Client};
use crate::failure::{Failure, Kind};

/// Answers `hello` with the caller, streams three events for `files`, refuses the rest.
struct Echo;

impl Desk for Echo {
    async fn answer(
        &self,
        user: String,
        id: Option<String>,
        ask: Ask,
        events: Events,
    ) -> Result<Value, Failure> {
        match ask {
            Ask::Hello => Ok(json!([user, id])),
            Ask::Progress => {
                for n in 0..3 {
                    events.send(json!(n)).await.map_err(|_left| Failure::failed("the caller left"))?;
                }
                Ok(json!("end"))
            }
            Ask::Watch { .. } => {
                while events.send(json!("tick")).await.is_ok() {}
                Err(Failure::failed("the caller left"))
            }
            _ => Err(Failure::refused("POINT_UNKNOWN: no such point").hint("restock dp list")),
        }
    }
}

/// Runs `test` against a listener in a folder with a path too long for a socket.
fn with_listener(test: impl FnOnce(&std::path::Path)) {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let path = deep.join("control.sock");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let shutdown = CancellationToken::new();
    let tracker = TaskTracker::new();
    let listener = runtime.block_on(async { Listener::bind(&path) }).unwrap();
    tracker.spawn_on(listener.serve(Arc::new(Echo), tracker.clone(), shutdown.clone()), runtime.handle());
    test(&path);
    shutdown.cancel();
    tracker.close();
    runtime.block_on(tracker.wait());
    assert!(!path.exists(), "the socket is removed");
}

fn raw(path: &std::path::Path, line: &str) -> String {
    let short = super::ShortPath::new(path).unwrap();
    let mut stream = UnixStream::connect(short.as_path()).unwrap();
    stream.write_all(line.as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    answer
}

#[test]
fn a_request_is_answered_after_its_events() {
    with_listener(|path| {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut client = Client::connect(path).unwrap().unwrap();
        let mut seen = Vec::new();
        let answer = client.stream(Ask::Progress, &mut |e| {
            seen.push(e);
            Ok(ControlFlow::Continue(()))
        });
        assert_eq!((answer.unwrap(), seen), (Some(json!("end")), vec![json!(0), json!(1), json!(2)]));
        let hello: (String, Option<String>) = client.ask(Ask::Hello).unwrap();
        assert_eq!(hello, (format!("uid {}", rustix::process::geteuid().as_raw()), None));
    });
}

#[test]
fn a_refusal_keeps_its_kind_code_and_hint_on_the_way() {
    with_listener(|path| {
        let mut client = Client::connect(path).unwrap().unwrap();
        let failure = client.ask::<Value>(Ask::StatLibrary).unwrap_err();
        assert_eq!((failure.kind, failure.code.as_deref()), (Kind::Refused, Some("POINT_UNKNOWN")));
        assert_eq!(failure.hints, ["restock dp list"]);
    });
}

#[test]
fn a_request_without_end_stops_when_its_caller_leaves() {
    with_listener(|path| {
        let mut client = Client::connect(path).unwrap().unwrap();
        let mut ticks = 0;
        let answer = client.stream(Ask::Watch { package: None }, &mut |_| {
            ticks += 1;
            Ok(if ticks < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        });
        assert_eq!(answer.unwrap(), None);
        // with_listener waits for the connection's task: it would never end otherwise.
    });
}

#[test]
fn lines_that_are_no_requests_are_answered_and_change_nothing() {
    with_listener(|path| {
        for (line, wanted) in [
            ("hello\n", "REQUEST_FORMAT"),
            ("{\"id\":7}\n", "PROTOCOL_VERSION"),
            ("{\"restock\":2,\"id\":7,\"ask\":\"hello\"}\n", "PROTOCOL_VERSION"),
            ("{\"restock\":1,\"id\":7,\"ask\":\"hallo\"}\n", "REQUEST_FORMAT"),
            ("{\"restock\":1,\"id\":7,\"ask\":\"hello\",\"more\":1}\n", "REQUEST_FORMAT"),
        ] {
            let answer: Value = serde_json::from_str(&raw(path, line)).unwrap();
            assert!(answer["failure"]["message"].as_str().unwrap().starts_with(wanted), "{line}{answer}");
            assert_eq!(answer["id"], if line.contains('7') { 7 } else { 0 });
        }
        let endless = "x".repeat(super::REQUEST_BYTES_MAX);
        assert!(raw(path, &endless).contains("REQUEST_TOO_LONG"));
        assert!(
            raw(path, "{\"restock\":1,\"id\":1,\"ask\":\"hello\"}\n").contains("answer"),
            "still answers"
        );
    });
}

#[test]
fn a_socket_left_by_a_dead_process_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(Client::connect(&path).unwrap().is_none(), "nobody listens");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Listener::bind(&path) }).unwrap();
}

//! A site with an AdminService, and a client that sends exactly the bytes it is given.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use restock_names::{Clock, SystemClock};
use serde_json::Value;
use tempfile::TempDir;

use crate::adminservice::clients::{CLIENTS, python};
use crate::support::{World, add_account, json};

/// Longer than any answer takes; only a broken service lets it pass.
const PATIENCE: Duration = Duration::from_secs(60);

/// A site whose AdminService listens with TLS and, on loopback, without.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) world: World,
    /// The listener without TLS.
    pub(crate) http: SocketAddr,
    /// The listener with TLS.
    pub(crate) https: SocketAddr,
    pub(crate) user: &'static str,
    pub(crate) password: String,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) status: u16,
    /// As sent, with lower-case names.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {} {}", self.status, String::from_utf8_lossy(&self.body)))
    }

    /// Status and stable code of a refusal, whose form is checked.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, String) {
        let error = self.json()["error"].clone();
        assert_eq!(error["code"], self.status.to_string(), "{error}");
        let inner = &error["innererror"];
        assert!(inner["@odata.type"].as_str().is_some_and(|t| t.starts_with("#AdminService.")), "{error}");
        assert_eq!(inner["correlationId"].as_str().map(str::len), Some(36), "{error}");
        let code = inner["errorCode"].as_str().unwrap_or_else(|| panic!("{error}")).to_owned();
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{code}: ")), "{error}");
        for secret in ["/src/", ".rs:", "SELECT ", "/tmp/", "sqlite"] {
            assert!(!message.contains(secret), "{message}");
        }
        (self.status, code)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.headers.lines().find_map(|line| line.strip_prefix(&prefix))
    }
}

impl Door {
    /// A site with these lines of `restock.toml` replaced, and an account that may do everything.
    pub(crate) fn new(settings: &[(&str, &str)]) -> Self {
        Self::started_by(settings, World::start_site)
    }

    /// The same with another way to start the site.
    pub(crate) fn started_by(settings: &[(&str, &str)], start: impl FnOnce(&mut World)) -> Self {
        let folder = TempDir::with_prefix("restock-door-").unwrap();
        let mut world = World { folder, site: None, points: Vec::new() };
        std::fs::create_dir(world.root()).unwrap();
        let init = ["site", "init", "--listen", "127.0.0.1:0", "--admin-http", "127.0.0.1:0"];
        json(&world.site_data(), &init).done();
        let file = world.site_data().join("restock.toml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        for (key, value) in settings {
            let at = text.find(&format!("\n{key} = ")).unwrap_or_else(|| panic!("no key {key}")) + 1;
            let end = at + text[at..].find('\n').unwrap();
            text.replace_range(at..end, &format!("{key} = {value}"));
        }
        std::fs::write(&file, text).unwrap();
        start(&mut world);
        world.ask(&["source", "add", "root", world.root().to_str().unwrap()]).done();
        let hello = world.site.as_ref().unwrap().hello["admin_service"].clone();
        let address = |name: &str| {
            let url = hello[name].as_str().unwrap_or_else(|| panic!("{hello}"));
            url.split("//").nth(1).unwrap().split('/').next().unwrap().parse().unwrap()
        };
        let (http, https) = (address("http_url"), address("url"));
        let mut door = Self { world, http, https, user: "admin", password: String::new() };
        door.password = door.account("admin", Some("SMS0001R"));
        door
    }

    /// Makes an account and returns its password.
    pub(crate) fn account(&self, name: &str, role: Option<&str>) -> String {
        add_account(&self.world.site_data(), name, role)
    }

    /// A new connection without TLS.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends these bytes on a new connection and reads the first answer.
    pub(crate) fn raw(&self, bytes: impl AsRef<[u8]>) -> Got {
        let mut stream = self.connect();
        // The service may refuse and close while it is still being written to.
        let written = stream.write_all(bytes.as_ref());
        let got = read_answer(&mut stream);
        assert!(written.is_ok() || got.status >= 400, "{written:?} {got:?}");
        got
    }

    /// The head lines of somebody who signs in.
    pub(crate) fn authorization(&self) -> String {
        format!("Authorization: {}\r\n", basic(self.user, &self.password))
    }

    /// One request by the account that may do everything. `headers`: whole lines.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Got {
        let authorization = format!("Authorization: {}", basic(self.user, &self.password));
        self.request_as(&authorization, method, path, headers, body)
    }

    /// The same with another `Authorization` line, or none.
    pub(crate) fn request_as(
        &self,
        authorization: &str,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &str,
    ) -> Got {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.http);
        for line in headers.iter().chain([&authorization]).filter(|line| !line.is_empty()) {
            text.push_str(line);
            text.push_str("\r\n");
        }
        if !body.is_empty() || method == "POST" {
            text.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(body);
        self.raw(text)
    }

    pub(crate) fn get(&self, path: &str) -> Got {
        self.request("GET", &wmi(path), &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Got {
        self.request("POST", &wmi(path), &[], body)
    }

    /// A package made through the service; returns its ID.
    pub(crate) fn package(&self, name: &str) -> String {
        let body = serde_json::json!({ "Name": name, "PkgSourceFlag": 1 }).to_string();
        let made = self.post("SMS_Package", &body);
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["PackageID"].as_str().unwrap().to_owned()
    }

    /// Asks again until the first row is as wanted, as a client polls, and returns it.
    #[track_caller]
    pub(crate) fn poll(&self, path: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = SystemClock.monotonic();
        loop {
            let row = self.get(path).json()["value"][0].clone();
            if is_wanted(&row) {
                return row;
            }
            assert!(SystemClock.monotonic() - begun < PATIENCE, "{path}: {row}");
        }
    }

    /// Runs a published client's first hour with a package, which makes and distributes one, with a
    /// point to distribute to; all of its `steps` must pass.
    #[track_caller]
    pub(crate) fn first_hour(&mut self, script: &str, steps: &str) {
        self.world.add_point("DP01");
        let source = self.world.source("editor", &[("setup.exe", b"first")]);
        let output = Command::new(python())
            .arg(Path::new(CLIENTS).join(script))
            .args(["--port", &self.http.port().to_string(), "--user", self.user])
            .args(["--password", &self.password])
            .arg("--source")
            .arg(&source)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let failed = String::from_utf8_lossy(&output.stderr);
        let summary = format!("{steps} passed, 0 failed, 0 skipped");
        assert!(output.status.success() && text.contains(&summary), "{text}{failed}");
    }

    /// The service still answers.
    #[track_caller]
    pub(crate) fn check_alive(&self) {
        assert_eq!(self.get("SMS_Site").status, 200);
    }
}

pub(crate) fn wmi(path: &str) -> String {
    format!("/AdminService/wmi/{}", path.replace(' ', "%20"))
}

/// `Basic …`
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().enumerate().fold(0u32, |bits, (at, b)| bits | u32::from(*b) << (16 - 8 * at));
        for at in 0..4 {
            let letter = char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 63]);
            text.push(if at > group.len() { '=' } else { letter });
        }
    }
    text
}

/// Reads one answer: its head, and its body by length, by chunks, or to the end.
pub(crate) fn read_answer(stream: &mut TcpStream) -> Got {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if !read_some(stream, &mut bytes) {
            panic!("no whole head: {:?}", String::from_utf8_lossy(&bytes));
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let (first, lines) = text.split_once("\r\n").unwrap();
    let status = first.split(' ').nth(1).unwrap().parse().unwrap();
    let headers: String = lines
        .lines()
        .map(|line| match line.split_once(':') {
            Some((name, value)) => format!("{}: {}\n", name.to_ascii_lowercase(), value.trim()),
            None => String::new(),
        })
        .collect();
    let mut got = Got { status, headers, body: Vec::new() };
    let mut rest = bytes.split_off(head);
    if got.header("transfer-encoding").is_some() {
        while !rest.ends_with(b"0\r\n\r\n") && read_some(stream, &mut rest) {}
        got.body = unchunked(&rest);
    } else {
        let length = got.header("content-length").map_or(0, |length| length.parse().unwrap());
        while rest.len() < length && read_some(stream, &mut rest) {}
        got.body = rest;
    }
    got
}

/// False at the end of the connection, however it came.
pub(crate) fn read_some(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 65_536];
    match stream.read(&mut buffer) {
        Ok(0) => false,
        Ok(count) => {
            bytes.extend_from_slice(&buffer[..count]);
            true
        }
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => false,
        Err(error) => panic!("nothing came within {PATIENCE:?}: {error}"),
    }
}

/// True when the service has closed this connection and sends nothing more.
pub(crate) fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    !read_some(stream, &mut rest)
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(at) = bytes.windows(2).position(|w| w == b"\r\n") {
        let line = std::str::from_utf8(&bytes[..at]).unwrap();
        let length = usize::from_str_radix(line, 16).unwrap_or_else(|_| panic!("chunk {line:?}"));
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&bytes[at + 2..at + 2 + length]);
        bytes = &bytes[at + 4 + length..];
    }
    panic!("the answer ended within a chunk");
}

//! A content server in a temporary folder, and small clients for it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use restock_content::chunk::first_cut;
use restock_content::files::DiskFiles;
use restock_content::hash::chunk_digest;
use restock_content::library::{Library, LibraryError, Role, Writer};
use restock_content::manifest::{Builder, ChunkRun, Entry, EntryKind, FileChunks, PageError, PageSink};
use restock_content::statement::{KeyList, SigningKey, Statement};
use restock_dp::{
    ContentKeys, ContentServer, Damage, ListenerConfig, PackageFacts, Packages, ServeConfig, ServeLimits,
    ServeParts, TlsListenerConfig,
};
use restock_names::{
    Clock, ContentVersion, Digest, EntryPath, Epoch, PackageId, SourceVersion, SystemClock, Timestamp,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// 2001-09-09T01:46:40Z, and half a second that HTTP dates do not show.
pub(crate) const MTIME_NS: i64 = 1_000_000_000_500_000_000;

/// Waits, for as long as a busy machine may need, until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = SystemClock.monotonic() + Duration::from_secs(60);
    while !is_so() {
        assert!(SystemClock.monotonic() < deadline, "not in a minute: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One entry of a test tree.
pub(crate) enum Node {
    File(Vec<u8>),
    Folder,
    Link(&'static [u8]),
}

/// Text of a file.
pub(crate) fn file(text: &str) -> Node {
    Node::File(text.as_bytes().to_vec())
}

/// Bytes that do not repeat, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    };
    std::iter::repeat_with(&mut next).take(length.div_ceil(8)).flatten().take(length).collect()
}

/// A library with a server in front of it. Everything ends with it.
pub(crate) struct Shop {
    pub(crate) folder: TempDir,
    pub(crate) library: Arc<Library>,
    pub(crate) packages: Arc<Packages>,
    pub(crate) server: ContentServer,
    pub(crate) damages: mpsc::Receiver<Damage>,
    cancel: CancellationToken,
    runtime: Option<Runtime>,
}

/// How a shop is opened.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) serves_everything: bool,
    pub(crate) limits: ServeLimits,
    pub(crate) tls_listeners: Vec<TlsListenerConfig>,
}

impl Shop {
    pub(crate) fn open() -> Self {
        Self::open_with(Options::default())
    }

    pub(crate) fn open_with(options: Options) -> Self {
        let folder = TempDir::new().expect("a folder");
        let files = Arc::new(DiskFiles);
        let library = Library::create(files.clone(), &folder.path().join("library"), Role::DistributionPoint)
            .expect("a library");
        drop(library);
        Self::start(folder, options)
    }

    /// Closes everything and opens it again.
    pub(crate) fn restart(self) -> Self {
        let folder = TempDir::new().expect("a folder");
        let own = folder.path().join("dp");
        std::fs::rename(self.folder.path(), &own).expect("renamed");
        drop(self);
        for entry in std::fs::read_dir(&own).expect("listed") {
            let entry = entry.expect("listed");
            std::fs::rename(entry.path(), folder.path().join(entry.file_name())).expect("renamed");
        }
        Self::start(folder, Options::default())
    }

    fn start(folder: TempDir, options: Options) -> Self {
        let files = Arc::new(DiskFiles);
        let library = open_library(&folder.path().join("library"));
        let library = Arc::new(library);
        let packages = Arc::new(Packages::open(files, folder.path()).expect("opens"));
        let runtime = Runtime::new().expect("a runtime");
        let (sender, damages) = mpsc::channel(100);
        let config = ServeConfig {
            listeners: vec![ListenerConfig {
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
                serves_everything: options.serves_everything,
            }],
            tls_listeners: options.tls_listeners,
            hosts: vec!["dp".into()],
            limits: options.limits,
        };
        let cancel = CancellationToken::new();
        let tracker = TaskTracker::new();
        let started = ContentServer::start(
            config,
            ServeParts {
                library: Arc::clone(&library),
                packages: Arc::clone(&packages),
                keys: ContentKeys::Listed(Arc::new(key_list())),
                damage: sender,
                clock: Arc::new(SystemClock),
            },
            &tracker,
            &cancel,
        );
        let server = runtime.block_on(started).expect("the server starts");
        Self { folder, library, packages, server, damages, cancel, runtime: Some(runtime) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Stores a version of `XYZ<number>` and makes it active and public.
    pub(crate) fn publish(&self, number: u32, version: u32, tree: &[(&[u8], Node)]) -> Statement {
        let statement = self.store(number, version, tree);
        self.packages
            .set(
                statement.version.package,
                PackageFacts { is_public: true, name: "test".into(), share: None },
            )
            .expect("written");
        self.library.activate(&statement.version).expect("activated");
        statement
    }

    /// Stores a version without making it active.
    pub(crate) fn store(&self, number: u32, version: u32, tree: &[(&[u8], Node)]) -> Statement {
        store(&self.library, &SigningKey::from_bytes(&[1; 32]), number, version, tree)
    }

    /// Sends raw bytes and reads until the server closes.
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        raw(self.address(), request)
    }

    /// One request on a connection of its own.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        self.raw(
            format!("{method} {path} HTTP/1.1\r\nHost: dp\r\nConnection: close\r\n{headers}\r\n").as_bytes(),
        )
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[])
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address())
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

/// Opens a library that was just closed.
///
/// A child process that another test of this process starts holds every open file, the lock too,
/// until it executes its own program; so the lock may be free a moment late.
pub(crate) fn open_library(folder: &Path) -> Library {
    let deadline = SystemClock.monotonic() + Duration::from_secs(10);
    loop {
        match Library::open(Arc::new(DiskFiles), folder) {
            Ok((library, _)) => return library,
            Err(LibraryError::Locked { .. }) if SystemClock.monotonic() < deadline => {
                std::thread::yield_now()
            }
            Err(error) => panic!("{}: {error}", folder.display()),
        }
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    stream
}

/// Sends raw bytes and reads until the server closes.
pub(crate) fn raw(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = connect(address);
    stream.write_all(request).expect("sent");
    Answer::read(&mut stream)
}

/// The data files of all packs of a library.
pub(crate) fn pack_files(library: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(library.join("packs")).expect("a folder of packs");
    let paths = entries.map(|entry| entry.expect("listed").path());
    paths.filter(|path| path.extension().is_some_and(|e| e == "data")).collect()
}

/// The one pack of the library whose data holds `needle`.
pub(crate) fn pack_with(library: &Path, needle: &[u8]) -> PathBuf {
    let holds =
        |path: &PathBuf| std::fs::read(path).expect("read").windows(needle.len()).any(|w| w == needle);
    let mut found: Vec<PathBuf> = pack_files(library).into_iter().filter(holds).collect();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// Flips one bit in the middle of `needle`, which lies in exactly one pack of the library.
pub(crate) fn flip(library: &Path, needle: &[u8]) -> PathBuf {
    let mut flipped = Vec::new();
    for path in pack_files(library) {
        let mut bytes = std::fs::read(&path).expect("read");
        if let Some(at) = bytes.windows(needle.len()).position(|w| w == needle) {
            bytes[at + needle.len() / 2] ^= 0x10;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("writable");
            std::fs::write(&path, bytes).expect("written");
            flipped.push(path);
        }
    }
    assert_eq!(flipped.len(), 1, "the fault was injected once");
    flipped.remove(0)
}

/// The key that signs the shop's content tokens.
pub(crate) fn token_key() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

fn key_list() -> KeyList {
    let site = "XYZ".parse().expect("valid");
    KeyList::sign(site, 1, vec![token_key().public()], &SigningKey::from_bytes(&[9; 32]))
}

pub(crate) fn package(number: u32) -> PackageId {
    PackageId::new("XYZ".parse().expect("valid"), number).expect("small")
}

/// Stores version `version` of package `XYZ<number>`, signed by `key`, in `library`.
pub(crate) fn store(
    library: &Library,
    key: &SigningKey,
    number: u32,
    version: u32,
    tree: &[(&[u8], Node)],
) -> Statement {
    let writer = library.begin();
    let mut entries: Vec<Entry> = tree.iter().map(|(path, node)| entry(&writer, path, node)).collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let mut pages = Pages(&writer);
    let mut builder = Builder::new(&mut pages);
    for entry in entries {
        builder.push(entry).expect("in order");
    }
    let root = builder.finish().expect("stored");
    writer.seal().expect("sealed");
    let version = content(number, version);
    let statement = Statement::sign(version.package.site(), version, root, Timestamp(MTIME_NS / 1000), key);
    library.store_statement(&statement).expect("stored");
    statement
}

/// Version `version` of package `XYZ<number>`.
pub(crate) fn content(number: u32, version: u32) -> ContentVersion {
    ContentVersion { package: package(number), epoch: Epoch::FIRST, version: SourceVersion(version) }
}

struct Pages<'a>(&'a Writer);

impl PageSink for Pages<'_> {
    fn page(&mut self, digest: Digest, bytes: &[u8]) -> Result<(), PageError> {
        self.0.put_page(digest, bytes).expect("stored");
        Ok(())
    }
}

fn entry(writer: &Writer, path: &[u8], node: &Node) -> Entry {
    let kind = match node {
        Node::Folder => EntryKind::Folder,
        Node::Link(target) => EntryKind::Symlink { target: target.to_vec() },
        Node::File(bytes) => {
            EntryKind::File { size: bytes.len() as u64, chunks: FileChunks::Inline(cut(writer, bytes)) }
        }
    };
    let mode = if path.ends_with(b".sh") { 0o755 } else { 0o644 };
    Entry { path: EntryPath::new(path).expect("valid"), mode, mtime_ns: MTIME_NS, kind }
}

fn cut(writer: &Writer, mut bytes: &[u8]) -> Vec<ChunkRun> {
    let mut runs: Vec<ChunkRun> = Vec::new();
    while !bytes.is_empty() {
        let (chunk, rest) = bytes.split_at(first_cut(bytes));
        let digest = chunk_digest(chunk);
        writer.put_chunk(digest, chunk).expect("stored");
        match runs.last_mut() {
            Some(last) if last.digest == digest => last.repeat += 1,
            _ => runs.push(ChunkRun { digest, length: chunk.len() as u32, repeat: 1 }),
        }
        bytes = rest;
    }
    runs
}

/// An answer as it came over the wire.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Header lines in lower case, in the order received.
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
    /// Everything received, head and body.
    pub(crate) raw: Vec<u8>,
    /// The connection was reset, or ended before the announced length.
    pub(crate) is_broken: bool,
}

impl Answer {
    /// Reads one answer until the connection ends.
    pub(crate) fn read(stream: &mut TcpStream) -> Self {
        Self::of(stream)
    }

    /// Reads one answer until its stream ends.
    pub(crate) fn of(stream: &mut impl Read) -> Self {
        let mut bytes = Vec::new();
        let ended = stream.read_to_end(&mut bytes);
        let at = bytes.windows(4).position(|w| w == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
        let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok()).unwrap_or(0);
        let headers: Vec<String> = lines.filter(|l| !l.is_empty()).map(str::to_ascii_lowercase).collect();
        let body = bytes[at..].to_vec();
        let mut answer = Self { status, headers, body, raw: bytes, is_broken: ended.is_err() };
        if let Some(length) = answer.header("content-length").and_then(|l| l.parse::<usize>().ok()) {
            answer.is_broken |= answer.body.len() < length && answer.status != 304;
        }
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Runs a client program with `input` on its standard input. Fails loudly when it is missing.
pub(crate) fn run(program: &str, arguments: &[&str], input: &str) -> Output {
    let home = TempDir::new().expect("a folder");
    let mut child = Command::new(program)
        .args(arguments)
        .env("HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed by this test and cannot be started: {error}"));
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
    child.wait_with_output().expect("ended")
}

/// [`run`], and the program must succeed; returns its standard output.
pub(crate) fn run_well(program: &str, arguments: &[&str], input: &str) -> Vec<u8> {
    let output = run(program, arguments, input);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{out}\n{err}", output.status);
    output.stdout
}

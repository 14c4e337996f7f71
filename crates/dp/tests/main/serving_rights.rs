//! Content that is not public: tokens, TLS, and that nothing tells the difference otherwise.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use restock_content::statement::{ContentToken, SigningKey};
use restock_dp::{PackageFacts, TlsFiles, TlsListenerConfig};
use restock_names::{Clock, PackageId, SystemClock, Timestamp};
use restock_transfer::content_token_text;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tempfile::TempDir;

use crate::site::Site;
use crate::support::{Answer, Node, Options, Shop, eventually, file, noise, package, run_well, token_key};

const DAY: Duration = Duration::from_secs(86_400);

/// A token for these packages (none: all) that counts until `until`.
fn token(key: &SigningKey, packages: Option<&[u32]>, until: Timestamp) -> String {
    let packages =
        packages.map(|numbers| numbers.iter().map(|number| package(*number)).collect::<Vec<PackageId>>());
    let from = Timestamp(until.0 - 2 * 86_400_000_000);
    let site = "XYZ".parse().expect("valid");
    content_token_text(&ContentToken::sign(site, [1; 16], (from, until), packages, key))
}

type Tls = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;
type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// A connection to a server with this certificate, as whom `client` says.
fn tls(address: SocketAddr, certificate: &CertificateDer<'static>, client: Option<Identity>) -> Tls {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let config = match client {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => config.with_client_auth_cert(vec![certificate], key).expect("a pair"),
    };
    let name = ServerName::try_from("dp").expect("a name");
    let client = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    rustls::StreamOwned::new(client, stream)
}

/// A shop with two packages that are not public and a TLS listener with its certificate.
struct Secret {
    shop: Shop,
    files: TlsFiles,
    certificate: CertificateDer<'static>,
    _folder: TempDir,
}

fn write_certificate(files: &TlsFiles) -> CertificateDer<'static> {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["dp".to_owned(), "localhost".to_owned()]).expect("valid");
    let made = params.self_signed(&key).expect("signed");
    std::fs::write(&files.certificate, made.pem()).expect("written");
    std::fs::write(&files.key, key.serialize_pem()).expect("written");
    made.der().clone()
}

fn secret() -> Secret {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let files = TlsFiles { certificate: path("certificate.pem"), key: path("key.pem") };
    let certificate = write_certificate(&files);
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let tls_listeners = vec![TlsListenerConfig { address, files: files.clone() }];
    let shop = Shop::open_with(Options { tls_listeners, ..Options::default() });
    shop.publish(1, 1, &[(b"a.txt", file("one")), (b"big", Node::File(noise(1, 5_000_000)))]);
    shop.publish(2, 1, &[(b"a.txt", file("two"))]);
    for number in [1, 2] {
        shop.packages.set(package(number), PackageFacts::default()).expect("written");
    }
    Secret { shop, files, certificate, _folder: folder }
}

impl Secret {
    fn tls_address(&self) -> SocketAddr {
        self.shop.server.addresses()[1]
    }

    fn tls(&self) -> Tls {
        tls(self.tls_address(), &self.certificate, None)
    }

    /// One request over TLS; the answer as it came.
    fn over_tls(&self, path: &str, lines: &[&str]) -> Answer {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let mut stream = self.tls();
        let request = format!("GET {path} HTTP/1.1\r\nHost: dp\r\nConnection: close\r\n{lines}\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        Answer::of(&mut stream)
    }
}

#[test]
fn a_token_opens_its_packages_over_tls() {
    let secret = secret();
    let until = SystemClock.now().after(DAY);
    let all = token(&token_key(), None, until);
    let one = token(&token_key(), Some(&[1]), until);
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let get = |path: &str, lines: &[&str]| secret.over_tls(path, lines).text();
    assert_eq!(get("/XYZ00001.1/a.txt", &[&bearer(&one)]), "one");
    assert_eq!(get("/XYZ00002.1/a.txt", &[&bearer(&all)]), "two");
    let answer = secret.over_tls("/XYZ00001.1/a.txt", &[&bearer(&one)]);
    assert_eq!(answer.header("cache-control"), Some("private, max-age=31536000, immutable"));
    let big = secret.over_tls("/SMS_DP_SMSPKG$/XYZ00001/big", &[&bearer(&one)]);
    assert!(big.body == noise(1, 5_000_000) && !big.is_broken, "{} bytes", big.body.len());
    for _ in 0..2 {
        let part = secret.over_tls("/XYZ00001.1/big", &[&bearer(&one), "Range: bytes=100000-2999999"]);
        assert!(part.status == 206 && part.body == noise(1, 5_000_000)[100_000..3_000_000]);
    }
}

#[test]
fn who_has_no_right_gets_the_answer_for_what_does_not_exist() {
    let secret = secret();
    let until = SystemClock.now().after(DAY);
    let plain = |mut answer: Answer| {
        answer.raw.clear();
        answer.headers.retain(|line| !line.starts_with("x-request-id") && !line.starts_with("date"));
        answer
    };
    let get = |path: &str, lines: &[&str]| plain(secret.over_tls(path, lines));
    let unknown = get("/XYZ00009.1/a.txt", &[]);
    assert_eq!(unknown.status, 404);
    let expired = token(&token_key(), None, SystemClock.now());
    let forged = token(&SigningKey::from_bytes(&[3; 32]), None, until);
    let other = token(&token_key(), Some(&[2]), until);
    let mut cut = token(&token_key(), None, until);
    cut.pop();
    for shown in ["", &expired, &forged, &other, &cut, "rst_abc", "rct_"] {
        for line in [format!("Authorization: Bearer {shown}"), format!("Authorization: {shown}")] {
            for path in ["/XYZ00001.1/a.txt", "/SMS_DP_SMSPKG$/XYZ00001/a.txt", "/XYZ00001.1/none"] {
                assert_eq!(get(path, &[&line]), unknown, "{line} {path}");
            }
        }
    }
    let good = format!("Authorization: Bearer {}", token(&token_key(), Some(&[1]), until));
    assert_eq!(get("/XYZ00001.1/a.txt", &[&good, &good]), unknown, "two are none");
    assert_eq!(get("/XYZ00009.1/a.txt", &[&good]), unknown);
}

#[test]
fn real_clients_read_with_a_token_as_password() {
    let secret = secret();
    let token = token(&token_key(), Some(&[1]), SystemClock.now().after(DAY));
    let address = secret.tls_address();
    let url = format!("https://localhost:{}/SMS_DP_SMSPKG$/XYZ00001/big", address.port());
    let ca = secret.files.certificate.to_str().expect("text");
    let resolve = format!("localhost:{}:127.0.0.1", address.port());
    let curl = ["-sSf", "--cacert", ca, "--resolve", &resolve];
    let user = format!("anybody:{token}");
    assert!(run_well("curl", &[&curl[..], &["-u", &user, &url]].concat(), "") == noise(1, 5_000_000));
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let bearer = format!("Authorization: Bearer {token}");
        let arguments =
            [&curl[..], &[version, "--tls-max", &version[6..], "-H", &bearer, "-r", "5-9", &url]].concat();
        assert_eq!(run_well("curl", &arguments, ""), &noise(1, 5_000_000)[5..10]);
    }
    let remote =
        format!(":webdav,url='https://localhost:{}/SMS_DP_SMSPKG$/',bearer_token='{token}':", address.port());
    let listed = run_well("rclone", &["--config", "/dev/null", "--ca-cert", ca, "lsf", "-R", &remote], "");
    assert_eq!(String::from_utf8_lossy(&listed), "XYZ00001/\nXYZ00001/a.txt\nXYZ00001/big\n");
}

#[test]
fn plain_bytes_at_the_tls_listener_and_old_tls_get_nothing() {
    let secret = secret();
    let mut stream = TcpStream::connect(secret.tls_address()).expect("connected");
    stream.write_all(b"GET /XYZ00001.1/a.txt HTTP/1.1\r\nHost: dp\r\n\r\n").expect("sent");
    let mut said = Vec::new();
    drop(stream.read_to_end(&mut said));
    assert!(!said.windows(4).any(|w| w == b"HTTP") && said.len() < 100, "an alert at most");
    assert_eq!(secret.over_tls("/XYZ00009.1/a.txt", &[]).status, 404, "others are served");
}

#[test]
fn a_certificate_that_is_replaced_takes_effect() {
    let mut secret = secret();
    let before = secret.certificate.clone();
    let after = write_certificate(&secret.files);
    assert_ne!(before, after);
    // The old one is shown until the files are looked at again.
    assert_eq!(secret.over_tls("/XYZ00009.1/a.txt", &[]).status, 404);
    secret.certificate = after;
    eventually("the certificate of after is shown", || {
        let mut stream = secret.tls();
        stream.conn.complete_io(&mut stream.sock).is_ok()
    });
}

#[test]
fn the_certificate_of_an_enrolled_holder_opens_everything_and_a_strangers_nothing() {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let files = TlsFiles { certificate: path("certificate.pem"), key: path("key.pem") };
    let certificate = write_certificate(&files);
    let site = Site::open();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = TlsListenerConfig { address, files };
    let point = site.point_with(|config| config.serve.tls_listeners = vec![listener]);
    site.install(&site.publish(1, 1, &[(b"a", file("for holders"))]));
    point.running().packages().set(package(1), PackageFacts::default()).expect("written");
    let address = point.running().addresses()[1];
    let get = |client: Option<Identity>| {
        let mut stream = tls(address, &certificate, client);
        let request = b"GET /XYZ00001.1/a HTTP/1.1\r\nHost: dp\r\nConnection: close\r\n\r\n";
        drop(stream.write_all(request));
        Answer::of(&mut stream)
    };
    assert_eq!(get(None).status, 404);
    let pem = |name: &str| std::fs::read(point.keys().join(name)).expect("read");
    let own = CertificateDer::from_pem_slice(&pem("certificate.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(&pem("key.pem")).expect("a key");
    let answer = get(Some((own, key)));
    assert_eq!((answer.status, answer.text().as_str()), (200, "for holders"));

    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["dp".to_owned()]).expect("valid");
    let uri = "restock://XYZ/dp/DP01".try_into().expect("ASCII");
    params.subject_alt_names.push(rcgen::SanType::URI(uri));
    let stranger = params.self_signed(&key).expect("signed").der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    assert_eq!(get(Some((stranger, key))).status, 0, "the connection ends");
}

//! A peer written from docs/formats/link.md alone: it has the site's keys and says what a test wants.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// One connection of a point, from the other side.
pub(crate) struct Peer {
    stream: TlsStream<TcpStream>,
}

impl Peer {
    /// The body of the next frame, with its type.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let length = self.stream.read_u32_le().await.ok()?;
        let mut frame = vec![0; length as usize];
        self.stream.read_exact(&mut frame).await.ok()?;
        let body = frame.split_off(1);
        Some((frame[0], body))
    }

    /// How the connection ends when nothing more is said on it.
    pub(crate) async fn fate(&mut self) -> String {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes).await {
                Ok(0) => return "closed".to_owned(),
                Ok(_) => {}
                Err(error) => return error.to_string(),
            }
        }
    }

    /// The address from which this end connects.
    pub(crate) fn local(&self) -> SocketAddr {
        self.stream.get_ref().0.local_addr().unwrap()
    }

    /// The next control message.
    pub(crate) async fn message(&mut self) -> Option<Value> {
        match self.frame().await? {
            (1, body) => Some(serde_json::from_slice(&body).unwrap()),
            (other, _) => panic!("frame of type {other}"),
        }
    }

    /// Writes one frame; false when the point is gone.
    pub(crate) async fn send(&mut self, kind: u8, body: &[u8]) -> bool {
        let mut frame = (1 + body.len() as u32).to_le_bytes().to_vec();
        frame.push(kind);
        frame.extend_from_slice(body);
        self.raw(&frame).await
    }

    /// Writes bytes as they are.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Writes one control message.
    pub(crate) async fn say(&mut self, message: Value) -> bool {
        self.send(1, message.to_string().as_bytes()).await
    }

    /// Ends the connection as TLS wants it.
    pub(crate) async fn close(mut self) {
        let _farewell = self.stream.shutdown().await;
    }
}

/// A listener with a site's certificate, out of the folder of its keys.
pub(crate) struct Listener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener {
    pub(crate) async fn new(trust: &Path) -> Self {
        Self::showing(trust, &trust.join("link.pem"), &trust.join("link-key.pem")).await
    }

    /// One that shows another certificate and its key.
    pub(crate) async fn showing(trust: &Path, shown: &Path, key: &Path) -> Self {
        let certificate = |name: &str| CertificateDer::from_pem_file(trust.join(name)).unwrap();
        let authority = certificate("ca.pem");
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let shown = CertificateDer::from_pem_file(shown).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![shown, authority], key)
            .unwrap();
        config.alpn_protocols = vec![b"restock-link/1".to_vec()];
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.tcp.local_addr().unwrap()
    }

    /// The next connection that gets through TLS.
    pub(crate) async fn accept(&self) -> Peer {
        loop {
            let (tcp, _) = self.tcp.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(tcp).await {
                return Peer { stream: TlsStream::Server(stream) };
            }
        }
    }
}

/// Connects to a site with the identity in a point's folder, or with none.
pub(crate) async fn dial(
    address: SocketAddr,
    authority: &Path,
    identity: Option<&Path>,
    protocol: &[u8],
) -> Result<Peer, std::io::Error> {
    let files = identity.map(|folder| (folder.join("certificate.pem"), folder.join("key.pem")));
    dial_with(address, authority, files, protocol).await
}

/// Connects to a site with a certificate and its key, or with none.
pub(crate) async fn dial_with(
    address: SocketAddr,
    authority: &Path,
    identity: Option<(PathBuf, PathBuf)>,
    protocol: &[u8],
) -> Result<Peer, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_file(certificate).unwrap();
            let key = PrivateKeyDer::from_pem_file(key).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from("xyz.site.restock.internal").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    Ok(Peer { stream: TlsStream::Client(stream) })
}

//! One encrypted connection: how it is made and how its far end is identified.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::Acceptor;
use rustls::{CertificateError, ClientConfig};
use tokio::io::{BufReader, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, TlsStream};

use crate::frame::{FrameReader, FrameWriter};
use crate::site_trust::Shown;
use crate::tls::{ALPN, Known, server_name};
use crate::{Identity, LinkError, SiteUrl, TrustError};
use restock_names::{SiteCode, Timestamp};

/// How long TCP and TLS may take together.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may take for 64 KiB of what is written.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes taken off a socket at once; TLS by itself would take four kilobytes at a time.
const SOCKET_READ_BYTES: usize = 128 << 10;

type Stream = TlsStream<BufReader<TcpStream>>;

/// The two directions of a connection, framed.
pub(crate) type Reader = FrameReader<ReadHalf<Stream>>;
pub(crate) type Writer = FrameWriter<WriteHalf<Stream>>;

/// Connects to the site `site` at `url` and makes sure that it is that site.
pub(crate) async fn connect(
    url: &SiteUrl,
    site: SiteCode,
    config: Arc<ClientConfig>,
) -> Result<(Reader, Writer), LinkError> {
    let connecting = async {
        let failed = |source| LinkError::Connect { url: url.clone(), source };
        let tcp = TcpStream::connect(url.authority()).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        let stream = TlsConnector::from(config)
            .connect(server_name(site), BufReader::with_capacity(SOCKET_READ_BYTES, tcp))
            .await
            .map_err(|source| handshake_failed(url.to_string(), source))?;
        Ok::<_, LinkError>(TlsStream::Client(stream))
    };
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_elapsed| {
        LinkError::Connect { url: url.clone(), source: io::ErrorKind::TimedOut.into() }
    })??;
    check_protocol(&stream)?;
    let wanted = Identity::Site(site);
    match peer_certificate(&stream) {
        Some(certificate) if Identity::of_certificate(&certificate)? == wanted => Ok(split(stream)),
        Some(certificate) => Err(LinkError::Identity {
            wanted: wanted.to_string(),
            found: Identity::of_certificate(&certificate)?.to_string(),
        }),
        None => Err(LinkError::Identity { wanted: wanted.to_string(), found: "nobody".to_owned() }),
    }
}

/// A client's connection as its listener takes it.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    /// What the client shows; none from one that has nothing to show.
    pub(crate) certificate: Option<CertificateDer<'static>>,
    /// The authority of the certificate that it was shown.
    pub(crate) authority: CertificateDer<'static>,
}

/// Takes a client's connection. Its certificate, if it shows one, is of this site's authority; how the
/// site shows itself is asked once it is known what the client knows.
pub(crate) async fn accept(
    tcp: TcpStream,
    show: impl FnOnce(&Known) -> Result<Shown, TrustError>,
    after: Duration,
) -> Result<Accepted, LinkError> {
    let peer = tcp.peer_addr().map_or_else(|_gone| "a client".to_owned(), |address| address.to_string());
    tcp.set_nodelay(true).map_err(LinkError::io("set up a connection"))?;
    let accepting = async {
        let failed = |source| handshake_failed(peer.clone(), source);
        let tcp = BufReader::with_capacity(SOCKET_READ_BYTES, tcp);
        let begun = LazyConfigAcceptor::new(Acceptor::default(), tcp).await.map_err(failed)?;
        let Shown { authority, config } = show(&Known::of(&begun.client_hello()))?;
        let stream = begun.into_stream(config).await.map_err(failed)?;
        Ok::<_, LinkError>((TlsStream::Server(stream), authority))
    };
    let (stream, authority) = tokio::time::timeout(after, accepting)
        .await
        .map_err(|_elapsed| LinkError::Timeout { what: "finish the TLS handshake", after })??;
    check_protocol(&stream)?;
    let certificate = peer_certificate(&stream);
    let (reader, writer) = split(stream);
    Ok(Accepted { reader, writer, certificate, authority })
}

/// Tells a certificate that is not valid at this time from every other reason.
fn handshake_failed(peer: String, source: io::Error) -> LinkError {
    let time =
        |time: UnixTime| Timestamp(i64::try_from(time.as_secs()).unwrap_or(0).saturating_mul(1_000_000));
    let cause = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
            time: now,
            not_after,
        })) => {
            let valid = format!("until {}", time(*not_after));
            LinkError::CertificateTime { peer, now: time(*now), valid }
        }
        Some(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
            time: now,
            not_before,
        })) => {
            let valid = format!("from {}", time(*not_before));
            LinkError::CertificateTime { peer, now: time(*now), valid }
        }
        _ => LinkError::Handshake { peer, source },
    }
}

fn split(stream: Stream) -> (Reader, Writer) {
    let (read, write) = tokio::io::split(stream);
    (FrameReader::new(read), FrameWriter::new(write, WRITE_TIMEOUT))
}

fn check_protocol(stream: &Stream) -> Result<(), LinkError> {
    match stream.get_ref().1.alpn_protocol() {
        Some(protocol) if protocol == ALPN => Ok(()),
        other => Err(LinkError::Protocol {
            ours: String::from_utf8_lossy(ALPN).into_owned(),
            theirs: other.map_or("no protocol".to_owned(), |p| String::from_utf8_lossy(p).into_owned()),
        }),
    }
}

fn peer_certificate(stream: &Stream) -> Option<CertificateDer<'static>> {
    stream.get_ref().1.peer_certificates()?.first().map(|certificate| certificate.clone().into_owned())
}

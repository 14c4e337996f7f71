//! The Prometheus endpoint: `GET /metrics` on loopback, in the text format.
//!
//! Numbers are read when Prometheus asks, from a function that the running role gives; nothing is
//! sampled in between. No credentials are asked for, hence loopback by default.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::serve_each;
use crate::logs::LogCounts;

/// Connections served at once; further ones wait.
const CONNECTIONS_MAX: usize = 16;
/// Time a client has to send its request headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Gives the present numbers in the Prometheus text format.
pub(crate) trait Numbers: Send + Sync + 'static {
    fn text(&self) -> impl Future<Output = String> + Send;
}

/// Binds `listen`, or a free port of the same address when the port is taken.
pub(crate) async fn bind(listen: SocketAddr) -> std::io::Result<(TcpListener, bool)> {
    match TcpListener::bind(listen).await {
        Ok(listener) => Ok((listener, false)),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            Ok((TcpListener::bind(SocketAddr::new(listen.ip(), 0)).await?, true))
        }
        Err(e) => Err(e),
    }
}

/// Serves until `shutdown`.
pub(crate) async fn serve<N: Numbers>(
    listener: TcpListener,
    numbers: Arc<N>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
) {
    let converse = |stream| {
        let numbers = Arc::clone(&numbers);
        async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&numbers)));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "metrics connection ended");
            }
        }
    };
    serve_each(&listener, CONNECTIONS_MAX, &tracker, &shutdown, converse).await;
}

async fn answer<N: Numbers>(
    request: Request<Incoming>,
    numbers: Arc<N>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, numbers.text().await),
        (&Method::GET | &Method::HEAD, _) => (StatusCode::NOT_FOUND, "only /metrics is here\n".to_owned()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "GET is allowed\n".to_owned()),
    };
    let response = Response::builder()
        .status(status)
        .header("content-type", "text/plain; version=0.0.4; charset=utf-8")
        .header("allow", "GET, HEAD")
        .body(Full::new(Bytes::from(body)))
        .expect("status and headers are constants");
    Ok(response)
}

/// Collects the numbers of one answer.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    registry: Registry,
}

/// Label names and values of one number.
pub(crate) type Labels = Vec<(&'static str, String)>;

impl Exposition {
    /// A value that goes up and down.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, f64)>) {
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
        self.registry.register(name, help, family);
    }

    /// A value that only rises while the process runs; `_total` is added to the name.
    pub(crate) fn counter(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
        }
        self.registry.register(name, help, family);
    }

    /// What every role counts.
    pub(crate) fn process(&mut self, role: &str, counts: &LogCounts) {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let labels = vec![("version", version), ("role", role.to_owned())];
        self.gauge("restock_build", "Version and role of this process", [(labels, 1.0)]);
        let level =
            |name: &str, count: &AtomicU64| (vec![("level", name.to_owned())], count.load(Ordering::Relaxed));
        self.counter(
            "restock_log_events",
            "Events logged",
            [level("error", &counts.errors), level("warn", &counts.warnings), level("info", &counts.infos)],
        );
        let lost = counts.lost.load(Ordering::Relaxed);
        self.counter("restock_log_lines_lost", "Log lines that could not be written", [(vec![], lost)]);
    }

    /// The answer.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("writing to a string cannot fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use expect_test::expect;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::{Exposition, Numbers, bind, serve};
    use crate::logs::LogCounts;

    struct Fixed;

    impl Numbers for Fixed {
        async fn text(&self) -> String {
            "numbers\n".to_owned()
        }
    }

    fn get(address: std::net::SocketAddr, line: &str) -> String {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn prometheus_gets_its_text_and_nothing_else_is_there() {
        let runtime = crate::running::runtime(1).unwrap();
        let (listener, _) = runtime.block_on(bind("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = listener.local_addr().unwrap();
        let (other, was_taken) = runtime.block_on(bind(address)).unwrap();
        assert!(was_taken && other.local_addr().unwrap() != address, "a taken port is replaced");
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let served = serve(listener, Arc::new(Fixed), tracker.clone(), shutdown.clone());
        tracker.spawn_on(served, runtime.handle());
        let answer = get(address, "GET /metrics");
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nnumbers\n"),
            "{answer}"
        );
        assert!(get(address, "GET /").starts_with("HTTP/1.1 404"));
        assert!(get(address, "DELETE /metrics").starts_with("HTTP/1.1 405"));
        shutdown.cancel();
        tracker.close();
        runtime.block_on(tracker.wait());
    }

    #[test]
    fn numbers_are_in_the_text_format() {
        let counts = LogCounts::default();
        counts.warnings.fetch_add(2, Ordering::Relaxed);
        let mut numbers = Exposition::default();
        numbers.process("site", &counts);
        // Numbers of one name come in any order.
        let text = numbers.text();
        let mut lines: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
        lines.sort_unstable();
        expect![[r#"
            restock_build{version="0.1.0",role="site"} 1.0
            restock_log_events_total{level="error"} 0
            restock_log_events_total{level="info"} 0
            restock_log_events_total{level="warn"} 2
            restock_log_lines_lost_total{} 0"#]]
        .assert_eq(&lines.join("\n"));
        assert!(text.contains("# TYPE restock_log_events counter\n") && text.ends_with("# EOF\n"), "{text}");
    }
}

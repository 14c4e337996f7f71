//! A client of HTTP/1.1 on one connection that stays open; it knows what the doors send.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    authorization: String,
    pub(crate) content_type: &'static str,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// From the request's last byte to the body's first.
    pub(crate) first_byte: Duration,
    /// To the body's last.
    pub(crate) whole: Duration,
}

impl Client {
    pub(crate) async fn connect(address: std::net::SocketAddr, authorization: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::with_capacity(1 << 16, stream),
            authorization: authorization.to_owned(),
            content_type: "application/json",
        })
    }

    /// Sends a request and reads its answer; each piece of the body goes to `take`.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
        mut take: impl FnMut(&[u8]),
    ) -> Result<Answer> {
        let began = Instant::now();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\nContent-Type: {}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.authorization,
            self.content_type,
            body.len()
        );
        self.stream.get_mut().write_all(head.as_bytes()).await?;
        let status: u16 = self.line().await?.split(' ').nth(1).context("no status")?.parse()?;
        let (mut length, mut is_chunked) = (0_usize, false);
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse()?,
                "transfer-encoding" => is_chunked = value.trim().eq_ignore_ascii_case("chunked"),
                _ => {}
            }
        }
        let mut answer =
            Answer { status, body: Vec::new(), first_byte: Duration::ZERO, whole: Duration::ZERO };
        loop {
            if is_chunked {
                length = usize::from_str_radix(self.line().await?.trim(), 16)?;
            }
            if answer.first_byte.is_zero() {
                answer.first_byte = began.elapsed();
            }
            let mut piece = vec![0; length];
            self.stream.read_exact(&mut piece).await?;
            take(&piece);
            if answer.body.len() < 1 << 20 {
                answer.body.extend_from_slice(&piece);
            }
            if is_chunked {
                self.line().await?;
            }
            if !is_chunked || length == 0 {
                break;
            }
        }
        answer.whole = began.elapsed();
        Ok(answer)
    }

    /// A request whose answer is small and must be a success.
    pub(crate) async fn ok(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let answer = self.ask(method, path, body, |_| {}).await?;
        if !(200..300).contains(&answer.status) {
            bail!("{method} {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        Ok(answer)
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        anyhow::ensure!(self.stream.read_line(&mut line).await? > 0, "the server closed the connection");
        Ok(line.trim_end().to_owned())
    }
}

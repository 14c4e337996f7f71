//! The same 10,000 packages through each door: time and memory.
//!
//! The clients read bytes and count rows; they understand nothing, so that the time is the server's.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::http::Client;
use crate::measure::{Table, memory_mib};
use crate::site::package;

/// Packages that each door is asked for.
const ROWS: u32 = 10_000;
/// Runs of each; the fastest counts.
const RUNS: usize = 3;
/// Elements that a WS-Management client asks for at once, and the largest answer it takes: what
/// deployed servers allow.
const ELEMENTS: u32 = 32_000;
const ENVELOPE_BYTES: u32 = 512_000;
/// How much longer than the AdminService a door may take.
const RATIO_MAX: f64 = 3.0;
/// Resident memory beyond that before the answer, client and server, in MiB.
const MEMORY_MAX: f64 = 64.0;
/// Bytes between two looks at the memory.
const LOOK_EVERY: usize = 1 << 20;

/// Counts a word in pieces of a text, and looks at the memory now and then.
struct Counter<'w> {
    word: &'w [u8],
    carry: Vec<u8>,
    found: u32,
    bytes: usize,
    looked_at: usize,
    before: f64,
    most: f64,
}

impl<'w> Counter<'w> {
    fn new(word: &'w str) -> Self {
        let before = memory_mib();
        Self { word: word.as_bytes(), carry: Vec::new(), found: 0, bytes: 0, looked_at: 0, before, most: 0.0 }
    }

    fn take(&mut self, piece: &[u8]) {
        self.bytes += piece.len();
        self.carry.extend_from_slice(piece);
        let windows = self.carry.windows(self.word.len());
        self.found +=
            u32::try_from(windows.filter(|window| *window == self.word).count()).unwrap_or(u32::MAX);
        let kept = self.carry.len().min(self.word.len() - 1);
        self.carry.drain(..self.carry.len() - kept);
        if self.bytes - self.looked_at >= LOOK_EVERY {
            self.looked_at = self.bytes;
            self.most = self.most.max(memory_mib() - self.before);
        }
    }
}

/// What one run took.
#[derive(Clone, Copy)]
struct Took {
    time: Duration,
    memory: f64,
    bytes: usize,
}

pub(crate) async fn measure(address: SocketAddr, authorization: &str, table: &mut Table) -> Result<()> {
    let mut service = None;
    for door in ["AdminService", "CIM-XML", "WS-Management"] {
        let mut best: Option<Took> = None;
        let mut memory = 0_f64;
        for _ in 0..RUNS {
            let took = match door {
                "AdminService" => odata(address, authorization).await,
                "CIM-XML" => cimxml(address, authorization).await,
                _ => wsman(address, authorization).await,
            };
            let took = took.with_context(|| format!("10,000 packages through {door}"))?;
            memory = memory.max(took.memory);
            if best.is_none_or(|best| took.time < best.time) {
                best = Some(took);
            }
        }
        let best = best.context("no run")?;
        let seconds = best.time.as_secs_f64();
        let base = *service.get_or_insert(seconds);
        #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
        let mib = best.bytes as f64 / f64::from(1 << 20);
        let detail = format!("{seconds:.2} s for {mib:.1} MiB; the AdminService's time is 1");
        let limit = (door != "AdminService").then_some(RATIO_MAX);
        table.add(format!("all doors: 10,000 packages, {door}"), (seconds / base, "×"), limit, detail);
        let what = format!("all doors: memory that they took, {door}");
        table.add(what, (memory, "MiB"), Some(MEMORY_MAX), "resident, client and server");
    }
    Ok(())
}

async fn odata(address: SocketAddr, authorization: &str) -> Result<Took> {
    let mut client = Client::connect(address, authorization).await?;
    let path = format!("/AdminService/wmi/SMS_Package?$filter=PackageID%20lt%20'{}'", package(ROWS));
    let mut counter = Counter::new("\"__RELPATH\"");
    let answer = client.ask("GET", &path, "", |piece| counter.take(piece)).await?;
    finished(answer.status, &counter)?;
    Ok(Took { time: answer.whole, memory: counter.most, bytes: counter.bytes })
}

fn finished(status: u16, counter: &Counter<'_>) -> Result<()> {
    anyhow::ensure!(status == 200 && counter.found == ROWS, "status {status}, {} rows", counter.found);
    Ok(())
}

fn query() -> String {
    format!("SELECT * FROM SMS_Package WHERE PackageID &lt; '{}'", package(ROWS))
}

async fn cimxml(address: SocketAddr, authorization: &str) -> Result<Took> {
    let mut client = Client::connect(address, authorization).await?;
    client.content_type = "application/xml; charset=\"utf-8\"";
    let body = format!(
        r#"<?xml version="1.0" encoding="utf-8"?><CIM CIMVERSION="2.0" DTDVERSION="2.0"><MESSAGE ID="1" PROTOCOLVERSION="1.0"><SIMPLEREQ><IMETHODCALL NAME="ExecQuery"><LOCALNAMESPACEPATH><NAMESPACE NAME="root"/><NAMESPACE NAME="sms"/><NAMESPACE NAME="site_XYZ"/></LOCALNAMESPACEPATH><IPARAMVALUE NAME="QueryLanguage"><VALUE>WQL</VALUE></IPARAMVALUE><IPARAMVALUE NAME="Query"><VALUE>{}</VALUE></IPARAMVALUE></IMETHODCALL></SIMPLEREQ></MESSAGE></CIM>"#,
        query()
    );
    let mut counter = Counter::new("<VALUE.OBJECTWITHPATH>");
    let answer = client.ask("POST", "/cimom", &body, |piece| counter.take(piece)).await?;
    finished(answer.status, &counter)?;
    Ok(Took { time: answer.whole, memory: counter.most, bytes: counter.bytes })
}

async fn wsman(address: SocketAddr, authorization: &str) -> Result<Took> {
    const ENUMERATION: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration";
    let mut client = Client::connect(address, authorization).await?;
    client.content_type = "application/soap+xml;charset=UTF-8";
    let mut counter = Counter::new("_Type\"");
    let mut time = Duration::ZERO;
    let (mut action, mut body) = (
        "Enumerate",
        format!(
            r#"<n:Enumerate><w:OptimizeEnumeration/><w:MaxElements>{ELEMENTS}</w:MaxElements><w:Filter Dialect="http://schemas.microsoft.com/wbem/wsman/1/WQL">{}</w:Filter></n:Enumerate>"#,
            query()
        ),
    );
    loop {
        let envelope = format!(
            r#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:n="{ENUMERATION}"><s:Header><a:To>http://localhost/wsman</a:To><w:ResourceURI>http://schemas.microsoft.com/wbem/wsman/1/wmi/root/sms/site_XYZ/*</w:ResourceURI><a:Action>{ENUMERATION}/{action}</a:Action><a:MessageID>uuid:00000000-0000-0000-0000-000000000001</a:MessageID><a:ReplyTo><a:Address>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address></a:ReplyTo><w:MaxEnvelopeSize>{ENVELOPE_BYTES}</w:MaxEnvelopeSize></s:Header><s:Body>{body}</s:Body></s:Envelope>"#
        );
        let answer = client.ask("POST", "/wsman", &envelope, |piece| counter.take(piece)).await?;
        time += answer.whole;
        let text = String::from_utf8_lossy(&answer.body);
        anyhow::ensure!(answer.status == 200, "{}", text.chars().take(2_000).collect::<String>());
        if text.contains("EndOfSequence") {
            break;
        }
        let context = text.split("EnumerationContext").nth(1).and_then(|rest| rest.split(['>', '<']).nth(1));
        let context = context.context("neither an end nor a context")?.to_owned();
        action = "Pull";
        body = format!(
            "<n:Pull><n:EnumerationContext>{context}</n:EnumerationContext><n:MaxElements>{ELEMENTS}</n:MaxElements></n:Pull>"
        );
    }
    finished(200, &counter)?;
    Ok(Took { time, memory: counter.most, bytes: counter.bytes })
}

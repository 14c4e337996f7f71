//! The lines of a history. Source: docs/formats/history.md.

use restock_names::Digest;
use serde_json::{Map, Value, json};

use super::{Deed, HistoryError, Seen};

/// The number in the first line.
const FORMAT: u64 = 1;
/// Pieces one answer can be made of.
const SEEN_MAX: usize = 1 << 16;

/// One line after the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Invoke { id: u64, observer: String, deed: Deed, of: String },
    End { id: u64, end: End },
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Ok(Vec<Seen>),
    Failed(String),
    Unknown,
}

/// The first line.
pub(super) fn heading(suite: &str) -> String {
    format!("{}\n", json!({ "restock_history": FORMAT, "suite": suite }))
}

/// Reads the first line; the name of the suite.
pub(super) fn parse_heading(line: &str) -> Result<String, HistoryError> {
    let fail = |what: &str| HistoryError { line: 1, what: what.to_owned() };
    let value: Value = serde_json::from_str(line).map_err(|error| fail(&error.to_string()))?;
    match value["restock_history"].as_u64() {
        Some(FORMAT) => {}
        Some(other) => return Err(fail(&format!("format {other} is not known"))),
        None => return Err(fail("this is no history")),
    }
    value["suite"].as_str().map(ToOwned::to_owned).ok_or_else(|| fail("the suite is missing"))
}

fn deed_name(deed: Deed) -> &'static str {
    match deed {
        Deed::Change => "change",
        Deed::Read => "read",
        Deed::Rest => "rest",
    }
}

impl Record {
    /// The line, with its end.
    pub(super) fn encode(&self) -> String {
        let value = match self {
            Self::Invoke { id, observer, deed, of } => {
                json!({ "invoke": id, "by": observer, "do": deed_name(*deed), "of": of })
            }
            Self::End { id, end: End::Ok(seen) } => {
                let seen: Vec<Value> = seen.iter().map(encode_seen).collect();
                json!({ "ok": id, "seen": seen })
            }
            Self::End { id, end: End::Failed(why) } => json!({ "failed": id, "why": why }),
            Self::End { id, end: End::Unknown } => json!({ "unknown": id }),
        };
        format!("{value}\n")
    }

    /// Reads one line. `line`: its number, for the error.
    pub(super) fn parse(text: &str, line: usize) -> Result<Self, HistoryError> {
        let fail = |what: &str| HistoryError { line, what: what.to_owned() };
        let value: Value = serde_json::from_str(text).map_err(|error| fail(&error.to_string()))?;
        let fields = value.as_object().ok_or_else(|| fail("this is no object"))?;
        let text = |key: &str| {
            let found = fields.get(key).and_then(Value::as_str);
            found.map(ToOwned::to_owned).ok_or_else(|| fail(&format!("{key} is missing")))
        };
        let id = |key: &str| fields.get(key).and_then(Value::as_u64);
        if let Some(id) = id("invoke") {
            let deed = match text("do")?.as_str() {
                "change" => Deed::Change,
                "read" => Deed::Read,
                "rest" => Deed::Rest,
                other => return Err(fail(&format!("{other:?} is no deed"))),
            };
            return Ok(Self::Invoke { id, observer: text("by")?, deed, of: text("of")? });
        }
        if let Some(id) = id("ok") {
            let seen = fields.get("seen").and_then(Value::as_array).ok_or_else(|| fail("seen is missing"))?;
            if seen.len() > SEEN_MAX {
                return Err(fail("an answer has too many pieces"));
            }
            let seen: Option<Vec<Seen>> = seen.iter().map(|v| v.as_object().and_then(parse_seen)).collect();
            return Ok(Self::End { id, end: End::Ok(seen.ok_or_else(|| fail("seen holds no version"))?) });
        }
        if let Some(id) = id("failed") {
            return Ok(Self::End { id, end: End::Failed(text("why")?) });
        }
        let id = id("unknown").ok_or_else(|| fail("this is no record"))?;
        Ok(Self::End { id, end: End::Unknown })
    }
}

fn encode_seen(seen: &Seen) -> Value {
    let mut value = json!({ "epoch": seen.epoch, "version": seen.version });
    if let Some(root) = seen.root {
        value["root"] = root.to_string().into();
    }
    value
}

fn parse_seen(fields: &Map<String, Value>) -> Option<Seen> {
    let number = |key: &str| fields.get(key)?.as_u64().and_then(|n| u32::try_from(n).ok());
    let root = match fields.get("root") {
        Some(text) => Some(text.as_str()?.parse::<Digest>().ok()?),
        None => None,
    };
    Some(Seen { epoch: number("epoch")?, version: number("version")?, root })
}

/// Reads any bytes as lines; what is read must come out the same when it is written and read again.
pub fn fuzz_one(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines() {
        if let Ok(record) = Record::parse(line, 2) {
            assert_eq!(Record::parse(record.encode().trim_end(), 2), Ok(record));
        }
    }
}

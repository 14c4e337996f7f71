//! Rows as they are written: in which element, and piece by piece.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::stream;
use restock_cim::query::{Column, Query, Select, Selected};
use restock_cim::{Class, Instance, Name};
use restock_provider::{Caller, Provider, Refusal, Rows, relative_path_of};
use restock_wire::cimxml::{Reply, Shown};
use restock_wire::xml::Writer;

use crate::content::{Broken, Content};

/// Bytes of one piece; a row may come on top.
const PIECE_BYTES: usize = 16 * 1024;

/// The element that a row becomes. Source: DSP0200, the return values of 5.3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `INSTANCE`
    Instance,
    /// `VALUE.NAMEDINSTANCE`
    Named,
    /// `INSTANCENAME`
    Name,
    /// `VALUE.INSTANCEWITHPATH`
    WithPath,
    /// `INSTANCEPATH`
    Path,
    /// `VALUE.OBJECTWITHPATH`
    ObjectWithPath,
    /// `VALUE.OBJECT`
    Object,
    /// `OBJECTPATH`
    ObjectPath,
}

impl Form {
    pub(super) fn write(self, writer: &mut Writer, shown: &Shown, row: &Instance) {
        let path = || {
            let relative = relative_path_of(row);
            relative.unwrap_or_else(|| restock_cim::ObjectPath {
                keys: restock_cim::Keys::Singleton,
                ..restock_cim::ObjectPath::of_class(row.class.name.clone())
            })
        };
        match self {
            Self::Instance => shown.instance(writer, row),
            Self::Name => shown.instance_name(writer, &path()),
            Self::Path => shown.instance_path(writer, &path()),
            Self::Named => {
                writer.open("VALUE.NAMEDINSTANCE");
                shown.instance_name(writer, &path());
                shown.instance(writer, row);
                writer.close();
            }
            Self::WithPath | Self::ObjectWithPath => {
                writer.open(match self {
                    Self::WithPath => "VALUE.INSTANCEWITHPATH",
                    _ => "VALUE.OBJECTWITHPATH",
                });
                shown.instance_path(writer, &path());
                shown.instance(writer, row);
                writer.close();
            }
            Self::Object => {
                writer.open("VALUE.OBJECT");
                shown.instance(writer, row);
                writer.close();
            }
            Self::ObjectPath => {
                writer.open("OBJECTPATH");
                shown.instance_path(writer, &path());
                writer.close();
            }
        }
    }
}

/// Makes a query read only what is asked for, and the keys that paths are made of.
///
/// Shape: the properties to show, `None` for all. Names that the class does not have are passed
/// over, as the standard wants it.
pub(super) fn narrow(query: &mut Query, class: &Class, asked: Option<Vec<Name>>) -> Option<Vec<Name>> {
    let asked = asked?;
    let mut columns: Vec<Name> = asked
        .iter()
        .filter_map(|name| class.property(name.as_str()))
        .map(|property| property.name.clone())
        .collect();
    columns.extend(class.keys().map(|key| key.name.clone()));
    columns.sort();
    columns.dedup();
    if !columns.is_empty() {
        let column = |property: Name| Selected::Column(Column { alias: None, property });
        query.select = Select::Columns(columns.into_iter().map(column).collect());
    }
    Some(asked)
}

/// The rows of queries, one after the other.
pub(super) struct Sequence {
    pub(super) provider: Provider,
    pub(super) caller: Caller,
    pub(super) queries: VecDeque<Query>,
    /// Rows that are there already; they come first.
    pub(super) ready: VecDeque<Instance>,
    pub(super) current: Option<Rows>,
    /// Rows that may still come; `None`: all.
    pub(super) left: Option<u64>,
}

impl Sequence {
    async fn next(&mut self) -> Result<Option<Instance>, Refusal> {
        if self.left == Some(0) {
            self.current = None;
            return Ok(None);
        }
        let row = self.any().await?;
        self.left = self.left.map(|left| left.saturating_sub(1));
        Ok(row)
    }

    async fn any(&mut self) -> Result<Option<Instance>, Refusal> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Ok(Some(row));
            }
            if let Some(rows) = &mut self.current {
                if let Some(row) = rows.next().await {
                    return row.map(Some);
                }
                self.current = None;
            }
            let Some(query) = self.queries.pop_front() else { return Ok(None) };
            self.current = Some(self.provider.query(&self.caller, query).await?);
        }
    }
}

struct Writing {
    rows: Sequence,
    first: Option<Instance>,
    reply: Option<Reply>,
    shown: Shown,
    form: Form,
}

/// Reads the first row and makes the rest a stream: what the query is refused for is a proper
/// refusal, and only what happens later breaks an answer that has begun.
pub(super) async fn stream_of(
    mut rows: Sequence,
    mut reply: Reply,
    shown: Shown,
    form: Form,
) -> Result<Content, Refusal> {
    let first = rows.next().await?;
    let correlation = rows.caller.correlation.clone();
    reply.begin_values();
    let writing = Writing { rows, first, reply: Some(reply), shown, form };
    Ok(Content::Pieces(Box::pin(stream::unfold(Some(writing), move |writing| {
        let correlation = correlation.clone();
        async move {
            let mut writing = writing?;
            match writing.piece().await {
                Ok(piece) => {
                    let next = writing.reply.is_some().then_some(writing);
                    Some((Ok(piece), next))
                }
                Err(refusal) => {
                    tracing::error!(
                        target: "cimxml",
                        correlation = %correlation,
                        code = refusal.code(),
                        "an answer broke off: {}", refusal.description()
                    );
                    Some((Err(Broken), None))
                }
            }
        }
    }))))
}

impl Writing {
    async fn piece(&mut self) -> Result<Bytes, Refusal> {
        let Some(mut reply) = self.reply.take() else { return Ok(Bytes::new()) };
        while reply.waiting() < PIECE_BYTES {
            let row = match self.first.take() {
                Some(row) => Some(row),
                None => self.rows.next().await?,
            };
            let Some(row) = row else {
                reply.end_values();
                return Ok(reply.finish().into());
            };
            self.form.write(reply.writer(), &self.shown, &row);
        }
        let piece = reply.take();
        self.reply = Some(reply);
        Ok(piece.into())
    }
}

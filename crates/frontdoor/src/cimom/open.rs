//! Enumerations that are read piece by piece. Source: DSP0200, 5.3.2.24.

use std::time::Duration;

use restock_wire::cimxml::{CimCode, ClassForm, Intrinsic, Shown};

use super::Operation;
use super::fault::Fault;
use super::read::{Asking, required};
use super::rows::Form;
use crate::content::Content;
use crate::contexts::{Enumeration, IDLE_MAX};

/// The largest `MaxObjectCount`; a piece may have fewer.
const OBJECTS_MAX: u64 = 100_000;

/// Parameters that all opening operations have.
const OPENING: [&str; 5] =
    ["FilterQueryLanguage", "FilterQuery", "OperationTimeout", "ContinueOnError", "MaxObjectCount"];

/// An enumeration that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    rows: Enumeration,
    shown: Shown,
    form: Form,
}

/// What an opening operation asks for beside its rows.
struct Opening {
    objects: usize,
    idle_max: Duration,
}

impl Operation<'_> {
    pub(super) async fn open_enumerate(&self, call: &Intrinsic, is_paths: bool) -> Result<Content, Fault> {
        let form = if is_paths { Form::Path } else { Form::WithPath };
        let mut names = vec!["ClassName"];
        if !is_paths {
            names.extend([
                "LocalOnly",
                "DeepInheritance",
                "IncludeQualifiers",
                "IncludeClassOrigin",
                "PropertyList",
            ]);
        }
        call.only(&[&names[..], &OPENING].concat())?;
        let opening = opening(call)?;
        let asking = self.of_class(call, form)?;
        self.first(asking, opening, None).await
    }

    pub(super) async fn open_associators(&self, call: &Intrinsic, is_paths: bool) -> Result<Content, Fault> {
        let form = if is_paths { Form::Path } else { Form::WithPath };
        let opening = opening(call)?;
        let asking = self.partners(call, "InstanceName", form, &OPENING).await?;
        self.first(asking, opening, None).await
    }

    pub(super) async fn open_references(&self, call: &Intrinsic, is_paths: bool) -> Result<Content, Fault> {
        let form = if is_paths { Form::Path } else { Form::WithPath };
        let opening = opening(call)?;
        let asking = self.associations(call, "InstanceName", form, &OPENING).await?;
        self.first(asking, opening, None).await
    }

    pub(super) async fn open_query(&self, call: &Intrinsic) -> Result<Content, Fault> {
        call.only(&[
            "FilterQuery",
            "FilterQueryLanguage",
            "ReturnQueryResultClass",
            "OperationTimeout",
            "ContinueOnError",
            "MaxObjectCount",
        ])?;
        let opening = limits(call)?;
        let names = ["FilterQueryLanguage", "FilterQuery"];
        let asking = self.of_query(call, names, Form::Instance, Form::Instance)?;
        let mut class = None;
        if call.flag("ReturnQueryResultClass", false)? {
            let [query] = asking.queries.as_slice() else { return Err(no_class()) };
            if !query.from.joins.is_empty() {
                return Err(no_class());
            }
            let found = self.class(&query.from.first.class)?;
            let form = ClassForm { only: asking.shown.only.clone(), ..ClassForm::default() };
            class = Some((found, form));
        }
        self.first(asking, opening, class).await
    }

    /// The first piece, and the context when more follow.
    async fn first(
        &self,
        asking: Asking,
        opening: Opening,
        class: Option<(std::sync::Arc<restock_cim::Class>, ClassForm)>,
    ) -> Result<Content, Fault> {
        let Asking { queries, ready, shown, form } = asking;
        let rows = if queries.is_empty() { Enumeration::of_rows(ready) } else { Enumeration::of(queries) };
        let mut rows = rows.at_most(self.rows_max);
        let piece = rows.next(&self.handler.provider, self.caller, opening.objects).await?;
        let mut reply = self.reply();
        reply.begin_values();
        for row in &piece.rows {
            form.write(reply.writer(), &shown, row);
        }
        reply.end_values();
        if let Some((class, form)) = class {
            let writer = reply.writer();
            writer.open("PARAMVALUE");
            writer.attribute("NAME", "QueryResultClass");
            form.write(writer, &class);
            writer.close();
        }
        let context = if piece.is_over {
            None
        } else {
            let opened = Opened { rows, shown, form };
            let namespace = self.space.name(self.handler);
            let contexts = &self.handler.cimom.contexts;
            let now = self.handler.clock.monotonic();
            Some(contexts.open(self.caller, &namespace, opening.idle_max, opened, now)?)
        };
        reply.end_of_piece(context.as_deref());
        Ok(Content::Text(reply.finish().into()))
    }

    pub(super) async fn pull(&self, call: &Intrinsic) -> Result<Content, Fault> {
        call.only(&["EnumerationContext", "MaxObjectCount"])?;
        let id = required(call.text("EnumerationContext")?, "EnumerationContext")?;
        let objects = objects(required(call.number("MaxObjectCount")?, "MaxObjectCount")?)?;
        let namespace = self.space.name(self.handler);
        let now = || self.handler.clock.monotonic();
        let mut opened = self.handler.cimom.contexts.take(id, self.caller, &namespace, now())?;
        let pulls = match opened.form {
            Form::WithPath => "PullInstancesWithPath",
            Form::Path => "PullInstancePaths",
            _ => "PullInstances",
        };
        if !call.name.eq_ignore_ascii_case(pulls) {
            opened.put_back(now());
            let text = format!("this enumeration is read by {pulls}");
            return Err(Fault::new(CimCode::InvalidEnumerationContext, "INVALID_CONTEXT", text));
        }
        let piece = opened.rows.next(&self.handler.provider, self.caller, objects).await?;
        let mut reply = self.reply();
        reply.begin_values();
        for row in &piece.rows {
            opened.form.write(reply.writer(), &opened.shown, row);
        }
        reply.end_values();
        let context = if piece.is_over {
            opened.release();
            None
        } else {
            opened.put_back(now());
            Some(id)
        };
        reply.end_of_piece(context);
        Ok(Content::Text(reply.finish().into()))
    }

    pub(super) fn close(&self, call: &Intrinsic) -> Result<Content, Fault> {
        call.only(&["EnumerationContext"])?;
        let id = required(call.text("EnumerationContext")?, "EnumerationContext")?;
        let namespace = self.space.name(self.handler);
        let now = self.handler.clock.monotonic();
        self.handler.cimom.contexts.take(id, self.caller, &namespace, now)?.release();
        Ok(Content::Text(self.reply().finish().into()))
    }
}

fn no_class() -> Fault {
    let text = "ReturnQueryResultClass is offered for queries of one class";
    Fault::new(CimCode::NotSupported, "NOT_SUPPORTED", text)
}

/// Parameters of an operation that may be told to filter.
fn opening(call: &Intrinsic) -> Result<Opening, Fault> {
    if call.text("FilterQuery")?.is_some() || call.text("FilterQueryLanguage")?.is_some() {
        let text = "enumerations are not filtered; OpenQueryInstances takes WQL";
        return Err(Fault::new(CimCode::FilteredEnumerationNotSupported, "NOT_SUPPORTED", text));
    }
    limits(call)
}

fn limits(call: &Intrinsic) -> Result<Opening, Fault> {
    if call.flag("ContinueOnError", false)? {
        let text = "an enumeration ends with its first error";
        return Err(Fault::new(CimCode::ContinuationOnErrorNotSupported, "NOT_SUPPORTED", text));
    }
    let idle_max = match call.number("OperationTimeout")? {
        None => IDLE_MAX,
        Some(seconds) if (1..=IDLE_MAX.as_secs()).contains(&seconds) => Duration::from_secs(seconds),
        Some(_) => {
            let text = format!("OperationTimeout is 1 to {} seconds", IDLE_MAX.as_secs());
            return Err(Fault::new(CimCode::InvalidOperationTimeout, "RANGE", text));
        }
    };
    Ok(Opening { objects: objects(call.number("MaxObjectCount")?.unwrap_or(0))?, idle_max })
}

fn objects(asked: u64) -> Result<usize, Fault> {
    usize::try_from(asked).ok().filter(|_| asked <= OBJECTS_MAX).ok_or_else(|| {
        let text = format!("MaxObjectCount is at most {OBJECTS_MAX}");
        Fault::new(CimCode::InvalidParameter, "RANGE", text)
    })
}

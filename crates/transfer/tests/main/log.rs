//! What was logged, for tests of what people are told.

use std::fmt::{Debug, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::world::eventually;

/// Lines of level `INFO` and above, from the first call of [`listen`] on. Tests of one process share
/// them, so a test looks for what only it can have caused.
static LINES: OnceLock<Mutex<Vec<String>>> = OnceLock::new();

struct Ear;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("restock")
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        if let Some(lines) = LINES.get() {
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
        }
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Begins to listen.
pub(crate) fn listen() {
    LINES.get_or_init(|| {
        tracing::subscriber::set_global_default(Ear).unwrap();
        Mutex::default()
    });
}

/// The lines that hold all of `parts`.
pub(crate) fn lines(parts: &[&str]) -> Vec<String> {
    let lines = LINES.get().expect("listen was called").lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| parts.iter().all(|part| line.contains(part))).cloned().collect()
}

/// Waits until a line holds all of `parts`.
pub(crate) async fn logged(parts: &[&str]) {
    eventually(&format!("a line with {parts:?}"), || !lines(parts).is_empty()).await;
}

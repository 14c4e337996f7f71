//! The log layer of a running site or distribution point.
//!
//! Two kinds of files in one folder: `restock.jsonl`, every event with its fields as one JSON
//! object a line; and logs that scripts and log viewers of Configuration Manager know by name,
//! `distmgr.log`, `PkgXferMgr.log` and `smsdpprov.log`, in its server form ([`server_form`]).
//! An event goes to a named log by its target. Losing a log line never stops the work: lines that
//! could not be written are counted ([`LogCounts`]).

mod rotating;
mod server_form;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use restock_names::{Clock, SystemClock};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{EnvFilter, Layer, Registry};

use self::rotating::{Kept, RotatingFile};
use crate::config::{LogSettings, Role};
use crate::failure::{Failure, Kind};
use crate::output::shown_path;

/// A log that Configuration Manager knows: the target of its events, its file and its component.
#[derive(Debug, Clone, Copy)]
struct Named {
    target: &'static str,
    file: &'static str,
    component: &'static str,
}

const SITE_LOGS: [Named; 4] = [
    Named { target: "distmgr", file: "distmgr.log", component: "SMS_DISTRIBUTION_MANAGER" },
    Named { target: "PkgXferMgr", file: "PkgXferMgr.log", component: "SMS_PACKAGE_TRANSFER_MANAGER" },
    Named { target: "smsprov", file: "SMSProv.log", component: "SMS Provider" },
    Named { target: "adminservice", file: "adminservice.log", component: "SMS_REST_PROVIDER" },
];
const DP_LOGS: [Named; 1] =
    [Named { target: "smsdpprov", file: "smsdpprov.log", component: "SMS DP Provider" }];

/// What happened in the log layer; shown as metrics.
#[derive(Debug, Default)]
pub(crate) struct LogCounts {
    /// Events at level error, warn and info.
    pub(crate) errors: AtomicU64,
    pub(crate) warnings: AtomicU64,
    pub(crate) infos: AtomicU64,
    /// Lines that could not be written.
    pub(crate) lost: AtomicU64,
}

/// Opens the log files in `folder` and makes this process log there.
///
/// The level is that of `settings`, or of `RESTOCK_LOG` when it is set.
/// Errors: kind usage for a level that cannot be read, kind failed for files.
pub(crate) fn start(settings: &LogSettings, folder: &Path, role: Role) -> Result<Arc<LogCounts>, Failure> {
    let level = std::env::var("RESTOCK_LOG").unwrap_or_else(|_| settings.level.clone());
    let filter = EnvFilter::builder().parse(&level).map_err(|e| {
        Failure::caused(Kind::Usage, format!("the log level {level:?} cannot be read"), &e)
            .hint("level = \"info\" in the section [logs] of restock.toml")
    })?;
    let fail =
        |e: &io::Error| Failure::caused(Kind::Failed, format!("cannot log to {}", shown_path(folder)), e);
    std::fs::create_dir_all(folder).map_err(|e| fail(&e))?;
    let counts = Arc::new(LogCounts::default());
    let json = RotatingFile::open(
        &folder.join("restock.jsonl"),
        settings.json_size_max,
        Kept::Numbered(settings.json_kept),
    )
    .map_err(|e| fail(&e))?;
    let json = JsonLog { file: Arc::new(Mutex::new(json)), counts: Arc::clone(&counts) };
    let named = NamedLogs::open(settings, folder, role, &counts).map_err(|e| fail(&e))?;
    let json = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(json);
    let subscriber = Registry::default().with(filter).with(json).with(named);
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|e| Failure::caused(Kind::Failed, "cannot start the log", &e))?;
    Ok(counts)
}

/// Writes whole events of the JSON layer to the rotating file.
#[derive(Debug, Clone)]
struct JsonLog {
    file: Arc<Mutex<RotatingFile>>,
    counts: Arc<LogCounts>,
}

impl<'a> MakeWriter<'a> for JsonLog {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl io::Write for JsonLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = self.file.lock().expect("no code panics while holding this lock").write_line(line);
        if written.is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The layer of the named logs.
#[derive(Debug)]
struct NamedLogs {
    logs: Vec<(Named, Mutex<RotatingFile>)>,
    zone: jiff::tz::TimeZone,
    counts: Arc<LogCounts>,
}

impl NamedLogs {
    fn open(settings: &LogSettings, folder: &Path, role: Role, counts: &Arc<LogCounts>) -> io::Result<Self> {
        let wanted: &[Named] = match role {
            Role::Site => &SITE_LOGS,
            Role::Dp => &DP_LOGS,
        };
        let open = |named: &Named| {
            let file = RotatingFile::open(&folder.join(named.file), settings.size_max, Kept::Underscore)?;
            Ok((*named, Mutex::new(file)))
        };
        let logs = wanted.iter().map(open).collect::<io::Result<Vec<_>>>()?;
        Ok(Self { logs, zone: jiff::tz::TimeZone::system(), counts: Arc::clone(counts) })
    }
}

impl<S: Subscriber> Layer<S> for NamedLogs {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let counter = match *event.metadata().level() {
            Level::ERROR => Some(&self.counts.errors),
            Level::WARN => Some(&self.counts.warnings),
            Level::INFO => Some(&self.counts.infos),
            _ => None,
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let Some((named, file)) = self.logs.iter().find(|(n, _)| n.target == event.metadata().target())
        else {
            return;
        };
        let mut sentence = Sentence::default();
        event.record(&mut sentence);
        let thread = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or(0);
        let line =
            server_form::line(&sentence.text(), named.component, SystemClock.now(), &self.zone, thread);
        let written =
            file.lock().expect("no code panics while holding this lock").write_line(line.as_bytes());
        if written.is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The sentence of an event, and its fields.
#[derive(Debug, Default)]
struct Sentence {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Sentence {
    /// The message, followed by the fields whose values it does not say already.
    fn text(&self) -> String {
        let missing: Vec<String> = self
            .fields
            .iter()
            .filter(|(_, value)| !self.message.contains(value.as_str()))
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        if missing.is_empty() {
            return self.message.clone();
        }
        format!("{} ({})", self.message, missing.join(", "))
    }
}

impl Visit for Sentence {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            // The form has a place of its own for it.
            "component" => {}
            name => self.fields.push((name, value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt;

    use super::{LogCounts, NamedLogs};
    use crate::config::{LogSettings, Role};

    #[test]
    fn an_event_goes_to_the_log_of_its_target_only() {
        let dir = tempfile::tempdir().unwrap();
        let counts = Arc::new(LogCounts::default());
        let logs = NamedLogs::open(&LogSettings::default(), dir.path(), Role::Site, &counts).unwrap();
        tracing::subscriber::with_default(Registry::default().with(logs), || {
            let name = "a\nb $$<X>";
            let fields = ("XYZ00001", 7);
            tracing::info!(target: "distmgr", { package.id = fields.0, bytes = fields.1 }, "XYZ00001 is {name}");
            tracing::warn!("elsewhere");
        });
        let text = std::fs::read_to_string(dir.path().join("distmgr.log")).unwrap();
        assert!(
            text.starts_with("XYZ00001 is a\\x0ab $\\x24<X> (bytes 7)  $$<SMS_DISTRIBUTION_MANAGER><"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1);
        assert_eq!(std::fs::read_to_string(dir.path().join("PkgXferMgr.log")).unwrap(), "");
        assert_eq!(counts.warnings.load(std::sync::atomic::Ordering::Relaxed), 1);
    }
}

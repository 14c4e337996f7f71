//! What the demo says while it works: a line per phase, and bars on a terminal.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use restock_names::{Clock, HumanBytes, HumanDuration, SystemClock};
use restock_provider::rows::PackageStatus;
use restock_site::Progress;

use super::folder::Copied;
use crate::commands::{ProgressView, bar_style};
use crate::output::{Output, count};

/// How often a plain line is printed where there is no terminal.
const LINE_PERIOD: Duration = Duration::from_secs(5);

/// Talks on standard error; silent with `--json`.
#[derive(Debug)]
pub(super) struct Talk {
    output: Output,
    shows_bars: bool,
    phase_at: Instant,
    line_at: Instant,
    view: ProgressView,
    bar: Option<ProgressBar>,
    number: u32,
}

impl Talk {
    pub(super) fn new(output: Output) -> Self {
        let now = SystemClock.monotonic();
        Self {
            output,
            shows_bars: std::io::IsTerminal::is_terminal(&std::io::stderr()) && !output.json,
            phase_at: now,
            line_at: now,
            view: ProgressView::new(output, "    "),
            bar: None,
            number: 0,
        }
    }

    /// Begins a phase.
    pub(super) fn phase(&mut self, text: &str) {
        self.clear();
        self.number += 1;
        self.phase_at = SystemClock.monotonic();
        self.line_at = self.phase_at;
        self.say(&format!("{:>2}. {}", self.number, self.output.talk_style().strong(text)));
    }

    /// Ends it with what was done and how long it took.
    pub(super) fn done(&mut self, text: &str) {
        self.clear();
        let took = HumanDuration(SystemClock.monotonic() - self.phase_at);
        let mark = self.output.talk_style().good("done");
        self.say(&format!("    {mark}  {text} ({took})"));
    }

    /// Live bytes of the site.
    pub(super) fn live(&mut self, status: &[PackageStatus], progress: &Progress) {
        self.view.show(status, progress);
    }

    /// How far copying is.
    pub(super) fn copied(&mut self, copied: &Copied) {
        if self.shows_bars {
            let bar = self.bar.get_or_insert_with(|| {
                let bar = ProgressBar::new_spinner();
                let style =
                    indicatif::ProgressStyle::with_template("    {msg}").expect("the template is a constant");
                bar.set_style(style);
                bar
            });
            if copied.files.is_multiple_of(64) {
                bar.set_message(format!("{}, {}", count(copied.files, "file"), HumanBytes(copied.bytes)));
                bar.tick();
            }
            return;
        }
        let now = SystemClock.monotonic();
        if now - self.line_at >= LINE_PERIOD {
            self.line_at = now;
            self.say(&format!("    {}, {}", count(copied.files, "file"), HumanBytes(copied.bytes)));
        }
    }

    /// A bar over `bytes` that other threads may move.
    pub(super) fn bar(&mut self, bytes: u64) -> Bar {
        let bar = if self.shows_bars { ProgressBar::new(bytes) } else { ProgressBar::hidden() };
        bar.set_style(bar_style());
        bar.set_prefix("fetched and compared");
        self.bar = Some(bar.clone());
        let now = SystemClock.monotonic();
        let prints = !self.shows_bars && !self.output.json;
        Bar { bar, output: self.output, prints, begun_at: now, bytes, state: Mutex::new((now, 0)) }
    }

    /// Takes bars away.
    pub(super) fn clear(&mut self) {
        self.view.finish();
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn say(&self, text: &str) {
        if !self.output.json {
            self.output.talk(&format!("{text}\n"));
        }
    }
}

/// Progress that several threads make: a bar, or a line every few seconds.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    output: Output,
    prints: bool,
    begun_at: Instant,
    bytes: u64,
    /// When a line was printed last, and the bytes done.
    state: Mutex<(Instant, u64)>,
}

impl Bar {
    pub(super) fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
        if !self.prints {
            return;
        }
        let now = SystemClock.monotonic();
        let mut state = self.state.lock().expect("no code panics while holding this lock");
        state.1 += bytes;
        if now - state.0 < LINE_PERIOD {
            return;
        }
        state.0 = now;
        let seconds = (now - self.begun_at).as_secs_f64();
        let rate = state.1 as f64 / seconds;
        let left = Duration::from_secs_f64((self.bytes.saturating_sub(state.1)) as f64 / rate.max(1.0));
        self.output.talk(&format!(
            "    {} of {}, {}/s, {} left\n",
            HumanBytes(state.1),
            HumanBytes(self.bytes),
            HumanBytes(rate as u64),
            HumanDuration(left)
        ));
    }
}

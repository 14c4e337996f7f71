//! Live progress while a command waits: bars on a terminal, plain lines otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use restock_names::{Clock, HumanBytes, SystemClock};
use restock_provider::rows::PackageStatus;
use restock_site::Progress;

use crate::commands::status::state_word;
use crate::output::{Output, count};

/// How often a line about bytes is printed where there is no terminal.
const LINE_PERIOD: Duration = Duration::from_secs(5);

/// Shows what a site is doing on standard error.
#[derive(Debug)]
pub(crate) struct ProgressView {
    output: Output,
    shows_bars: bool,
    bars: MultiProgress,
    rows: BTreeMap<String, ProgressBar>,
    said: BTreeMap<String, String>,
    line_at: std::time::Instant,
    /// Before each plain line.
    indent: &'static str,
}

impl ProgressView {
    /// Bars when standard error is a terminal, otherwise lines after `indent`.
    pub(crate) fn new(output: Output, indent: &'static str) -> Self {
        let shows_bars = std::io::IsTerminal::is_terminal(&std::io::stderr()) && !output.json;
        Self {
            output,
            shows_bars,
            bars: MultiProgress::new(),
            rows: BTreeMap::new(),
            said: BTreeMap::new(),
            line_at: SystemClock.monotonic(),
            indent,
        }
    }

    /// Shows the present state; only of `packages`.
    pub(crate) fn show(&mut self, packages: &[PackageStatus], progress: &Progress) {
        if self.output.json {
            return;
        }
        if self.shows_bars {
            self.show_bars(packages, progress);
        } else {
            self.show_lines(packages, progress);
        }
    }

    /// Takes the bars away.
    pub(crate) fn finish(&mut self) {
        for bar in std::mem::take(&mut self.rows).into_values() {
            bar.finish_and_clear();
        }
        if self.bars.clear().is_err() {
            // The terminal is gone.
        }
    }

    fn show_bars(&mut self, packages: &[PackageStatus], progress: &Progress) {
        let mut live: Vec<(String, u64, u64, String)> = Vec::new();
        for p in packages {
            let id = p.package.package;
            for r in progress.refreshes.iter().filter(|r| r.package == id) {
                // How much a first version will be is not known before it is read.
                let total = if r.bytes_before == 0 { 0 } else { r.bytes_before.max(r.bytes_read) };
                let note = format!("{}, {} new", count(r.entries, "entry"), HumanBytes(r.bytes_new));
                live.push((format!("{id} reading"), r.bytes_read, total, note));
            }
            for t in progress.transfers.iter().filter(|t| t.package == id) {
                live.push((format!("{id} to {}", t.point), t.bytes_done, t.bytes_total, String::new()));
            }
        }
        let bars = &self.bars;
        for (name, done, total, note) in &live {
            let bar = self.rows.entry(name.clone()).or_insert_with(|| {
                let bar = bars.add(ProgressBar::new(*total));
                bar.set_style(if *total == 0 { counting_style() } else { bar_style() });
                bar.set_prefix(name.clone());
                bar
            });
            if *total > 0 {
                bar.set_length(*total);
            }
            bar.set_position(*done);
            bar.set_message(note.clone());
        }
        let gone: Vec<String> =
            self.rows.keys().filter(|k| !live.iter().any(|l| l.0 == **k)).cloned().collect();
        for name in gone {
            if let Some(bar) = self.rows.remove(&name) {
                bar.finish_and_clear();
            }
        }
    }

    fn show_lines(&mut self, packages: &[PackageStatus], progress: &Progress) {
        let now = SystemClock.monotonic();
        for p in packages {
            let id = p.package.package;
            if let Some(refresh) = &p.package.refresh {
                self.say(id.to_string(), format!("source {:?}", refresh.state).to_lowercase());
            } else if p.package.stored_version.0 > 0 {
                self.say(id.to_string(), format!("version {} is stored", p.package.stored_version));
            }
            for t in &p.targets {
                self.say(format!("{id} at {}", t.point), state_word(t.state).to_owned());
            }
        }
        if now - self.line_at < LINE_PERIOD {
            return;
        }
        self.line_at = now;
        for r in &progress.refreshes {
            let text = format!(
                "{}{}: {} read, {}\n",
                self.indent,
                r.package,
                HumanBytes(r.bytes_read),
                count(r.entries, "entry")
            );
            self.output.talk(&text);
        }
        for t in &progress.transfers {
            self.output.talk(&format!(
                "{}{} at {}: {} of {}, {}/s{}\n",
                self.indent,
                t.package,
                t.point,
                HumanBytes(t.bytes_done),
                HumanBytes(t.bytes_total),
                HumanBytes(t.bytes_per_second),
                eta(t.bytes_total.saturating_sub(t.bytes_done), t.bytes_per_second),
            ));
        }
    }

    /// Prints a line unless it was the last one about `subject`.
    fn say(&mut self, subject: String, text: String) {
        if self.said.get(&subject) == Some(&text) {
            return;
        }
        self.output.talk(&format!("{}{subject}: {text}\n", self.indent));
        self.said.insert(subject, text);
    }
}

/// How far one piece of work is, on standard error: a bar on a terminal, else a line now and then.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    output: Output,
    bar: Option<ProgressBar>,
    what: &'static str,
    line_at: std::time::Instant,
}

impl ProgressLine {
    /// Shows nothing before the first [`Self::show`], and nothing at all with `--json`.
    pub(crate) fn new(output: Output, what: &'static str) -> Self {
        let shows_bar = std::io::IsTerminal::is_terminal(&std::io::stderr()) && !output.json;
        let bar = shows_bar.then(|| ProgressBar::no_length().with_style(bar_style()).with_prefix(what));
        Self { output, bar, what, line_at: SystemClock.monotonic() }
    }

    /// Shows that `done` of `total` bytes are done.
    pub(crate) fn show(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total.max(done));
            bar.set_position(done);
            return;
        }
        let now = SystemClock.monotonic();
        if self.output.json || now - self.line_at < LINE_PERIOD {
            return;
        }
        self.line_at = now;
        self.output.talk(&format!("{}: {} of {}\n", self.what, HumanBytes(done), HumanBytes(total)));
    }

    /// Takes the bar away.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Bytes, rate and time left of a bar; no colours, so that `NO_COLOR` needs no second form.
pub(crate) fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template(
        "  {prefix:24!} [{bar:24}] {binary_bytes:>10} of {binary_total_bytes:<10} {binary_bytes_per_sec:>12}  {eta:>4} left  {msg}",
    )
    .expect("the template is a constant")
    .progress_chars("=> ")
}

/// Bytes and rate where the end is not known.
fn counting_style() -> ProgressStyle {
    ProgressStyle::with_template("  {prefix:24!} {binary_bytes:>10} {binary_bytes_per_sec:>12}  {msg}")
        .expect("the template is a constant")
}

fn eta(left: u64, rate: u64) -> String {
    match left.checked_div(rate) {
        Some(seconds) => format!(", {} left", restock_names::HumanDuration(Duration::from_secs(seconds))),
        None => String::new(),
    }
}

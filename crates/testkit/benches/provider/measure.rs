//! Times, percentiles and the table.

use std::fmt::Write as _;
use std::time::Duration;

/// Times of equal work.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    pub(crate) fn percentile(&self, part: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
        let place = ((self.0.len() as f64) * part).ceil() as usize;
        let time = self.0.get(place.saturating_sub(1)).or(self.0.last()).copied().unwrap_or_default();
        time.as_secs_f64() * 1_000.0
    }
}

/// What was measured.
pub(crate) struct Table {
    rows: Vec<Row>,
    only: Option<String>,
}

struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    /// What it must keep; none for a figure that is only of interest.
    limit: Option<f64>,
    detail: String,
}

impl Table {
    /// A table of what has `only` in its name, or of everything.
    pub(crate) fn new(only: Option<String>) -> Self {
        Self { rows: Vec::new(), only }
    }

    /// Whether what is called so is to be measured.
    pub(crate) fn wants(&self, what: &str) -> bool {
        self.only.as_ref().is_none_or(|only| what.contains(only.as_str()))
    }

    pub(crate) fn add(
        &mut self,
        what: impl Into<String>,
        (value, unit): (f64, &'static str),
        limit: Option<f64>,
        detail: impl Into<String>,
    ) {
        let row = Row { what: what.into(), value, unit, limit, detail: detail.into() };
        eprintln!("{}: {:.2} {} ({})", row.what, row.value, row.unit, row.detail);
        self.rows.push(row);
    }

    pub(crate) fn all_hold(&self) -> bool {
        self.rows.iter().all(|row| row.limit.is_none_or(|limit| row.value <= limit))
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::from("| what | measured | limit | detail |\n|---|---|---|---|\n");
        for Row { what, value, unit, limit, detail } in &self.rows {
            let limit = match limit {
                None => "-".to_owned(),
                Some(limit) if value <= limit => format!("{limit} {unit}"),
                Some(limit) => format!("**{limit} {unit} missed**"),
            };
            writeln!(text, "| {what} | {value:.2} {unit} | {limit} | {detail} |").unwrap();
        }
        text
    }

    /// The whole document.
    pub(crate) fn document(&self) -> String {
        let machine = machine();
        format!(
            "# The provider over a large site\n\n\
             Written by `cargo xtask bench provider`. SQLite, 100,000 packages, 1,000 distribution points, 1,000,000 \
             packages on distribution points, 100,000 status messages.\n\n\
             Machine: {machine}. Client and server run on it together, so that each takes time from the other. \
             \"Same SQL\" is the query written by hand over the tables, run and decoded on a connection of its own: \
             with sqlx, by which the site does everything else, and with rusqlite, on which queries run, as a \
             prepared statement on the thread that asks. Ratios compare medians. The AdminService is asked over \
             plain HTTP on loopback, on connections that stay open.\n\n{}",
            self.text()
        )
    }
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!("{cores} cores ({model}), load {load} at the end")
}

/// Resident memory of this process, in MiB.
pub(crate) fn memory_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = resident.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default();
    kib / 1024.0
}

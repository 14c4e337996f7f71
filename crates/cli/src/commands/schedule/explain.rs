//! `restock schedule explain`.

use clap::Args;
use restock_cim::schedule::{self, ScheduleError, ScheduleToken};
use restock_names::{Clock, SystemClock, Timestamp, Zone};
use serde::Serialize;

use crate::commands::Session;
use crate::failure::{Failure, Kind};
use crate::output::{Done, Style};

/// Runs that are listed.
const RUNS: usize = 10;

const EXAMPLE: &str = "\
Example:
  restock schedule explain 02CD1E0020231400
  restock schedule explain 00411E0000100008 --zone Europe/Berlin --from '2026-10-24 12:00'";

/// Say what a schedule means, and when it runs next
///
/// TOKENS is the text by which RefreshSchedule is known to SMS_ScheduleMethods: 16 hexadecimal
/// digits for each of up to 15 tokens. No site is needed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Explain {
    /// The schedule
    #[arg(value_name = "TOKENS")]
    tokens: String,

    /// Time zone of tokens that are not in UTC [default: that of this machine]
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,

    /// List runs after this time of that zone, or after this moment: 2026-10-24T10:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
}

#[derive(Debug, Serialize)]
struct Explained {
    tokens: Vec<Token>,
    zone: String,
    from: Timestamp,
    /// The next runs, at most ten.
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Token {
    text: String,
    meaning: String,
    is_utc: bool,
}

#[derive(Debug, Serialize)]
struct Run {
    at: Timestamp,
    utc: String,
    /// What the clock of the zone shows, with its offset from UTC.
    local: String,
}

impl Explain {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let tokens = schedule::decode(&self.tokens)
            .map_err(|e| Failure::caused(Kind::Usage, ScheduleError::CODE, &e))?;
        if tokens.is_empty() {
            return Err(Failure::usage("SCHEDULE_INVALID: an empty text is no schedule"));
        }
        let zone = match &self.zone {
            None => Zone::system(),
            Some(name) => Zone::named(name).map_err(|e| Failure::caused(Kind::Usage, "ZONE_UNKNOWN", &e))?,
        };
        let from = match &self.from {
            None => SystemClock.now(),
            Some(text) => moment(text, &zone)?,
        };
        let explained = Explained {
            tokens: tokens.iter().map(token).collect(),
            zone: zone.name().to_owned(),
            from,
            runs: runs(&tokens, from, &zone),
        };
        let text = text(&explained, session.output.style);
        Ok(Done::with(&explained, text))
    }
}

fn token(token: &ScheduleToken) -> Token {
    Token { text: schedule::encode(&[*token]), meaning: token.to_string(), is_utc: token.is_gmt() }
}

fn runs(tokens: &[ScheduleToken], from: Timestamp, zone: &Zone) -> Vec<Run> {
    let next = |after: &Timestamp| schedule::next_of(tokens, *after, zone);
    let moments = std::iter::successors(next(&from), next);
    moments
        .take(RUNS)
        .map(|at| Run { at, utc: clock_text(at.0) + "Z", local: local_text(at, zone) })
        .collect()
}

/// `2026-10-24T12:00:00`: the digits of a clock.
fn clock_text(clock_us: i64) -> String {
    Timestamp(clock_us).to_string().chars().take(19).collect()
}

fn local_text(at: Timestamp, zone: &Zone) -> String {
    let offset = zone.offset_minutes(at);
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.unsigned_abs() / 60, offset.unsigned_abs() % 60);
    format!("{}{sign}{hours:02}:{minutes:02}", clock_text(zone.utc_to_local(at)))
}

/// A moment (`…Z`, `…+02:00`), or what the clock of the zone shows.
fn moment(text: &str, zone: &Zone) -> Result<Timestamp, Failure> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp(moment.as_microsecond()));
    }
    let clock = text.parse::<jiff::civil::DateTime>().ok();
    let as_if_utc = clock.and_then(|clock| clock.to_zoned(jiff::tz::TimeZone::UTC).ok());
    match as_if_utc {
        Some(clock) => Ok(zone.local_to_utc(clock.timestamp().as_microsecond())),
        None => {
            let failure = Failure::usage(format!("{} is no time", crate::output::shown(text)));
            Err(failure.hint("write it like 2026-10-24T12:00, or 2026-10-24T10:00Z for UTC"))
        }
    }
}

fn text(explained: &Explained, style: Style) -> String {
    let mut text = String::new();
    for token in &explained.tokens {
        let clock = if token.is_utc { "UTC" } else { &explained.zone };
        text.push_str(&format!("{}  {} ({clock})\n", style.strong(&token.text), token.meaning));
    }
    if explained.runs.is_empty() {
        text.push_str("It does not run any more.\n");
        return text;
    }
    text.push_str(&format!("Next runs, as clocks of {} show them, and in UTC:\n", explained.zone));
    for run in &explained.runs {
        text.push_str(&format!("  {}  {}\n", run.local, run.utc));
    }
    text
}

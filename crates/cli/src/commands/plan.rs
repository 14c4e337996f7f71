//! `restock plan`.

use std::ops::ControlFlow;
use std::time::Duration;

use clap::Args;
use restock_names::HumanBytes;
use restock_site::Plan as Kept;
use serde_json::Value;

use crate::commands::diff::{Lines, totals_text};
use crate::commands::progress::ProgressLine;
use crate::commands::{Session, package_id};
use crate::control::{Ask, DiffLine, Door, PlanEvent, PlanMade};
use crate::failure::{Failure, Kind};
use crate::output::{Done, Table, count, grouped, shown};
use crate::units::parse_duration;

/// Entries that are shown unless all are asked for.
const ENTRIES_SHOWN: usize = 20;

const EXAMPLE: &str = "\
Example:
  restock plan XYZ00001                what a refresh would do, and what it would cost
  restock plan XYZ00001 --all          with every file that comes, goes or changes
  restock apply XYZ00001-0f1e2d3c      publish exactly that
  restock plan --list
  restock plan --discard XYZ00001-0f1e2d3c";

/// Read a package's source and show what a refresh would bring, without bringing it
///
/// Nobody sees anything of it: the version stays, distribution points get nothing. What is new is
/// stored beside the library's versions and kept for a while, so that `restock apply` need not read
/// it again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Plan {
    /// Package ID
    #[arg(value_name = "PKG", required_unless_present_any = ["list", "discard"])]
    package: Option<String>,

    /// How long the plan is kept: 1m to 24h
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1h")]
    keep: Duration,

    /// Show every entry that differs, not only the first 20
    #[arg(long)]
    all: bool,

    /// List the plans that are kept
    #[arg(long, conflicts_with_all = ["package", "discard"])]
    list: bool,

    /// Forget a plan
    #[arg(long, value_name = "PLAN", conflicts_with = "package")]
    discard: Option<String>,
}

impl Plan {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut door = Door::open(&session.folder()?, "restock plan")?;
        if let Some(plan) = self.discard {
            let plan: Kept = door.ask(Ask::DiscardPlan { plan })?;
            let text = format!("Plan {} of package {} is forgotten.\n", plan.plan, plan.package);
            return Ok(Done::with(&plan, text));
        }
        let Some(package) = self.package else { return list(session, &mut door) };
        let package = package_id(&package)?;
        let keep_ms = u64::try_from(self.keep.as_millis()).unwrap_or(u64::MAX);
        let (mut lines, mut shown_entries, mut hidden) = (Lines::new(session.output), 0, 0_u64);
        let shows_all = self.all || session.output.json;
        let mut show = |entries: Vec<DiffLine>| {
            for line in &entries {
                if shows_all || shown_entries < ENTRIES_SHOWN {
                    lines.show(line);
                    shown_entries += 1;
                } else {
                    hidden += 1;
                }
            }
        };
        let answer = with_progress(session, &mut door, Ask::Plan { package, keep_ms }, &mut show)?;
        let made: PlanMade = serde_json::from_value(answer)
            .map_err(|e| Failure::caused(Kind::Failed, "the answer is not understood", &e))?;
        if session.output.json {
            lines.end(&made);
            return Ok(Done::silent());
        }
        if hidden > 0 {
            session.output.line(&format!("… and {} (--all shows them)", count(hidden, "entry")));
        }
        Ok(Done::with(&made, summary(session, &made)))
    }
}

/// Asks for work on a source; shows how far it is, and gives entries that differ to `show`.
pub(crate) fn with_progress(
    session: &Session,
    door: &mut Door,
    ask: Ask,
    show: &mut dyn FnMut(Vec<DiffLine>),
) -> Result<Value, Failure> {
    let mut line = ProgressLine::new(session.output, "reading the source");
    let answer = door.stream(ask, &mut |event| {
        match serde_json::from_value(event) {
            Ok(PlanEvent::Progress(now)) => line.show(now.bytes_read, now.bytes_read),
            Ok(PlanEvent::Entries(entries)) => {
                line.finish();
                show(entries);
            }
            // An event of another release that says something else is no reason to stop.
            Err(_) => {}
        }
        Ok(ControlFlow::Continue(()))
    });
    line.finish();
    Ok(answer?.unwrap_or_default())
}

fn summary(session: &Session, made: &PlanMade) -> String {
    let plan = &made.plan;
    let base = plan.base.map_or_else(|| "nothing".to_owned(), |base| format!("version {}", base.version));
    let mut text = format!(
        "{}: {}, {} against {base}: {}.\n",
        plan.package,
        count(plan.root.entries, "entry"),
        HumanBytes(plan.root.bytes),
        totals_text(&plan.differs),
    );
    text.push_str(&format!(
        "Read {}; {} in {} that the library lacked, stored in {}; {} are free.\n",
        HumanBytes(plan.bytes_read),
        HumanBytes(plan.bytes_new),
        count(plan.chunks_new, "chunk"),
        HumanBytes(plan.bytes_stored),
        HumanBytes(made.free_bytes),
    ));
    let mut table = Table::new(&["DP", ">Serves", ">Lacks chunks", ">On the wire, at most", ">On its disk"]);
    for point in &made.points {
        let cells = [
            point.point.to_string(),
            point.serving_version.to_string(),
            grouped(point.chunks),
            HumanBytes(point.wire_bytes_max).to_string(),
            HumanBytes(point.disk_bytes).to_string(),
        ];
        table.row(cells, None);
    }
    text.push_str(&table.text(session.output.style, "No distribution point has this package."));
    text.push_str(&format!(
        "Plan {}, kept until {}. Next: restock apply {}\n",
        plan.plan, plan.until, plan.plan
    ));
    text
}

fn list(session: &Session, door: &mut Door) -> Result<Done, Failure> {
    let plans: Vec<Kept> = door.ask(Ask::ListPlans)?;
    let mut table = Table::new(&["Plan", "Made", "Kept until", ">Entries", ">Size", ">Stored", "Source"]);
    for plan in &plans {
        let cells = [
            plan.plan.clone(),
            plan.made_at.to_string(),
            plan.until.to_string(),
            grouped(plan.root.entries),
            HumanBytes(plan.root.bytes).to_string(),
            HumanBytes(plan.bytes_stored).to_string(),
            shown(&plan.source_path),
        ];
        table.row(cells, None);
    }
    Ok(Done::with(&plans, table.text(session.output.style, "No plan is kept.")))
}

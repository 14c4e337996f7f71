//! `restock site tree`.

use std::collections::BTreeSet;

use clap::Args;
use restock_names::{HumanDuration, SiteCode};

use crate::commands::Session;
use crate::commands::status::why_text;
use crate::control::{Ask, Door, SiteTree, TreeRow};
use crate::failure::Failure;
use crate::output::{Done, Style, Table, Tone, count, guarded, shown};

const EXAMPLE: &str = "\
Example:
  restock site tree
  restock site tree --json";

/// Draw the hierarchy: links, what waits and why, how far each site is behind
///
/// Link and backlog are those of this site's own links; of sites further away it shows what they
/// told. Lag: how long the oldest change waits that a neighbour has not acknowledged. Behind:
/// versions that are meant for a site and not stored there yet.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Tree {}

impl Tree {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut door = Door::open(&session.folder()?, "restock site tree")?;
        let tree: SiteTree = door.ask(Ask::SiteTree)?;
        let style = session.output.style;
        let mut text = text(&tree, style);
        if !door.is_running() {
            text.push_str(&format!("{}\n", style.busy("The site is not running: its links are down.")));
        }
        Ok(Done::with(&tree, text))
    }
}

/// The tree as people read it: a table, then what waits and what differs.
pub(crate) fn text(tree: &SiteTree, style: Style) -> String {
    let own = tree.sites.iter().find(|row| row.site_code == tree.site_code);
    let mut table =
        Table::new(&["Site", "Type", "Name", "Link", ">Backlog", ">Lag", ">Behind", "Version", "Address"]);
    let placed = in_order(tree);
    for (art, row) in &placed {
        let (link, tone) = link_word(tree, row);
        let differs = own.is_some_and(|own| differs(own, row));
        let waiting = |of: &dyn Fn(&crate::control::LinkNow) -> String| {
            row.link.as_ref().filter(|link| !link.is_revoked).map(of).unwrap_or_default()
        };
        let cells = [
            format!("{art}{}", row.site_code),
            row.site_type.as_str().to_owned(),
            shown(&row.name),
            link,
            waiting(&|link| link.backlog.to_string()),
            waiting(&|link| match link.lag_seconds {
                0 => "0".to_owned(),
                lag => HumanDuration(std::time::Duration::from_secs(lag)).to_string(),
            }),
            row.packages_behind.to_string(),
            format!("{}{}", version(row), if differs { " *" } else { "" }),
            shown(&row.url),
        ];
        table.row(cells, Some((3, tone)));
    }
    let mut text = table.text(style, "No sites.");
    if let Some(own) = own {
        let others: Vec<&str> =
            tree.sites.iter().filter(|row| differs(own, row)).map(|row| row.site_code.as_str()).collect();
        if !others.is_empty() {
            text.push_str(&format!(
                "* {} {} another version than {}, which has {}.\n",
                others.join(", "),
                if others.len() == 1 { "runs" } else { "run" },
                own.site_code,
                version(own)
            ));
        }
    }
    for (_, row) in &placed {
        for line in why_lines(row) {
            text.push_str(&format!("{line}\n"));
        }
    }
    text
}

/// What waits at a site or on the link to it, and what would help.
pub(crate) fn why_lines(row: &TreeRow) -> Vec<String> {
    let Some(why) = &row.why else { return Vec::new() };
    let mut lines = vec![format!("{}: {}", row.site_code, why_text(why))];
    lines.extend(why.fix.as_deref().map(|fix| format!("Try: {}", guarded(fix))));
    lines
}

/// One line per site whose text changes when its state does.
pub(crate) fn change_lines(tree: &SiteTree) -> Vec<String> {
    let mut lines = Vec::new();
    for row in &tree.sites {
        let behind = match row.packages_behind {
            0 => "has every version that is meant for it".to_owned(),
            n => format!("lacks {}", count(n, "version")),
        };
        lines.push(format!("site {}: {}, {behind}", row.site_code, link_word(tree, row).0));
        lines.extend(row.why.as_ref().map(|why| format!("site {}: {}", row.site_code, why_text(why))));
    }
    lines
}

fn link_word(tree: &SiteTree, row: &TreeRow) -> (String, Tone) {
    if row.status != "active" {
        return (row.status.clone(), if row.status == "deleted" { Tone::Bad } else { Tone::Busy });
    }
    match &row.link {
        _ if row.site_code == tree.site_code => ("this site".to_owned(), Tone::Plain),
        None => ("-".to_owned(), Tone::Plain),
        Some(link) if link.is_revoked => ("revoked".to_owned(), Tone::Bad),
        Some(link) if link.is_connected => ("up".to_owned(), Tone::Good),
        Some(link) => match link.last_seen_at {
            Some(at) => (format!("down since {at}"), Tone::Bad),
            None => ("not seen yet".to_owned(), Tone::Bad),
        },
    }
}

/// `0.1.0` of `restock 0.1.0`.
fn version(row: &TreeRow) -> String {
    shown(row.software.rsplit(' ').next().unwrap_or_default())
}

fn differs(own: &TreeRow, row: &TreeRow) -> bool {
    !own.software.is_empty() && !row.software.is_empty() && own.software != row.software
}

/// Every site below the one above it, with the lines that join them. Whoever's parent is unknown
/// stands at the top; a circle, which no site makes, ends where it began.
fn in_order(tree: &SiteTree) -> Vec<(String, &TreeRow)> {
    fn place<'t>(
        tree: &'t SiteTree,
        above: Option<SiteCode>,
        stem: &str,
        placed: &mut BTreeSet<SiteCode>,
        rows: &mut Vec<(String, &'t TreeRow)>,
    ) {
        let is_known = |code: &SiteCode| tree.sites.iter().any(|row| row.site_code == *code);
        let here: Vec<&TreeRow> =
            tree.sites.iter().filter(|row| row.parent.filter(is_known) == above).collect();
        let last = here.len();
        for (n, row) in here.into_iter().enumerate() {
            if !placed.insert(row.site_code) {
                continue;
            }
            let (joint, below) = match above {
                None => ("", ""),
                Some(_) if n + 1 == last => ("\u{2514}\u{2500} ", "   "),
                Some(_) => ("\u{251c}\u{2500} ", "\u{2502}  "),
            };
            rows.push((format!("{stem}{joint}"), row));
            place(tree, Some(row.site_code), &format!("{stem}{below}"), placed, rows);
        }
    }
    let (mut placed, mut rows) = (BTreeSet::new(), Vec::new());
    place(tree, None, "", &mut placed, &mut rows);
    rows.extend(
        tree.sites.iter().filter(|row| !placed.contains(&row.site_code)).map(|row| (String::new(), row)),
    );
    rows
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use restock_provider::Why;
    use restock_sitedb::hierarchy::SiteType;

    use super::text;
    use crate::control::{LinkNow, SiteTree, TreeRow};
    use crate::output::Style;

    fn row(code: &str, parent: Option<&str>, site_type: SiteType) -> TreeRow {
        TreeRow {
            site_code: code.parse().unwrap(),
            parent: parent.map(|p| p.parse().unwrap()),
            site_type,
            name: String::new(),
            url: format!("restock://{}.example:8720", code.to_lowercase()),
            software: "restock 1.0.0".to_owned(),
            status: "active".to_owned(),
            link: None,
            packages_behind: 0,
            why: None,
        }
    }

    fn link(is_connected: bool, backlog: u64, lag_seconds: u64) -> Option<LinkNow> {
        let last_seen_at = Some(restock_names::Timestamp(1_700_000_000_000_000));
        Some(LinkNow { is_above: false, is_connected, is_revoked: false, last_seen_at, backlog, lag_seconds })
    }

    #[test]
    fn the_tree_shows_who_is_where_and_what_waits() {
        let mut sites = vec![
            row("AAA", Some("CEN"), SiteType::Primary),
            row("BBB", Some("CEN"), SiteType::Primary),
            row("CEN", None, SiteType::Central),
            row("S01", Some("AAA"), SiteType::Secondary),
            row("S02", Some("AAA"), SiteType::Secondary),
        ];
        sites[0].link = link(true, 0, 0);
        sites[1].link = link(false, 12, 61);
        sites[1].software = "restock 0.9.0".to_owned();
        sites[1].packages_behind = 3;
        sites[1].why = Some(Why::new("LINK_CONNECT", "failed to connect").with_fix("start site BBB"));
        sites[2].name = "Head\u{1b}[2J office".to_owned();
        let tree = SiteTree { site_code: "CEN".parse().unwrap(), sites };
        expect![[r#"
            Site       Type       Name                Link                                 Backlog        Lag  Behind  Version  Address
            CEN        central    Head\x1b[2J office  this site                                                     0  1.0.0    restock://cen.example:8720
            ├─ AAA     primary                        up                                         0          0       0  1.0.0    restock://aaa.example:8720
            │  ├─ S01  secondary                      -                                                             0  1.0.0    restock://s01.example:8720
            │  └─ S02  secondary                      -                                                             0  1.0.0    restock://s02.example:8720
            └─ BBB     primary                        down since 2023-11-14T22:13:20.000Z       12  1 min 1 s       3  0.9.0 *  restock://bbb.example:8720
            * BBB runs another version than CEN, which has 1.0.0.
            BBB: LINK_CONNECT: failed to connect
            Try: start site BBB
        "#]].assert_eq(&text(&tree, Style::plain()));
    }

    #[test]
    fn a_circle_of_sites_is_drawn_once() {
        let sites =
            vec![row("AAA", Some("BBB"), SiteType::Primary), row("BBB", Some("AAA"), SiteType::Primary)];
        let tree = SiteTree { site_code: "AAA".parse().unwrap(), sites };
        assert_eq!(text(&tree, Style::plain()).lines().count(), 3);
    }
}

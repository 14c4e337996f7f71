//! Every command's help as people read it.

use clap::CommandFactory;
use expect_test::expect_file;

use super::Arguments;

/// The leaves of the command tree with their words.
fn leaves(command: &clap::Command, words: &[String]) -> Vec<(Vec<String>, clap::Command)> {
    let below: Vec<&clap::Command> = command.get_subcommands().filter(|c| c.get_name() != "help").collect();
    if below.is_empty() {
        return vec![(words.to_vec(), command.clone())];
    }
    below.into_iter().flat_map(|c| leaves(c, &[words, &[c.get_name().to_owned()]].concat())).collect()
}

const DOCUMENT: &str = "\
# Commands

What `restock COMMAND --help` prints, kept equal to it by a test (`UPDATE_EXPECT=1 cargo test -p restock-cli` writes it).

";

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_has_help_with_an_example_and_json() {
    let mut whole = Arguments::command().term_width(100);
    whole.build();
    let mut text = format!("{DOCUMENT}## restock\n\n```\n{}```\n", whole.render_long_help());
    for (words, mut command) in leaves(&whole, &[]) {
        let help = command.render_long_help().to_string();
        let name = words.join(" ");
        assert!(help.contains("Example:\n"), "{name} has no example");
        assert!(help.contains("--json"), "{name} has no --json");
        text.push_str(&format!("\n## restock {name}\n\n```\n{help}```\n"));
    }
    let text: Vec<&str> = text.lines().map(str::trim_end).collect();
    expect_file!["../../../../docs/commands.md"].assert_eq(&format!("{}\n", text.join("\n")));
}

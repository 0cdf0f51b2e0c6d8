//! `docs/CLI.md`, made from the grammar. The page is committed, and this says so if it is not what the grammar says.

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};

use crate::args::Args;

const HEAD: &str = "\
# `aicpctl`: the reference

Made from the program's own grammar; a test compares. After a change: `AICP_REGENERATE=1 cargo test -p aicp-ctl reference`.

Data goes to standard output, talk to standard error. Errors say what, why, what happens now and how to mend it. Colours
are for terminals alone, and `NO_COLOR` switches them off. With `-o json` (or `--json`) every object carries its `schema`;
within one number, fields are only added. `aicpctl completion` makes the script of a shell, `aicpctl man` a page for
every verb.

| exit code | meaning |
|---|---|
| 0 | as asked |
| 1 | failed |
| 2 | what was asked for makes no sense |
| 3 | no daemon answers |
| 4 | no such agent, node or message |
| 5 | not allowed |
| 6 | too late |
| 7 | it ended without being handled |
| 8 | it works, and something should be mended (`status --check`, `doctor`) |
| 130 | interrupted |

`aicpctl check` ends with the codes that Nagios gave its plugins: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

";

#[test]
fn the_reference_is_what_the_grammar_says() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CLI.md");
    let made = page();
    if asked_to_write() {
        std::fs::write(&committed, &made).expect("it can be written");
    }
    let there = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(there == made, "run AICP_REGENERATE=1 cargo test -p aicp-ctl reference, and look at the difference");
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the test says whether the page is to be written")]
fn asked_to_write() -> bool {
    std::env::var_os("AICP_REGENERATE").is_some()
}

fn page() -> String {
    let mut grammar = Args::command().disable_help_subcommand(true);
    grammar.build();
    let mut out = String::from(HEAD);
    out.push_str("## Everywhere\n\n");
    let common: Vec<_> = grammar.get_arguments().filter(|arg| arg.is_global_set()).collect();
    arguments(&common, &mut out);
    for verb in grammar.get_subcommands() {
        describe(verb, "aicpctl", &mut out);
    }
    format!("{}\n", out.trim_end())
}

fn describe(verb: &Command, above: &str, out: &mut String) {
    if verb.is_hide_set() {
        return;
    }
    let name = format!("{above} {}", verb.get_name());
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = write!(out, "## `{name}`\n\n{about}\n\n");
    let verbs: Vec<_> = verb.get_subcommands().collect();
    if verbs.is_empty() {
        let usage = verb.clone().render_usage().to_string();
        let _ = write!(out, "    {}\n\n", usage.trim_start_matches("Usage: "));
    }
    let own: Vec<_> = verb.get_arguments().filter(|arg| !arg.is_global_set() && arg.get_id() != "help").collect();
    arguments(&own, out);
    if let Some(more) = verb.get_after_help() {
        let _ = write!(out, "```\n{more}\n```\n\n");
    }
    for verb in verbs {
        describe(verb, &name, out);
    }
}

fn arguments(all: &[&Arg], out: &mut String) {
    let shown: Vec<_> = all.iter().filter(|arg| !arg.is_hide_set()).collect();
    if shown.is_empty() {
        return;
    }
    out.push_str("| argument | meaning |\n|---|---|\n");
    for arg in shown {
        let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let line = format!("{about}{}{}", values(arg), default(arg)).replace('|', "\\|");
        let _ = writeln!(out, "| `{}` | {line} |", spelt(arg).replace('|', "\\|"));
    }
    out.push('\n');
}

/// As it is typed.
fn spelt(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let value = names.first().map(|name| format!("<{name}>")).unwrap_or_default();
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = arg.get_short().map(|short| format!("-{short}"));
    let both: Vec<_> = short.into_iter().chain(long).collect();
    match (both.is_empty(), arg.get_action().takes_values()) {
        (true, _) => value,
        (false, true) => format!("{} {value}", both.join(", ")),
        (false, false) => both.join(", "),
    }
}

fn values(arg: &Arg) -> String {
    let all = if arg.get_action().takes_values() { arg.get_possible_values() } else { Vec::new() };
    let said = all.iter().map(|value| {
        let about = value.get_help().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("`{}`{about}", value.get_name())
    });
    let said: Vec<_> = said.collect();
    if said.is_empty() { String::new() } else { format!(": {}", said.join(", ")) }
}

fn default(arg: &Arg) -> String {
    let values: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    let is_switch = !arg.get_action().takes_values();
    if is_switch || values.concat().is_empty() { String::new() } else { format!(" [default: {}]", values.join(", ")) }
}

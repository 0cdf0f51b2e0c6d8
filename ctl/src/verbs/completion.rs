//! `aicpctl completion`: the script of a shell. What stands in the grammar is in the script; names of agents and peers are
//! asked of the daemon at every press of the key (`names.rs`).

use clap::{Command, CommandFactory};
use clap_complete::Generator;
use clap_complete::shells::{Bash, Fish, Zsh};

use crate::args::{Args, Completion, Shell};
use crate::failure::{Exit, Failure};
use crate::render::Out;

/// What is put behind the script for names that only the daemon knows.
const LIVE_BASH: &str = include_str!("completion/live.bash");
const LIVE_ZSH: &str = include_str!("completion/live.zsh");
const LIVE_FISH: &str = include_str!("completion/live.fish");

/// Where the script for zsh gets its name, and where it is run.
const ZSH_NAMED: &str = "\n_aicpctl() {\n";
const ZSH_STATIC: &str = "\n_aicpctl_static() {\n";
const ZSH_RUN: &str = "\nif [ \"$funcstack[1]\" = \"_aicpctl\" ]";

pub(crate) fn run(asked: &Completion, out: Out) -> Result<(), Failure> {
    let script = match asked.shell {
        Shell::Bash => format!("{}\n{LIVE_BASH}", made(Bash)?),
        Shell::Zsh => {
            let made = made(Zsh)?;
            let (head, run) = made.split_once(ZSH_RUN).ok_or_else(changed)?;
            let (before, after) = head.split_once(ZSH_NAMED).ok_or_else(changed)?;
            format!("{before}{ZSH_STATIC}{after}\n{LIVE_ZSH}{ZSH_RUN}{run}")
        }
        Shell::Fish => format!("{}\n{LIVE_FISH}", made(Fish)?),
    };
    out.raw(&script);
    Ok(())
}

fn made(shell: impl Generator) -> Result<String, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut grammar(), "aicpctl", &mut script);
    String::from_utf8(script).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

/// All that people type.
fn grammar() -> Command {
    let grammar = Args::command();
    let hidden = grammar.get_subcommands().filter(|verb| verb.is_hide_set()).map(|verb| verb.get_name().to_owned());
    let hidden: Vec<_> = hidden.collect();
    // The makers of scripts know of hidden options, but not of hidden verbs.
    let shown = grammar.get_subcommands().filter(|verb| !hidden.contains(&verb.get_name().to_owned())).cloned();
    let shown: Vec<_> = shown.collect();
    let arguments: Vec<_> = grammar.get_arguments().cloned().collect();
    Command::new("aicpctl").disable_version_flag(true).args(arguments).subcommands(shown)
}

fn changed() -> Failure {
    Failure::new(Exit::Failed, "the script for zsh is not made as this program knows it")
}

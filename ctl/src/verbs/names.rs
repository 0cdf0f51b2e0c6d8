//! What the next word of a command line may be called: asked by the completion scripts at every press of the key. It
//! finds out which argument comes next, asks the daemon for the names that fit, and says nothing if there are none, or no
//! daemon. By how it ends the script knows whether the word is a name at all.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, Command, CommandFactory};
use client::{ClientError, Node};
use proto::Name;

use crate::args::{Args, Names};
use crate::failure::Exit;
use crate::render::Out;

/// Whoever types does not wait longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whose names may stand somewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Agents,
    Nodes,
    Both,
    /// Agents of this node, by their names alone.
    Own,
}

pub(crate) async fn run(asked: &Names, out: Out) -> ExitCode {
    let mut grammar = Args::command();
    grammar.build();
    let (kind, socket) = next(&grammar, &asked.words);
    let Some(kind) = kind else { return Exit::NotFound.into() };
    if let Ok(Ok(names)) = tokio::time::timeout(PATIENCE, names(kind, socket)).await {
        names.iter().for_each(|name| out.line(name));
    }
    ExitCode::SUCCESS
}

async fn names(kind: Kind, socket: Option<PathBuf>) -> Result<BTreeSet<String>, ClientError> {
    let node = Node::connect(socket.as_deref()).await?;
    let mut names = BTreeSet::new();
    if matches!(kind, Kind::Nodes | Kind::Both) {
        let status = node.status().await?;
        let nodes = std::iter::once(status.node_name).chain(status.peers.into_iter().map(|peer| peer.name));
        names.extend(nodes.filter(|name| Name::is_name(name)));
    }
    if kind != Kind::Nodes {
        for agent in node.agents().await?.agents {
            // A shell gets to see them: what is no name is left out.
            if !Name::is_name(&agent.name) || !Name::is_name(&agent.node_name) {
                continue;
            }
            match kind {
                Kind::Own if agent.local => drop(names.insert(agent.name)),
                Kind::Own => {}
                Kind::Agents | Kind::Nodes | Kind::Both => {
                    names.insert(format!("{}@{}", agent.name, agent.node_name));
                }
            }
        }
    }
    Ok(names)
}

/// Whose names may come after these words, and the socket that was named in them.
fn next(grammar: &Command, words: &[String]) -> (Option<Kind>, Option<PathBuf>) {
    let (mut command, mut pending, mut position, mut socket) = (grammar, None::<&Arg>, 0, None);
    for word in words {
        if let Some(arg) = pending.take() {
            if arg.get_id() == "socket" {
                socket = Some(PathBuf::from(word));
            }
        } else if let Some(option) = word.strip_prefix("--").filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
            let arg = command.get_arguments().find(|arg| arg.get_long() == Some(name));
            if let (Some("socket"), Some(value)) = (arg.map(|arg| arg.get_id().as_str()), value) {
                socket = Some(PathBuf::from(value));
            }
            pending = arg.filter(|arg| value.is_none() && takes_value(arg));
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            let arg = command.get_arguments().find(|arg| arg.get_short() == letters.chars().next());
            pending = arg.filter(|arg| letters.chars().count() == 1 && takes_value(arg));
        } else if let Some(verb) = command.find_subcommand(word).filter(|_| position == 0) {
            command = verb;
        } else {
            position += 1;
        }
    }
    let arg = pending.or_else(|| command.get_positionals().nth(position));
    (arg.and_then(kind), socket)
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// By what the argument is called in the grammar.
fn kind(arg: &Arg) -> Option<Kind> {
    match (arg.get_id().as_str(), arg.get_long()) {
        ("agent", _) => Some(Kind::Agents),
        ("node" | "peer", _) => Some(Kind::Nodes),
        ("who", _) => Some(Kind::Both),
        (_, Some("as")) => Some(Kind::Own),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_that_comes_next_is_found_in_any_command_line() {
        let mut grammar = Args::command();
        grammar.build();
        let cases: [(&[&str], Option<Kind>); 14] = [
            (&[], None),
            (&["ask"], Some(Kind::Agents)),
            (&["ask", "echo@alpha"], None),
            (&["ask", "--timeout"], None),
            (&["ask", "--timeout", "5s"], Some(Kind::Agents)),
            (&["ask", "--timeout=5s", "--durable"], Some(Kind::Agents)),
            (&["--json", "-o", "wide", "ping", "-c", "3"], Some(Kind::Agents)),
            (&["outbox", "ls", "--agent"], Some(Kind::Agents)),
            (&["outbox", "ls", "--node"], Some(Kind::Nodes)),
            (&["outbox", "show"], None),
            (&["agent", "show"], Some(Kind::Agents)),
            (&["whois"], Some(Kind::Both)),
            (&["recv", "--as"], Some(Kind::Own)),
            (&["bench", "latency"], Some(Kind::Agents)),
        ];
        for (words, wanted) in cases {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(next(&grammar, &words).0, wanted, "{words:?}");
        }
        let words = ["--socket", "/run/x", "ask", "--socket=/run/y"].map(str::to_owned);
        assert_eq!(next(&grammar, &words).1, Some(PathBuf::from("/run/y")));
    }
}

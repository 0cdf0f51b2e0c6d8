//! `aicpctl agents`, `aicpctl agent show`: who can be reached, and all that is known of one.

use client::{ClientError, ErrorCode};
use proto::control::DirectoryAgent;
use serde_json::{Value, json};

use super::node;
use crate::args::{AgentVerb, Agents, Common};
use crate::failure::{Exit, Failure};
use crate::render::{BOLD, DIM, Out, escape, long, size};

pub(crate) async fn run(common: &Common, asked: &Agents, out: Out) -> Result<(), Failure> {
    let mut found = node(common).await?.agents().await?;
    if let Some(wanted) = &asked.capability {
        found.agents.retain(|agent| agent.capabilities.contains(wanted));
    }
    out.object("agents", &found);
    if out.is_json() {
        return Ok(());
    }
    match (&asked.capability, found.agents.is_empty()) {
        (None, true) => out.talk("nobody is known yet; an agent is known once it has been attached"),
        (Some(wanted), true) => out.talk(format_args!("nobody says that it can do {}", escape(wanted))),
        (_, false) => {
            let head = ["AGENT", "ID", "STATE", "CAPABILITIES"].map(String::from).to_vec();
            let rows = found
                .agents
                .iter()
                .map(|agent| vec![address(agent), out.id(&agent.id), state(agent).into(), listed(&agent.capabilities)]);
            out.table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
        }
    }
    Ok(())
}

pub(crate) async fn show(common: &Common, asked: &AgentVerb, out: Out) -> Result<(), Failure> {
    let AgentVerb::Show(asked) = asked;
    let node = node(common).await?;
    // The same rules as for a message, so that it is the one that a message would go to.
    let who = node.resolve(&asked.agent).await.map_err(|error| unknown(&asked.agent, error))?;
    let found = node.agents().await?.agents;
    let Some(agent) = found.iter().find(|agent| agent.id == who.agent_id && agent.node_id == who.node_id) else {
        return Err(Failure::new(Exit::NotFound, format!("{} is gone", asked.agent)).fix("aicpctl agents"));
    };
    let ours = node.status().await?.agents;
    let waiting = ours.iter().find(|ours| agent.local && ours.id == agent.id);
    let mut told = serde_json::to_value(agent).unwrap_or_default();
    if let (Some(told), Some(waiting)) = (told.as_object_mut(), waiting) {
        let (bytes, oldest) = (waiting.waiting_bytes, waiting.oldest_ms);
        let more = json!({ "waiting": waiting.waiting, "waiting_bytes": bytes, "oldest_ms": oldest });
        told.extend(more.as_object().cloned().unwrap_or_default());
    }
    out.object("agent", told);
    let line = |word: &str, text: String| out.line(format_args!("  {DIM}{word:<12}{DIM:#} {text}"));
    out.line(format_args!("{BOLD}{}{BOLD:#}", address(agent)));
    line("id", escape(&agent.id));
    line("node", format!("{} {}", escape(&agent.node_name), escape(&agent.node_id)));
    line("state", state(agent).into());
    line("capabilities", listed(&agent.capabilities));
    line("topics", listed(&agent.topics));
    if let Some(waiting) = waiting.filter(|waiting| waiting.waiting > 0) {
        let (bytes, oldest) = (size(waiting.waiting_bytes), long(waiting.oldest_ms));
        line("waiting", format!("{} ({bytes}, oldest {oldest})", waiting.waiting));
    }
    Ok(())
}

fn unknown(agent: &str, error: ClientError) -> Failure {
    if let ClientError::Refused { code: ErrorCode::OFFLINE, message, .. } = error {
        return Failure::new(Exit::NotFound, format!("nobody is known as {agent}")).why(message).fix("aicpctl agents");
    }
    Failure::about(agent, error)
}

/// As messages are addressed to it.
pub(super) fn address(agent: &DirectoryAgent) -> String {
    format!("{}@{}", escape(&agent.name), escape(&agent.node_name))
}

pub(super) const fn state(agent: &DirectoryAgent) -> &'static str {
    match (agent.local, agent.attached) {
        (true, true) => "● attached",
        (true, false) => "○ away",
        (false, _) => "elsewhere",
    }
}

fn listed(texts: &[String]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| escape(text)).collect();
    if texts.is_empty() { "-".into() } else { texts.join(", ") }
}

/// What is told of an agent where it is one of several things.
pub(super) fn in_json(agent: &DirectoryAgent) -> Value {
    serde_json::to_value(agent).unwrap_or_default()
}

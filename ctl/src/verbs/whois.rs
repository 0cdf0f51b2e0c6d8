//! `aicpctl whois`: what a name or an id stands for, among all that this node knows.

use proto::control::{DirectoryAgent, NodeStatus};
use serde_json::{Value, json};

use super::{agents, node};
use crate::args::{Common, Whois};
use crate::failure::{Exit, Failure};
use crate::render::{BOLD, Out, escape};

/// A node, and what it is to the one that answers.
struct Known {
    name: String,
    id: String,
    state: String,
    address: String,
}

pub(crate) async fn run(common: &Common, asked: &Whois, out: Out) -> Result<(), Failure> {
    let node = node(common).await?;
    let nodes: Vec<_> = known(&node.status().await?).into_iter().filter(|node| is_node(node, &asked.who)).collect();
    let mut found = node.agents().await?.agents;
    found.retain(|agent| is_agent(agent, &asked.who));
    if nodes.is_empty() && found.is_empty() {
        return Err(nobody(&asked.who));
    }
    let in_json =
        |node: &Known| json!({ "name": node.name, "id": node.id, "state": node.state, "address": node.address });
    out.object(
        "whois",
        json!({
            "asked": asked.who,
            "nodes": nodes.iter().map(in_json).collect::<Vec<Value>>(),
            "agents": found.iter().map(agents::in_json).collect::<Vec<Value>>(),
        }),
    );
    for node in &nodes {
        let (name, id, state) = (escape(&node.name), escape(&node.id), escape(&node.state));
        out.line(format_args!("node  {BOLD}{name}{BOLD:#}  {id}  {state}  {}", escape(&node.address)));
    }
    for agent in &found {
        let (address, id) = (agents::address(agent), escape(&agent.id));
        out.line(format_args!("agent {BOLD}{address}{BOLD:#}  {id}  {}", agents::state(agent)));
    }
    Ok(())
}

fn known(status: &NodeStatus) -> Vec<Known> {
    let us = Known {
        name: status.node_name.clone(),
        id: status.node_id.clone(),
        state: "this node".into(),
        address: status.listen.join(", "),
    };
    let peers = status.peers.iter().map(|peer| Known {
        name: peer.name.clone(),
        id: peer.id.clone(),
        state: peer.state.clone(),
        address: peer.address.clone(),
    });
    std::iter::once(us).chain(peers).collect()
}

fn is_node(node: &Known, who: &str) -> bool {
    node.name == who || is_id(&node.id, who)
}

fn is_agent(agent: &DirectoryAgent, who: &str) -> bool {
    let is_address = who.split_once('@').is_some_and(|(name, node)| agent.name == name && agent.node_name == node);
    agent.name == who || is_address || is_id(&agent.id, who)
}

/// The whole id, or its short form as lists and logs show it.
fn is_id(id: &str, who: &str) -> bool {
    id == who || id.parse::<client::AgentId>().is_ok_and(|id| id.short() == who)
}

fn nobody(who: &str) -> Failure {
    let failure = Failure::new(Exit::NotFound, format!("this node knows nobody as {who}"));
    match who.parse::<client::AgentId>() {
        Ok(_) => failure.why("it is an id, and no node or agent that is known here has it"),
        Err(_) => failure.why("neither a node nor an agent is called so, and it is no id"),
    }
    .fix("aicpctl agents, aicpctl status")
}

//! `aicpctl agents`: who can be reached.

use super::{node, short_id};
use crate::args::Common;
use crate::failure::Failure;
use crate::render::{Out, escape};

pub(crate) async fn run(common: &Common, out: Out) -> Result<(), Failure> {
    let found = node(common).await?.agents().await?;
    out.object("agents", &found);
    if out.is_json() {
        return Ok(());
    }
    if found.agents.is_empty() {
        out.talk("nobody is known yet; an agent is known once it has been attached");
        return Ok(());
    }
    let head = ["AGENT", "ID", "STATE", "CAPABILITIES"].map(String::from).to_vec();
    let rows = found.agents.iter().map(|agent| {
        let state = match (agent.local, agent.attached) {
            (true, true) => "● attached",
            (true, false) => "○ away",
            (false, _) => "elsewhere",
        };
        let capabilities: Vec<_> = agent.capabilities.iter().map(|capability| escape(capability)).collect();
        let address = format!("{}@{}", escape(&agent.name), escape(&agent.node_name));
        vec![address, short_id(&agent.id), state.into(), capabilities.join(", ")]
    });
    out.table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    Ok(())
}

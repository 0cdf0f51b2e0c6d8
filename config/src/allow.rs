//! `[[allow]]`: who may send what to agents of this node. Here is judged whether a rule can be one; what it lets through,
//! the core judges.

use proto::{AgentId, NodeId, limits};
use serde::Deserialize;

use crate::key::ALLOW;
use crate::{ConfigError, Origin};

/// A rule as it stands in a file.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each is a key of aicpd.toml, which says what it is")]
pub struct RawAllow {
    pub name: Option<String>,
    pub to: Option<String>,
    pub from: Option<String>,
    pub node: Option<String>,
    pub capability: Option<String>,
    pub subject: Option<String>,
}

impl RawAllow {
    /// What may stand in one.
    pub const KEYS: &[&str] = &["name", "to", "from", "node", "capability", "subject"];
}

/// A rule. What is `None` is not asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Allow {
    /// What it is called. Each rule has a name of its own.
    pub name: String,
    /// The agents of this node that it is for: a pattern.
    pub to: String,
    /// Who may send to them: a pattern, `agent` or `agent@node`, or an id.
    pub from: Option<String>,
    /// The nodes that they are on: a pattern or an id.
    pub node: Option<String>,
    /// The capability that a message asks for: a pattern.
    pub capability: Option<String>,
    /// What it is about: a pattern.
    pub subject: Option<String>,
    /// Where it stands.
    pub origin: Origin,
}

/// Judges all of them. One without a name is called by its place.
pub(crate) fn check(raw: Vec<(RawAllow, Origin)>) -> Result<Vec<Allow>, ConfigError> {
    let mut rules: Vec<Allow> = Vec::with_capacity(raw.len());
    for (at, (raw, origin)) in raw.into_iter().enumerate() {
        let bad = |value: &str, why: &str| ConfigError::Value {
            key: ALLOW,
            value: value.into(),
            from: origin.to_string(),
            why: why.into(),
        };
        if at >= limits::ALLOW_RULES_MAX {
            return Err(bad("…", &format!("at most {} rules", limits::ALLOW_RULES_MAX)));
        }
        let name = raw.name.unwrap_or_else(|| format!("rule-{}", at + 1));
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > limits::NAME_BYTES_MAX || !name.chars().all(is_word) {
            return Err(bad(&name, "a rule's name is 1 to 63 characters of a-z A-Z 0-9 . _ -"));
        }
        if rules.iter().any(|rule| rule.name == name) {
            return Err(bad(&name, "another rule has that name"));
        }
        for text in [&raw.to, &raw.from, &raw.node, &raw.capability, &raw.subject].into_iter().flatten() {
            if text.is_empty() || text.len() > limits::ALLOW_TEXT_BYTES_MAX || text.chars().any(char::is_control) {
                return Err(bad(text, "a text with a * for any characters; left out, it is not asked for"));
            }
        }
        let to = raw.to.ok_or_else(|| bad(&name, "a rule says which agents it is for: to = \"NAME\", or \"*\""))?;
        if !is_name(&to) {
            return Err(bad(&to, "`to` is the name of an agent of this node; it may have a * for any characters"));
        }
        if let Some(from) = raw.from.as_ref().filter(|from| !is_who(from)) {
            return Err(bad(from, "`from` is agent@node, agent, or an id; names may have a * for any characters"));
        }
        if let Some(node) = raw.node.as_ref().filter(|node| !is_name(node) && node.parse::<NodeId>().is_err()) {
            return Err(bad(node, "`node` is the name or the id of a node; a name may have a * for any characters"));
        }
        let RawAllow { from, node, capability, subject, .. } = raw;
        rules.push(Allow { name, to, from, node, capability, subject, origin });
    }
    Ok(rules)
}

/// What a name may be, and stars.
fn is_name(text: &str) -> bool {
    let may_stand = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '*');
    !text.is_empty() && text.chars().all(may_stand)
}

fn is_who(text: &str) -> bool {
    text.parse::<AgentId>().is_ok()
        || text.split_once('@').map_or_else(|| is_name(text), |(agent, node)| is_name(agent) && is_name(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(raw: RawAllow) -> Result<Vec<Allow>, String> {
        check(vec![(raw, Origin::Default)]).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rule_that_can_let_nothing_through_or_says_nothing_is_told_with_what_it_should_be() {
        let to = |to: &str| RawAllow { to: Some(to.into()), ..RawAllow::default() };
        let from = |from: &str| RawAllow { from: Some(from.into()), ..to("writer") };
        assert!(checked(RawAllow::default()).expect_err("for nobody").contains("to = \"NAME\""));
        for wrong in ["", "Writer", "a b", "writer@alpha"] {
            assert!(checked(to(wrong)).is_err(), "{wrong}");
        }
        for right in ["planner", "planner@alpha", "*@beta", "plan-*@*"] {
            assert!(checked(from(right)).is_ok(), "{right}");
        }
        for wrong in ["planner@", "@alpha", "a@b@c", "Planner", "aicp1xyz@alpha!"] {
            assert!(checked(from(wrong)).expect_err(wrong).contains("`from` is agent@node"), "{wrong}");
        }
        let two =
            vec![(to("a"), Origin::Default), (RawAllow { name: Some("rule-1".into()), ..to("b") }, Origin::Default)];
        assert!(check(two).expect_err("one name").to_string().contains("another rule has that name"));
    }
}

//! Who may send what to whom, as the operator of the destination's node says. Rules only allow: while none is for an
//! agent, everybody in the mesh may send to it; once one is, what one of them allows, and nothing else. It judges what
//! an agent would receive, and never what it already has, nor the answers that it waits for.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proto::control::{AllowReply, AllowTest, schema};
use proto::metadata::Key;
use proto::{AgentId, ErrorCode, Metadata, Name, NodeId};

use crate::listing::Unanswered;
use crate::node::Node;
use crate::rules::Rule;

/// A text in which each `*` stands for any characters, or for none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(Box<str>);

/// Whom a rule means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Who {
    /// One agent, whatever it is called.
    Id(AgentId),
    /// All of these names.
    Named {
        /// The agent's.
        agent: Pattern,
        /// Its node's.
        node: Pattern,
    },
}

/// Which nodes a rule means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Where {
    /// One node, whatever it is called.
    Id(NodeId),
    /// All of these names.
    Named(Pattern),
}

/// A rule. Everything in it must fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Allow {
    /// What it is called.
    pub name: Box<str>,
    /// The agents of this node that it is for.
    pub to: Pattern,
    /// Who may send to them.
    pub from: Option<Who>,
    /// From which nodes.
    pub node: Option<Where>,
    /// The capability that is asked for.
    pub capability: Option<Pattern>,
    /// What it is about.
    pub subject: Option<Pattern>,
}

/// All rules of a node.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Policy {
    rules: Vec<Allow>,
}

/// A message, as far as rules ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) to: &'a str,
    /// Who sends it, if that is known.
    pub(crate) source: Option<AgentId>,
    pub(crate) source_name: &'a str,
    pub(crate) node: Option<NodeId>,
    pub(crate) node_name: &'a str,
    pub(crate) capability: Option<&'a str>,
    pub(crate) subject: Option<&'a str>,
}

/// What rules say of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict<'a> {
    /// No rule is for its destination.
    Open,
    /// This one allows it.
    Allowed(&'a Allow),
    /// None does. This one comes nearest.
    Refused(&'a Allow),
}

impl Pattern {
    /// Any text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether all of `text` fits. It takes at most one step back a star, so no text makes it slow.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
        let Some(mut part) = parts.next() else { return rest.is_empty() };
        for next in parts {
            let Some((_, after)) = rest.split_once(part) else { return false };
            rest = after;
            part = next;
        }
        rest.ends_with(part)
    }

    /// As it is written.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl Who {
    /// An id, `agent@node`, or `agent` for one of that name on any node; names may be patterns.
    #[must_use]
    pub fn new(text: &str) -> Self {
        if let Ok(id) = text.parse() {
            return Self::Id(id);
        }
        let (agent, node) = text.split_once('@').unwrap_or((text, "*"));
        Self::Named { agent: Pattern::new(agent), node: Pattern::new(node) }
    }

    fn fits(&self, question: &Question<'_>) -> bool {
        match self {
            Self::Id(id) => question.source == Some(*id),
            Self::Named { agent, node } => agent.fits(question.source_name) && node.fits(question.node_name),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Id(id) => format!("{id}"),
            Self::Named { agent, node } => format!("{}@{}", agent.as_str(), node.as_str()),
        }
    }
}

impl Where {
    /// An id or a name, which may be a pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Named(Pattern::new(text)), Self::Id)
    }

    fn fits(&self, question: &Question<'_>) -> bool {
        match self {
            Self::Id(id) => question.node == Some(*id),
            Self::Named(pattern) => pattern.fits(question.node_name),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Id(id) => format!("{id}"),
            Self::Named(pattern) => pattern.as_str().into(),
        }
    }
}

impl Allow {
    /// What of it a message does not fit, in the order in which it is written.
    fn misses(&self, question: &Question<'_>) -> impl Iterator<Item = (&'static str, String)> {
        let text_fits = |pattern: &Pattern, text: Option<&str>| pattern.fits(text.unwrap_or_default());
        let from = self.from.as_ref().filter(|from| !from.fits(question)).map(|from| ("senders", from.text()));
        let node = self.node.as_ref().filter(|node| !node.fits(question)).map(|node| ("nodes", node.text()));
        let capability = self.capability.as_ref().filter(|pattern| !text_fits(pattern, question.capability));
        let subject = self.subject.as_ref().filter(|pattern| !text_fits(pattern, question.subject));
        let capability = capability.map(|pattern| ("capabilities", pattern.as_str().into()));
        let subject = subject.map(|pattern| ("subjects", pattern.as_str().into()));
        [from, node, capability, subject].into_iter().flatten()
    }
}

impl Policy {
    /// These rules, in this order.
    #[must_use]
    pub const fn new(rules: Vec<Allow>) -> Self {
        Self { rules }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(crate) fn judge(&self, question: &Question<'_>) -> Verdict<'_> {
        let mut nearest: Option<(usize, &Allow)> = None;
        for rule in self.rules.iter().filter(|rule| rule.to.fits(question.to)) {
            let misses = rule.misses(question).count();
            if misses == 0 {
                return Verdict::Allowed(rule);
            }
            if nearest.is_none_or(|(fewest, _)| misses < fewest) {
                nearest = Some((misses, rule));
            }
        }
        nearest.map_or(Verdict::Open, |(_, rule)| Verdict::Refused(rule))
    }
}

impl Node {
    /// From here on these rules hold. What was taken before stays.
    pub(crate) fn take_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Why an agent of this node does not take this, if it does not.
    pub(crate) fn refused_by_policy(
        &self,
        source: AgentId,
        destination: AgentId,
        metadata: &Metadata,
    ) -> Option<String> {
        if self.policy.is_empty() || !self.rules.hold(Rule::PolicyRefuses) {
            return None;
        }
        let to = self.locals.agents.get(&destination)?;
        let (name, node, node_name) = self.sender(source);
        let question = Question {
            to: to.hosted.name.as_str(),
            source: Some(source),
            source_name: name.as_ref().map_or("", Name::as_str),
            node,
            node_name: node_name.as_ref().map_or("", Name::as_str),
            capability: metadata.text(Key::Capability),
            subject: metadata.subject(),
        };
        match self.policy.judge(&question) {
            Verdict::Open | Verdict::Allowed(_) => None,
            Verdict::Refused(nearest) => Some(refusal(&question, nearest)),
        }
    }

    /// An agent's name, its node, and what that is called, as far as they are known. What is not known fits no name.
    fn sender(&self, agent: AgentId) -> (Option<Name>, Option<NodeId>, Option<Name>) {
        let local = self.locals.agents.get(&agent).map(|local| local.hosted.name.clone());
        let node = if local.is_some() { Some(self.node_id()) } else { self.directory.host(agent) };
        let name = local.or_else(|| self.directory.record(agent).map(|record| record.name.clone()));
        (name, node, node.and_then(|node| self.node_name(node)))
    }

    /// What rules would say of a message that somebody might send.
    pub fn test_policy(&self, asked: &AllowTest) -> Result<AllowReply, Unanswered> {
        let malformed = |words: &'static str| Unanswered { code: ErrorCode::MALFORMED, words: words.into() };
        let (agent, node) = asked.source.split_once('@').unwrap_or((&asked.source, self.me.name.as_str()));
        let to = match asked.destination.split_once('@') {
            Some((to, node)) if node == self.me.name.as_str() => to,
            Some(_) => return Err(malformed("the destination's own node judges; ask there")),
            None => &asked.destination,
        };
        if agent.is_empty() || to.is_empty() {
            return Err(malformed("a test names who sends and to whom"));
        }
        let known = asked.source.parse().ok().or_else(|| self.find_name(&format!("{agent}@{node}")).ok());
        let (name, host, host_name) = known.map(|known| self.sender(known)).unwrap_or_default();
        let given = |text: &'_ str| -> Option<String> { (!text.is_empty()).then(|| text.into()) };
        let (capability, subject) = (given(&asked.capability), given(&asked.subject));
        let question = Question {
            to,
            source: known,
            source_name: name.as_ref().map_or(agent, Name::as_str),
            node: host.or_else(|| self.node_named(&node.parse().ok()?).ok()),
            node_name: host_name.as_ref().map_or(node, Name::as_str),
            capability: capability.as_deref(),
            subject: subject.as_deref(),
        };
        let (allowed, rule, words) = match self.policy.judge(&question) {
            Verdict::Open => (true, "", format!("no rule is for {to}, so every agent of the mesh may send to it")),
            Verdict::Allowed(rule) => (true, &*rule.name, format!("rule {} allows it", rule.name)),
            Verdict::Refused(nearest) => (false, &*nearest.name, refusal(&question, nearest)),
        };
        Ok(AllowReply { schema: schema::ALLOW.into(), allowed, rule: rule.into(), words })
    }
}

/// For whoever was refused, and for whoever could allow it.
fn refusal(question: &Question<'_>, nearest: &Allow) -> String {
    let Question { to, source_name, node_name, .. } = *question;
    let misses: Vec<String> = nearest.misses(question).map(|(what, text)| format!("{what} {}", word(&text))).collect();
    let mut would =
        format!("aicpctl allow add --to {} --from {}", word(to), word(&format!("{source_name}@{node_name}")));
    for (flag, text) in [(" --capability ", question.capability), (" --subject ", question.subject)] {
        if let Some(text) = text {
            would.push_str(flag);
            would.push_str(&word(text));
        }
    }
    let (name, misses) = (&nearest.name, misses.join(", "));
    format!(
        "no rule allows {source_name}@{node_name} to send this to {to}: {name} comes nearest, and is for {misses}; this would allow it: {would}"
    )
}

/// As a shell takes it for one word, whatever stands in it: others choose subjects.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '/' | ':' | '+');
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_or_none() {
        for (pattern, fits, fits_not) in [
            ("*", &["", "a", "a.b"][..], &[][..]),
            ("draft", &["draft"], &["", "drafts", "adraft"]),
            ("draft.*", &["draft.", "draft.x", "draft.x.y"], &["draft", "a.draft.x"]),
            ("*.log", &[".log", "a.log", "a.log.log"], &["log", "a.logs"]),
            ("a*b*c", &["abc", "axbxc", "abcbc", "abbc"], &["ac", "acb", "abx"]),
            ("**", &["", "x"], &[]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("ü*", &["ü", "über"], &["u"]),
            ("", &[""], &["a"]),
        ] {
            let pattern = Pattern::new(pattern);
            fits.iter().for_each(|text| assert!(pattern.fits(text), "{pattern:?} {text}"));
            fits_not.iter().for_each(|text| assert!(!pattern.fits(text), "{pattern:?} {text}"));
        }
    }

    fn rule(name: &str, to: &str, from: Option<&str>, subject: Option<&str>) -> Allow {
        Allow {
            name: name.into(),
            to: Pattern::new(to),
            from: from.map(Who::new),
            node: None,
            capability: None,
            subject: subject.map(Pattern::new),
        }
    }

    fn question<'a>(to: &'a str, source_name: &'a str, subject: &'a str) -> Question<'a> {
        let (source, node) = (Some(AgentId::new([1; 32])), Some(NodeId::new(AgentId::new([2; 32]))));
        let node_name = "alpha";
        Question { to, source, source_name, node, node_name, capability: None, subject: Some(subject) }
    }

    #[test]
    fn an_agent_without_rules_is_open_and_one_with_rules_takes_what_one_of_them_allows() {
        let policy = Policy::new(
            [
                rule("one", "writer", Some("planner@alpha"), None),
                rule("two", "writer", Some("*@beta"), None),
                rule("three", "writer", None, Some("ping.*")),
            ]
            .into(),
        );
        let name = |question: &Question<'_>| match policy.judge(question) {
            Verdict::Open => "open".into(),
            Verdict::Allowed(rule) => rule.name.clone(),
            Verdict::Refused(_) => "refused".into(),
        };
        assert_eq!(&*name(&question("reader", "x", "y")), "open");
        assert_eq!(&*name(&question("writer", "planner", "y")), "one");
        assert_eq!(&*name(&question("writer", "x", "ping.1")), "three");
        assert_eq!(&*name(&question("writer", "x", "y")), "refused");
        let id = format!("{}", AgentId::new([1; 32]));
        let by_id = Policy::new([rule("id", "*", Some(&id), None)].into());
        assert!(matches!(by_id.judge(&question("any", "x", "y")), Verdict::Allowed(_)));
    }

    #[test]
    fn all_that_a_rule_names_must_fit_and_what_a_message_does_not_say_fits_no_name() {
        let near = Question { capability: Some("draft"), ..question("writer", "planner", "x") };
        let id = format!("{}", NodeId::new(AgentId::new([2; 32])));
        let on = |node: &str| Allow { node: Some(Where::new(node)), ..rule("on", "writer", None, None) };
        let can = |capability: &str| Allow { capability: Some(Pattern::new(capability)), ..on("alpha") };
        let other = format!("{}", NodeId::new(AgentId::new([3; 32])));
        for (rule, is_allowed) in [
            (on("alpha"), true),
            (on("al*"), true),
            (on(&id), true),
            (on("beta"), false),
            (on(&other), false),
            (can("draft"), true),
            (can("d*"), true),
            (can("publish"), false),
            (Allow { node: Some(Where::new("beta")), ..can("draft") }, false),
        ] {
            let policy = Policy::new([rule].into());
            assert_eq!(matches!(policy.judge(&near), Verdict::Allowed(_)), is_allowed, "{policy:?}");
        }
        let policy = Policy::new([can("draft")].into());
        let silent = Question { capability: None, ..near };
        assert!(matches!(policy.judge(&silent), Verdict::Refused(_)), "it asks for no capability");
    }

    #[test]
    fn a_refusal_names_the_nearest_rule_and_a_command_that_a_shell_takes_as_it_stands() {
        let policy = Policy::new(
            [rule("far", "writer", Some("a@b"), Some("c")), rule("near", "writer", Some("planner"), Some("draft.*"))]
                .into(),
        );
        let question = question("writer", "planner", "x'; reboot '");
        let Verdict::Refused(nearest) = policy.judge(&question) else { panic!("it is refused") };
        let words = refusal(&question, nearest);
        assert!(words.contains("near comes nearest, and is for subjects 'draft.*'"), "{words}");
        let would = r"aicpctl allow add --to writer --from planner@alpha --subject 'x'\''; reboot '\'''";
        assert!(words.ends_with(would), "{words}");
    }
}

//! The operator's rules in the core's words. What they let through, the core judges.

use config::Config;
use mesh::{Allow, Pattern, Policy, Where, Who};

/// All rules, in the order in which they were read.
pub(crate) fn policy(config: &Config) -> Policy {
    let rule = |rule: &config::Allow| Allow {
        name: rule.name.as_str().into(),
        to: Pattern::new(&rule.to),
        from: rule.from.as_deref().map(Who::new),
        node: rule.node.as_deref().map(Where::new),
        capability: rule.capability.as_deref().map(Pattern::new),
        subject: rule.subject.as_deref().map(Pattern::new),
    };
    Policy::new(config.allow.iter().map(rule).collect())
}

//! What a configuration comes to, key by key: the value that holds, as TOML writes it, and where it stands.

use proto::control::{ConfigKey, ConfigRule, NodeConfig, schema};
use toml::Value;

use crate::key::{ALLOW, KEYS};
use crate::limits::written;
use crate::{Config, ConfigError, Key, LogFormat, Origin, load};

/// A key, its value, and where that stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The key.
    pub key: &'static Key,
    /// As TOML writes it. What is not set and has no default is an empty text.
    pub value: String,
    /// Where it stands.
    pub origin: Origin,
}

impl Config {
    /// All keys.
    pub fn values(&self) -> impl Iterator<Item = Shown> {
        KEYS.iter().map(|key| Shown { key, value: self.value(key.name), origin: self.sources.origin(key.name) })
    }

    /// All of it as it is told to people and programs.
    #[must_use]
    pub fn told(&self) -> NodeConfig {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let keys = self.values().map(|shown| ConfigKey {
            key: shown.key.name.into(),
            value: shown.value,
            origin: shown.origin.to_string(),
            live: shown.key.is_live,
        });
        let rules = self.allow.iter().map(|rule| ConfigRule {
            name: rule.name.clone(),
            to: rule.to.clone(),
            from: text(&rule.from),
            node: text(&rule.node),
            capability: text(&rule.capability),
            subject: text(&rule.subject),
            origin: rule.origin.to_string(),
        });
        NodeConfig {
            schema: schema::CONFIG.into(),
            file: self.sources.file.as_ref().map_or_else(String::new, |file| file.display().to_string()),
            keys: keys.collect(),
            rules: rules.collect(),
            needs_restart: Vec::new(),
        }
    }

    /// The value that holds for a key, as TOML writes it. Empty for a key that is none.
    #[must_use]
    pub fn value(&self, key: &str) -> String {
        let limits = &self.limits;
        let text = |text: &str| Value::from(text).to_string();
        let count = |count: usize| count.to_string();
        let size = |bytes: u64| text(&written(bytes));
        match key {
            "node.name" => text(self.node_name.as_str()),
            "node.state_dir" => text(&self.state_dir.to_string_lossy()),
            "socket.path" => text(&self.socket.path.to_string_lossy()),
            "socket.mode" => text(&format!("{:04o}", self.socket.mode)),
            "socket.group" => text(self.socket.group.as_deref().unwrap_or_default()),
            "socket.admin_group" => text(self.socket.admin_group.as_deref().unwrap_or_default()),
            "mesh.listen" => text(&self.mesh.listen.map_or_else(String::new, |listen| listen.to_string())),
            "mesh.peers" => list(self.mesh.peers.iter().map(ToString::to_string)),
            "mesh.advertise" => list(self.mesh.advertise.iter().map(ToString::to_string)),
            "mesh.max_hops" => self.mesh.hops.to_string(),
            "store.limit" => size(self.store_limit),
            "log.level" => text(&self.log.level),
            "log.format" => text(match self.log.format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            }),
            "metrics.listen" => text(&self.metrics.as_ref().map_or_else(String::new, ToString::to_string)),
            "limits.outbox_messages" => count(limits.outbox_messages),
            "limits.outbox_bytes" => size(limits.outbox_bytes),
            "limits.mailbox_messages" => count(limits.mailbox_messages),
            "limits.mailbox_bytes" => size(limits.mailbox_bytes),
            "limits.pair_messages" => count(limits.pair_messages),
            "limits.pair_bytes" => size(limits.pair_bytes),
            "limits.peer_messages" => count(limits.peer_messages),
            "limits.peer_bytes" => size(limits.peer_bytes),
            "limits.node_bytes" => size(limits.node_bytes),
            "limits.deliveries" => limits.deliveries.to_string(),
            _ => String::new(),
        }
    }

    /// The keys that hold something else in `new`, the rules under [`ALLOW`]: those that can change at once, and those
    /// that need a restart.
    #[must_use]
    pub fn changes(&self, new: &Self) -> (Vec<&'static str>, Vec<&'static str>) {
        let changed = KEYS.iter().filter(|key| self.value(key.name) != new.value(key.name));
        let (live, other): (Vec<&Key>, Vec<&Key>) = changed.partition(|key| key.is_live);
        let names = |keys: Vec<&Key>| keys.into_iter().map(|key| key.name).collect::<Vec<_>>();
        let mut live = names(live);
        if self.allow != new.allow {
            live.push(ALLOW);
        }
        (live, names(other))
    }

    /// With what can change at once as it is in `new`, and all else as it is here.
    #[must_use]
    pub fn with_live_of(&self, new: &Self) -> Self {
        let mut next = self.clone();
        next.socket = crate::Socket { path: self.socket.path.clone(), ..new.socket.clone() };
        next.log.level.clone_from(&new.log.level);
        next.limits = new.limits;
        next.mesh.advertise.clone_from(&new.mesh.advertise);
        next.allow.clone_from(&new.allow);
        for key in KEYS.iter().filter(|key| key.is_live) {
            next.sources.origins.remove(key.name);
            if let Some(origin) = new.sources.origins.get(key.name) {
                next.sources.origins.insert(key.name, origin.clone());
            }
        }
        next
    }

    /// Loads it again from where it came: what stands there by now.
    pub fn again(&self) -> Result<Self, ConfigError> {
        load(&self.sources.flags)
    }
}

fn list(elements: impl Iterator<Item = String>) -> String {
    Value::Array(elements.map(Value::from).collect()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::load_on;
    use crate::{Flags, Host};

    fn loaded(file: &std::path::Path, text: &str) -> Config {
        std::fs::write(file, text).expect("written");
        let flags = Flags { config: Some(file.into()), state_dir: Some("/tmp/x".into()), ..Flags::default() };
        load_on(&flags, &Host::default()).expect("loaded")
    }

    #[test]
    fn what_is_shown_of_every_key_says_the_same_when_it_is_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let before =
            loaded(&folder.path().join("a.toml"), "[mesh]\nadvertise = [\"a:1\"]\n[limits]\nmailbox_messages = 5\n");
        let mut table = toml::Table::new();
        for shown in before.values() {
            let (section, name) = shown.key.parts();
            let value: toml::Table = format!("v = {}", shown.value).parse().expect("TOML");
            let there = table.entry(section).or_insert_with(|| Value::Table(toml::Table::new()));
            there.as_table_mut().expect("a table").insert(name.into(), value["v"].clone());
        }
        let after = loaded(&folder.path().join("b.toml"), &table.to_string());
        assert_eq!(before.changes(&after), (vec![], vec![]));
    }

    #[test]
    fn a_change_is_live_or_needs_a_restart_and_only_the_live_one_is_taken_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = loaded(&folder.path().join("a.toml"), "");
        let text = "[log]\nlevel = \"warn\"\nformat = \"json\"\n[limits]\nmailbox_messages = 5\n[mesh]\nmax_hops = 3\nadvertise = [\"a:1\"]\n[[allow]]\nto = \"a\"\n";
        let new = loaded(&folder.path().join("b.toml"), text);
        let (live, other) = old.changes(&new);
        assert_eq!(live, ["mesh.advertise", "log.level", "limits.mailbox_messages", "limits.pair_messages", "allow"]);
        assert_eq!(other, ["mesh.max_hops", "log.format"]);
        let next = old.with_live_of(&new);
        assert_eq!(old.changes(&next), (live, vec![]), "what is live holds");
        assert_eq!(next.changes(&new), (vec![], other), "what is not, does not");
    }
}

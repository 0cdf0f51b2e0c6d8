//! Mirrors the file: strings and options, nothing checked but that each key is one.

use std::path::Path;

use serde::Deserialize;

use crate::ConfigError;
use crate::limits::RawLimits;

/// Sections, and the keys in each.
pub const KEYS: &[(&str, &[&str])] = &[
    ("node", &["name", "state_dir"]),
    ("socket", &["path", "mode", "group", "admin_group"]),
    ("mesh", &["listen", "peers", "advertise", "max_hops"]),
    ("log", &["level", "format"]),
    ("metrics", &["listen"]),
    (
        "limits",
        &[
            "outbox_messages",
            "outbox_bytes",
            "mailbox_messages",
            "mailbox_bytes",
            "pair_messages",
            "pair_bytes",
            "peer_messages",
            "peer_bytes",
            "node_bytes",
            "deliveries",
        ],
    ),
];

/// The whole file.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Raw {
    /// This node.
    pub node: RawNode,
    /// The agents' door.
    pub socket: RawSocket,
    /// Other nodes.
    pub mesh: RawMesh,
    /// What is logged.
    pub log: RawLog,
    /// Metrics and health.
    pub metrics: RawMetrics,
    /// How much may wait where.
    pub limits: RawLimits,
}

/// `[node]`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each is a key of aicpd.toml, which says what it is")]
pub struct RawNode {
    pub name: Option<String>,
    pub state_dir: Option<String>,
}

/// `[socket]`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each is a key of aicpd.toml, which says what it is")]
pub struct RawSocket {
    pub path: Option<String>,
    pub mode: Option<String>,
    pub group: Option<String>,
    pub admin_group: Option<String>,
}

/// `[mesh]`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each is a key of aicpd.toml, which says what it is")]
pub struct RawMesh {
    pub listen: Option<String>,
    pub peers: Option<Vec<String>>,
    pub advertise: Option<Vec<String>>,
    pub max_hops: Option<i64>,
}

/// `[log]`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each is a key of aicpd.toml, which says what it is")]
pub struct RawLog {
    pub level: Option<String>,
    pub format: Option<String>,
}

/// `[metrics]`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each is a key of aicpd.toml, which says what it is")]
pub struct RawMetrics {
    pub listen: Option<String>,
}

impl Raw {
    /// Reads a file's text. An unknown key is told before a value of another type.
    pub fn read(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let syntax = |error: toml::de::Error| ConfigError::Syntax { path: path.into(), message: error.to_string() };
        let table: toml::Table = text.parse().map_err(syntax)?;
        refuse_unknown(path, &table)?;
        toml::from_str(text).map_err(syntax)
    }

    /// This, and what it leaves out as `before` has it.
    #[must_use]
    pub fn over(self, before: Self) -> Self {
        Self {
            node: RawNode {
                name: self.node.name.or(before.node.name),
                state_dir: self.node.state_dir.or(before.node.state_dir),
            },
            socket: RawSocket {
                path: self.socket.path.or(before.socket.path),
                mode: self.socket.mode.or(before.socket.mode),
                group: self.socket.group.or(before.socket.group),
                admin_group: self.socket.admin_group.or(before.socket.admin_group),
            },
            mesh: RawMesh {
                listen: self.mesh.listen.or(before.mesh.listen),
                peers: self.mesh.peers.or(before.mesh.peers),
                advertise: self.mesh.advertise.or(before.mesh.advertise),
                max_hops: self.mesh.max_hops.or(before.mesh.max_hops),
            },
            log: RawLog { level: self.log.level.or(before.log.level), format: self.log.format.or(before.log.format) },
            metrics: RawMetrics { listen: self.metrics.listen.or(before.metrics.listen) },
            limits: self.limits.over(before.limits),
        }
    }
}

fn refuse_unknown(path: &Path, table: &toml::Table) -> Result<(), ConfigError> {
    let unknown = |key: String, suggestion| ConfigError::UnknownKey { path: path.into(), key, suggestion };
    for (section, value) in table {
        let Some((_, keys)) = KEYS.iter().find(|(name, _)| name == section) else {
            let sections = KEYS.iter().map(|(name, _)| (*name).to_owned());
            // A key that lost its section is told with it.
            let whole = KEYS.iter().find(|(_, keys)| keys.contains(&section.as_str()));
            let suggestion = match whole {
                Some((of, _)) => Some(format!("{section} in section [{of}]")),
                None => nearest(section, sections).map(|name| format!("[{name}]")),
            };
            return Err(unknown(section.clone(), suggestion));
        };
        for key in value.as_table().into_iter().flat_map(toml::Table::keys) {
            if !keys.contains(&key.as_str()) {
                let meant = nearest(key, keys.iter().map(|key| (*key).to_owned()));
                return Err(unknown(format!("{section}.{key}"), meant.map(|meant| format!("{section}.{meant}"))));
            }
        }
    }
    Ok(())
}

/// The known key that takes the fewest changes, if they are few.
fn nearest(key: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let found = known.map(|known| (distance(key, &known), known)).min()?;
    let most = key.len().max(3) / 2;
    (found.0 <= most).then_some(found.1)
}

/// Letters changed, lost, added.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, from) in a.chars().enumerate() {
        let mut corner = at;
        let mut left = at + 1;
        for (to, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let change = corner + usize::from(from != *to);
            corner = *above;
            left = change.min(left + 1).min(*above + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Raw::read(Path::new("aicpd.toml"), text).expect_err("refused").to_string()
    }

    #[test]
    fn an_unknown_key_is_told_with_the_one_that_was_meant() {
        assert!(refused("[mesh]\nlisten_on = \"x\"").contains("no key mesh.listen_on; did you mean mesh.listen?"));
        assert!(refused("[nodes]\nname = \"x\"").contains("did you mean [node]?"));
        assert!(refused("peers = []").contains("did you mean peers in section [mesh]?"));
        assert!(refused("[log]\ncolour = \"x\"").contains("no key log.colour; aicpd default-config"));
    }

    #[test]
    fn a_value_of_another_type_is_told_with_its_line() {
        let told = refused("[node]\nname = 5");
        assert!(told.starts_with("aicpd.toml:") && told.contains("line 2"), "{told}");
    }

    #[test]
    fn distances_are_those_of_edits() {
        for (a, b, wanted) in [("", "", 0), ("abc", "abc", 0), ("abc", "abd", 1), ("listen", "lisen", 1), ("a", "", 1)]
        {
            assert_eq!(distance(a, b), wanted, "{a} {b}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}

//! Mirrors the file: strings and options, nothing checked but that each key is one.

use std::path::Path;

use serde::Deserialize;

use crate::ConfigError;
use crate::allow::RawAllow;
use crate::key::{ALLOW, KEYS, Key, nearest};
use crate::limits::{RawAmount, RawLimits};

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
    /// The journal.
    pub store: RawStore,
    /// How much may wait where.
    pub limits: RawLimits,
    /// Who may send what to whom.
    pub allow: Vec<RawAllow>,
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

/// `[store]`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each is a key of aicpd.toml, which says what it is")]
pub struct RawStore {
    pub limit: Option<RawAmount>,
}

impl Raw {
    /// Reads a file's text. An unknown key is told before a value of another type.
    pub fn read(path: &Path, text: &str) -> Result<(Self, toml::Table), ConfigError> {
        let syntax = |error: toml::de::Error| ConfigError::Syntax { path: path.into(), message: error.to_string() };
        let table: toml::Table = text.parse().map_err(syntax)?;
        refuse_unknown(path, &table)?;
        Ok((toml::from_str(text).map_err(syntax)?, table))
    }
}

fn refuse_unknown(path: &Path, table: &toml::Table) -> Result<(), ConfigError> {
    let unknown = |key: String, suggestion| ConfigError::UnknownKey { path: path.into(), key, suggestion };
    for (section, value) in table {
        if section == ALLOW {
            refuse_unknown_of_rules(path, value)?;
            continue;
        }
        if !Key::sections().any(|known| known == section) {
            // A key that lost its section is told with it.
            let whole = KEYS.iter().find(|key| key.parts().1 == section);
            let suggestion = match whole {
                Some(key) => Some(format!("{section} in section [{}]", key.parts().0)),
                None if section == "allows" || section == "rules" => Some("[[allow]]".into()),
                None => nearest(section, Key::sections()).map(|name| format!("[{name}]")),
            };
            return Err(unknown(section.clone(), suggestion));
        }
        for key in value.as_table().into_iter().flat_map(toml::Table::keys) {
            let name = format!("{section}.{key}");
            if Key::find(&name).is_none() {
                let there = KEYS.iter().map(|key| key.parts()).filter(|(of, _)| of == section).map(|(_, key)| key);
                let meant = nearest(key, there).map(|meant| format!("{section}.{meant}"));
                return Err(unknown(name, meant));
            }
        }
    }
    Ok(())
}

fn refuse_unknown_of_rules(path: &Path, rules: &toml::Value) -> Result<(), ConfigError> {
    let tables = rules.as_array().into_iter().flatten().filter_map(toml::Value::as_table);
    for key in tables.flat_map(toml::Table::keys) {
        if !RawAllow::KEYS.contains(&key.as_str()) {
            let meant = nearest(key, RawAllow::KEYS.iter().copied()).map(|meant| format!("{ALLOW}.{meant}"));
            return Err(ConfigError::UnknownKey {
                path: path.into(),
                key: format!("{ALLOW}.{key}"),
                suggestion: meant,
            });
        }
    }
    Ok(())
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
        assert!(refused("[[allow]]\nform = \"x\"").contains("no key allow.form; did you mean allow.from?"));
    }

    #[test]
    fn a_value_of_another_type_is_told_with_its_line() {
        let told = refused("[node]\nname = 5");
        assert!(told.starts_with("aicpd.toml:") && told.contains("line 2"), "{told}");
    }
}

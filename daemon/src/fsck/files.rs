//! The key files: form, owner, mode and damage, as a start judges them.

use std::collections::BTreeMap;

use keys::NodeKey;
use keys::backup::NAME;
use keys::store_key::{Credential, StoreKey};
use keys::vault::{self, VaultError};

use super::{AgentSeen, DayKey, DaySeen, FsckError, Look};
use crate::StartError;
use crate::vault::{AgentFile, KeptAgent};

impl Look {
    pub(super) fn identity(&mut self) -> Option<NodeKey> {
        let name = std::fs::read_to_string(self.state.root().join(NAME)).unwrap_or_default();
        self.report.name = name.trim().parse().ok();
        let loaded = vault::load_node(&self.state.node_key());
        let node = self.usable(loaded, "the next start would make another identity, and no peer would know it");
        self.report.node = node.as_ref().map(NodeKey::id);
        node
    }

    pub(super) fn credential(&mut self) -> Option<Credential> {
        let loaded = vault::load_credential(&self.state.credential_key());
        self.usable(loaded, "no key of a day opens without it, and so nothing that lies in the journal")
    }

    pub(super) fn agents(&mut self) -> Result<Vec<KeptAgent>, FsckError> {
        let mut kept = Vec::new();
        for AgentFile { uid, name, path } in readable(self.state.agent_files())? {
            let loaded = vault::load_agent(&path);
            let key = self.usable(loaded, "the daemon does not start");
            let id = key.as_ref().map(keys::AgentKey::id);
            self.report.agents.push(AgentSeen { uid, name: name.clone(), id });
            kept.extend(key.map(|key| KeptAgent { uid, name, key }));
        }
        Ok(kept)
    }

    pub(super) fn day_keys(&mut self, credential: Option<&Credential>) -> Result<BTreeMap<u64, StoreKey>, FsckError> {
        let mut opened = BTreeMap::new();
        for day in readable(self.state.day_key_files())? {
            let path = self.state.day_key(day);
            if let Err(error) = vault::judge_private(&path) {
                self.note(error.to_string());
            }
            let loaded = credential.map(|credential| self.state.load_day_key(day, credential));
            let key = if matches!(loaded, Some(Ok(_))) { DayKey::Opens } else { DayKey::Closed };
            self.report.days.push(DaySeen { day, key, entries: None });
            match loaded {
                Some(Ok(key)) => drop(opened.insert(day, key)),
                Some(Err(_)) => {
                    self.refuses = true;
                    self.fault(
                        format!("{} does not open", path.display()),
                        "it was damaged, or belongs to another identity/credential.key",
                        "the daemon does not start; what was kept that day cannot be read",
                        "restore identity/credential.key and store-keys/ from the same backup",
                    );
                }
                // Said of the credential already; a new one would open none of them.
                None => self.refuses = true,
            }
        }
        Ok(opened)
    }

    fn usable<K>(&mut self, loaded: Result<K, VaultError>, without: &str) -> Option<K> {
        let error = match loaded {
            Ok(key) => return Some(key),
            Err(error) => error,
        };
        self.refuses |= !matches!(error, VaultError::Missing { .. });
        let (why, fix) = match &error {
            VaultError::Missing { .. } => ("it was removed, or the folder was copied in part", BACKUP.into()),
            VaultError::Loose { path, fix, .. } => {
                ("others could read or replace the key", format!("chmod {fix} {}", path.display()))
            }
            VaultError::NotOurs { .. } => {
                ("the daemon and whoever looks must be one user", "run it as that user, or chown the file".into())
            }
            VaultError::NotAFile { .. } => ("a key is never read through a link", BACKUP.into()),
            VaultError::Damaged { .. } => ("its bytes are not those that were written", BACKUP.into()),
            VaultError::Exists { .. } | VaultError::Io { .. } => ("the operating system refused", BACKUP.into()),
        };
        let what = error.to_string();
        let what = what.split_once("; fix:").map_or(what.as_str(), |(what, _)| what).to_owned();
        self.fault(what, why, without, fix);
        None
    }
}

const BACKUP: &str = "put the file back from a backup: aicpctl identity restore, into an empty folder";

/// A folder that is not there holds nothing.
fn readable<T: Default>(read: Result<T, StartError>) -> Result<T, FsckError> {
    match read {
        Ok(read) => Ok(read),
        Err(StartError::State { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
        Err(StartError::State { path, source }) => Err(FsckError::Unreadable { path, why: source.to_string() }),
        Err(other) => Err(FsckError::Unreadable { path: "the state folder".into(), why: other.to_string() }),
    }
}

//! The state directory: which file is where, and who may read it. It opens no store and decides nothing about keys
//! but where they lie.
//!
//! ```text
//! identity/node.key  identity/credential.key  identity/name
//! agents/<uid>/<name>.key
//! store/                     the journal
//! store-keys/<day>.key       the key of a day, wrapped by the credential
//! restored                   the journal was put back, and has forgotten what happened since
//! ```

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keys::backup::{AGENTS, CREDENTIAL_KEY, IDENTITY, NODE_KEY, RESTORED, RESTORED_TEXT, STORE_KEYS};
use keys::store_key::{Credential, StoreKey};
use keys::vault::{self, VaultError};
use keys::{AgentKey, NodeKey};
use proto::{Name, NodeId, limits};
use store::{FileDisk, LookDisk, Store, StoreError};

use crate::StartError;

/// A state directory whose folders are there.
#[derive(Clone, Debug)]
pub struct StateDir {
    root: PathBuf,
    /// Where the service manager hands over keys that then need not lie here.
    handed: Option<PathBuf>,
}

/// Who this node is.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) node: Arc<NodeKey>,
    pub(crate) credential: Credential,
    /// It was made just now.
    pub(crate) is_new: bool,
}

/// The key of an agent, and whose it is.
#[derive(Debug)]
pub(crate) struct KeptAgent {
    pub(crate) uid: u32,
    pub(crate) name: Name,
    pub(crate) key: AgentKey,
}

/// Where the key of an agent lies.
#[derive(Debug)]
pub(crate) struct AgentFile {
    pub(crate) uid: u32,
    pub(crate) name: Name,
    pub(crate) path: PathBuf,
}

const KEY: &str = "key";
/// What these keys are called where the service manager hands them over.
const HANDED_NODE_KEY: &str = "aicp.node.key";
const HANDED_CREDENTIAL_KEY: &str = "aicp.credential.key";
/// And a ticket by which the node joins a mesh.
const HANDED_TICKET: &str = "aicp.join-ticket";

impl StateDir {
    /// Makes the identity of a node, and its empty journal, if they are not there. Says who the node is.
    pub fn init(root: &Path, name: Option<&Name>) -> Result<NodeId, StartError> {
        let state = Self::open(root)?;
        if !state.node_key().exists() {
            state.open_identity()?;
        }
        if let Some(name) = name {
            let path = state.root.join("identity/name");
            let written = write_synced(&path, format!("{name}\n").as_bytes(), &root.join(IDENTITY));
            written.map_err(|source| StartError::State { path, source })?;
        }
        Ok(vault::load_node(&state.node_key())?.id())
    }

    pub(crate) fn open(root: &Path) -> Result<Self, StartError> {
        for folder in [root.to_owned(), root.join(IDENTITY), root.join(AGENTS), root.join(STORE_KEYS)] {
            // What lies in it was named by runs that may have been killed before the names were durable.
            let made = make_folder(&folder).and_then(|()| sync_folder(&folder));
            made.map_err(|source| StartError::State { path: folder, source })?;
        }
        sync_folder(root).map_err(|source| StartError::State { path: root.into(), source })?;
        Ok(Self { root: root.into(), handed: None })
    }

    /// One that is only looked at. Nothing is made.
    pub(crate) fn look(root: &Path) -> Self {
        Self { root: root.into(), handed: None }
    }

    /// The same, with keys of the node that are handed over at each start and do not lie here.
    pub(crate) fn with_credentials(self, folder: Option<&Path>) -> Result<Self, StartError> {
        let state = Self { handed: folder.map(Path::to_path_buf), ..self };
        for (own, credential) in [(NODE_KEY, HANDED_NODE_KEY), (CREDENTIAL_KEY, HANDED_CREDENTIAL_KEY)] {
            let own = state.root.join(own);
            if let Some(handed) = state.handed(credential).filter(|_| own.exists()) {
                return Err(StartError::TwoKeys { own, handed });
            }
        }
        Ok(state)
    }

    /// A ticket by which the node is to join a mesh, if one is handed over.
    pub(crate) fn handed_ticket(&self) -> Option<PathBuf> {
        self.handed(HANDED_TICKET)
    }

    fn handed(&self, name: &str) -> Option<PathBuf> {
        self.handed.as_ref().map(|folder| folder.join(name)).filter(|path| path.exists())
    }

    /// Takes note that this state folder, or its journal, was put back: the next start treats the journal as one that
    /// has forgotten something.
    pub fn mark_restored(root: &Path) -> Result<(), StartError> {
        let state = Self::look(root);
        if !state.node_key().exists() {
            return Err(StartError::NoNode { state: root.into() });
        }
        let _held = match LookDisk::open(&state.store()) {
            Err(StoreError::Locked) => return Err(StartError::StateInUse { state: root.into() }),
            // A journal that is not there, or cannot be read, is not in use.
            held => held.ok(),
        };
        let path = root.join(RESTORED);
        write_synced(&path, RESTORED_TEXT.as_bytes(), root).map_err(|source| StartError::State { path, source })
    }

    /// Whether somebody took note of that.
    pub(crate) fn is_marked_restored(&self) -> bool {
        self.root.join(RESTORED).exists()
    }

    /// The journal says it itself by now.
    pub(crate) fn clear_restored_mark(&self) -> std::io::Result<()> {
        match std::fs::remove_file(self.root.join(RESTORED)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => File::open(&self.root)?.sync_all(),
        }
    }

    /// The journal's folder, locked: whoever holds this is the only daemon here.
    fn lock(&self) -> Result<FileDisk, StartError> {
        FileDisk::open(&self.store()).map_err(|source| {
            if matches!(source, StoreError::Locked) {
                return StartError::StateInUse { state: self.root.clone() };
            }
            StartError::Journal { path: self.store(), source }
        })
    }

    /// Loads who this node is, or makes it, with an empty journal: one that is made together with the identity is not
    /// one that was lost. The journal's folder stays locked.
    pub(crate) fn open_identity(&self) -> Result<(Identity, FileDisk), StartError> {
        let disk = self.lock()?;
        let identity = self.identity()?;
        if !identity.is_new {
            return Ok((identity, disk));
        }
        let made = Store::open(disk, &store_options(limits::JOURNAL_LIMIT_BYTES)?).and_then(|(store, _)| store.close());
        made.map_err(|source| StartError::Journal { path: self.store(), source })?;
        Ok((identity, self.lock()?))
    }

    fn identity(&self) -> Result<Identity, StartError> {
        let credential_path = self.credential_key();
        let (node, is_new) = match vault::load_node(&self.node_key()) {
            Ok(node) => (node, false),
            Err(VaultError::Missing { .. }) => {
                let node = NodeKey::make()?;
                vault::save_node(&self.node_key(), &node)?;
                (node, true)
            }
            Err(error) => return Err(error.into()),
        };
        let credential = match vault::load_credential(&credential_path) {
            Ok(credential) => credential,
            Err(VaultError::Missing { .. }) => {
                let credential = Credential::make()?;
                vault::save_credential(&credential_path, &credential)?;
                credential
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Identity { node: Arc::new(node), credential, is_new })
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn node_key(&self) -> PathBuf {
        self.handed(HANDED_NODE_KEY).unwrap_or_else(|| self.root.join(NODE_KEY))
    }

    pub(crate) fn credential_key(&self) -> PathBuf {
        self.handed(HANDED_CREDENTIAL_KEY).unwrap_or_else(|| self.root.join(CREDENTIAL_KEY))
    }

    /// The keys of all agents that live here.
    pub(crate) fn agents(&self) -> Result<Vec<KeptAgent>, StartError> {
        let load = |file: AgentFile| {
            let AgentFile { uid, name, path } = file;
            Ok(KeptAgent { uid, name, key: vault::load_agent(&path)? })
        };
        self.agent_files()?.into_iter().map(load).collect()
    }

    /// Where they lie, by user and name.
    pub(crate) fn agent_files(&self) -> Result<Vec<AgentFile>, StartError> {
        let mut found = Vec::new();
        for (folder, uid) in entries(&self.root.join(AGENTS))? {
            let Ok(uid) = uid.parse() else { continue };
            sync_folder(&folder).map_err(|source| StartError::State { path: folder.clone(), source })?;
            for (path, file) in entries(&folder)? {
                if let Some(name) = file.strip_suffix(".key").and_then(|name| name.parse().ok()) {
                    found.push(AgentFile { uid, name, path });
                }
            }
        }
        found.sort_by(|a, b| (a.uid, &a.name).cmp(&(b.uid, &b.name)));
        Ok(found)
    }

    /// Makes and keeps the key of an agent. One that is there already is taken: it was made for the same name.
    pub(crate) fn make_agent(&self, uid: u32, name: &Name) -> Result<AgentKey, StartError> {
        let folder = self.root.join(AGENTS).join(uid.to_string());
        make_folder(&folder).map_err(|source| StartError::State { path: folder.clone(), source })?;
        let path = folder.join(format!("{name}.{KEY}"));
        let key = AgentKey::make()?;
        match vault::save_agent(&path, &key) {
            Ok(()) => Ok(key),
            Err(VaultError::Exists { path }) => {
                // Whoever made it may not have lived to see its name durable.
                sync_folder(&folder).map_err(|source| StartError::State { path: folder, source })?;
                Ok(vault::load_agent(&path)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// All keys of days, opened.
    pub(crate) fn day_keys(&self, credential: &Credential) -> Result<BTreeMap<u64, StoreKey>, StartError> {
        self.day_key_files()?.into_iter().map(|day| Ok((day, self.load_day_key(day, credential)?))).collect()
    }

    /// The days whose keys are there.
    pub(crate) fn day_key_files(&self) -> Result<Vec<u64>, StartError> {
        let files = entries(&self.root.join(STORE_KEYS))?;
        Ok(files.iter().filter_map(|(_, file)| file.strip_suffix(".key")?.parse().ok()).collect())
    }

    /// The key of a day, opened.
    pub(crate) fn load_day_key(&self, day: u64, credential: &Credential) -> Result<StoreKey, StartError> {
        let path = self.day_key(day);
        let wrapped = std::fs::read(&path).map_err(|source| StartError::State { path: path.clone(), source })?;
        let why = "was damaged, or belongs to another identity/credential.key";
        StoreKey::unwrap(&wrapped, credential, day).map_err(|_| StartError::DayKey { path, why })
    }

    /// Keeps the key of a day before anything is sealed with it.
    pub(crate) fn save_day_key(&self, day: u64, key: &StoreKey, credential: &Credential) -> std::io::Result<()> {
        let wrapped = key.wrap(credential, day).map_err(std::io::Error::other)?;
        write_synced(&self.day_key(day), &wrapped, &self.root.join(STORE_KEYS))
    }

    /// Erases the key of a day, and with it all that could still be read of that day.
    pub(crate) fn erase_day_key(&self, day: u64) -> std::io::Result<()> {
        match std::fs::remove_file(self.day_key(day)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => sync_folder(&self.root.join(STORE_KEYS)),
        }
    }

    pub(crate) fn day_key(&self, day: u64) -> PathBuf {
        self.root.join(STORE_KEYS).join(format!("{day}.{KEY}"))
    }
}

/// How the journal is opened, or made, and how much it may take. That is not remembered in it.
pub(crate) fn store_options(limit_bytes: u64) -> Result<store::Options, StartError> {
    let mut new_id = [0; 16];
    getrandom::fill(&mut new_id).map_err(|_| StartError::NoRandomness)?;
    Ok(store::Options::new(new_id, limit_bytes))
}

/// Whole or not at all, also after a crash, and for its owner alone.
pub(crate) fn write_synced(path: &Path, bytes: &[u8], folder: &Path) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    sync_folder(folder)
}

/// Makes a folder, and those above it, for their owner alone, so that no power cut takes them away again. One that is
/// there stays as it is.
pub(crate) fn make_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(parent)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => sync_folder(parent),
    }
}

/// Makes the names in it durable.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What lies in a folder, with names that are text.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, String)>, StartError> {
    let state = |source| StartError::State { path: folder.into(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(state)? {
        let entry = entry.map_err(state)?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((entry.path(), name));
        }
    }
    found.sort();
    Ok(found)
}

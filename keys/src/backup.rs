//! The keys of a node and of its agents in one file, under a passphrase, and what makes the node a member of its mesh.
//! Where all that lies in a state folder stands here too. What was said is not in it: that is the journal's, and this file
//! only opens a copy of it.
//!
//! ```text
//! AICPBKP2 ‖ salt (16) ‖ nonce (16) ‖ sealed ‖ tag (16) ‖ SHA-256 of all before (32)
//! ```
//!
//! The hash is over bytes that anybody with the file can see, so it says nothing about the passphrase; it tells a
//! damaged file from a wrong passphrase. What holds against a forger is the tag. `AICPBKP1` is the same without a mesh.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use proto::limits::{
    BACKUP_BYTES_MAX, BACKUP_MEMORY_KIB, BACKUP_MESH_BYTES_MAX, BACKUP_PASSES, BACKUP_PASSPHRASE_BYTES_MAX,
    BACKUP_PASSPHRASE_BYTES_MIN, NONCE_BYTES, TAG_BYTES,
};
use proto::{Name, NodeId};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::cipher::BodyKey;
use crate::store_key::{Credential, StoreKey};
use crate::vault::{self, VaultError};
use crate::{AgentKey, AuthorityKey, NoRandomness, NodeKey, fill_random};

mod contents;
#[cfg(test)]
mod tests;

/// Below the state folder: who the node is.
pub const IDENTITY: &str = "identity";
/// Below the state folder: the node's key.
pub const NODE_KEY: &str = "identity/node.key";
/// Below the state folder: what wraps the keys of the days.
pub const CREDENTIAL_KEY: &str = "identity/credential.key";
/// Below the state folder: what the node is called.
pub const NAME: &str = "identity/name";
/// Below the state folder: a folder for each user, in it the keys of that user's agents.
pub const AGENTS: &str = "agents";
/// Below the state folder: the keys of the days, wrapped.
pub const STORE_KEYS: &str = "store-keys";
/// Below the state folder: what makes the node a member of a mesh. All plain files in it are backed up.
pub const MESH: &str = "mesh";
/// Below the state folder: the key of the mesh's authority, on those nodes that hold it.
pub const AUTHORITY_KEY: &str = "mesh/authority.key";
/// Below the state folder: the certificate of the mesh's authority, in DER.
pub const AUTHORITY_CERTIFICATE: &str = "mesh/authority.crt";
/// Below the state folder: the node's own certificate, in DER.
pub const NODE_CERTIFICATE: &str = "mesh/node.crt";
/// Below the state folder: who the mesh trusts no longer, as it was signed.
pub const REVOKED: &str = "mesh/revoked";
/// Below the state folder: nodes that this one has nothing to do with.
pub const BLOCKED: &str = "mesh/blocked";
/// Below the state folder: nodes to dial before any are known.
pub const SEEDS: &str = "mesh/seeds";
/// Below the state folder: there as long as the node is to stay away from its mesh.
pub const DOWN: &str = "mesh/down";
/// Below the state folder: a folder with the open tickets. They are not backed up: one that was used since would be open
/// again.
pub const TICKETS: &str = "mesh/tickets";
/// Below the state folder: the note that the journal was put back, and has forgotten what happened since.
pub const RESTORED: &str = "restored";
/// What stands in it, for whoever finds it.
pub const RESTORED_TEXT: &str = "This state folder was put back from a backup. The next start of aicpd marks what may \
                                 have been delivered before, and then removes this file.\n";

const MAGIC: &[u8; 8] = b"AICPBKP2";
/// Backups without a mesh.
const MAGIC_1: &[u8; 8] = b"AICPBKP1";
/// The same but for the version stands first in every format to come.
const MAGIC_FAMILY: &[u8; 7] = b"AICPBKP";
const CONTEXT: &[u8] = b"AICP/1 backup\0";
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
const HEAD_BYTES: usize = MAGIC.len() + SALT_BYTES + NONCE_BYTES;
/// For lanes the work is the same; more of them only help where there are more processors.
const LANES: u32 = 4;

/// Why nothing was backed up or restored. Key files that were there are as they were.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A key file cannot be read or written.
    #[error(transparent)]
    Key(#[from] VaultError),
    /// The key of a day does not open.
    #[error("{} was damaged, or belongs to another credential", path.display())]
    DayKey {
        /// The file.
        path: PathBuf,
    },
    /// The file is none.
    #[error("{} is not a backup", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error("{} was written by a newer version", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// Its bytes are not those that were written.
    #[error("{} was damaged or cut short", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// It was not made with this passphrase.
    #[error("this is not the passphrase of {}", path.display())]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// A passphrase that can be guessed, or none.
    #[error("a passphrase has {BACKUP_PASSPHRASE_BYTES_MIN} to {BACKUP_PASSPHRASE_BYTES_MAX} bytes, and no line break")]
    Passphrase,
    /// Keys are there, and keys are never overwritten.
    #[error("there are keys in {}, and keys are never overwritten", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A file of that name is there, and may be the only backup.
    #[error("{} is there already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase cannot be made into a key.
    #[error("no key can be made of the passphrase")]
    NoKey,
    /// More keys than a backup holds.
    #[error("these are more keys than a backup of {BACKUP_BYTES_MAX} bytes holds")]
    TooMany,
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The operating system gave no random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// What protects a backup. Wiped when dropped, and prints nothing.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Takes one that is long enough. The line break at its end is not part of it.
    pub fn new(text: Zeroizing<Vec<u8>>) -> Result<Self, BackupError> {
        let bare = text.strip_suffix(b"\n").unwrap_or(&text);
        let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
        let fits = (BACKUP_PASSPHRASE_BYTES_MIN..=BACKUP_PASSPHRASE_BYTES_MAX).contains(&bare.len());
        if !fits || bare.contains(&b'\n') {
            return Err(BackupError::Passphrase);
        }
        Ok(Self(Zeroizing::new(bare.to_vec())))
    }
}

impl PartialEq for Passphrase {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// The key of an agent, and whose it is.
#[derive(Debug)]
pub struct KeptAgent {
    /// The user.
    pub uid: u32,
    /// What it is called.
    pub name: Name,
    /// Its key.
    pub key: AgentKey,
}

/// All keys of a node.
#[derive(Debug)]
pub struct Keyring {
    node: NodeKey,
    credential: Credential,
    name: Option<Name>,
    agents: Vec<KeptAgent>,
    /// Wrapped by the credential.
    days: Vec<(u64, Vec<u8>)>,
    mesh: Mesh,
}

/// What makes a node a member.
#[derive(Default, Debug)]
struct Mesh {
    authority: Option<AuthorityKey>,
    /// The other files: what each is called, and what is in it.
    files: Vec<(Name, Vec<u8>)>,
}

impl Keyring {
    /// Reads all keys of a state folder. One that cannot be used stops it: a backup is whole or none.
    pub fn load(state: &Path) -> Result<Self, BackupError> {
        let node = vault::load_node(&state.join(NODE_KEY))?;
        let credential = vault::load_credential(&state.join(CREDENTIAL_KEY))?;
        let name = match std::fs::read_to_string(state.join(NAME)) {
            Ok(text) => text.trim().parse().ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(source) => return Err(io(state.join(NAME), source)),
        };
        let mut agents = Vec::new();
        for (folder, uid) in entries(&state.join(AGENTS))? {
            let Ok(uid) = uid.parse() else { continue };
            for (path, file) in entries(&folder)? {
                if let Some(name) = file.strip_suffix(".key").and_then(|name| name.parse().ok()) {
                    agents.push(KeptAgent { uid, name, key: vault::load_agent(&path)? });
                }
            }
        }
        let mut days = Vec::new();
        for (path, file) in entries(&state.join(STORE_KEYS))? {
            let Some(day) = file.strip_suffix(".key").and_then(|day| day.parse().ok()) else { continue };
            let wrapped = std::fs::read(&path).map_err(|source| io(path.clone(), source))?;
            StoreKey::unwrap(&wrapped, &credential, day).map_err(|_| BackupError::DayKey { path })?;
            days.push((day, wrapped));
        }
        let mesh = Mesh::load(state)?;
        Ok(Self { node, credential, name, agents, days, mesh })
    }

    /// Who the node is.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node.id()
    }

    /// What it is called, if somebody said so.
    #[must_use]
    pub const fn name(&self) -> Option<&Name> {
        self.name.as_ref()
    }

    /// Its agents.
    #[must_use]
    pub fn agents(&self) -> &[KeptAgent] {
        &self.agents
    }

    /// How many keys of days there are.
    #[must_use]
    pub fn days(&self) -> usize {
        self.days.len()
    }

    /// Whether the key of the mesh's authority is among them.
    #[must_use]
    pub const fn holds_authority(&self) -> bool {
        self.mesh.authority.is_some()
    }

    /// Writes a backup, for its owner alone. The file must not exist.
    pub fn save(&self, path: &Path, passphrase: &Passphrase) -> Result<(), BackupError> {
        let bytes = self.seal(passphrase)?;
        match vault::write_new(path, &bytes) {
            Ok(()) => Ok(()),
            Err(VaultError::Exists { path }) => Err(BackupError::Exists { path }),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a backup.
    pub fn open(path: &Path, passphrase: &Passphrase) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(|source| io(path.into(), source))?;
        let mut bytes = Vec::new();
        let most = BACKUP_BYTES_MAX as u64 + 1;
        file.take(most).read_to_end(&mut bytes).map_err(|source| io(path.into(), source))?;
        Self::unseal(&bytes, path, passphrase)
    }

    /// Puts all keys into a state folder that has none, with the note that its journal forgot something. The node's own
    /// key comes last: until it is there, there is no node.
    pub fn restore(&self, state: &Path) -> Result<(), BackupError> {
        for folder in [IDENTITY, AGENTS, STORE_KEYS, MESH].map(|name| state.join(name)) {
            let is_empty = !folder.exists() || entries(&folder)?.is_empty();
            if !is_empty {
                return Err(BackupError::NotEmpty { path: folder });
            }
            make_folder(&folder)?;
        }
        write_plain(&state.join(RESTORED), RESTORED_TEXT.as_bytes())?;
        for (day, wrapped) in &self.days {
            write_plain(&state.join(STORE_KEYS).join(format!("{day}.key")), wrapped)?;
        }
        for KeptAgent { uid, name, key } in &self.agents {
            let folder = state.join(AGENTS).join(uid.to_string());
            make_folder(&folder)?;
            vault::save_agent(&folder.join(format!("{name}.key")), key)?;
        }
        if let Some(name) = &self.name {
            write_plain(&state.join(NAME), format!("{name}\n").as_bytes())?;
        }
        self.mesh.restore(state)?;
        vault::save_credential(&state.join(CREDENTIAL_KEY), &self.credential)?;
        for folder in [AGENTS, STORE_KEYS, MESH, ""].map(|name| state.join(name)) {
            File::open(&folder).and_then(|handle| handle.sync_all()).map_err(|source| io(folder, source))?;
        }
        Ok(vault::save_node(&state.join(NODE_KEY), &self.node)?)
    }

    fn seal(&self, passphrase: &Passphrase) -> Result<Vec<u8>, BackupError> {
        let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
        fill_random(&mut salt)?;
        fill_random(&mut nonce)?;
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&salt);
        out.extend_from_slice(&nonce);
        let mut plain = contents::write(self);
        let tag = key_of(passphrase, &salt, &nonce)?.seal(&out, &mut plain).map_err(|_| BackupError::TooMany)?;
        out.extend_from_slice(&plain);
        out.extend_from_slice(&tag);
        let hash = Sha256::digest(&out);
        out.extend_from_slice(&hash);
        if out.len() > BACKUP_BYTES_MAX {
            return Err(BackupError::TooMany);
        }
        Ok(out)
    }

    fn unseal(bytes: &[u8], path: &Path, passphrase: &Passphrase) -> Result<Self, BackupError> {
        let path = || path.to_owned();
        if !bytes.starts_with(MAGIC_FAMILY) {
            return Err(BackupError::NotABackup { path: path() });
        }
        let has_mesh = bytes.starts_with(MAGIC);
        if !has_mesh && !bytes.starts_with(MAGIC_1) {
            return Err(BackupError::Newer { path: path() });
        }
        let damaged = || BackupError::Damaged { path: path() };
        let (sealed, hash) = bytes.split_last_chunk::<HASH_BYTES>().ok_or_else(damaged)?;
        if bytes.len() > BACKUP_BYTES_MAX || Sha256::digest(sealed)[..] != hash[..] {
            return Err(damaged());
        }
        let (head, sealed) = sealed.split_at_checked(HEAD_BYTES).ok_or_else(damaged)?;
        let (rest, nonce) = head.split_last_chunk::<NONCE_BYTES>().ok_or_else(damaged)?;
        let (_, salt) = rest.split_last_chunk::<SALT_BYTES>().ok_or_else(damaged)?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let opened = key_of(passphrase, salt, nonce)?.open(head, &mut plain);
        opened.map_err(|_| BackupError::WrongPassphrase { path: path() })?;
        let length = plain.len().saturating_sub(TAG_BYTES);
        contents::read(plain.get(..length).unwrap_or_default(), has_mesh).ok_or_else(damaged)
    }
}

impl Mesh {
    fn load(state: &Path) -> Result<Self, BackupError> {
        let authority = match vault::load_authority(&state.join(AUTHORITY_KEY)) {
            Ok(key) => Some(key),
            Err(VaultError::Missing { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let mut files = Vec::new();
        let mut left = BACKUP_MESH_BYTES_MAX;
        for (path, file) in entries(&state.join(MESH))? {
            let about = std::fs::symlink_metadata(&path).map_err(|source| io(path.clone(), source))?;
            // Folders hold tickets, and what is written at this moment has a name that no file keeps.
            let is_kept = about.is_file() && !path.ends_with(AUTHORITY_KEY) && !file.contains(".new-");
            let Some(name) = file.parse().ok().filter(|_| is_kept) else { continue };
            let bytes = std::fs::read(&path).map_err(|source| io(path, source))?;
            left = left.checked_sub(bytes.len()).ok_or(BackupError::TooMany)?;
            files.push((name, bytes));
        }
        Ok(Self { authority, files })
    }

    fn restore(&self, state: &Path) -> Result<(), BackupError> {
        for (name, bytes) in &self.files {
            write_plain(&state.join(MESH).join(name.as_str()), bytes)?;
        }
        let saved = self.authority.as_ref().map(|key| vault::save_authority(&state.join(AUTHORITY_KEY), key));
        Ok(saved.transpose().map(drop)?)
    }
}

/// Slow and wide on purpose: the file may be stolen, and then nothing else stands between a guess and the keys.
fn key_of(passphrase: &Passphrase, salt: &[u8; SALT_BYTES], nonce: &[u8; NONCE_BYTES]) -> Result<BodyKey, BackupError> {
    let mut secret = Zeroizing::new([0; 32]);
    let params = Params::new(BACKUP_MEMORY_KIB, BACKUP_PASSES, LANES, Some(secret.len()));
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(|_| BackupError::NoKey)?);
    argon2.hash_password_into(&passphrase.0, salt, &mut *secret).map_err(|_| BackupError::NoKey)?;
    Ok(BodyKey::derive(&secret, nonce, &[CONTEXT]))
}

fn make_folder(folder: &Path) -> Result<(), BackupError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| io(folder.into(), source))
}

/// A file that is not secret by itself, but nobody else's business.
fn write_plain(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| io(path.into(), source))
}

/// What lies in a folder, with names that are text; nothing if it is not there.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, String)>, BackupError> {
    let found = match std::fs::read_dir(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(io(folder.into(), source)),
    };
    let mut entries = Vec::new();
    for entry in found {
        let entry = entry.map_err(|source| io(folder.into(), source))?;
        entries.extend(entry.file_name().into_string().ok().map(|name| (entry.path(), name)));
    }
    entries.sort();
    Ok(entries)
}

const fn io(path: PathBuf, source: std::io::Error) -> BackupError {
    BackupError::Io { path, source }
}

impl core::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Passphrase(not shown)")
    }
}

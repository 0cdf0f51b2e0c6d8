//! Keys at rest: one file each, readable by its owner alone. The only way by which secret bytes leave this crate.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::identity::KeyPair;
use crate::store_key::Credential;
use crate::{AgentKey, AuthorityKey, NodeKey};

/// `AICPKEY`, the format's version, a kind, the secret, and 32 bytes by which damage is found: the public key, or
/// for a credential its hash.
const MAGIC: &[u8; 8] = b"AICPKEY1";
const SECRET_AT: usize = MAGIC.len() + 1;
const CHECK_AT: usize = SECRET_AT + 32;
const FILE_BYTES: usize = CHECK_AT + 32;

const AGENT: u8 = 1;
const NODE: u8 = 2;
const CREDENTIAL: u8 = 3;
const AUTHORITY: u8 = 4;

/// Why a key file was not read or written. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is no such file.
    #[error("there is no key file {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Others could read it, or change what lies there.
    #[error("{} is open to others (mode {mode:04o}); fix: chmod {fix} {}", path.display(), path.display())]
    Loose {
        /// The file, or the folder it lies in.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// What the mode should lose.
        fix: &'static str,
    },
    /// It belongs to another user.
    #[error("{} belongs to uid {owner}, not to uid {us}", path.display())]
    NotOurs {
        /// The file, or the folder it lies in.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// It is a link, a folder or a device.
    #[error("{} is not a plain file", path.display())]
    NotAFile {
        /// What was found.
        path: PathBuf,
    },
    /// It is not a key file of this kind, or was cut or changed.
    #[error("{} is not {wanted}, or was damaged; restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
    },
    /// A key is there already, and keys are never overwritten.
    #[error("{} is there already, and a key is never overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
}

/// Keeps an agent's key. The file must not exist.
pub fn save_agent(path: &Path, key: &AgentKey) -> Result<(), VaultError> {
    save(path, AGENT, &key.0.seed(), key.public().as_bytes())
}

/// Keeps a node's key. The file must not exist.
pub fn save_node(path: &Path, key: &NodeKey) -> Result<(), VaultError> {
    save(path, NODE, &key.pair().seed(), key.public().as_bytes())
}

/// Keeps a credential. The file must not exist.
pub fn save_credential(path: &Path, credential: &Credential) -> Result<(), VaultError> {
    save(path, CREDENTIAL, credential.secret(), &check_of(credential.secret()))
}

/// Keeps the key of a mesh's authority. The file must not exist.
pub fn save_authority(path: &Path, key: &AuthorityKey) -> Result<(), VaultError> {
    save(path, AUTHORITY, &key.0.seed(), key.public().as_bytes())
}

/// Takes an agent's key back into use.
pub fn load_agent(path: &Path) -> Result<AgentKey, VaultError> {
    load_pair(path, AGENT, "an agent's key").map(AgentKey)
}

/// Takes a node's key back into use.
pub fn load_node(path: &Path) -> Result<NodeKey, VaultError> {
    load_pair(path, NODE, "a node's key").map(NodeKey::from_pair)
}

/// Takes a credential back into use.
pub fn load_credential(path: &Path) -> Result<Credential, VaultError> {
    let (secret, check) = load(path, CREDENTIAL, "a credential")?;
    if check != check_of(&secret) {
        return Err(damaged(path, "a credential"));
    }
    Ok(Credential::from_bytes(&secret))
}

/// Takes the key of a mesh's authority back into use.
pub fn load_authority(path: &Path) -> Result<AuthorityKey, VaultError> {
    load_pair(path, AUTHORITY, "the key of a mesh's authority").map(AuthorityKey)
}

/// Whether a file is a plain one of ours that nobody else can read. It is not opened.
pub fn judge_private(path: &Path) -> Result<(), VaultError> {
    judge_about(path, &std::fs::symlink_metadata(path).map_err(|source| missing_or_io(path, source))?)
}

fn load_pair(path: &Path, kind: u8, wanted: &'static str) -> Result<KeyPair, VaultError> {
    let (seed, check) = load(path, kind, wanted)?;
    let key = AgentKey(KeyPair::from_seed(&seed));
    if *key.public().as_bytes() != check {
        return Err(damaged(path, wanted));
    }
    Ok(key.0)
}

/// Says nothing about the secret that helps to guess it.
fn check_of(secret: &[u8; 32]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::new().chain_update(b"AICP/1 store\0check\0").chain_update(secret).finalize().into()
}

/// Written beside, synced, and only then given its name, so that a crash leaves a whole key or none.
fn save(path: &Path, kind: u8, secret: &[u8; 32], check: &[u8; 32]) -> Result<(), VaultError> {
    judge_folder(folder_of(path))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES));
    bytes.extend_from_slice(MAGIC);
    bytes.push(kind);
    bytes.extend_from_slice(secret);
    bytes.extend_from_slice(check);
    write_new(path, &bytes)
}

/// Likewise for what may lie in any folder.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
    let folder = folder_of(path);
    let beside = path.with_extension(format!("new-{}", rustix::process::getpid()));
    let written = write_beside(&beside, bytes).and_then(|()| {
        // Unlike a rename, a link fails if the name is taken.
        std::fs::hard_link(&beside, path)?;
        File::open(folder)?.sync_all()
    });
    let removed = std::fs::remove_file(&beside);
    match written.and(removed) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(VaultError::Exists { path: path.into() }),
        Err(source) => Err(VaultError::Io { path: path.into(), source }),
    }
}

fn write_beside(beside: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // Left behind by a crash of a process with our number, if it is there at all.
    match std::fs::remove_file(beside) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    file.write_all(bytes)?;
    file.sync_all()
}

type Kept = (Zeroizing<[u8; 32]>, [u8; 32]);

fn load(path: &Path, kind: u8, wanted: &'static str) -> Result<Kept, VaultError> {
    judge_folder(folder_of(path))?;
    let no_follow = rustix::fs::OFlags::NOFOLLOW.union(rustix::fs::OFlags::NONBLOCK);
    let flags = i32::try_from(no_follow.bits()).unwrap_or(0);
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|source| {
        if source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
            return VaultError::NotAFile { path: path.into() };
        }
        missing_or_io(path, source)
    })?;
    let about = file.metadata().map_err(|source| VaultError::Io { path: path.into(), source })?;
    judge_about(path, &about)?;
    let mut bytes = Zeroizing::new([0; FILE_BYTES + 1]);
    let length = read_up_to(&mut file, &mut *bytes).map_err(|source| VaultError::Io { path: path.into(), source })?;
    if length != FILE_BYTES || !bytes.starts_with(MAGIC) || bytes.get(MAGIC.len()) != Some(&kind) {
        return Err(damaged(path, wanted));
    }
    let part = |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk::<32>()).copied();
    let secret = part(SECRET_AT).map(Zeroizing::new);
    let check = part(CHECK_AT);
    secret.zip(check).ok_or_else(|| damaged(path, wanted))
}

fn read_up_to(file: &mut File, bytes: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

/// Whoever can write to the folder can put another key in its place.
fn judge_folder(folder: &Path) -> Result<(), VaultError> {
    let about = std::fs::metadata(folder).map_err(|source| missing_or_io(folder, source))?;
    judge_owner(folder, &about)?;
    judge_mode(folder, &about, 0o022, "go-w")
}

fn judge_about(path: &Path, about: &std::fs::Metadata) -> Result<(), VaultError> {
    if !about.is_file() {
        return Err(VaultError::NotAFile { path: path.into() });
    }
    judge_owner(path, about)?;
    judge_mode(path, about, 0o077, "go=")
}

fn judge_owner(path: &Path, about: &std::fs::Metadata) -> Result<(), VaultError> {
    let us = rustix::process::geteuid().as_raw();
    if about.uid() == us {
        return Ok(());
    }
    Err(VaultError::NotOurs { path: path.into(), owner: about.uid(), us })
}

fn judge_mode(path: &Path, about: &std::fs::Metadata, open: u32, fix: &'static str) -> Result<(), VaultError> {
    let mode = about.mode() & 0o7777;
    if mode & open == 0 {
        return Ok(());
    }
    Err(VaultError::Loose { path: path.into(), mode, fix })
}

fn missing_or_io(path: &Path, source: std::io::Error) -> VaultError {
    if source.kind() == ErrorKind::NotFound {
        return VaultError::Missing { path: path.into() };
    }
    VaultError::Io { path: path.into(), source }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn damaged(path: &Path, wanted: &'static str) -> VaultError {
    VaultError::Damaged { path: path.into(), wanted }
}

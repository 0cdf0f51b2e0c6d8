//! `aicpctl identity`: the keys of a node, from its state folder. The daemon is not asked; it may be long gone.

use std::path::{Path, PathBuf};

use config::Flags;
use keys::backup::{BackupError, Keyring};
use keys::vault::VaultError;
use serde_json::json;

use crate::args::{Backup, Identity, OLD_STORE, StateOf};
use crate::failure::{Exit, Failure};
use crate::passphrase::{self, Ask};
use crate::render::{DIM, Out, plural};

pub(crate) async fn run(asked: Identity, out: Out) -> Result<(), Failure> {
    match asked {
        Identity::Show(state) => show(&state_of(&state)?, out),
        Identity::Backup(asked) => backup(&asked, out).await,
        Identity::Restore(asked) => restore(&asked, out).await,
    }
}

fn show(state: &Path, out: Out) -> Result<(), Failure> {
    let keyring = Keyring::load(state).map_err(|error| failure(error, "nothing was changed"))?;
    tell(&keyring, state, out);
    Ok(())
}

async fn backup(asked: &Backup, out: Out) -> Result<(), Failure> {
    const NOTHING: &str = "no backup was written";
    let state = state_of(&asked.state)?;
    if asked.file.symlink_metadata().is_ok() {
        return Err(failure(BackupError::Exists { path: asked.file.clone() }, NOTHING));
    }
    let keyring = Keyring::load(&state).map_err(|error| failure(error, NOTHING))?;
    let passphrase = passphrase::take(asked.passphrase_file.as_deref(), Ask::Twice).await?;
    keyring.save(&asked.file, &passphrase).map_err(|error| failure(error, NOTHING))?;
    tell(&keyring, &state, out);
    out.talk(format_args!("written to {}; keep it apart from the passphrase", asked.file.display()));
    out.talk(format_args!("{DIM}messages are not in it; keys made later are not in it either{DIM:#}"));
    Ok(())
}

async fn restore(asked: &Backup, out: Out) -> Result<(), Failure> {
    const NOTHING: &str = "nothing was put back";
    let state = state_of(&asked.state)?;
    let passphrase = passphrase::take(asked.passphrase_file.as_deref(), Ask::Once).await?;
    let keyring = Keyring::open(&asked.file, &passphrase).map_err(|error| failure(error, NOTHING))?;
    keyring.restore(&state).map_err(|error| {
        let now = if matches!(error, BackupError::NotEmpty { .. }) { NOTHING } else { "keys may be there in part" };
        failure(error, now)
    })?;
    tell(&keyring, &state, out);
    out.talk(OLD_STORE);
    Ok(())
}

fn state_of(asked: &StateOf) -> Result<PathBuf, Failure> {
    let flags = Flags { config: asked.config.clone(), state_dir: asked.state_dir.clone(), ..Flags::default() };
    let config = config::load(&flags).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    Ok(config.state_dir)
}

fn tell(keyring: &Keyring, state: &Path, out: Out) {
    let agents = keyring
        .agents()
        .iter()
        .map(|agent| json!({ "name": agent.name.as_str(), "uid": agent.uid, "id": agent.key.id().to_string() }));
    out.object(
        "identity",
        json!({
            "state_dir": state.display().to_string(),
            "node_id": keyring.node().to_string(),
            "node_name": keyring.name().map(proto::Name::as_str),
            "agents": agents.collect::<Vec<_>>(),
            "day_keys": keyring.days(),
        }),
    );
    let name = keyring.name().map_or_else(String::new, |name| format!("  {name}"));
    out.line(format_args!("{}{name}", keyring.node()));
    for agent in keyring.agents() {
        out.line(format_args!("  {}  {} of uid {}", agent.key.id(), agent.name, agent.uid));
    }
    let days = keyring.days();
    out.line(format_args!("  {DIM}{days} day key{} · state in {}{DIM:#}", plural(days), state.display()));
}

fn failure(error: BackupError, now: &str) -> Failure {
    let words = error.to_string();
    let (exit, why, fix) = match &error {
        BackupError::Key(VaultError::Missing { .. }) => {
            (Exit::NotFound, "no node keeps its keys there", "--state-dir with the folder that aicpd runs with")
        }
        BackupError::Key(_) => (Exit::Failed, "a backup is whole, or it is none", "aicpd fsck says more"),
        BackupError::DayKey { .. } => (Exit::Failed, "a backup is whole, or it is none", "aicpd fsck says more"),
        BackupError::NotABackup { .. } => {
            (Exit::Usage, "it does not begin as one", "the file that identity backup wrote")
        }
        BackupError::Newer { .. } => (Exit::Failed, "its layout is not known here", "that version of aicpctl"),
        BackupError::Damaged { .. } => {
            (Exit::Failed, "its bytes are not those that were written", "another copy of the backup")
        }
        BackupError::WrongPassphrase { .. } => {
            (Exit::Denied, "the file is whole and does not open with it", "the passphrase it was made with")
        }
        BackupError::Passphrase => (Exit::Usage, "it guards every key of the node", "a longer passphrase"),
        BackupError::NotEmpty { .. } => {
            (Exit::Failed, "they may be the only ones of another node", "--state-dir with a folder that is empty")
        }
        BackupError::Exists { .. } => (Exit::Failed, "it may be the only backup of another node", "another file name"),
        BackupError::TooMany | BackupError::NoKey | BackupError::NoRandomness(_) | BackupError::Io { .. } => {
            return Failure::new(Exit::Failed, words).now(now);
        }
    };
    Failure::new(exit, words).why(why).now(now).fix(fix)
}

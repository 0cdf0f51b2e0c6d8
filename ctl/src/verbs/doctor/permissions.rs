//! Who owns the state, its keys and the socket, and who else may read them. What lies there is looked at from outside:
//! no key is read.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::daemon::is_away;
use super::{Finding, Patient, State};
use crate::render::plural;

/// Folders below the state that hold keys, and those in them.
const DEPTH: usize = 3;
/// The journal: large, sealed, and for the daemon alone to judge.
const JOURNAL: &str = "store";
const GROUP_AND_OTHERS: u32 = 0o077;
const WRITABLE: u32 = 0o022;

/// Something that is not as it should be.
struct Loose {
    path: PathBuf,
    what: String,
    remedy: Remedy,
    state: State,
}

#[derive(Clone, Copy)]
enum Remedy {
    Mode(u32),
    Owner { uid: u32, gid: u32 },
    None,
}

impl Remedy {
    fn words(self, path: &Path) -> Option<String> {
        match self {
            Self::Mode(mode) => Some(format!("chmod {mode:o} {}", path.display())),
            Self::Owner { uid, gid } => Some(format!("sudo chown {uid}:{gid} {}", path.display())),
            Self::None => None,
        }
    }

    fn apply(self, path: &Path) -> std::io::Result<()> {
        match self {
            Self::Mode(mode) => std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)),
            Self::Owner { uid, gid } => chown(path, Some(uid), Some(gid)),
            Self::None => Err(std::io::Error::other("this is left to you")),
        }
    }
}

/// The state folder and the keys in it.
pub(super) fn state(state_dir: &Path, patient: &Patient<'_>) -> Vec<Finding> {
    const CHECK: &str = "state";
    let about = match state_dir.symlink_metadata() {
        Ok(about) => about,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_away(patient) => {
            let what = format!("there is no {} yet", state_dir.display());
            return vec![Finding::new(CHECK, State::Skipped, what).fix("the first start of the daemon makes it")];
        }
        Err(error) => {
            let what = format!("{} cannot be looked at", state_dir.display());
            return vec![Finding::new(CHECK, State::Skipped, what).why(error.to_string()).fix("sudo aicpctl doctor")];
        }
    };
    // Whoever runs the daemon must own its keys: it takes no others.
    let owner = patient.behind.map_or(about.uid(), |behind| behind.uid);
    let mut found = Vec::new();
    judge(state_dir, &about, owner, &mut found);
    match walk(state_dir, owner, DEPTH, &mut found) {
        Ok(seen) if found.is_empty() => {
            let what = format!("{} and {seen} file{} in it are their owner's alone", state_dir.display(), plural(seen));
            vec![Finding::new(CHECK, State::Ok, what)]
        }
        Ok(_) => found.into_iter().map(|loose| told(CHECK, loose, patient.fix)).collect(),
        Err(error) => {
            let what = format!("what lies in {} cannot be looked at", state_dir.display());
            let skipped = Finding::new(CHECK, State::Skipped, what).why(error.to_string()).fix("sudo aicpctl doctor");
            found.into_iter().map(|loose| told(CHECK, loose, patient.fix)).chain([skipped]).collect()
        }
    }
}

/// Judges what lies in a folder, and says how many files that were.
fn walk(folder: &Path, owner: u32, depth: usize, found: &mut Vec<Loose>) -> std::io::Result<usize> {
    let mut seen = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, about) = (entry.path(), entry.metadata()?);
        if entry.file_name() == JOURNAL || about.file_type().is_socket() {
            continue;
        }
        judge(&path, &about, owner, found);
        if !about.is_dir() {
            seen += 1;
        } else if depth > 1 {
            seen += walk(&path, owner, depth - 1, found)?;
        }
    }
    Ok(seen)
}

fn judge(path: &Path, about: &Metadata, owner: u32, found: &mut Vec<Loose>) {
    let is_key = path.extension().is_some_and(|extension| extension == "key");
    let (mode, uid) = (about.mode() & 0o7777, about.uid());
    let mut add = |what: String, remedy, state| found.push(Loose { path: path.into(), what, remedy, state });
    if is_key && !about.is_file() {
        return add("a key that is no plain file, so the daemon does not take it".into(), Remedy::None, State::Fail);
    }
    if uid != owner {
        let what = format!("belongs to uid {uid}, and the daemon is uid {owner}");
        return add(what, Remedy::Owner { uid: owner, gid: about.gid() }, State::Fail);
    }
    if is_key && mode & GROUP_AND_OTHERS != 0 {
        return add(format!("a key that others may read (mode {mode:04o})"), Remedy::Mode(0o600), State::Fail);
    }
    if !about.is_symlink() && mode & WRITABLE != 0 {
        return add(format!("others may change it (mode {mode:04o})"), Remedy::Mode(mode & !WRITABLE), State::Fail);
    }
    if about.is_dir() && mode & GROUP_AND_OTHERS != 0 {
        add(format!("others may look into it (mode {mode:04o})"), Remedy::Mode(0o700), State::Warn);
    }
}

fn told(check: &'static str, loose: Loose, fix: bool) -> Finding {
    let what = format!("{}: {}", loose.path.display(), loose.what);
    let finding = Finding::new(check, loose.state, what);
    let finding = match fix.then(|| loose.remedy.apply(&loose.path)) {
        Some(Ok(())) => return Finding { state: State::Ok, ..finding }.fixed(),
        Some(Err(error)) => finding.why(format!("it could not be mended: {error}")),
        None => {
            finding.why("keys say who this node and its agents are; the daemon takes none that others could change")
        }
    };
    match loose.remedy.words(&loose.path) {
        Some(words) => finding.fix(words),
        None => finding.fix("move it away, and restore the key from a backup"),
    }
}

/// Whether the socket is as the configuration wants it.
pub(super) fn socket(patient: &Patient<'_>) -> Option<Finding> {
    const CHECK: &str = "socket";
    let config = patient.config.as_ref().ok()?;
    let named = patient.common.socket.as_ref();
    let path = named.unwrap_or(&config.socket.path);
    // Where nobody listens, the daemon's own finding has said it.
    let about = path.symlink_metadata().ok().filter(|about| about.file_type().is_socket())?;
    let (mode, wanted) = (about.mode() & 0o777, config.socket.mode);
    // A socket that was named may be that of a daemon with another configuration.
    if named.is_some() && patient.asked.config.is_none() || mode == wanted {
        return Some(Finding::new(CHECK, State::Ok, format!("{} (mode {mode:04o})", path.display())));
    }
    let what = format!("mode {mode:04o}, and the configuration says {wanted:04o}");
    let loose = Loose { path: path.clone(), what, remedy: Remedy::Mode(wanted), state: State::Warn };
    let mut finding = told(CHECK, loose, patient.fix);
    if !finding.is_fixed {
        finding.why = Some("whoever may open the socket may be an agent here".into());
    }
    Some(finding)
}

//! A passphrase, from the terminal or from a file. Never from the command line, which others can see, and never from
//! the environment, which is inherited.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use keys::backup::Passphrase;
use proto::limits::BACKUP_PASSPHRASE_BYTES_MAX;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};

const TERMINAL: &str = "/dev/tty";

/// Whether a typing error would go unnoticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    Once,
    Twice,
}

/// Takes it from `file`, or asks for it.
pub(crate) async fn take(file: Option<&Path>, ask: Ask) -> Result<Passphrase, Failure> {
    if let Some(path) = file {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        return passphrase(read(file).map_err(|error| unreadable(path, &error))?);
    }
    let first = passphrase(ask_for("passphrase: ").await?)?;
    if ask == Ask::Twice && first != passphrase(ask_for("once more: ").await?)? {
        return Err(Failure::new(Exit::Usage, "the two passphrases differ").now("nothing was written"));
    }
    Ok(first)
}

fn passphrase(text: Zeroizing<Vec<u8>>) -> Result<Passphrase, Failure> {
    Passphrase::new(text).map_err(|error| {
        Failure::new(Exit::Usage, "this passphrase is not taken").why(error.to_string()).now("nothing was written")
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("the passphrase in {} cannot be read", path.display())).why(error.to_string())
}

/// One byte more than any passphrase has, so that a longer one is refused and not cut.
fn read(file: impl Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(BACKUP_PASSPHRASE_BYTES_MAX + 2));
    file.take(BACKUP_PASSPHRASE_BYTES_MAX as u64 + 2).read_to_end(&mut text)?;
    Ok(text)
}

async fn ask_for(prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let no_terminal = |error: std::io::Error| {
        Failure::new(Exit::Usage, "there is no terminal to ask for the passphrase at")
            .why(error.to_string())
            .fix("--passphrase-file FILE")
    };
    let mut terminal = OpenOptions::new().read(true).write(true).open(TERMINAL).map_err(no_terminal)?;
    let quiet = Quiet::begin(terminal.try_clone()?).map_err(no_terminal)?;
    terminal.write_all(prompt.as_bytes())?;
    // On a thread of its own, so that ctrl-c is heard meanwhile; the echo comes back with `quiet`.
    let line = tokio::task::spawn_blocking(move || read_line(terminal)).await.map_err(std::io::Error::other)??;
    drop(quiet);
    Ok(line)
}

/// Byte by byte: what comes after the line is not ours.
fn read_line(mut terminal: File) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(BACKUP_PASSPHRASE_BYTES_MAX + 2));
    let mut byte = Zeroizing::new([0]);
    while line.len() <= BACKUP_PASSPHRASE_BYTES_MAX && terminal.read(&mut *byte)? > 0 && *byte != *b"\n" {
        line.extend_from_slice(&*byte);
    }
    Ok(line)
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn begin(terminal: File) -> std::io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // There is nobody to tell; the line break that was typed was not shown either.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
        let _ = self.terminal.write_all(b"\n");
    }
}

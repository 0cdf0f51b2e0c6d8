//! Where the value of a key stands.

use core::fmt;
use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::Flags;

/// Where a value stands. The later one counts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// In the file, or in a drop-in.
    File(PathBuf),
    /// In the environment, under that name.
    Variable(&'static str),
    /// On the command line, after that word.
    Flag(&'static str),
}

/// What a configuration was made of, so that it can be made again.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Sources {
    /// What was said on the command line.
    pub flags: Flags,
    /// The file, or where it would be. Its drop-ins lie beside it.
    pub file: Option<PathBuf>,
    /// Where each key that somebody set has its value from.
    pub(crate) origins: BTreeMap<&'static str, Origin>,
}

impl Sources {
    /// Where a key has its value from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

//! Why there is no configuration, in words for whoever has to repair it. Nothing was started.

use std::path::PathBuf;

/// What is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was named cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// It is not TOML, or a value is of another type.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Line, column and cause.
        message: String,
    },
    /// There is no such key.
    #[error("{}: there is no key {key}{}", path.display(), hint(suggestion))]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// The key, with its section.
        key: String,
        /// The key that was meant, perhaps.
        suggestion: Option<String>,
    },
    /// A value cannot be what it is.
    #[error("{key} = {value:?} ({from}): {why}")]
    Value {
        /// The key, with its section.
        key: &'static str,
        /// What stands there.
        value: String,
        /// Where it stands.
        from: String,
        /// What it should be.
        why: String,
    },
    /// Neither the environment nor a flag says where state may be kept.
    #[error("nothing says where to keep state: HOME and XDG_STATE_HOME are not set; fix: give --state-dir DIR")]
    NoHome,
}

fn hint(suggestion: &Option<String>) -> String {
    match suggestion {
        Some(key) => format!("; did you mean {key}? (aicpd default-config shows all keys)"),
        None => "; aicpd default-config shows all keys".into(),
    }
}

//! Where the configuration comes from: defaults, the file, `aicpd.toml.d/*.toml` beside it, `AICP_*`, flags; the
//! later one counts. This is the only place that reads the environment; it writes nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use proto::{Name, limits};

use crate::ConfigError;
use crate::checked::{Config, Defaults};
use crate::limits::{RawAmount, RawLimits};
use crate::raw::Raw;

/// What was said on the command line.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Flags {
    /// The file. Without it, the usual one if it is there.
    pub config: Option<PathBuf>,
    /// `node.state_dir`.
    pub state_dir: Option<PathBuf>,
    /// `socket.path`.
    pub socket: Option<PathBuf>,
    /// `node.name`.
    pub name: Option<String>,
    /// `mesh.listen`.
    pub listen: Option<String>,
    /// `mesh.peers`; if any is given, those of the file do not count.
    pub peers: Vec<String>,
    /// `log.level`.
    pub log: Option<String>,
}

/// What the host says about itself and its user.
#[derive(Clone, Default, Debug)]
pub struct Host {
    /// The user is root.
    pub is_root: bool,
    /// What the host is called.
    pub name: String,
    /// The environment variables that are known here, and set.
    pub variables: Vec<(&'static str, OsString)>,
}

const VARIABLES: [&str; 24] = [
    "AICP_NODE_NAME",
    "AICP_STATE_DIR",
    "AICP_SOCKET",
    "AICP_LISTEN",
    "AICP_LOG",
    "AICP_METRICS_LISTEN",
    "AICP_LIMITS_OUTBOX_MESSAGES",
    "AICP_LIMITS_OUTBOX_BYTES",
    "AICP_LIMITS_MAILBOX_MESSAGES",
    "AICP_LIMITS_MAILBOX_BYTES",
    "AICP_LIMITS_PAIR_MESSAGES",
    "AICP_LIMITS_PAIR_BYTES",
    "AICP_LIMITS_PEER_MESSAGES",
    "AICP_LIMITS_PEER_BYTES",
    "AICP_LIMITS_NODE_BYTES",
    "AICP_LIMITS_DELIVERIES",
    "HOME",
    "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    // What systemd says to a service about its folders.
    "CONFIGURATION_DIRECTORY",
    "STATE_DIRECTORY",
    "RUNTIME_DIRECTORY",
    "CREDENTIALS_DIRECTORY",
];

/// Beside the file with the usual name, drop-ins lie in a folder with this end.
const DROP_INS: &str = ".d";
const FILE_NAME: &str = "aicpd.toml";
/// Where `aicpd init --name` leaves the node's name, below the state directory.
const NAME_FILE: &str = "identity/name";

/// Loads and checks it.
pub fn load(flags: &Flags) -> Result<Config, ConfigError> {
    load_on(flags, &Host::of_this_process())
}

/// Loads and checks it as on some other host. For tests.
pub fn load_on(flags: &Flags, host: &Host) -> Result<Config, ConfigError> {
    let mut sources = vec!["defaults".to_owned()];
    let mut raw = Raw::default();
    if let Some(path) = file_of(flags, host) {
        for path in with_drop_ins(&path)? {
            let text = std::fs::read_to_string(&path)
                .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
            raw = Raw::read(&path, &text)?.over(raw);
            sources.push(path.display().to_string());
        }
    }
    let raw = from_flags(flags).over(from_environment(host).over(raw));
    sources.push("AICP_* and flags".into());
    let defaults = defaults(&raw, host)?;
    let mut config = Config::check(raw, defaults, &sources.join(", then "))?;
    config.credentials = host.folder("CREDENTIALS_DIRECTORY");
    Ok(config)
}

impl Host {
    /// This one.
    #[must_use]
    pub fn of_this_process() -> Self {
        let read = |name: &'static str| {
            #[expect(clippy::disallowed_methods, reason = "this is where the configuration is loaded")]
            let value = std::env::var_os(name);
            value.filter(|value| !value.is_empty()).map(|value| (name, value))
        };
        Self {
            is_root: rustix::process::geteuid().is_root(),
            name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            variables: VARIABLES.into_iter().filter_map(read).collect(),
        }
    }

    fn variable(&self, name: &str) -> Option<&OsString> {
        self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn folder(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from)
    }

    /// A folder that the service manager made for this daemon; the first, if there are several.
    fn made_folder(&self, name: &str) -> Option<PathBuf> {
        let value = self.variable(name)?.to_str()?;
        value.split(':').next().map(PathBuf::from)
    }
}

/// The file that was named, which must be there, or the usual one, which need not be.
fn file_of(flags: &Flags, host: &Host) -> Option<PathBuf> {
    if let Some(path) = &flags.config {
        return Some(path.clone());
    }
    let folder = if let Some(made) = host.made_folder("CONFIGURATION_DIRECTORY") {
        made
    } else if host.is_root {
        PathBuf::from("/etc/aicp")
    } else {
        host.folder("XDG_CONFIG_HOME").or_else(|| Some(host.folder("HOME")?.join(".config")))?.join("aicp")
    };
    let path = folder.join(FILE_NAME);
    let is_there = path.exists() || drop_in_folder(&path).is_dir();
    is_there.then_some(path)
}

fn drop_in_folder(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(DROP_INS);
    name.into()
}

/// The file if it is there, and its drop-ins in the order of their names.
fn with_drop_ins(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let folder = drop_in_folder(path);
    let mut found = Vec::new();
    match std::fs::read_dir(&folder) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry.map_err(|source| ConfigError::Unreadable { path: folder.clone(), source })?;
                found.push(entry.path());
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(ConfigError::Unreadable { path: folder, source }),
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    found.sort();
    // Only drop-ins may stand alone; a file that was named must be there, and reading it says so if it is not.
    if path.exists() || found.is_empty() {
        found.insert(0, path.into());
    }
    Ok(found)
}

fn from_environment(host: &Host) -> Raw {
    let text = |name| host.variable(name).map(|value| value.to_string_lossy().into_owned());
    let mut raw = Raw::default();
    raw.node.name = text("AICP_NODE_NAME");
    raw.node.state_dir = text("AICP_STATE_DIR");
    raw.socket.path = text("AICP_SOCKET");
    raw.mesh.listen = text("AICP_LISTEN");
    raw.log.level = text("AICP_LOG");
    raw.metrics.listen = text("AICP_METRICS_LISTEN");
    let amount = |name| text(name).map(RawAmount::Text);
    raw.limits = RawLimits {
        outbox_messages: amount("AICP_LIMITS_OUTBOX_MESSAGES"),
        outbox_bytes: amount("AICP_LIMITS_OUTBOX_BYTES"),
        mailbox_messages: amount("AICP_LIMITS_MAILBOX_MESSAGES"),
        mailbox_bytes: amount("AICP_LIMITS_MAILBOX_BYTES"),
        pair_messages: amount("AICP_LIMITS_PAIR_MESSAGES"),
        pair_bytes: amount("AICP_LIMITS_PAIR_BYTES"),
        peer_messages: amount("AICP_LIMITS_PEER_MESSAGES"),
        peer_bytes: amount("AICP_LIMITS_PEER_BYTES"),
        node_bytes: amount("AICP_LIMITS_NODE_BYTES"),
        deliveries: amount("AICP_LIMITS_DELIVERIES"),
    };
    raw
}

fn from_flags(flags: &Flags) -> Raw {
    let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
    let mut raw = Raw::default();
    raw.node.name = flags.name.clone();
    raw.node.state_dir = text(&flags.state_dir);
    raw.socket.path = text(&flags.socket);
    raw.mesh.listen = flags.listen.clone();
    raw.mesh.peers = Some(flags.peers.clone()).filter(|peers| !peers.is_empty());
    raw.log.level = flags.log.clone();
    raw
}

/// The socket's default lies beside the state where there is no folder for what lives as long as a login; also where
/// the operator moved the state, so that two daemons of one user do not meet at one door.
fn defaults(raw: &Raw, host: &Host) -> Result<Defaults, ConfigError> {
    let made = host.made_folder("STATE_DIRECTORY");
    let is_service = made.is_some();
    let usual = if is_service {
        made
    } else if host.is_root {
        Some(PathBuf::from("/var/lib/aicp"))
    } else {
        let home = || Some(host.folder("HOME")?.join(".local/state"));
        host.folder("XDG_STATE_HOME").or_else(home).map(|folder| folder.join("aicp"))
    };
    let moved = raw.node.state_dir.as_ref().map(PathBuf::from).filter(|moved| usual.as_ref() != Some(moved));
    let usual_runtime = || if host.is_root { Some(PathBuf::from("/run")) } else { host.folder("XDG_RUNTIME_DIR") };
    let made = host.made_folder("RUNTIME_DIRECTORY");
    let runtime = made.or_else(|| usual_runtime().map(|folder| folder.join("aicp")));
    let state_dir = moved.clone().or(usual).ok_or(ConfigError::NoHome)?;
    let beside = state_dir.join("agent.sock");
    let socket = match runtime {
        Some(runtime) if moved.is_none() => runtime.join("agent.sock"),
        Some(_) | None => beside,
    };
    let node_name = kept_name(&state_dir).unwrap_or_else(|| name_of_host(&host.name));
    let socket_mode = if host.is_root || is_service { 0o660 } else { 0o600 };
    Ok(Defaults { node_name, state_dir, socket, socket_mode })
}

fn kept_name(state_dir: &Path) -> Option<Name> {
    std::fs::read_to_string(state_dir.join(NAME_FILE)).ok()?.trim().parse().ok()
}

/// The host's name up to its first dot, with whatever a name cannot have left out.
fn name_of_host(host: &str) -> Name {
    let short = host.trim().split('.').next().unwrap_or_default().to_ascii_lowercase();
    let may_stand = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    let plain: String = short.chars().filter(may_stand).take(limits::NAME_BYTES_MAX).collect();
    plain.trim_start_matches(['_', '-']).parse().unwrap_or_else(|_| fallback())
}

fn fallback() -> Name {
    const FALLBACK: &str = "node";
    #[expect(clippy::expect_used, reason = "four lowercase letters are a name")]
    FALLBACK.parse().expect("a name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SAMPLE;
    use crate::raw::KEYS;

    fn user(home: &Path) -> Host {
        let variables = vec![("HOME", home.as_os_str().to_owned())];
        Host { is_root: false, name: "Alpha-1.example.org\n".into(), variables }
    }

    #[test]
    fn the_sample_is_read_and_shows_every_key() {
        assert_eq!(Raw::read(Path::new("sample"), SAMPLE).expect("the sample"), Raw::default());
        let shown: String = SAMPLE
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line).to_owned() + "\n")
            .collect();
        let table: toml::Table = shown.parse().expect("the examples are TOML");
        for (section, keys) in KEYS {
            for key in *keys {
                assert!(table[*section].get(key).is_some(), "{section}.{key} is not in the sample");
            }
        }
    }

    #[test]
    fn without_a_word_nothing_listens_and_all_lies_under_home() {
        let home = tempfile::tempdir().expect("a folder");
        let config = load_on(&Flags::default(), &user(home.path())).expect("defaults");
        assert_eq!(config.node_name.as_str(), "alpha-1");
        assert_eq!(config.state_dir, home.path().join(".local/state/aicp"));
        assert_eq!(config.socket.path, config.state_dir.join("agent.sock"));
        assert_eq!((config.socket.mode, config.mesh.listen, config.metrics), (0o600, None, None));
    }

    #[test]
    fn a_flag_counts_before_the_environment_a_drop_in_and_the_file() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join(".config/aicp/aicpd.toml.d");
        std::fs::create_dir_all(&folder).expect("folders");
        let file = home.path().join(".config/aicp/aicpd.toml");
        std::fs::write(&file, "[node]\nname = \"file\"\n[log]\nlevel = \"warn\"\n[mesh]\nmax_hops = 3")
            .expect("written");
        let mut host = user(home.path());
        let name = |flags: &Flags, host: &Host| load_on(flags, host).expect("loaded").node_name.to_string();
        assert_eq!(name(&Flags::default(), &host), "file");
        std::fs::write(folder.join("10-a.toml"), "[node]\nname = \"first\"").expect("written");
        std::fs::write(folder.join("20-b.toml"), "[node]\nname = \"second\"").expect("written");
        assert_eq!(name(&Flags::default(), &host), "second");
        host.variables.push(("AICP_NODE_NAME", "environment".into()));
        assert_eq!(name(&Flags::default(), &host), "environment");
        let flags = Flags { name: Some("flag".into()), ..Flags::default() };
        let config = load_on(&flags, &host).expect("loaded");
        assert_eq!(config.node_name.as_str(), "flag");
        assert_eq!((config.log.level.as_str(), config.mesh.hops), ("warn", 3));
    }

    #[test]
    fn what_cannot_be_is_told_with_key_value_and_remedy() {
        let home = tempfile::tempdir().expect("a folder");
        let told = |flags: Flags| load_on(&flags, &user(home.path())).expect_err("refused").to_string();
        let peer = told(Flags { peers: vec!["beta=aicp1xyz@h:1".into()], ..Flags::default() });
        assert!(peer.contains("mesh.peers") && peer.contains("aicpd init prints"), "{peer}");
        let listen = told(Flags { listen: Some("localhost".into()), ..Flags::default() });
        assert!(listen.contains("mesh.listen") && listen.contains("[::]:7727"), "{listen}");
        let missing = told(Flags { config: Some(home.path().join("none.toml")), ..Flags::default() });
        assert!(missing.contains("none.toml"), "{missing}");
        let nowhere = load_on(&Flags::default(), &Host::default()).expect_err("no home");
        assert!(nowhere.to_string().contains("--state-dir"));
    }

    #[test]
    fn metrics_are_told_on_this_host_alone_and_anything_else_is_refused_with_the_reason() {
        let home = tempfile::tempdir().expect("a folder");
        let load = |listen: &str| {
            let mut host = user(home.path());
            host.variables.push(("AICP_METRICS_LISTEN", listen.into()));
            load_on(&Flags::default(), &host)
        };
        for listen in ["127.0.0.1:9177", "127.9.9.9:1", "[::1]:9177", "unix:/run/aicp/metrics.sock"] {
            let metrics = load(listen).expect("a place on this host").metrics.expect("it is told");
            assert_eq!(metrics.to_string(), listen);
        }
        assert_eq!(load("").expect("nothing").metrics, None);
        for listen in ["0.0.0.0:9177", "[::]:9177", "10.0.0.5:9177", "[::ffff:10.0.0.5]:9177", "192.0.2.1:9177"] {
            let told = load(listen).expect_err(listen).to_string();
            assert!(told.contains("metrics.listen") && told.contains(listen), "{told}");
            assert!(told.contains("others could read") && told.contains("127.0.0.1:9177"), "{told}");
        }
        for listen in ["9177", "localhost:9177", "127.0.0.1", "unix:", "unix:metrics.sock", "/run/aicp/metrics.sock"] {
            let told = load(listen).expect_err(listen).to_string();
            assert!(told.contains("metrics.listen") && told.contains("unix:/run/aicp/metrics.sock"), "{told}");
        }
    }

    #[test]
    fn a_service_finds_its_folders_where_its_manager_made_them_whoever_it_runs_as() {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::write(home.path().join("aicpd.toml"), "[mesh]\nmax_hops = 3").expect("written");
        let mut host = user(Path::new("/nonexistent"));
        let folder = home.path().as_os_str().to_owned();
        host.variables.push(("CONFIGURATION_DIRECTORY", folder));
        host.variables.push(("STATE_DIRECTORY", "/var/lib/aicp:/var/lib/other".into()));
        host.variables.push(("RUNTIME_DIRECTORY", "/run/aicp".into()));
        let config = load_on(&Flags::default(), &host).expect("loaded");
        assert_eq!(config.state_dir, Path::new("/var/lib/aicp"));
        assert_eq!(config.socket.path, Path::new("/run/aicp/agent.sock"));
        assert_eq!((config.socket.mode, config.mesh.hops, config.credentials), (0o660, 3, None));
        host.variables.push(("CREDENTIALS_DIRECTORY", "/run/credentials/aicpd.service".into()));
        let config = load_on(&Flags::default(), &host).expect("loaded");
        assert_eq!(config.credentials.as_deref(), Some(Path::new("/run/credentials/aicpd.service")));
    }

    #[test]
    fn a_moved_state_directory_takes_the_socket_with_it() {
        let home = tempfile::tempdir().expect("a folder");
        let mut host = user(home.path());
        host.variables.push(("XDG_RUNTIME_DIR", home.path().join("run").into_os_string()));
        let usual = load_on(&Flags::default(), &host).expect("loaded");
        assert_eq!(usual.socket.path, home.path().join("run/aicp/agent.sock"));
        let flags = Flags { state_dir: Some(home.path().join("b")), ..Flags::default() };
        assert_eq!(load_on(&flags, &host).expect("loaded").socket.path, home.path().join("b/agent.sock"));
    }
}

//! Where the configuration comes from: defaults, the file, `aicpd.toml.d/*.toml` beside it, `AICP_*`, flags; the
//! later one counts, and each key remembers where it was said. Rules add up. This is the only place that reads the
//! environment; it writes nothing.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use proto::{Name, limits};

use crate::allow::RawAllow;
use crate::checked::{Config, Defaults};
use crate::key::{KEYS, Kind};
use crate::origin::{Origin, Sources};
use crate::raw::Raw;
use crate::{ConfigError, Key};

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

/// What is asked of the environment beside the keys' own names: a user's folders, and what systemd says to a service about
/// its own.
const FOLDERS: [&str; 8] = [
    "HOME",
    "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
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

/// Loads and checks it as on some other host.
pub fn load_on(flags: &Flags, host: &Host) -> Result<Config, ConfigError> {
    load_with(flags, host, None)
}

/// The same, as if that text already lay at that path.
pub(crate) fn load_with(flags: &Flags, host: &Host, with: Option<(&Path, &str)>) -> Result<Config, ConfigError> {
    let mut layers = Layers::default();
    let file = file_of(flags, host);
    if let Some(path) = file.as_ref().filter(|path| flags.config.is_some() || is_there(path) || with.is_some()) {
        for path in with_drop_ins(path, with.map(|(path, _)| path))? {
            let text = match with {
                Some((new, text)) if new == path => text.to_owned(),
                Some(_) | None => std::fs::read_to_string(&path)
                    .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?,
            };
            layers.take_file(&path, &text)?;
        }
    }
    layers.take_environment(host)?;
    layers.take_flags(flags);
    let Layers { table, rules, origins } = layers;
    let sources = Sources { flags: flags.clone(), file, origins };
    // Each layer was judged by itself; together they are no less what keys may hold.
    let raw: Raw = toml::Value::Table(table).try_into().map_err(|error: toml::de::Error| ConfigError::Syntax {
        path: "AICP_* and flags".into(),
        message: error.to_string(),
    })?;
    let defaults = defaults(&raw, host)?;
    let mut config = Config::check(raw, rules, defaults, sources)?;
    config.credentials = host.folder("CREDENTIALS_DIRECTORY");
    Ok(config)
}

/// What was said so far, and where.
#[derive(Default)]
struct Layers {
    table: toml::Table,
    rules: Vec<(RawAllow, Origin)>,
    origins: std::collections::BTreeMap<&'static str, Origin>,
}

impl Layers {
    fn take_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let (raw, table) = Raw::read(path, text)?;
        let origin = Origin::File(path.into());
        self.rules.extend(raw.allow.into_iter().map(|rule| (rule, origin.clone())));
        for key in KEYS {
            let (section, name) = key.parts();
            let value = table.get(section).and_then(|section| section.get(name));
            if let Some(value) = value {
                self.set(key, value.clone(), origin.clone());
            }
        }
        Ok(())
    }

    fn take_environment(&mut self, host: &Host) -> Result<(), ConfigError> {
        for key in KEYS {
            let Some(text) = host.variable(key.variable) else { continue };
            let text = text.to_string_lossy();
            let value = key.value_of(&text).ok_or_else(|| ConfigError::Value {
                key: key.name,
                value: text.clone().into_owned(),
                from: key.variable.into(),
                why: "a whole number".into(),
            })?;
            self.set(key, value, Origin::Variable(key.variable));
        }
        Ok(())
    }

    fn take_flags(&mut self, flags: &Flags) {
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned().into());
        let peers = Some(&flags.peers).filter(|peers| !peers.is_empty());
        let given: [(&str, Option<toml::Value>); 6] = [
            ("--name", flags.name.clone().map(Into::into)),
            ("--state-dir", text(&flags.state_dir)),
            ("--socket", text(&flags.socket)),
            ("--listen", flags.listen.clone().map(Into::into)),
            ("--peer", peers.map(|peers| list(peers.iter().map(String::as_str)))),
            ("--log", flags.log.clone().map(Into::into)),
        ];
        for key in KEYS {
            let said = given.iter().find(|(flag, _)| key.flag == Some(flag));
            if let (Some((_, Some(value))), Some(flag)) = (said, key.flag) {
                self.set(key, value.clone(), Origin::Flag(flag));
            }
        }
    }

    fn set(&mut self, key: &'static Key, value: toml::Value, origin: Origin) {
        let (section, name) = key.parts();
        let there = self.table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if let Some(section) = there.as_table_mut() {
            section.insert(name.into(), value);
        }
        self.origins.insert(key.name, origin);
    }
}

impl Key {
    /// A value as it is said in the environment or on a command line. `None` if it is none of this kind.
    #[must_use]
    pub fn value_of(&self, text: &str) -> Option<toml::Value> {
        match self.kind {
            Kind::Text => Some(text.into()),
            Kind::Number => text.trim().parse::<i64>().ok().map(Into::into),
            // A size that is none is told with what it should be.
            Kind::Amount => Some(text.trim().parse::<i64>().map_or_else(|_| text.trim().into(), Into::into)),
            Kind::List => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Some(list(parts))
            }
        }
    }
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
            variables: KEYS.iter().map(|key| key.variable).chain(FOLDERS).filter_map(read).collect(),
        }
    }

    /// The same host for somebody who has no `AICP_*` in the environment: what a daemon has there, it knows itself.
    #[must_use]
    pub fn without_variables(mut self) -> Self {
        self.variables.retain(|(name, _)| FOLDERS.contains(name));
        self
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

fn list<'a>(elements: impl Iterator<Item = &'a str>) -> toml::Value {
    toml::Value::Array(elements.map(toml::Value::from).collect())
}

/// The file that was named, which must be there, or the usual one, which need not be.
pub(crate) fn file_of(flags: &Flags, host: &Host) -> Option<PathBuf> {
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
    Some(folder.join(FILE_NAME))
}

fn is_there(path: &Path) -> bool {
    path.exists() || drop_in_folder(path).is_dir()
}

pub(crate) fn drop_in_folder(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(DROP_INS);
    name.into()
}

/// The file if it is there, and its drop-ins in the order of their names, with one that is about to be there.
fn with_drop_ins(path: &Path, new: Option<&Path>) -> Result<Vec<PathBuf>, ConfigError> {
    let folder = drop_in_folder(path);
    let mut found = Vec::new();
    match std::fs::read_dir(&folder) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry.map_err(|source| ConfigError::Unreadable { path: folder.clone(), source })?;
                found.push(entry.path());
            }
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
        Err(source) => return Err(ConfigError::Unreadable { path: folder, source }),
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    found.extend(new.map(Path::to_owned));
    found.sort();
    found.dedup();
    // Only drop-ins may stand alone; a file that was named must be there, and reading it says so if it is not.
    if path.exists() || found.is_empty() {
        found.insert(0, path.into());
    }
    Ok(found)
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

    fn user(home: &Path) -> Host {
        let variables = vec![("HOME", home.as_os_str().to_owned())];
        Host { is_root: false, name: "Alpha-1.example.org\n".into(), variables }
    }

    #[test]
    fn the_sample_is_read_and_shows_every_key() {
        let (raw, _) = Raw::read(Path::new("sample"), SAMPLE).expect("the sample");
        assert_eq!(raw, Raw::default(), "all of it is commented out");
        let shown: String = SAMPLE
            .lines()
            .map(|line| {
                let rest = line.strip_prefix("# ").filter(|rest| rest.contains(" = ") || rest.starts_with("[["));
                rest.unwrap_or(line).to_owned() + "\n"
            })
            .collect();
        let (_, table) = Raw::read(Path::new("shown"), &shown).expect("the examples are what keys may hold");
        for key in KEYS {
            let (section, name) = key.parts();
            assert!(table[section].get(name).is_some(), "{} is not in the sample", key.name);
            for way in [Some(key.variable), key.flag].into_iter().flatten() {
                let is_one_of_many = way.starts_with("AICP_LIMITS_") && SAMPLE.contains("AICP_LIMITS_");
                assert!(SAMPLE.contains(way) || is_one_of_many, "{way} is not in the sample");
            }
        }
        let rules: Vec<&toml::Table> =
            table["allow"].as_array().expect("rules").iter().map(|rule| rule.as_table().expect("a rule")).collect();
        for key in RawAllow::KEYS {
            assert!(rules.iter().any(|rule| rule.contains_key(*key)), "allow.{key} is not in the sample");
        }
    }

    #[test]
    fn every_key_can_be_said_in_the_environment_and_says_where_it_was_said() {
        let home = tempfile::tempdir().expect("a folder");
        for key in KEYS {
            let value = match key.name {
                "socket.path" | "node.state_dir" => "/tmp/x",
                "socket.mode" => "0640",
                "mesh.listen" => "[::1]:7",
                "mesh.peers" => "",
                "mesh.advertise" => "a:1, b:2",
                "mesh.max_hops" => "3",
                "log.level" => "warn",
                "log.format" => "json",
                "metrics.listen" => "127.0.0.1:9177",
                name if name.ends_with("_bytes") || name == "store.limit" => "400MiB",
                name if name.starts_with("limits.") => "7",
                _ => "word",
            };
            let mut host = user(home.path());
            let before = load_on(&Flags::default(), &host).expect("defaults").value(key.name);
            host.variables.push((key.variable, value.into()));
            let config = load_on(&Flags::default(), &host).expect(key.name);
            assert_eq!(config.sources.origin(key.name), Origin::Variable(key.variable));
            assert!(config.value(key.name) != before || value.is_empty(), "{} is not heard", key.variable);
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
        assert_eq!(config.sources.origin("log.level"), Origin::Default);
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
        let origins = ["node.name", "log.level", "log.format"].map(|key| config.sources.origin(key));
        assert_eq!(origins, [Origin::Flag("--name"), Origin::File(file.clone()), Origin::Default]);
    }

    #[test]
    fn rules_of_all_files_add_up_and_each_says_where_it_stands() {
        let home = tempfile::tempdir().expect("a folder");
        let file = home.path().join("a.toml");
        let folder = home.path().join("a.toml.d");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(&file, "[[allow]]\nto = \"writer\"\n").expect("written");
        std::fs::write(folder.join("1.toml"), "[[allow]]\nname = \"mine\"\nto = \"*\"\nfrom = \"a@b\"\n")
            .expect("written");
        let flags = Flags { config: Some(file.clone()), ..Flags::default() };
        let rules = load_on(&flags, &user(home.path())).expect("loaded").allow;
        let told: Vec<_> = rules.iter().map(|rule| (rule.name.as_str(), rule.origin.clone())).collect();
        assert_eq!(told, [("rule-1", Origin::File(file)), ("mine", Origin::File(folder.join("1.toml")))]);
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

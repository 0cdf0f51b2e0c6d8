//! What everyone else sees of the configuration: typed and complete. A value that exists here can be used.

use std::net::SocketAddr;
use std::path::PathBuf;

use proto::{Name, limits};

use crate::allow::{self, Allow, RawAllow};
use crate::limits::{Limits, check_store};
use crate::metrics::MetricsListen;
use crate::peer::{Peer, is_address};
use crate::raw::Raw;
use crate::{ConfigError, Origin, Sources};

/// All of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// What this node is called.
    pub node_name: Name,
    /// Where all lies that survives.
    pub state_dir: PathBuf,
    /// Where the service manager hands over keys, if it does.
    pub credentials: Option<PathBuf>,
    /// The agents' door.
    pub socket: Socket,
    /// Other nodes.
    pub mesh: Mesh,
    /// What is logged.
    pub log: Log,
    /// Where metrics and health are told. Nowhere without it.
    pub metrics: Option<MetricsListen>,
    /// How much may wait where.
    pub limits: Limits,
    /// Bytes that the journal may take on disk.
    pub store_limit: u64,
    /// Who may send what to agents of this node.
    pub allow: Vec<Allow>,
    /// What it was made of.
    pub sources: Sources,
}

/// The agents' door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Socket {
    /// Where it is.
    pub path: PathBuf,
    /// Who may open it, as chmod writes it.
    pub mode: u32,
    /// The group that it belongs to; without it, that of whoever runs the daemon.
    pub group: Option<String>,
    /// The group whose members may change the node's state; without it, root and whoever runs the daemon alone.
    pub admin_group: Option<String>,
}

/// Other nodes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Mesh {
    /// Where peers are listened for. Nothing listens without it.
    pub listen: Option<SocketAddr>,
    /// Who may link with us, and whom we dial.
    pub peers: Vec<Peer>,
    /// Where others may dial us, as it stands in this node's record.
    pub advertise: Vec<Box<str>>,
    /// How far messages of this node may travel.
    pub hops: u8,
}

/// What is logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// `info`, or several like `info,daemon::peer=debug`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What stands where the operator said nothing.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    pub(crate) node_name: Name,
    pub(crate) state_dir: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) socket_mode: u32,
}

/// What a socket's mode is where a group is named.
const GROUP_MODE: u32 = 0o660;
const HOPS: u8 = 8;
const LEVEL: &str = "info";
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl Config {
    /// Judges every value.
    pub(crate) fn check(
        raw: Raw,
        rules: Vec<(RawAllow, Origin)>,
        defaults: Defaults,
        sources: Sources,
    ) -> Result<Self, ConfigError> {
        let bad = |key: &'static str, value: &str, why: String| {
            let from = sources.origin(key).to_string();
            ConfigError::Value { key, value: value.into(), from, why }
        };
        let node_name = match raw.node.name {
            Some(name) => name.parse().map_err(|error: proto::NameError| bad("node.name", &name, error.to_string()))?,
            None => defaults.node_name,
        };
        let group = read_group("socket.group", raw.socket.group, bad)?;
        let admin_group = read_group("socket.admin_group", raw.socket.admin_group, bad)?;
        let mode = match raw.socket.mode {
            Some(mode) => read_mode(&mode).ok_or_else(|| {
                bad("socket.mode", &mode, "a mode is octal digits from 0600 to 0777, like \"0660\"".into())
            })?,
            // Whoever names a group wants its members in.
            None if group.is_some() => GROUP_MODE,
            None => defaults.socket_mode,
        };
        let path = raw.socket.path.map_or(defaults.socket, PathBuf::from);
        let socket = Socket { path, mode, group, admin_group };
        let listen = raw.mesh.listen.filter(|listen| !listen.is_empty()).map(|listen| {
            listen.parse().map_err(|_| {
                bad("mesh.listen", &listen, "an IP address and a port, like \"[::]:7727\" or \"10.0.0.5:7727\"".into())
            })
        });
        let advertise = raw.mesh.advertise.unwrap_or_default();
        if let Some(address) = advertise.iter().find(|address| !is_address(address)) {
            return Err(bad("mesh.advertise", address, "an address is HOST:PORT or [V6]:PORT".into()));
        }
        let most = usize::try_from(limits::ADDRESSES_MAX).unwrap_or(0);
        if advertise.len() > most {
            return Err(bad("mesh.advertise", "…", format!("at most {most} addresses")));
        }
        let hops = match raw.mesh.max_hops {
            Some(hops) => u8::try_from(hops).ok().filter(|hops| *hops <= limits::HOPS_MAX).ok_or_else(|| {
                bad("mesh.max_hops", &hops.to_string(), format!("a number from 0 to {}", limits::HOPS_MAX))
            })?,
            None => HOPS,
        };
        let peers = read_peers(raw.mesh.peers.unwrap_or_default(), &node_name, bad)?;
        let level = raw.log.level.unwrap_or_else(|| LEVEL.into());
        if !is_level(&level) {
            let why = format!("one of {}, or several like info,daemon::peer=debug", LEVELS.join(", "));
            return Err(bad("log.level", &level, why));
        }
        let format = match raw.log.format.as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => return Err(bad("log.format", other, "text or json".into())),
        };
        let metrics = raw.metrics.listen.filter(|listen| !listen.is_empty()).map(|listen| {
            listen.parse().map_err(|error: crate::MetricsError| bad("metrics.listen", &listen, error.to_string()))
        });
        let limits = Limits::check(&raw.limits, bad)?;
        let store_limit = check_store(&raw.store.limit, bad)?;
        let (listen, metrics) = (listen.transpose()?, metrics.transpose()?);
        Ok(Self {
            node_name,
            state_dir: raw.node.state_dir.map_or(defaults.state_dir, PathBuf::from),
            credentials: None,
            socket,
            mesh: Mesh { listen, peers, advertise: advertise.into_iter().map(String::into_boxed_str).collect(), hops },
            log: Log { level, format },
            metrics,
            limits,
            store_limit,
            allow: allow::check(rules)?,
            sources,
        })
    }
}

/// A group's name as the list of groups can hold it. Whether there is such a group shows when the daemon starts.
fn read_group(
    key: &'static str,
    given: Option<String>,
    bad: impl Fn(&'static str, &str, String) -> ConfigError,
) -> Result<Option<String>, ConfigError> {
    let Some(name) = given.filter(|name| !name.is_empty()) else { return Ok(None) };
    if name.contains(|c: char| c == ':' || c == ',' || c.is_whitespace() || c.is_control()) {
        return Err(bad(key, &name, "the name of a group of this host, as it stands in /etc/group".into()));
    }
    Ok(Some(name))
}

fn read_mode(text: &str) -> Option<u32> {
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    u32::from_str_radix(text, 8).ok().filter(|mode| is_octal && *mode <= 0o777 && *mode & 0o600 == 0o600)
}

/// `info`, or targets with levels, or both, separated by commas.
fn is_level(text: &str) -> bool {
    let is_one = |part: &str| {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        LEVELS.contains(&level.to_ascii_lowercase().as_str())
    };
    text.split(',').all(|part| is_one(part.trim()))
}

fn read_peers(
    texts: Vec<String>,
    us: &Name,
    bad: impl Fn(&'static str, &str, String) -> ConfigError,
) -> Result<Vec<Peer>, ConfigError> {
    const KEY: &str = "mesh.peers";
    let mut peers: Vec<Peer> = Vec::with_capacity(texts.len());
    for text in &texts {
        let peer: Peer = text.parse().map_err(|error: crate::PeerError| bad(KEY, text, error.to_string()))?;
        if peer.name == *us {
            return Err(bad(KEY, text, format!("this node is called {us} itself; set node.name, or name the peer")));
        }
        if let Some(other) = peers.iter().find(|other| other.name == peer.name || other.node == peer.node) {
            return Err(bad(KEY, text, format!("{} is there twice, by name or by id", other.name)));
        }
        peers.push(peer);
    }
    let most = usize::try_from(limits::LINKS_MAX).unwrap_or(0);
    if peers.len() > most {
        return Err(bad(KEY, "…", format!("at most {most} peers")));
    }
    Ok(peers)
}

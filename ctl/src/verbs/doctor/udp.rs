//! The way to other nodes: buffers of the kernel, a socket of our own, and whether something that speaks QUIC answers at
//! each peer's address. The question is one packet of a version that does not exist; QUIC has to answer it with a list
//! of those that do (RFC 9000, section 6), before any key is shown.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::limits::UDP_BUFFER_BYTES;
use tokio::net::{UdpSocket, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::daemon::is_away;
use super::{Finding, Patient, State};
use crate::render::{short, size};
use crate::verbs::host::{BUFFERS, kernel_file, kernel_number, small_buffer};

/// Where the setting outlives a restart of the host.
const SYSCTL_FILE: &str = "/etc/sysctl.d/60-aicp.conf";
/// How long an answer may take, and how often it is asked for.
const ANSWER_WITHIN: Duration = Duration::from_millis(700);
const TRIES: usize = 3;
/// A server answers no shorter one.
const PROBE_BYTES: usize = 1200;
/// One of those that are kept for this purpose.
const NO_VERSION: [u8; 4] = [0x1a, 0x2a, 0x3a, 0x4a];

pub(super) fn buffers(patient: &Patient<'_>) -> Finding {
    const CHECK: &str = "UDP buffers";
    let wanted = u64::try_from(UDP_BUFFER_BYTES).unwrap_or(u64::MAX);
    let Some(least) = small_buffer() else {
        return Finding::new(CHECK, State::Ok, format!("a UDP socket may have {} and more", size(wanted)));
    };
    if patient.fix {
        return match raise(wanted, Path::new(SYSCTL_FILE)) {
            Ok(()) => Finding::new(CHECK, State::Ok, format!("a UDP socket may have {}", size(wanted)))
                .fixed()
                .why(format!("set now, and in {SYSCTL_FILE} for later"))
                .fix("restart the daemon, so that it takes them"),
            Err((path, error)) => small(CHECK, least, wanted).why(format!("{}: {error}", path.display())),
        };
    }
    small(CHECK, least, wanted).why("packets that arrive in a burst are lost, and sent again")
}

fn small(check: &'static str, least: u64, wanted: u64) -> Finding {
    let what = format!("a UDP buffer may have {}, wanted {}", size(least), size(wanted));
    Finding::new(check, State::Warn, what).fix("sudo aicpctl doctor --fix, on the host itself if this is a container")
}

/// For now in the kernel, and for later in a file. What is larger stays.
fn raise(wanted: u64, file: &Path) -> Result<(), (PathBuf, std::io::Error)> {
    let mut lines = String::from("# What QUIC wants for its sockets; written by aicpctl doctor --fix.\n");
    for name in BUFFERS {
        let number = kernel_number(name).unwrap_or(0).max(wanted);
        lines.push_str(&format!("{name} = {number}\n"));
        let path = kernel_file(name);
        // Not made if it is not there: then this kernel has no such setting.
        let opened = std::fs::OpenOptions::new().write(true).open(&path);
        opened.and_then(|mut file| writeln!(file, "{number}")).map_err(|error| (path, error))?;
    }
    std::fs::write(file, lines).map_err(|error| (file.into(), error))
}

/// Whether UDP works on this host at all, and whether the port is free if the daemon does not have it.
pub(super) fn local(patient: &Patient<'_>) -> Finding {
    const CHECK: &str = "UDP";
    if let Err(error) = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) {
        return Finding::new(CHECK, State::Fail, "no UDP socket can be made here")
            .why(error.to_string())
            .fix("let this host, or this sandbox, use UDP");
    }
    let listen = patient.config.as_ref().ok().and_then(|config| config.mesh.listen);
    match listen.filter(|_| is_away(patient)) {
        None => match patient.status.as_ref().map(|status| status.listen.join(", ")) {
            Ok(listen) if !listen.is_empty() => {
                Finding::new(CHECK, State::Ok, format!("the daemon listens on {listen}"))
            }
            Ok(_) | Err(_) => Finding::new(CHECK, State::Ok, "a UDP socket can be made"),
        },
        Some(listen) => match std::net::UdpSocket::bind(listen) {
            Ok(_) => Finding::new(CHECK, State::Ok, format!("{listen} is free for the daemon")),
            Err(error) => Finding::new(CHECK, State::Fail, format!("the daemon cannot listen on {listen}"))
                .why(error.to_string())
                .fix("another port as [mesh] listen, or end what has this one: ss -ulpn"),
        },
    }
}

/// A peer, and what is known of the way to it.
struct Way {
    name: String,
    address: String,
    state: String,
    last_error: String,
    rtt_us: u64,
}

/// One finding for each peer, or one that there are none.
pub(super) async fn peers(patient: &Patient<'_>) -> Vec<Finding> {
    let ways = ways(patient);
    if ways.is_empty() {
        return vec![Finding::new("peers", State::Skipped, "this node has no peers")];
    }
    let mut asked = JoinSet::new();
    for (place, way) in ways.into_iter().enumerate() {
        asked.spawn(async move { (place, judge(&way).await) });
    }
    let mut found: Vec<_> = asked.join_all().await;
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, finding)| finding).collect()
}

/// As the daemon tells; without one, as the configuration says.
fn ways(patient: &Patient<'_>) -> Vec<Way> {
    let pinned = patient.config.as_ref().map_or(&[][..], |config| &config.mesh.peers);
    match &patient.status {
        Ok(status) => status
            .peers
            .iter()
            .map(|peer| {
                let pinned = pinned.iter().find(|pinned| pinned.node.to_string() == peer.id);
                let address = pinned.and_then(|pinned| pinned.address.as_deref()).filter(|_| peer.address.is_empty());
                Way {
                    name: peer.name.clone(),
                    address: address.unwrap_or(&peer.address).into(),
                    state: peer.state.clone(),
                    last_error: peer.last_error.clone(),
                    rtt_us: peer.rtt_us,
                }
            })
            .collect(),
        Err(_) => pinned
            .iter()
            .map(|peer| Way {
                name: peer.name.to_string(),
                address: peer.address.as_deref().unwrap_or_default().into(),
                state: String::new(),
                last_error: String::new(),
                rtt_us: 0,
            })
            .collect(),
    }
}

async fn judge(way: &Way) -> Finding {
    const CHECK: &str = "peer";
    let Way { name, address, .. } = way;
    if way.state == "up" {
        let rtt = short(Duration::from_micros(way.rtt_us));
        return Finding::new(CHECK, State::Ok, format!("{name} is linked, {rtt} there and back"));
    }
    if address.is_empty() {
        return Finding::new(CHECK, State::Warn, format!("{name} is not linked, and has to dial this node"))
            .why("no address of it is known here")
            .fix("look there, or give its address in [mesh] peers");
    }
    let knocked = knock(address).await;
    // Without a daemon here, nobody would be linked.
    let state = if way.state.is_empty() && matches!(knocked, Knock::Answered) { State::Ok } else { State::Warn };
    let finding = match &knocked {
        Knock::Answered if state == State::Ok => {
            return Finding::new(CHECK, state, format!("{name} answers QUIC at {address}"));
        }
        Knock::Answered => Finding::new(CHECK, state, format!("{name} answers QUIC at {address}, and is not linked"))
            .fix("compare ids and certificates: aicpctl peer show there, aicpctl identity show on its host"),
        Knock::Refused => Finding::new(CHECK, state, format!("nobody listens at {address}, where {name} should be"))
            .why("its host answers that the port is closed")
            .fix("start the daemon there, or correct the address"),
        Knock::Silent => Finding::new(CHECK, state, format!("{name} does not answer UDP at {address}"))
            .why("UDP is blocked on the way, or its host is off")
            .fix("let UDP to and from that port through every firewall between the two"),
        Knock::Nowhere(error) => Finding::new(CHECK, state, format!("{name} cannot be reached at {address}"))
            .why(error.clone())
            .fix("correct the address, or the route to it"),
    };
    match (finding.why.is_some(), way.last_error.is_empty()) {
        (_, true) => finding,
        (false, false) => finding.why(way.last_error.clone()),
        (true, false) => {
            let why = finding.why.clone().unwrap_or_default();
            finding.why(format!("{why}; the daemon says: {}", way.last_error))
        }
    }
}

/// What came back from an address.
enum Knock {
    /// Something speaks QUIC there.
    Answered,
    /// The host says that nobody does.
    Refused,
    /// Nothing came back.
    Silent,
    /// Nothing could be sent.
    Nowhere(String),
}

async fn knock(address: &str) -> Knock {
    let found = match timeout(ANSWER_WITHIN * 3, lookup_host(address)).await {
        Ok(Ok(mut found)) => found.next(),
        Ok(Err(error)) => return Knock::Nowhere(error.to_string()),
        Err(_) => return Knock::Nowhere("its name is not found in time".into()),
    };
    let Some(address) = found else { return Knock::Nowhere("its name stands for no address".into()) };
    match knock_at(address).await {
        Ok(knock) => knock,
        Err(error) => Knock::Nowhere(error.to_string()),
    }
}

async fn knock_at(address: SocketAddr) -> std::io::Result<Knock> {
    let from: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((from, 0)).await?;
    socket.connect(address).await?;
    let mut answer = [0; 64];
    for _ in 0..TRIES {
        let exchanged = async {
            socket.send(&probe()).await?;
            socket.recv(&mut answer).await
        };
        match timeout(ANSWER_WITHIN, exchanged).await {
            Ok(Ok(5..)) if is_version_list(&answer) => return Ok(Knock::Answered),
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => return Ok(Knock::Refused),
            Ok(Err(error)) => return Err(error),
        }
    }
    Ok(Knock::Silent)
}

/// A long header whose version is none: the list of those that there are.
fn is_version_list(answer: &[u8]) -> bool {
    answer.first().is_some_and(|first| first & 0x80 != 0) && answer.get(1..5) == Some(&[0; 4])
}

/// A long header, a version that does not exist, two ids, and nothing.
fn probe() -> [u8; PROBE_BYTES] {
    const HEADER: [u8; 23] = [
        0xc0,
        NO_VERSION[0],
        NO_VERSION[1],
        NO_VERSION[2],
        NO_VERSION[3],
        8,
        b'a',
        b'i',
        b'c',
        b'p',
        b'd',
        b'o',
        b'c',
        b't',
        8,
        b'a',
        b'i',
        b'c',
        b'p',
        b'p',
        b'r',
        b'o',
        b'b',
    ];
    let mut packet = [0; PROBE_BYTES];
    for (place, byte) in packet.iter_mut().zip(HEADER) {
        *place = byte;
    }
    packet
}

//! The other end of the metrics' door: connections, requests as bytes, answers; and what a process listens for, as the
//! kernel tells it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Where a daemon tells its metrics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What it answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

pub(super) trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

impl Place {
    /// The last that a log names.
    pub(super) fn of_log(log: &str) -> Self {
        let told = log.lines().rfind(|line| line.contains("metrics and health are told")).expect("a line");
        let (_, listen) = told.split_once("listen=").expect("a place");
        Self::Tcp(listen.trim().parse().expect("an address"))
    }

    fn try_connect(&self) -> std::io::Result<Box<dyn Stream>> {
        const PATIENCE: Option<Duration> = Some(Duration::from_secs(15));
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(PATIENCE)?;
                Ok(Box::new(stream))
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(PATIENCE)?;
                Ok(Box::new(stream))
            }
        }
    }

    pub(super) fn connect(&self) -> Box<dyn Stream> {
        self.try_connect().expect("the metrics' door is open")
    }

    /// Says some bytes and hears the answer.
    pub(super) fn say(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request).expect("written");
        hear(&mut stream)
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.say(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n").as_bytes())
    }

    /// Nothing if nobody is there, or if whoever is there goes away.
    pub(super) fn try_get(&self, path: &str) -> Option<Answer> {
        let mut stream = self.try_connect().ok()?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        (!bytes.is_empty()).then(|| read(&bytes))
    }
}

/// Reads to the end of the connection, which must come.
pub(super) fn hear(stream: &mut impl Read) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer, and then the end");
    read(&bytes)
}

fn read(bytes: &[u8]) -> Answer {
    let text = std::str::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).expect("a status line");
    let headers = lines.map(|line| line.split_once(": ").expect("a header"));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let answer = Answer { status: status[..3].parse().expect("a status"), headers, body: body.into() };
    assert_eq!(answer.header("content-length"), body.len().to_string(), "all of it came");
    answer
}

/// What a process listens for.
#[derive(Debug)]
pub(super) struct Listens {
    pub(super) tcp: BTreeSet<SocketAddr>,
    pub(super) unix: BTreeSet<PathBuf>,
}

pub(super) fn listens(process: u32) -> Listens {
    let folder = format!("/proc/{process}/fd");
    let links = fs::read_dir(folder).expect("a process").filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let inodes: BTreeSet<String> = links
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    let table = |name: &str| fs::read_to_string(format!("/proc/{process}/net/{name}")).unwrap_or_default();
    let mut tcp = BTreeSet::new();
    for line in (table("tcp") + &table("tcp6")).lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        const LISTEN: &str = "0A";
        if words.len() > 9 && words[3] == LISTEN && inodes.contains(words[9]) {
            tcp.insert(address(words[1]));
        }
    }
    let mut unix = BTreeSet::new();
    for line in table("unix").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        const ACCEPTS: &str = "00010000";
        if words.len() > 7 && words[3] == ACCEPTS && inodes.contains(words[6]) {
            unix.insert(words[7].into());
        }
    }
    Listens { tcp, unix }
}

/// As the kernel writes an IPv4 address: in its own byte order. Others only have to differ from those.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').expect("an address");
    let port = u16::from_str_radix(port, 16).expect("a port");
    match u32::from_str_radix(ip, 16) {
        Ok(ip) => (Ipv4Addr::from(ip.to_ne_bytes()), port).into(),
        Err(_) => (std::net::Ipv6Addr::UNSPECIFIED, port).into(),
    }
}

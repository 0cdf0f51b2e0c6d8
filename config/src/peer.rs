//! A peer as people write it: `beta=aicp1…@10.0.0.5:7727`. An address is not resolved before it is dialed.

use core::fmt;
use core::str::FromStr;

use proto::{IdTextError, Name, NameError, NodeId, limits};

/// A node that the operator knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// What it is called here.
    pub name: Name,
    /// Who it is.
    pub node: NodeId,
    /// Where it can be dialed. Without it, the peer has to come to us.
    pub address: Option<Box<str>>,
}

/// Why a text is no peer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PeerError {
    /// There is no name before a node id.
    #[error("a peer is NAME=NODE-ID@HOST:PORT, or NAME=NODE-ID for one that dials us")]
    Form,
    /// The name cannot be one.
    #[error("{0}")]
    Name(#[from] NameError),
    /// The id cannot be one.
    #[error("{0}; on the peer, aicpd init prints its node id")]
    Id(#[from] IdTextError),
    /// The address cannot be dialed.
    #[error("an address is HOST:PORT or [V6]:PORT, port 1 to 65535")]
    Address,
}

impl FromStr for Peer {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        let (name, rest) = text.split_once('=').ok_or(PeerError::Form)?;
        let (id, address) = match rest.split_once('@') {
            Some((id, address)) => (id, Some(address)),
            None => (rest, None),
        };
        let address = address.map(|address| is_address(address).then(|| address.into()).ok_or(PeerError::Address));
        Ok(Self { name: name.trim().parse()?, node: id.trim().parse()?, address: address.transpose()? })
    }
}

/// As it is written in the configuration.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.node)?;
        self.address.iter().try_for_each(|address| write!(f, "@{address}"))
    }
}

/// Whether `text` is a host or an IP address with a port. Whether the host is known is found when it is dialed.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let may_stand = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !host.is_empty() && host.chars().all(may_stand)
        }
    };
    is_host && text.len() <= limits::ADDRESS_BYTES_MAX && port.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "aicp1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqmmuhrl";

    fn id() -> String {
        NodeId::new(proto::AgentId::new([5; 32])).to_string()
    }

    #[test]
    fn a_peer_has_a_name_an_id_and_perhaps_an_address() {
        let peer: Peer = format!("beta={}@10.0.0.5:7727", id()).parse().expect("a peer");
        assert_eq!((peer.name.as_str(), peer.address.as_deref()), ("beta", Some("10.0.0.5:7727")));
        let peer: Peer = format!("beta={}", id()).parse().expect("a peer");
        assert_eq!(peer.address, None);
        for address in ["[::1]:7727", "host.example:1", "localhost:65535"] {
            assert!(format!("b={}@{address}", id()).parse::<Peer>().is_ok(), "{address}");
        }
    }

    #[test]
    fn what_is_no_peer_is_told_apart() {
        assert_eq!("beta".parse::<Peer>(), Err(PeerError::Form));
        assert_eq!(format!("Beta={}", id()).parse::<Peer>(), Err(PeerError::Name(NameError)));
        assert!(matches!(format!("b={ID}x").parse::<Peer>(), Err(PeerError::Id(_))));
        for address in ["10.0.0.5", "10.0.0.5:0", ":7727", "[fe80::]", "host:99999", "a b:1", "::1:5"] {
            assert_eq!(format!("b={}@{address}", id()).parse::<Peer>(), Err(PeerError::Address), "{address}");
        }
    }
}

//! Where this node can be reached: what the operator said, else the addresses of this host's interfaces. It opens
//! nothing.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use mesh::Input;
use proto::limits;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::duration;
use crate::shared::Shared;

/// What this node's addresses follow from, beside what the configuration says of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whereabouts {
    /// Where it listens for peers.
    pub(crate) listens_on: Option<SocketAddr>,
    /// Its mesh has an authority.
    pub(crate) is_member: bool,
    /// What it tells others, as its administrator said when it came up.
    pub(crate) advertise: Vec<Box<str>>,
}

impl Whereabouts {
    /// What stands in our record: what the operator says, or where we listen.
    pub(crate) fn addresses(&self, configured: &[Box<str>]) -> Vec<Box<str>> {
        if !configured.is_empty() {
            return configured.to_vec();
        }
        if self.is_member && !self.advertise.is_empty() {
            return self.advertise.clone();
        }
        match self.listens_on {
            Some(listens_on) if self.is_member || !listens_on.ip().is_unspecified() => own_addresses(listens_on),
            Some(_) | None => Vec::new(),
        }
    }
}

/// The port, where nobody says another one.
pub(crate) const PORT: u16 = 7727;

/// Where a member listens and what it tells others, as its administrator said when it came up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Place {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) advertise: Vec<Box<str>>,
}

impl Place {
    /// As it is kept in a file.
    pub(crate) fn text(&self) -> String {
        let listen = self.listen.map_or_else(String::new, |listen| format!("listen {listen}\n"));
        let advertise = self.advertise.iter().map(|address| format!("advertise {address}\n"));
        listen + &advertise.collect::<String>()
    }

    pub(crate) fn read(text: &str) -> Self {
        let words = |key: &'static str| text.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix(' '));
        Self {
            listen: words("listen").next().and_then(|listen| listen.parse().ok()),
            advertise: words("advertise").map(Into::into).collect(),
        }
    }
}

/// Where others may dial a node that listens there: this address, or all of the host's with this port. Its loopback
/// counts only where there is nothing else.
pub(crate) fn own_addresses(listens_on: SocketAddr) -> Vec<Box<str>> {
    if !listens_on.ip().is_unspecified() {
        return vec![listens_on.to_string().into()];
    }
    let found = if_addrs::get_if_addrs().unwrap_or_default();
    let is_served = |address: &IpAddr| listens_on.is_ipv6() || address.is_ipv4();
    let mut addresses: Vec<IpAddr> = found
        .iter()
        .map(if_addrs::Interface::ip)
        .filter(|address| is_served(address) && !needs_scope(address))
        .collect();
    // Those of IPv4 first: they are tried in this order.
    addresses.sort_by_key(|address| (address.is_ipv6(), *address));
    addresses.dedup();
    if addresses.iter().any(|address| !address.is_loopback()) {
        addresses.retain(|address| !address.is_loopback());
    }
    let most = usize::try_from(limits::ADDRESSES_MAX).unwrap_or(0);
    let text = |address| SocketAddr::new(address, listens_on.port()).to_string().into();
    addresses.into_iter().take(most).map(text).collect()
}

/// It means nothing without an interface, and whose that is another host does not know.
fn needs_scope(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => Ipv6Addr::is_unicast_link_local(address),
    }
}

/// Looks at the interfaces now and then: what others are told may depend on them.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let mut looks = interval(duration(limits::ADDRESSES_LOOK));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        look(&shared).await;
    }
}

/// Tells the node where it is reached, if that has changed.
pub(crate) async fn look(shared: &Shared) {
    let addresses = shared.members.whereabouts.addresses(&shared.live.config().mesh.advertise);
    if addresses != shared.members.view().addresses {
        tracing::info!(?addresses, "where this node is reached has changed");
        shared.members.change_view(|view| view.addresses.clone_from(&addresses));
        shared.tell(Input::Addresses(addresses)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let place = Place {
            listen: Some("[::]:7".parse().expect("an address")),
            advertise: vec!["alpha.example:7".into(), "10.0.0.1:9".into()],
        };
        assert_eq!(Place::read(&place.text()), place);
        assert_eq!(Place::read(""), Place::default());
    }

    #[test]
    fn the_configuration_counts_before_what_was_said_at_up_and_that_before_where_the_node_listens() {
        let listens_on = Some("127.0.0.1:7".parse().expect("an address"));
        let whereabouts = Whereabouts { listens_on, is_member: true, advertise: vec!["up:1".into()] };
        assert_eq!(whereabouts.addresses(&["a:1".into(), "b:2".into()]), ["a:1".into(), "b:2".into()]);
        assert_eq!(whereabouts.addresses(&[]), ["up:1".into()]);
        // Only a member came up.
        assert_eq!(Whereabouts { is_member: false, ..whereabouts }.addresses(&[]), ["127.0.0.1:7".into()]);
        assert!(Whereabouts::default().addresses(&[]).is_empty());
    }

    #[test]
    fn one_address_is_its_own_and_all_are_those_of_the_host() {
        let one: SocketAddr = "127.0.0.1:7".parse().expect("an address");
        assert_eq!(own_addresses(one), ["127.0.0.1:7".into()]);
        let all = own_addresses("[::]:7".parse().expect("an address"));
        assert!(!all.is_empty() && all.iter().all(|address| address.ends_with(":7")), "{all:?}");
        assert!(all.iter().all(|address| !address.starts_with("[fe80:")), "{all:?}");
    }
}

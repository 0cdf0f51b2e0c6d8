//! What must not leave this host: tickets, and where its nodes are found on the network. The same address is hidden behind
//! the same number throughout, so that one still sees what belongs together.

use std::net::{IpAddr, SocketAddr};

use config::Config;
use proto::control::NodeStatus;

/// How a ticket begins; whoever has it can join the mesh.
const TICKET: &str = "aicp-join:";

/// A text without tickets.
pub(super) fn secrets(text: &str) -> String {
    by_word(text, |word| word.starts_with(TICKET).then(|| "[TICKET]".into()))
}

/// Hides what it finds in a text.
pub(super) struct Redactor {
    /// Names of hosts, as they stand in addresses.
    hosts: Vec<String>,
}

impl Redactor {
    pub(super) fn new(status: Option<&NodeStatus>, config: Option<&Config>) -> Self {
        let told = status.into_iter().flat_map(|status| status.peers.iter().map(|peer| peer.address.as_str()));
        let listen = status.into_iter().flat_map(|status| status.listen.iter().map(String::as_str));
        let pinned = config.into_iter().flat_map(|config| config.mesh.peers.iter());
        let pinned = pinned.filter_map(|peer| peer.address.as_deref());
        let advertised = config.into_iter().flat_map(|config| config.mesh.advertise.iter().map(AsRef::as_ref));
        let all = told.chain(listen).chain(pinned).chain(advertised);
        let hosts = all.filter_map(|address| address.rsplit_once(':')).map(|(host, _)| host.to_owned());
        let mut hosts: Vec<_> = hosts.filter(|host| !host.is_empty() && !is_ip(host)).collect();
        // The longest first: one may end with another.
        hosts.sort_by_key(|host| std::cmp::Reverse(host.len()));
        hosts.dedup();
        Self { hosts }
    }

    /// Without tickets and addresses.
    pub(super) fn all(&self, text: &str) -> String {
        let mut seen: Vec<IpAddr> = Vec::new();
        let mut hide = |ip: IpAddr| {
            if ip.is_unspecified() || ip.is_loopback() {
                return None;
            }
            let known = seen.iter().position(|one| *one == ip);
            let place = known.unwrap_or_else(|| {
                seen.push(ip);
                seen.len() - 1
            });
            Some(format!("[ADDRESS-{}]", place + 1))
        };
        let text = by_word(&secrets(text), |word| {
            if let Ok(address) = word.parse::<SocketAddr>() {
                return hide(address.ip()).map(|hidden| format!("{hidden}:{}", address.port()));
            }
            word.trim_matches(['[', ']']).parse::<IpAddr>().ok().and_then(&mut hide)
        });
        by_word(&text, |word| {
            let (host, port) = word.rsplit_once(':').unwrap_or((word, ""));
            let place = self.hosts.iter().position(|known| known == host)?;
            let port = if port.is_empty() { String::new() } else { format!(":{port}") };
            Some(format!("[HOST-{}]{port}", place + 1))
        })
    }
}

fn is_ip(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// Changes words. A word is what an address or a ticket can be made of; what ends a sentence is no part of it.
fn by_word(text: &str, mut change: impl FnMut(&str) -> Option<String>) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_' | '[' | ']' | '%');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let start = rest.find(is_part).unwrap_or(rest.len());
        let (between, from) = rest.split_at(start);
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        let bare = word.trim_end_matches(['.', ':', '-']);
        let (bare, tail) = if word.ends_with("::") { (word, "") } else { word.split_at(bare.len()) };
        out.push_str(between);
        match change(bare) {
            Some(changed) => out.push_str(&changed),
            None => out.push_str(bare),
        }
        out.push_str(tail);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_tickets_are_hidden_and_the_same_one_alike() {
        let redactor = Redactor { hosts: vec!["beta.example".into()] };
        let text = "peer 10.0.0.5:7727 and [2001:db8::7]:7727, again 10.0.0.5. At beta.example:7727; \"2001:db8::7\"\n\
                    ticket aicp-join:1qz8k, listens on [::]:7727 and 127.0.0.1:9, v0.1.0, 12:31:05, alpha.beta.example.org";
        assert_eq!(
            redactor.all(text),
            "peer [ADDRESS-1]:7727 and [ADDRESS-2]:7727, again [ADDRESS-1]. At [HOST-1]:7727; \"[ADDRESS-2]\"\n\
             ticket [TICKET], listens on [::]:7727 and 127.0.0.1:9, v0.1.0, 12:31:05, alpha.beta.example.org"
        );
        assert!(secrets(text).contains("10.0.0.5:7727"));
        assert!(!secrets(text).contains("1qz8k"));
    }
}

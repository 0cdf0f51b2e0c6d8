//! Every key there is: what kind of value it has, where it may be said beside the files, and whether it can change
//! while the daemon runs.

/// What a value looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// A number, or a size like `64MiB`.
    Amount,
    /// Texts.
    List,
}

/// A key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// With its section: `mesh.listen`.
    pub name: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// What says it in the environment. A list has commas between its elements.
    pub variable: &'static str,
    /// What says it on the command line.
    pub flag: Option<&'static str>,
    /// A change of it holds at once when the configuration is read again.
    pub is_live: bool,
}

/// The key of the rules, which stand beside all sections.
pub const ALLOW: &str = "allow";

/// All of them, in the order of the sample.
pub const KEYS: &[Key] = &[
    key("node.name", Kind::Text, "AICP_NODE_NAME").flag("--name"),
    key("node.state_dir", Kind::Text, "AICP_STATE_DIR").flag("--state-dir"),
    key("socket.path", Kind::Text, "AICP_SOCKET").flag("--socket"),
    key("socket.mode", Kind::Text, "AICP_SOCKET_MODE").live(),
    key("socket.group", Kind::Text, "AICP_SOCKET_GROUP").live(),
    key("socket.admin_group", Kind::Text, "AICP_SOCKET_ADMIN_GROUP").live(),
    key("mesh.listen", Kind::Text, "AICP_LISTEN").flag("--listen"),
    key("mesh.peers", Kind::List, "AICP_MESH_PEERS").flag("--peer"),
    key("mesh.advertise", Kind::List, "AICP_MESH_ADVERTISE").live(),
    key("mesh.max_hops", Kind::Number, "AICP_MESH_MAX_HOPS"),
    key("store.limit", Kind::Amount, "AICP_STORE_LIMIT"),
    key("log.level", Kind::Text, "AICP_LOG").flag("--log").live(),
    key("log.format", Kind::Text, "AICP_LOG_FORMAT"),
    key("metrics.listen", Kind::Text, "AICP_METRICS_LISTEN"),
    key("limits.outbox_messages", Kind::Amount, "AICP_LIMITS_OUTBOX_MESSAGES").live(),
    key("limits.outbox_bytes", Kind::Amount, "AICP_LIMITS_OUTBOX_BYTES").live(),
    key("limits.mailbox_messages", Kind::Amount, "AICP_LIMITS_MAILBOX_MESSAGES").live(),
    key("limits.mailbox_bytes", Kind::Amount, "AICP_LIMITS_MAILBOX_BYTES").live(),
    key("limits.pair_messages", Kind::Amount, "AICP_LIMITS_PAIR_MESSAGES").live(),
    key("limits.pair_bytes", Kind::Amount, "AICP_LIMITS_PAIR_BYTES").live(),
    key("limits.peer_messages", Kind::Amount, "AICP_LIMITS_PEER_MESSAGES").live(),
    key("limits.peer_bytes", Kind::Amount, "AICP_LIMITS_PEER_BYTES").live(),
    key("limits.node_bytes", Kind::Amount, "AICP_LIMITS_NODE_BYTES").live(),
    key("limits.deliveries", Kind::Amount, "AICP_LIMITS_DELIVERIES").live(),
];

const fn key(name: &'static str, kind: Kind, variable: &'static str) -> Key {
    Key { name, kind, variable, flag: None, is_live: false }
}

impl Key {
    const fn flag(self, flag: &'static str) -> Self {
        Self { flag: Some(flag), ..self }
    }

    const fn live(self) -> Self {
        Self { is_live: true, ..self }
    }

    /// The key of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The key that was meant by a name that is none, if it is near enough.
    #[must_use]
    pub fn meant(name: &str) -> Option<&'static str> {
        let whole = nearest(name, KEYS.iter().map(|key| key.name));
        let short = || KEYS.iter().map(|key| key.name).find(|key| key.rsplit('.').next() == Some(name));
        short().or(whole)
    }

    /// Its section, and its name there.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or((self.name, ""))
    }

    /// All sections, each once.
    pub fn sections() -> impl Iterator<Item = &'static str> {
        let mut before = "";
        KEYS.iter().map(|key| key.parts().0).filter(move |section| std::mem::replace(&mut before, section) != *section)
    }
}

/// The known word that takes the fewest changes, if they are few.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let found = known.map(|known| (distance(word, known), known)).min()?;
    let most = word.len().max(3) / 2;
    (found.0 <= most).then_some(found.1)
}

/// Letters changed, lost, added.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, from) in a.chars().enumerate() {
        let mut corner = at;
        let mut left = at + 1;
        for (to, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let change = corner + usize::from(from != *to);
            corner = *above;
            left = change.min(left + 1).min(*above + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_none_leads_to_the_one_that_was_meant() {
        for (said, meant) in [
            ("mesh.lisen", Some("mesh.listen")),
            ("state_dir", Some("node.state_dir")),
            ("limits.node_byte", Some("limits.node_bytes")),
            ("colour", None),
        ] {
            assert_eq!(Key::meant(said), meant, "{said}");
        }
    }

    #[test]
    fn distances_are_those_of_edits() {
        for (a, b, wanted) in [("", "", 0), ("abc", "abc", 0), ("abc", "abd", 1), ("listen", "lisen", 1), ("a", "", 1)]
        {
            assert_eq!(distance(a, b), wanted, "{a} {b}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}

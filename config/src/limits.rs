//! How much may wait where, as the operator wants it: numbers, and sizes as people write them.

use proto::limits::{
    AMOUNT_MESSAGES_MAX, DELIVERIES_FAILED_CEILING, DELIVERIES_FAILED_MAX, JOURNAL_LIMIT_BYTES, JOURNAL_LIMIT_FLOOR,
    MAILBOX_BYTES_MAX, MAILBOX_MESSAGES_MAX, NODE_BYTES_CEILING, NODE_BYTES_FLOOR, NODE_BYTES_MAX, OUTBOX_BYTES_MAX,
    OUTBOX_MESSAGES_MAX, PEER_MESSAGES_MAX, WAITING_BYTES_FLOOR,
};
use serde::Deserialize;

use crate::ConfigError;

/// How much may wait where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Messages of one agent that are not stored at their destination yet.
    pub outbox_messages: usize,
    /// Their bytes.
    pub outbox_bytes: u64,
    /// Messages that wait for one agent.
    pub mailbox_messages: usize,
    /// Their bytes.
    pub mailbox_bytes: u64,
    /// Messages that one agent may have in another one's mailbox.
    pub pair_messages: usize,
    /// Their bytes.
    pub pair_bytes: u64,
    /// Messages that the agents of one peer may have in all mailboxes here.
    pub peer_messages: usize,
    /// Their bytes.
    pub peer_bytes: u64,
    /// Bytes of all that is kept.
    pub node_bytes: u64,
    /// Failed deliveries after which a message is given up.
    pub deliveries: u32,
}

/// A number as it stands in the file, or as text.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(untagged, expecting = "a number like 1000, or a size like \"64MiB\"")]
pub enum RawAmount {
    /// 1000
    Number(i64),
    /// "1000", or "64MiB".
    Text(String),
}

/// `[limits]`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each is a key of aicpd.toml, which says what it is")]
pub struct RawLimits {
    pub outbox_messages: Option<RawAmount>,
    pub outbox_bytes: Option<RawAmount>,
    pub mailbox_messages: Option<RawAmount>,
    pub mailbox_bytes: Option<RawAmount>,
    pub pair_messages: Option<RawAmount>,
    pub pair_bytes: Option<RawAmount>,
    pub peer_messages: Option<RawAmount>,
    pub peer_bytes: Option<RawAmount>,
    pub node_bytes: Option<RawAmount>,
    pub deliveries: Option<RawAmount>,
}

impl Limits {
    /// Judges every value. Whoever changes a mailbox and not its shares gets shares of the usual proportion: no source
    /// fills a mailbox alone, no peer a node.
    pub(crate) fn check(
        raw: &RawLimits,
        bad: impl Fn(&'static str, &str, String) -> ConfigError,
    ) -> Result<Self, ConfigError> {
        let count = |key, raw: &Option<RawAmount>, usual: usize, most: usize| match raw {
            None => Ok(usual),
            Some(raw) => raw
                .number()
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| (1..=most).contains(number))
                .ok_or_else(|| bad(key, &raw.text(), format!("a number from 1 to {most}"))),
        };
        let size = |key, raw: &Option<RawAmount>, usual: u64, least: u64, most: u64| match raw {
            None => Ok(usual),
            Some(raw) => raw.bytes().filter(|bytes| (least..=most).contains(bytes)).ok_or_else(|| {
                let why = format!("a size like \"64MiB\" or 67108864, from {} to {}", written(least), written(most));
                bad(key, &raw.text(), why)
            }),
        };
        let waiting = |key, raw, usual| size(key, raw, usual, WAITING_BYTES_FLOOR, NODE_BYTES_CEILING);
        let messages = |key, raw, usual| count(key, raw, usual, AMOUNT_MESSAGES_MAX);
        let mailbox_messages = messages("limits.mailbox_messages", &raw.mailbox_messages, MAILBOX_MESSAGES_MAX)?;
        let mailbox_bytes = waiting("limits.mailbox_bytes", &raw.mailbox_bytes, MAILBOX_BYTES_MAX as u64)?;
        let node = (NODE_BYTES_MAX, NODE_BYTES_FLOOR, NODE_BYTES_CEILING);
        let node_bytes = size("limits.node_bytes", &raw.node_bytes, node.0, node.1, node.2)?;
        let of_pair = (mailbox_bytes / 4 * 3).max(WAITING_BYTES_FLOOR);
        let deliveries = count(
            "limits.deliveries",
            &raw.deliveries,
            DELIVERIES_FAILED_MAX as usize,
            DELIVERIES_FAILED_CEILING as usize,
        )?;
        Ok(Self {
            outbox_messages: messages("limits.outbox_messages", &raw.outbox_messages, OUTBOX_MESSAGES_MAX)?,
            outbox_bytes: waiting("limits.outbox_bytes", &raw.outbox_bytes, OUTBOX_BYTES_MAX as u64)?,
            mailbox_messages,
            mailbox_bytes,
            pair_messages: messages("limits.pair_messages", &raw.pair_messages, (mailbox_messages * 3).div_ceil(4))?,
            pair_bytes: waiting("limits.pair_bytes", &raw.pair_bytes, of_pair)?,
            peer_messages: messages("limits.peer_messages", &raw.peer_messages, PEER_MESSAGES_MAX)?,
            peer_bytes: waiting("limits.peer_bytes", &raw.peer_bytes, node_bytes / 4)?,
            node_bytes,
            deliveries: u32::try_from(deliveries).unwrap_or(DELIVERIES_FAILED_MAX),
        })
    }
}

const UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// The journal's size.
pub(crate) fn check_store(
    limit: &Option<RawAmount>,
    bad: impl Fn(&'static str, &str, String) -> ConfigError,
) -> Result<u64, ConfigError> {
    let Some(raw) = limit else { return Ok(JOURNAL_LIMIT_BYTES) };
    raw.bytes().filter(|bytes| (JOURNAL_LIMIT_FLOOR..=JOURNAL_LIMIT_BYTES).contains(bytes)).ok_or_else(|| {
        let (least, most) = (written(JOURNAL_LIMIT_FLOOR), written(JOURNAL_LIMIT_BYTES));
        bad("store.limit", &raw.text(), format!("a size like \"1GiB\", from {least} to {most}"))
    })
}

impl RawAmount {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => u64::try_from(*number).ok(),
            Self::Text(text) => text.parse().ok(),
        }
    }

    fn bytes(&self) -> Option<u64> {
        let Self::Text(text) = self else { return self.number() };
        for (unit, bytes) in UNITS {
            if let Some(number) = text.strip_suffix(unit) {
                return number.trim_end().parse::<u64>().ok()?.checked_mul(bytes);
            }
        }
        self.number()
    }

    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// A size in the largest unit that it is a multiple of.
pub(crate) fn written(bytes: u64) -> String {
    let unit = UNITS.iter().rev().find(|(_, unit)| bytes.is_multiple_of(*unit));
    unit.map_or_else(|| bytes.to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut RawLimits)) -> Result<Limits, String> {
        let mut raw = RawLimits::default();
        change(&mut raw);
        Limits::check(&raw, |key, value, why| ConfigError::Value { key, value: value.into(), from: "test".into(), why })
            .map_err(|error| error.to_string())
    }

    fn text(text: &str) -> Option<RawAmount> {
        Some(RawAmount::Text(text.into()))
    }

    #[test]
    fn a_size_is_a_number_of_bytes_or_one_with_a_unit() {
        for (amount, wanted) in
            [("16777216", 16 << 20), ("16384KiB", 16 << 20), ("16MiB", 16 << 20), ("1 GiB", 1 << 30)]
        {
            assert_eq!(check(|raw| raw.mailbox_bytes = text(amount)).map(|limits| limits.mailbox_bytes), Ok(wanted));
        }
        let number = check(|raw| raw.mailbox_bytes = Some(RawAmount::Number(16 << 20)));
        assert_eq!(number.map(|limits| limits.mailbox_bytes), Ok(16 << 20));
    }

    #[test]
    fn a_smaller_mailbox_has_smaller_shares_unless_they_are_given_too() {
        let limits = check(|raw| raw.mailbox_messages = Some(RawAmount::Number(10))).expect("taken");
        assert_eq!((limits.mailbox_messages, limits.pair_messages), (10, 8));
        let limits = check(|raw| {
            raw.mailbox_messages = Some(RawAmount::Number(10));
            raw.pair_messages = Some(RawAmount::Number(10));
        });
        assert_eq!(limits.expect("taken").pair_messages, 10);
        let limits = check(|raw| raw.node_bytes = text("1GiB")).expect("taken");
        assert_eq!((limits.node_bytes, limits.peer_bytes), (1 << 30, 256 << 20));
    }

    #[test]
    fn what_would_hold_no_message_or_more_than_the_journal_is_told_with_key_value_and_remedy() {
        let told = check(|raw| raw.mailbox_bytes = text("1MiB")).expect_err("too small for the longest message");
        assert!(told.contains("limits.mailbox_bytes") && told.contains("1MiB") && told.contains("16MiB"), "{told}");
        let told = check(|raw| raw.node_bytes = text("100GiB")).expect_err("beyond the journal");
        assert!(told.contains("limits.node_bytes") && told.contains("3GiB"), "{told}");
        for wrong in ["", "MiB", "64MB", "-1", "1.5GiB", "99999999999GiB"] {
            let told = check(|raw| raw.outbox_bytes = text(wrong)).expect_err(wrong);
            assert!(told.contains("limits.outbox_bytes") && told.contains("\"64MiB\""), "{told}");
        }
        for wrong in [0, -1, 1001] {
            let told = check(|raw| raw.deliveries = Some(RawAmount::Number(wrong))).expect_err("out of range");
            assert!(told.contains("limits.deliveries") && told.contains("1 to 1000"), "{told}");
        }
    }
}

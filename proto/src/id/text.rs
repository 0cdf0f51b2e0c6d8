//! Ids and names as people read and type them. Programs carry the bytes.

use core::{fmt, str::FromStr};

use bech32::{Bech32m, Hrp};

use super::{AgentId, NodeId};
use crate::limits;

const PREFIX: Hrp = Hrp::parse_unchecked("aicp");

/// Why a text is no id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdTextError {
    /// It does not begin with `aicp1`.
    #[error("an id begins with aicp1")]
    Prefix,
    /// A letter was changed, lost or added.
    #[error("the checksum does not hold: a letter was changed, lost or added")]
    Checksum,
    /// It is whole, but does not hold 32 bytes.
    #[error("an id holds 32 bytes")]
    Length,
}

impl AgentId {
    /// For people, where it is unambiguous; [`FromStr`] does not read it.
    #[must_use]
    pub fn short(&self) -> String {
        let text = self.to_string();
        let head = text.get(..9).unwrap_or_default();
        let tail = text.get(text.len().saturating_sub(4)..).unwrap_or_default();
        format!("{head}…{tail}")
    }
}

impl FromStr for AgentId {
    type Err = IdTextError;

    fn from_str(text: &str) -> Result<Self, IdTextError> {
        let checked = bech32::primitives::decode::CheckedHrpstring::new::<Bech32m>(text).map_err(|_| {
            let begins = text.get(..5).is_some_and(|head| head.eq_ignore_ascii_case("aicp1"));
            if begins { IdTextError::Checksum } else { IdTextError::Prefix }
        })?;
        if checked.hrp() != PREFIX {
            return Err(IdTextError::Prefix);
        }
        let mut bytes = [0; limits::ID_BYTES];
        let mut read = checked.byte_iter();
        if read.len() != bytes.len() || checked.validate_segwit_padding().is_err() {
            return Err(IdTextError::Length);
        }
        for byte in &mut bytes {
            *byte = read.next().ok_or(IdTextError::Length)?;
        }
        Ok(Self(bytes))
    }
}

impl FromStr for NodeId {
    type Err = IdTextError;

    fn from_str(text: &str) -> Result<Self, IdTextError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_to_fmt::<Bech32m, _>(f, PREFIX, &self.0).map_err(|_| fmt::Error)
    }
}

impl fmt::Debug for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {:?}", self.0)
    }
}

/// What an agent or node is called: lowercase letters, digits, `.`, `_` and `-`, so that no name
/// can hide a control character or look like another one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Name(Box<str>);

/// Why a text is no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a name is 1 to 63 of a-z 0-9 . _ - and begins with a letter or digit")]
pub struct NameError;

impl Name {
    /// Whether `text` may be a name.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let begins = text.bytes().next().is_some_and(plain);
        let goes_on = text.bytes().all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-'));
        begins && goes_on && text.len() <= limits::NAME_BYTES_MAX
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if !Self::is_name(text) {
            return Err(NameError);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

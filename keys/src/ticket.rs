//! An invitation to a mesh, as one text that is carried by people. A secret is in it, from which a key is derived; the
//! secret itself is never sent: the newcomer shows the key's certificate, and signs what it asks.
//!
//! ```text
//! 1 (1) ‖ mesh id (32) ‖ inviter's node id (32) ‖ secret (16) ‖ expiry in s (8) ‖ addresses, each length (1) ‖ text
//! ```

use core::fmt;
use core::str::FromStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bech32::primitives::checksum::Checksum;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use bytes::{Buf, BufMut};
use hkdf::Hkdf;
use proto::limits::{
    ADDRESS_BYTES_MAX, ADDRESSES_MAX, ID_BYTES, TICKET_BYTES_MAX, TICKET_SECRET_BYTES, TICKET_TEXT_BYTES_MAX,
};
use proto::{AgentId, NodeId};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::identity::KeyPair;
use crate::{NoRandomness, NodeKey, PublicKey, fill_random};

/// What a ticket begins with, so that people know what it is.
pub const PREFIX: &str = "aicp-join:";

const HRP: Hrp = Hrp::parse_unchecked(PREFIX);
const VERSION: u8 = 1;
const CONTEXT: &[u8] = b"AICP/1 ticket\0";

/// An invitation. Whoever has it can join once, until it expires.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Which mesh.
    pub mesh: [u8; ID_BYTES],
    /// Who gave it out, and is to be asked.
    pub inviter: NodeId,
    /// Where the inviter listens.
    pub addresses: Vec<Box<str>>,
    /// Until when it counts, by the inviter's clock, in s.
    pub expiry: u64,
    secret: Zeroizing<[u8; TICKET_SECRET_BYTES]>,
}

/// Why a text is no ticket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TicketError {
    /// It does not begin as one.
    #[error("a ticket begins with {PREFIX}1")]
    Prefix,
    /// A letter was changed, lost or added.
    #[error("the ticket was not copied whole: a letter was changed, lost or added")]
    Checksum,
    /// A newer version made it.
    #[error("the ticket was made by a newer version")]
    Newer,
    /// It is whole, but says nothing intelligible.
    #[error("this is not a ticket")]
    Form,
}

/// Why there is no ticket in a file.
#[derive(Debug, thiserror::Error)]
pub enum TicketFileError {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// What stands there is none.
    #[error("{}: {source}", path.display())]
    Ticket {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TicketError,
    },
}

impl Ticket {
    /// Reads one that was put into a file.
    pub fn load(path: &Path) -> Result<Self, TicketFileError> {
        const MOST: usize = TICKET_TEXT_BYTES_MAX + 64;
        let failed = |source| TicketFileError::Io { path: path.into(), source };
        // As long as it gets, so that no shorter one is left in memory.
        let mut text = Zeroizing::new(Vec::with_capacity(MOST));
        let most = u64::try_from(MOST).unwrap_or(u64::MAX);
        File::open(path).map_err(failed)?.take(most).read_to_end(&mut text).map_err(failed)?;
        let ticket = core::str::from_utf8(&text).map_err(|_| TicketError::Form).and_then(str::parse);
        ticket.map_err(|source| TicketFileError::Ticket { path: path.into(), source })
    }

    /// Makes one that nobody has. Addresses beyond the bound are left out, and so are those that cannot be one.
    pub fn make(
        mesh: [u8; ID_BYTES],
        inviter: NodeId,
        addresses: impl IntoIterator<Item = Box<str>>,
        expiry: u64,
    ) -> Result<Self, NoRandomness> {
        let mut secret = Zeroizing::new([0; TICKET_SECRET_BYTES]);
        fill_random(&mut *secret)?;
        let most = usize::try_from(ADDRESSES_MAX).unwrap_or(0);
        let addresses = addresses.into_iter().filter(|address| is_address(address)).take(most).collect();
        Ok(Self { mesh, inviter, addresses, expiry, secret })
    }

    /// The key that is derived from its secret.
    #[must_use]
    pub fn key(&self) -> TicketKey {
        let mut seed = Zeroizing::new([0; 32]);
        // 32 bytes are far below HKDF's bound of 255 hashes, the only way to fail.
        let filled = Hkdf::<Sha256>::new(None, &*self.secret).expand(CONTEXT, &mut *seed);
        debug_assert!(filled.is_ok());
        TicketKey(Arc::new(NodeKey::from_pair(KeyPair::from_seed(&seed))))
    }

    /// The buffer is made as long as it gets, so that no shorter one is left in memory.
    fn write(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(TICKET_BYTES_MAX));
        out.put_u8(VERSION);
        out.put_slice(&self.mesh);
        out.put_slice(self.inviter.as_bytes());
        out.put_slice(&*self.secret);
        out.put_u64(self.expiry);
        let most = usize::try_from(ADDRESSES_MAX).unwrap_or(0);
        for address in self.addresses.iter().filter(|address| is_address(address)).take(most) {
            out.put_u8(u8::try_from(address.len()).unwrap_or(0));
            out.put_slice(address.as_bytes());
        }
        out
    }

    fn read(mut bytes: &[u8]) -> Result<Self, TicketError> {
        let bytes = &mut bytes;
        if bytes.try_get_u8().map_err(|_| TicketError::Form)? != VERSION {
            return Err(TicketError::Newer);
        }
        let mesh = take(bytes)?;
        let inviter = NodeId::new(AgentId::new(take(bytes)?));
        let secret = Zeroizing::new(take(bytes)?);
        let expiry = bytes.try_get_u64().map_err(|_| TicketError::Form)?;
        let mut addresses = Vec::new();
        while let Some((&length, rest)) = bytes.split_first() {
            let (address, rest) = rest.split_at_checked(length.into()).ok_or(TicketError::Form)?;
            *bytes = rest;
            let address = core::str::from_utf8(address).ok().filter(|address| is_address(address));
            addresses.push(address.ok_or(TicketError::Form)?.into());
        }
        if addresses.len() > usize::try_from(ADDRESSES_MAX).unwrap_or(0) {
            return Err(TicketError::Form);
        }
        Ok(Self { mesh, inviter, addresses, expiry, secret })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], TicketError> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(TicketError::Form)?;
    *bytes = rest;
    Ok(*taken)
}

fn is_address(text: &str) -> bool {
    (1..=ADDRESS_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The text that people carry. It holds the secret: whoever sees it can join.
impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_to_fmt::<Unbounded, _>(f, HRP, &self.write()).map_err(|_| fmt::Error)
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Blanks around it are passed over, as they come with what is copied.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        let begins = text.get(..PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(PREFIX));
        if !begins {
            return Err(TicketError::Prefix);
        }
        if text.len() > TICKET_TEXT_BYTES_MAX {
            return Err(TicketError::Form);
        }
        let checked = CheckedHrpstring::new::<Unbounded>(text).map_err(|_| TicketError::Checksum)?;
        if checked.hrp() != HRP {
            return Err(TicketError::Prefix);
        }
        checked.validate_segwit_padding().map_err(|_| TicketError::Checksum)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(TICKET_BYTES_MAX));
        bytes.extend(checked.byte_iter());
        Self::read(&bytes)
    }
}

/// Bech32m without its bound on the length: beyond it some four changed letters may go unseen, one in 2^30 of them.
enum Unbounded {}

impl Checksum for Unbounded {
    type MidstateRepr = <Bech32m as Checksum>::MidstateRepr;
    type CorrectionField = <Bech32m as Checksum>::CorrectionField;

    const ROOT_GENERATOR: Self::CorrectionField = Bech32m::ROOT_GENERATOR;
    const ROOT_EXPONENTS: core::ops::RangeInclusive<usize> = Bech32m::ROOT_EXPONENTS;
    const CODE_LENGTH: usize = TICKET_TEXT_BYTES_MAX;
    const CHECKSUM_LENGTH: usize = Bech32m::CHECKSUM_LENGTH;
    const GENERATOR_SH: [Self::MidstateRepr; 5] = Bech32m::GENERATOR_SH;
    const TARGET_RESIDUE: Self::MidstateRepr = Bech32m::TARGET_RESIDUE;
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("inviter", &self.inviter)
            .field("addresses", &self.addresses)
            .field("expiry", &self.expiry)
            .finish_non_exhaustive()
    }
}

/// The key pair of a ticket: TLS proves it at the inviter's door, and it signs what the newcomer asks.
#[derive(Clone)]
pub struct TicketKey(Arc<NodeKey>);

impl TicketKey {
    /// The half that the inviter keeps.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        self.0.public()
    }

    /// As whom its holder comes: one of [`crate::AuthorityTrust::guests`].
    #[must_use]
    pub fn guest(&self) -> NodeId {
        self.0.id()
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        self.0.pair()
    }

    pub(crate) const fn node_key(&self) -> &Arc<NodeKey> {
        &self.0
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TicketKey({:?}, secret not shown)", self.guest())
    }
}

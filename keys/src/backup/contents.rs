//! What a backup holds, as bytes: the node's seed and the credential, its name, its agents, the keys of the days, and what
//! makes it a member of a mesh. It is sealed before it reaches a disk and authenticated before it is read.

use bytes::{Buf, BufMut};
use proto::Name;
use zeroize::Zeroizing;

use super::{KeptAgent, Keyring, Mesh};
use crate::identity::KeyPair;
use crate::store_key::Credential;
use crate::{AgentKey, AuthorityKey, NodeKey};

type Seed = Zeroizing<[u8; 32]>;

/// The buffer is made as long as it gets, so that no shorter one is left in memory.
pub(super) fn write(keyring: &Keyring) -> Zeroizing<Vec<u8>> {
    let agents = keyring.agents.iter().map(|agent| 4 + text_bytes(&agent.name) + 32);
    let days = keyring.days.iter().map(|(_, wrapped)| 8 + 2 + wrapped.len());
    let name = keyring.name.as_ref().map_or(1, text_bytes);
    let mesh = keyring.mesh.files.iter().map(|(name, bytes)| text_bytes(name) + 4 + bytes.len());
    let length = 64 + name + 4 + agents.sum::<usize>() + 4 + days.sum::<usize>() + 33 + 4 + mesh.sum::<usize>();
    let mut out = Zeroizing::new(Vec::with_capacity(length));
    out.put_slice(&*keyring.node.pair().seed());
    out.put_slice(keyring.credential.secret());
    put_text(&mut out, keyring.name.as_ref().map_or("", Name::as_str));
    out.put_u32(count(keyring.agents.len()));
    for agent in &keyring.agents {
        out.put_u32(agent.uid);
        put_text(&mut out, agent.name.as_str());
        out.put_slice(&*agent.key.0.seed());
    }
    out.put_u32(count(keyring.days.len()));
    for (day, wrapped) in &keyring.days {
        out.put_u64(*day);
        out.put_u16(u16::try_from(wrapped.len()).unwrap_or(u16::MAX));
        out.put_slice(wrapped);
    }
    write_mesh(&mut out, &keyring.mesh);
    out
}

fn write_mesh(out: &mut Vec<u8>, mesh: &Mesh) {
    out.put_u8(mesh.authority.is_some().into());
    if let Some(authority) = &mesh.authority {
        out.put_slice(&*authority.0.seed());
    }
    out.put_u32(count(mesh.files.len()));
    for (name, bytes) in &mesh.files {
        put_text(out, name.as_str());
        out.put_u32(count(bytes.len()));
        out.put_slice(bytes);
    }
}

/// Nothing if it is laid out in another way. The first version ends before the mesh.
pub(super) fn read(mut bytes: &[u8], has_mesh: bool) -> Option<Keyring> {
    let bytes = &mut bytes;
    let node = NodeKey::from_pair(KeyPair::from_seed(&*seed(bytes)?));
    let credential = Credential::from_bytes(&*seed(bytes)?);
    let name = match text(bytes)? {
        "" => None,
        name => Some(name.parse().ok()?),
    };
    let mut agents = Vec::new();
    for _ in 0..bytes.try_get_u32().ok()? {
        let uid = bytes.try_get_u32().ok()?;
        let name = text(bytes)?.parse().ok()?;
        agents.push(KeptAgent { uid, name, key: AgentKey(KeyPair::from_seed(&*seed(bytes)?)) });
    }
    let mut days = Vec::new();
    for _ in 0..bytes.try_get_u32().ok()? {
        let day = bytes.try_get_u64().ok()?;
        let length = bytes.try_get_u16().ok()?;
        days.push((day, take(bytes, length.into())?.to_vec()));
    }
    let mesh = if has_mesh { read_mesh(bytes)? } else { Mesh::default() };
    bytes.is_empty().then_some(Keyring { node, credential, name, agents, days, mesh })
}

fn read_mesh(bytes: &mut &[u8]) -> Option<Mesh> {
    let authority = match bytes.try_get_u8().ok()? {
        0 => None,
        1 => Some(AuthorityKey(KeyPair::from_seed(&*seed(bytes)?))),
        _ => return None,
    };
    let mut files = Vec::new();
    for _ in 0..bytes.try_get_u32().ok()? {
        let name = text(bytes)?.parse().ok()?;
        let length = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
        files.push((name, take(bytes, length)?.to_vec()));
    }
    Some(Mesh { authority, files })
}

/// Names are short, and there are fewer agents than numbers.
fn put_text(out: &mut Vec<u8>, text: &str) {
    out.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.put_slice(text.as_bytes());
}

fn text_bytes(name: &Name) -> usize {
    1 + name.as_str().len()
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = bytes.try_get_u8().ok()?;
    core::str::from_utf8(take(bytes, length.into())?).ok()
}

fn seed(bytes: &mut &[u8]) -> Option<Seed> {
    Some(Zeroizing::new(take(bytes, 32)?.try_into().ok()?))
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

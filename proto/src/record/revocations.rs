//! Who is out: the list that the mesh's authority signs, and that replaces every list of a lower epoch.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::fields::{RecordWriter, node, refusal};
use super::must;
use crate::msgpack::{Fault, Reader, exact, read_fields};
use crate::{NodeId, Refusal, limits};

const MESH: u64 = 1;
const EPOCH: u64 = 2;
const NODES: u64 = 3;

/// The nodes that a mesh trusts no longer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocations {
    /// Which mesh.
    pub mesh: [u8; limits::ID_BYTES],
    /// Of two lists the higher one counts. Each list holds all of the one before.
    pub epoch: u64,
    /// Who is out.
    pub nodes: BTreeSet<NodeId>,
}

impl Revocations {
    /// Reads the body of a list.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        if body.len() > limits::RECORD_BYTES_MAX {
            return Err(Refusal::RecordForm);
        }
        let (mut mesh, mut epoch, mut nodes) = (None, None, None);
        read_fields(body, |key, reader| {
            match key {
                MESH => mesh = Some(exact(reader.bin()?)?),
                EPOCH => epoch = Some(reader.uint()?),
                NODES => nodes = Some(ascending(reader)?),
                _unknown => reader.skip(1)?,
            }
            Ok(())
        })
        .map_err(refusal)?;
        Ok(Self { mesh: must(mesh)?, epoch: must(epoch)?, nodes: must(nodes)? })
    }

    /// Writes the body that is to be signed. Bounds are judged by reading it back.
    pub fn write(&self) -> Result<Bytes, Refusal> {
        let mut w = RecordWriter::begin(3);
        w.bin(MESH, &self.mesh);
        w.uint(EPOCH, self.epoch);
        w.bins(NODES, self.nodes.iter().map(|node| &node.as_bytes()[..]));
        let body = w.end();
        let again = Self::read(&body)?;
        if again == *self { Ok(body) } else { Err(Refusal::RecordValue) }
    }
}

/// They ascend, so that none is named twice.
fn ascending(reader: &mut Reader<'_>) -> Result<BTreeSet<NodeId>, Fault> {
    let elements = reader.array()?;
    if elements > limits::REVOKED_MAX {
        return Err(Fault::Type);
    }
    let mut nodes = BTreeSet::new();
    for _ in 0..elements {
        let node = node(reader.bin()?)?;
        if nodes.last().is_some_and(|last| node <= *last) {
            return Err(Fault::Type);
        }
        nodes.insert(node);
    }
    Ok(nodes)
}

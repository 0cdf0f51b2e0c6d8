//! What a node keeps of its mesh, below its state folder. Each file is written whole, synced, and only then named.
//!
//! ```text
//! mesh/authority.key      only where it is held
//! mesh/authority.crt      whose word counts; its key's hash is the mesh's id
//! mesh/node.crt           this node is a member: written last when it becomes one, removed first when it leaves
//! mesh/revoked            the newest list of those that are shut out
//! mesh/blocked            node ids, one a line
//! mesh/down               the node is to take part in no mesh for now
//! mesh/seeds              whom to dial before anybody is known: NAME=NODE-ID@HOST:PORT, one a line
//! mesh/place              where it listens and what it advertises, if that was said when it came up
//! mesh/tickets/           open and burnt ones: see tickets.rs
//! mesh/spent              the key of a ticket that the service manager hands over, of a mesh that the node has left
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::Peer;
use keys::vault::{self, VaultError};
use keys::verify::{self, Attested};
use keys::{AuthorityCertificate, AuthorityKey, AuthorityTrust, certificate};
use proto::record::{CarriedRecord, Revocations};
use proto::{Name, NodeId, Verified, limits};
use rustls::pki_types::CertificateDer;

use super::Certified;
use super::place::Place;
use crate::StartError;
use crate::vault::{make_folder, sync_folder, write_synced};

const AUTHORITY_KEY: &str = "authority.key";
const AUTHORITY: &str = "authority.crt";
const CERTIFICATE: &str = "node.crt";
const REVOKED: &str = "revoked";
const BLOCKED: &str = "blocked";
const DOWN: &str = "down";
const SEEDS: &str = "seeds";
const PLACE: &str = "place";
const TICKETS: &str = "tickets";
const SPENT: &str = "spent";

/// The folder, which need not be there.
#[derive(Clone, Debug)]
pub(crate) struct MeshFiles {
    folder: PathBuf,
    /// What the node is called, beside its identity.
    name: PathBuf,
}

/// What a member keeps.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) authority: Arc<AuthorityCertificate>,
    pub(crate) certificate: Certified,
    /// As it stands in the certificate.
    pub(crate) name: Name,
    pub(crate) key: Option<AuthorityKey>,
    pub(crate) revoked: Option<Verified<Attested<Revocations>>>,
    pub(crate) seeds: Vec<Peer>,
    pub(crate) is_down: bool,
}

/// What makes a node a member.
pub(crate) struct NewMembership<'a> {
    pub(crate) authority: &'a AuthorityCertificate,
    pub(crate) key: Option<&'a AuthorityKey>,
    pub(crate) certificate: &'a [u8],
    pub(crate) revoked: Option<&'a CarriedRecord>,
    pub(crate) seeds: Vec<Peer>,
    pub(crate) place: &'a Place,
    pub(crate) name: &'a Name,
}

impl MeshFiles {
    pub(crate) fn below(state: &Path) -> Self {
        Self { folder: state.join("mesh"), name: state.join("identity/name") }
    }

    pub(crate) fn tickets(&self) -> PathBuf {
        self.folder.join(TICKETS)
    }

    /// What there is of a membership. Nothing is judged by the clock.
    pub(crate) fn load(&self, us: NodeId) -> Result<Option<Kept>, StartError> {
        let Some(der) = self.read(CERTIFICATE)? else { return Ok(None) };
        let authority = self.read(AUTHORITY)?.ok_or_else(|| self.broken(AUTHORITY, "is missing"))?;
        let authority = AuthorityCertificate::read(CertificateDer::from(authority))
            .map_err(|_| self.broken(AUTHORITY, "is no certificate of an authority, or was damaged"))?;
        let about =
            certificate::read(&der).map_err(|_| self.broken(CERTIFICATE, "is no certificate, or was damaged"))?;
        if about.key.node_id() != us {
            return Err(self.broken(CERTIFICATE, "is another node's"));
        }
        let authority = Arc::new(authority);
        // Whether the authority gave it out, whatever the time is.
        let trust = AuthorityTrust::new(Arc::clone(&authority));
        if trust.judge(&der, about.validity.not_after).is_err() {
            return Err(self.broken(CERTIFICATE, "was not given out by the authority beside it"));
        }
        let key = match vault::load_authority(&self.path(AUTHORITY_KEY)) {
            Ok(key) if key.mesh() == authority.mesh() => Some(key),
            Ok(_) => return Err(self.broken(AUTHORITY_KEY, "is that of another mesh")),
            Err(VaultError::Missing { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let certificate = Certified { der: CertificateDer::from(der), validity: about.validity };
        let revoked = self.load_revoked(&authority)?;
        let (seeds, is_down) = (self.load_seeds()?, self.path(DOWN).exists());
        Ok(Some(Kept { authority, certificate, name: about.name, key, revoked, seeds, is_down }))
    }

    fn load_revoked(
        &self,
        authority: &AuthorityCertificate,
    ) -> Result<Option<Verified<Attested<Revocations>>>, StartError> {
        let Some(bytes) = self.read(REVOKED)? else { return Ok(None) };
        let damaged = |_| self.broken(REVOKED, "was damaged; without it, who was shut out would be let in");
        let carried = CarriedRecord::read(bytes.into()).map_err(damaged)?;
        verify::revocations(carried, authority.key()).map(Some).map_err(damaged)
    }

    fn load_seeds(&self) -> Result<Vec<Peer>, StartError> {
        let text = self.read(SEEDS)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&text).lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// With whom this node is to have no link.
    pub(crate) fn blocked(&self) -> Result<BTreeSet<NodeId>, StartError> {
        let text = self.read(BLOCKED)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&text).lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// What was said about where it listens.
    pub(crate) fn place(&self) -> Result<Place, StartError> {
        Ok(Place::read(&String::from_utf8_lossy(&self.read(PLACE)?.unwrap_or_default())))
    }

    /// Makes this node a member. Until the last file is named it is none.
    pub(crate) fn save(&self, new: &NewMembership<'_>) -> Result<(), StartError> {
        self.make()?;
        self.remove_all()?;
        if let Some(key) = new.key {
            vault::save_authority(&self.path(AUTHORITY_KEY), key)?;
        }
        self.write(AUTHORITY, new.authority.der())?;
        if let Some(revoked) = new.revoked {
            self.write(REVOKED, revoked.as_bytes())?;
        }
        let seed = |peer: &Peer| {
            let address = peer.address.as_deref().map_or_else(String::new, |address| format!("@{address}"));
            format!("{}={}{address}\n", peer.name, peer.node)
        };
        self.write(SEEDS, new.seeds.iter().map(seed).collect::<String>().as_bytes())?;
        self.save_place(new.place)?;
        self.save_name(new.name)?;
        self.write(CERTIFICATE, new.certificate)
    }

    /// What the node is called from its next start on.
    pub(crate) fn save_name(&self, name: &Name) -> Result<(), StartError> {
        let folder = self.name.parent().unwrap_or(Path::new("."));
        let written = write_synced(&self.name, format!("{name}\n").as_bytes(), folder);
        written.map_err(|source| StartError::State { path: self.name.clone(), source })
    }

    pub(crate) fn save_place(&self, place: &Place) -> Result<(), StartError> {
        self.make()?;
        self.write(PLACE, place.text().as_bytes())
    }

    /// Keeps the authority's key, here too from now on.
    pub(crate) fn save_key(&self, key: &AuthorityKey) -> Result<(), StartError> {
        match vault::save_authority(&self.path(AUTHORITY_KEY), key) {
            // It is that one: a mesh has one key.
            Ok(()) | Err(VaultError::Exists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn save_certificate(&self, certificate: &[u8]) -> Result<(), StartError> {
        self.write(CERTIFICATE, certificate)
    }

    pub(crate) fn save_revoked(&self, list: &CarriedRecord) -> Result<(), StartError> {
        self.write(REVOKED, list.as_bytes())
    }

    pub(crate) fn save_blocked(&self, blocked: &BTreeSet<NodeId>) -> Result<(), StartError> {
        self.make()?;
        let text: String = blocked.iter().map(|node| format!("{node}\n")).collect();
        self.write(BLOCKED, text.as_bytes())
    }

    /// Whether the node takes part from its next start on.
    pub(crate) fn set_down(&self, is_down: bool) -> Result<(), StartError> {
        self.make()?;
        if is_down {
            return self.write(DOWN, b"`aicpctl up` removes this file.\n");
        }
        self.remove(DOWN)
    }

    /// Whether the ticket with this key is not to be used any more.
    pub(crate) fn is_spent(&self, guest: NodeId) -> Result<bool, StartError> {
        let text = self.read(SPENT)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&text).trim().parse() == Ok(guest))
    }

    pub(crate) fn save_spent(&self, guest: NodeId) -> Result<(), StartError> {
        self.write(SPENT, format!("{guest}\n").as_bytes())
    }

    /// Forgets the membership. The certificate goes first: without it nothing else counts.
    pub(crate) fn leave(&self) -> Result<(), StartError> {
        self.remove_all()?;
        let _nothing_there = fs::remove_dir_all(self.tickets());
        Ok(())
    }

    fn remove_all(&self) -> Result<(), StartError> {
        [CERTIFICATE, AUTHORITY_KEY, AUTHORITY, REVOKED, SEEDS, PLACE, DOWN]
            .into_iter()
            .try_for_each(|name| self.remove(name))
    }

    fn make(&self) -> Result<(), StartError> {
        make_folder(&self.folder).map_err(|source| StartError::State { path: self.folder.clone(), source })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StartError> {
        const MOST: u64 = 4 * limits::RECORD_BYTES_MAX as u64;
        let path = self.path(name);
        let failed = |source| StartError::State { path: path.clone(), source };
        match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
            Ok(about) if about.len() > MOST => Err(self.broken(name, "is longer than any such file")),
            Ok(_) => fs::read(&path).map(Some).map_err(failed),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StartError> {
        let path = self.path(name);
        write_synced(&path, bytes, &self.folder).map_err(|source| StartError::State { path, source })
    }

    fn remove(&self, name: &str) -> Result<(), StartError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => {
                removed.and_then(|()| sync_folder(&self.folder)).map_err(|source| StartError::State { path, source })
            }
        }
    }

    fn broken(&self, name: &str, why: &'static str) -> StartError {
        StartError::Mesh { path: self.path(name), why }
    }
}

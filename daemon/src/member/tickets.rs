//! Tickets that this node gave out, or that it is to answer for as a holder of the authority's key: a file each, named
//! after the ticket's key. The secret is in none of them. A ticket that was used stays burnt, so that whoever used it may
//! ask again if the answer was lost, and everybody else hears what became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proto::{Name, NodeId, limits};

use crate::StartError;
use crate::vault::{make_folder, sync_folder, write_synced};

/// One ticket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Issued {
    /// Until when it counts, in s.
    pub(crate) expiry: u64,
    /// Who gave it out.
    pub(crate) inviter: NodeId,
    /// Who answers for it.
    pub(crate) holder: NodeId,
    /// Who used it.
    pub(crate) used_by: Option<(NodeId, Name)>,
}

/// All of them, by the ids of their keys.
#[derive(Debug)]
pub(crate) struct Tickets {
    folder: PathBuf,
    known: BTreeMap<NodeId, Issued>,
}

impl Tickets {
    /// Those that are kept. What cannot be read is left out: nobody can use it.
    pub(crate) fn load(folder: &Path) -> Result<Self, StartError> {
        let mut known = BTreeMap::new();
        let failed = |source| StartError::State { path: folder.into(), source };
        match fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            entries => {
                for entry in entries.map_err(failed)? {
                    let path = entry.map_err(failed)?.path();
                    let guest = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
                    let issued = fs::read_to_string(&path).ok().and_then(|text| Issued::read(&text));
                    if let (Some(guest), Some(issued)) = (guest, issued) {
                        known.insert(guest, issued);
                    }
                }
            }
        }
        Ok(Self { folder: folder.into(), known })
    }

    /// Keeps a ticket. `false` where there are too many already.
    pub(crate) fn open(&mut self, guest: NodeId, issued: Issued, now: u64) -> Result<bool, StartError> {
        self.sweep(now);
        let still_open = |known: &&Issued| known.used_by.is_none() && known.expiry.saturating_mul(limits::SECOND) > now;
        if self.known.values().filter(still_open).count() >= limits::TICKETS_MAX {
            return Ok(false);
        }
        self.keep(guest, issued)?;
        Ok(true)
    }

    /// Forgets a ticket that nobody got.
    pub(crate) fn close(&mut self, guest: NodeId) {
        self.known.remove(&guest);
        // One that stays is read at the next start, and is over in time.
        drop(fs::remove_file(self.folder.join(guest.to_string())));
    }

    /// Burns a ticket: on disk when this returns.
    pub(crate) fn burn(&mut self, guest: NodeId, node: NodeId, name: Name) -> Result<(), StartError> {
        let Some(issued) = self.known.get(&guest) else { return Ok(()) };
        let burnt = Issued { used_by: Some((node, name)), ..issued.clone() };
        self.keep(guest, burnt)
    }

    pub(crate) fn find(&self, guest: NodeId) -> Option<&Issued> {
        self.known.get(&guest)
    }

    /// Whose keys may come and ask. Those of tickets that are over are among them for a while, so that they hear why.
    pub(crate) fn guests(&self, us: NodeId) -> BTreeSet<NodeId> {
        self.known.iter().filter(|(_, issued)| issued.inviter == us).map(|(guest, _)| *guest).collect()
    }

    /// Who became a member by one of them, and as what.
    pub(crate) fn newcomers(&self) -> impl Iterator<Item = &(NodeId, Name)> {
        self.known.values().filter_map(|issued| issued.used_by.as_ref())
    }

    /// Forgets those that have been over for long.
    fn sweep(&mut self, now: u64) {
        let folder = &self.folder;
        self.known.retain(|guest, issued| {
            let is_kept = issued.expiry.saturating_mul(limits::SECOND).saturating_add(limits::TICKET_KEPT) > now;
            if !is_kept {
                // One that stays is forgotten at the next sweep.
                drop(fs::remove_file(folder.join(guest.to_string())));
            }
            is_kept
        });
    }

    fn keep(&mut self, guest: NodeId, issued: Issued) -> Result<(), StartError> {
        let path = self.folder.join(guest.to_string());
        let kept = make_folder(&self.folder)
            .and_then(|()| write_synced(&path, issued.text().as_bytes(), &self.folder))
            .and_then(|()| sync_folder(&self.folder));
        kept.map_err(|source| StartError::State { path, source })?;
        self.known.insert(guest, issued);
        Ok(())
    }
}

impl Issued {
    fn text(&self) -> String {
        let used = self.used_by.as_ref().map_or_else(String::new, |(node, name)| format!("used {node} {name}\n"));
        format!("expiry {}\ninviter {}\nholder {}\n{used}", self.expiry, self.inviter, self.holder)
    }

    fn read(text: &str) -> Option<Self> {
        let word = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        let used_by = match word("used") {
            Some(used) => {
                let (node, name) = used.split_once(' ')?;
                Some((node.parse().ok()?, name.parse().ok()?))
            }
            None => None,
        };
        let (expiry, inviter, holder) = (word("expiry")?, word("inviter")?, word("holder")?);
        Some(Self {
            expiry: expiry.parse().ok()?,
            inviter: inviter.parse().ok()?,
            holder: holder.parse().ok()?,
            used_by,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::AgentId;

    #[test]
    fn a_ticket_that_was_burnt_stays_burnt_over_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let node = |byte| NodeId::new(AgentId::new([byte; 32]));
        let issued = Issued { expiry: 100, inviter: node(1), holder: node(2), used_by: None };
        let mut tickets = Tickets::load(folder.path()).expect("a folder");
        assert!(tickets.open(node(9), issued.clone(), 0).expect("kept"));
        tickets.burn(node(9), node(5), "beta".parse().expect("a name")).expect("burnt");
        let again = Tickets::load(folder.path()).expect("a folder");
        let burnt = again.find(node(9)).expect("it is known");
        assert_eq!(burnt, &Issued { used_by: Some((node(5), "beta".parse().expect("a name"))), ..issued });
    }
}

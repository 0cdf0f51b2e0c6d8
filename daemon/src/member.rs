//! This node in a mesh that an authority vouches for: what it keeps of it, what administrators order, what newcomers
//! and other members ask. One task owns all of that, so that races are decided in one place. It decides nothing about
//! messages, and the core decides who is a peer.

mod calls;
mod files;
mod guest;
mod handed;
mod holder;
mod invite;
mod newcomer;
mod orders;
mod place;
mod start;
mod task;
mod tickets;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use keys::{AuthorityCertificate, AuthorityTrust, PublicKey};
use mesh::LinkId;
use parking_lot::{Mutex, RwLock};
use proto::control::subject;
use proto::link::ControlMessage;
use proto::member::{MemberMessage, Validity};
use proto::record::CarriedRecord;
use proto::{Content, Name, NodeId};
use rustls::pki_types::CertificateDer;
use tokio::sync::{mpsc, oneshot};

pub(crate) use guest::serve as serve_guest;
pub(crate) use orders::hex;
pub(crate) use place::{PORT, Whereabouts, look as look_at_addresses, watch as watch_addresses};
pub(crate) use start::Membership;

/// What the task is told.
#[derive(Debug)]
pub(crate) enum ToMembers {
    /// An administrator orders something, or somebody would like to.
    Order {
        /// Who asks.
        client: mesh::ClientId,
        /// Whether it may.
        is_admin: bool,
        /// What.
        content: Box<Content>,
    },
    /// Somebody with a ticket asks to join.
    Guest {
        /// Whose key TLS has seen.
        guest: NodeId,
        /// What it said.
        ask: Bytes,
        /// For what it is answered.
        reply: oneshot::Sender<Bytes>,
    },
    /// A member says something.
    Said {
        /// Over which link.
        link: LinkId,
        /// Who.
        member: Arc<Member>,
        /// What.
        message: MemberMessage,
    },
    /// A link to a member came up.
    LinkUp {
        /// Which.
        link: LinkId,
        /// To whom.
        member: Arc<Member>,
    },
    /// A link ended.
    LinkDown {
        /// Which.
        link: LinkId,
    },
    /// It is time for a new certificate.
    Renew,
    /// The list of those that are shut out is newer than ours.
    Revoked(CarriedRecord),
    /// What another task of this one came to.
    Ended(task::Errand),
    /// There is nothing more to do.
    Stop,
}

/// A member at the other end of a link, as TLS and its record prove it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) key: PublicKey,
    pub(crate) name: Name,
}

impl Member {
    pub(crate) fn id(&self) -> NodeId {
        self.key.node_id()
    }
}

/// A certificate of this node.
#[derive(Clone, Debug)]
pub(crate) struct Certified {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) validity: Validity,
}

/// The mesh that this node is in, as every link needs it.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) authority: Arc<AuthorityCertificate>,
    trust: RwLock<Arc<AuthorityTrust>>,
    certificate: RwLock<Certified>,
}

impl Inside {
    pub(crate) fn new(authority: Arc<AuthorityCertificate>, trust: AuthorityTrust, certificate: Certified) -> Self {
        Self { authority, trust: RwLock::new(Arc::new(trust)), certificate: RwLock::new(certificate) }
    }

    /// Whom it lets in, at this moment.
    pub(crate) fn trust(&self) -> Arc<AuthorityTrust> {
        Arc::clone(&self.trust.read())
    }

    fn set_trust(&self, trust: AuthorityTrust) {
        *self.trust.write() = Arc::new(trust);
    }

    /// What it shows.
    pub(crate) fn certificate(&self) -> Certified {
        self.certificate.read().clone()
    }

    fn set_certificate(&self, certificate: Certified) {
        *self.certificate.write() = certificate;
    }
}

/// What others see of the task.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// It holds the authority's key.
    pub(crate) is_holder: bool,
    /// It takes part: it has a door for peers.
    pub(crate) is_up: bool,
    /// Who said that they hold the authority's key.
    pub(crate) holders: BTreeSet<NodeId>,
    /// With whom it is to have no link.
    pub(crate) blocked: BTreeSet<NodeId>,
    /// Who is shut out, and the number of that list.
    pub(crate) revoked: BTreeSet<NodeId>,
    pub(crate) epoch: u64,
    /// Why the ticket that the service manager hands over did not make it a member.
    pub(crate) handed: Option<String>,
    /// Why the last renewal of its certificate came to nothing.
    pub(crate) renewal: Option<String>,
    /// Where others may dial this node.
    pub(crate) addresses: Vec<Box<str>>,
}

/// The way to the task, and what can be seen of it.
#[derive(Debug)]
pub(crate) struct Members {
    to: mpsc::Sender<ToMembers>,
    /// Nothing where this node is in no mesh of an authority.
    pub(crate) inside: Option<Arc<Inside>>,
    /// What its addresses follow from.
    pub(crate) whereabouts: Whereabouts,
    view: Mutex<Arc<View>>,
}

impl Members {
    pub(crate) fn new(
        to: mpsc::Sender<ToMembers>,
        inside: Option<Arc<Inside>>,
        whereabouts: Whereabouts,
        view: View,
    ) -> Self {
        Self { to, inside, whereabouts, view: Mutex::new(Arc::new(view)) }
    }

    /// Waits while the task has more to do than fits its queue.
    pub(crate) async fn tell(&self, said: ToMembers) {
        drop(self.to.send(said).await);
    }

    /// Until the task has ended.
    pub(crate) async fn over(&self) {
        self.to.closed().await;
    }

    /// The same for whoever must not wait. What does not fit is lost.
    pub(crate) fn tell_now(&self, said: ToMembers) {
        if self.to.try_send(said).is_err() {
            tracing::warn!("the task that looks after membership has too much to do");
        }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.lock())
    }

    pub(crate) fn change_view(&self, change: impl FnOnce(&mut View)) {
        let mut view = self.view.lock();
        change(Arc::make_mut(&mut view));
    }

    /// What HELLO says of the mesh: zeros where nodes are pinned.
    pub(crate) fn mesh(&self) -> [u8; proto::limits::ID_BYTES] {
        self.inside.as_ref().map_or([0; proto::limits::ID_BYTES], |inside| inside.authority.mesh())
    }
}

/// Whether an order is for this task.
pub(crate) fn is_for_members(content: &Content) -> bool {
    const SUBJECTS: [&str; 9] = [
        subject::UP,
        subject::DOWN,
        subject::INVITE,
        subject::JOIN,
        subject::LEAVE,
        subject::PEER_BLOCK,
        subject::PEER_FORGET,
        subject::REVOKE,
        subject::AUTHORITY_SHARE,
    ];
    content.metadata.subject().is_some_and(|subject| SUBJECTS.contains(&subject))
}

/// Why a certificate is no use at this moment, if it is none.
pub(crate) fn out_of_time(validity: Validity, now: u64) -> Option<String> {
    if validity.contains(now) {
        return None;
    }
    let hours = |from: u64, to: u64| to.saturating_sub(from) / proto::limits::HOUR;
    Some(if now < validity.not_before {
        format!(
            "the certificate of this node counts only from {} hours ahead on: the clock of this host is behind; fix: \
             set it right (timedatectl set-ntp true)",
            hours(now, validity.not_before) + 1
        )
    } else {
        format!(
            "the certificate of this node expired {} days ago, and no member links with it; fix: if the clock of this \
             host is right, aicpctl invite on a member, and aicpctl join TICKET here",
            hours(validity.not_after, now) / 24
        )
    })
}

/// Says something to the member at the other end of a link. One that does not listen goes without.
fn say(shared: &crate::shared::Shared, link: LinkId, message: MemberMessage) -> bool {
    let handle = shared.links.find(link);
    handle.is_some_and(|handle| handle.control.try_send(ControlMessage::Member(Box::new(message))).is_ok())
}

/// Links that are up, and who is at their other ends.
type LinkedMembers = BTreeMap<LinkId, Arc<Member>>;

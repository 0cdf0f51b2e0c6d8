//! What a newcomer makes of the answer that it got. All of it is judged by the mesh id of the ticket, so it does not matter
//! who gave the answer or passed it on.

use std::sync::Arc;

use proto::limits::CLOCKS_APART_MAX;
use proto::member::Joined;
use proto::record::{NodeRecord, Revocations};
use proto::{Name, Verified};
use rustls::pki_types::CertificateDer;

use crate::certificate::About;
use crate::ticket::Ticket;
use crate::trust::CertificateFault;
use crate::{Attested, AuthorityCertificate, AuthorityTrust, PublicKey, verify};

/// What makes the newcomer a member: every part of it was checked.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Whom to trust from now on: the mesh's authority, less those who are out.
    pub trust: AuthorityTrust,
    /// What the newcomer's own certificate says.
    pub about: About,
    /// The inviter's record.
    pub inviter: Verified<Attested<NodeRecord>>,
    /// Who is out, if anybody is.
    pub revocations: Option<Verified<Attested<Revocations>>>,
}

/// Why an answer makes nobody a member. Nothing was changed; the ticket may have been used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JoinFault {
    /// The authority is another one than the ticket says.
    #[error("the answer is from another mesh than the ticket")]
    OtherMesh,
    /// One of the two clocks is wrong, and certificates count by the clock.
    #[error("this host's clock is {seconds} s {} that of the inviter; set it right and ask for another ticket",
            if *is_ahead { "ahead of" } else { "behind" })]
    Clock {
        /// How far they are apart.
        seconds: u64,
        /// Whether ours is the later one.
        is_ahead: bool,
    },
    /// The certificate does not make this node a member.
    #[error("the certificate in the answer is of no use: {0}")]
    Certificate(#[from] CertificateFault),
    /// The certificate is for another key or another name.
    #[error("the certificate in the answer is for another node")]
    OtherNode,
    /// The inviter's record does not prove that the inviter is a member.
    #[error("the inviter does not prove that it is a member")]
    Inviter,
    /// The authority did not sign the list of those who are out.
    #[error("the list of revoked nodes in the answer does not hold")]
    Revocations,
}

impl Ticket {
    /// Whether it counts no longer at `now`, the wall clock in ns.
    #[must_use]
    pub const fn has_expired(&self, now: u64) -> bool {
        now / proto::limits::SECOND > self.expiry
    }

    /// Judges what was answered to `node`, which asked to be called `name`. `now` is the wall clock in ns.
    pub fn admit(&self, joined: &Joined, node: &PublicKey, name: &Name, now: u64) -> Result<Admission, JoinFault> {
        let der = CertificateDer::from(joined.authority.to_vec());
        let authority = AuthorityCertificate::read(der).map_err(|_| JoinFault::OtherMesh)?;
        if authority.mesh() != self.mesh {
            return Err(JoinFault::OtherMesh);
        }
        let apart = now.abs_diff(joined.time);
        if apart > CLOCKS_APART_MAX {
            let seconds = apart / proto::limits::SECOND;
            return Err(JoinFault::Clock { seconds, is_ahead: now > joined.time });
        }
        let mut trust = AuthorityTrust::new(Arc::new(authority));
        let revocations = joined.revocations.clone().map(|list| verify::revocations(list, trust.authority().key()));
        let revocations = revocations.transpose().map_err(|_| JoinFault::Revocations)?;
        if let Some(list) = &revocations {
            trust.revoked.clone_from(&list.get().record.nodes);
        }
        let about = trust.judge(&joined.certificate, now)?;
        if about.key != *node || about.name != *name {
            return Err(JoinFault::OtherNode);
        }
        let inviter = verify::member_record(joined.inviter.clone(), &trust).map_err(|_| JoinFault::Inviter)?;
        let inviter_id = inviter.get().key.node_id();
        if inviter_id != self.inviter || trust.revoked.contains(&inviter_id) {
            return Err(JoinFault::Inviter);
        }
        Ok(Admission { trust, about, inviter, revocations })
    }
}

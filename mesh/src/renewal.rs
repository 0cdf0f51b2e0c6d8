//! What this node signs about itself, and when its certificate is renewed.

use alloc::boxed::Box;
use alloc::vec::Vec;

use proto::limits::{
    ADDRESSES_MAX, LINKS_MAX, NODE_RECORD_LIFE, NODE_RECORD_PAUSE, NODE_RECORD_WAIT, PREKEY_ROTATION, RECORD_LIFE,
    RENEW_PAUSE, RENEW_PAUSE_MAX,
};
use proto::member::Validity;
use proto::record::NodeRecord;

use crate::effect::Effect;
use crate::node::Node;
use crate::records::next_sequence;
use crate::rules::Rule;
use crate::step::Step;
use crate::time::Mono;
use crate::timers::Why;

impl Node {
    /// Signs this node's record, and the next one a day later.
    pub(crate) fn sign_node(&mut self, step: &mut Step<'_>) {
        self.node_sequence = next_sequence(self.node_sequence, step.wall(), &mut self.chance);
        let life = if self.members.mesh.is_some() { NODE_RECORD_LIFE } else { RECORD_LIFE };
        let expiry = step.wall().saturating_add(if self.members.has_left { 0 } else { life });
        let links = match &self.members.mesh {
            Some(_) => self.links.up().map(|(peer, _)| peer).take(LINKS_MAX as usize).collect(),
            None => Vec::new(),
        };
        let record = NodeRecord {
            public_key: self.me.public_key,
            name: self.me.name.clone(),
            addresses: self.addresses.clone(),
            links,
            // The host has it.
            certificate: None,
            sequence: self.node_sequence,
            expiry: self.members.mesh.as_ref().map_or(expiry, |mesh| expiry.min(mesh.certificate.not_after)),
        };
        step.ask(Effect::SignNode(Box::new(record)));
        self.members.signed = Some(step.now.mono);
        self.sign_at(step.now.mono.after(PREKEY_ROTATION));
    }

    fn sign_at(&mut self, at: Mono) {
        if let Some(before) = self.members.next_record.replace(at) {
            self.timers.clear(before, Why::NextNodeRecord);
        }
        self.timers.set(at, Why::NextNodeRecord);
    }

    /// What the record says of this node has changed. It is signed anew in a moment, in which more may change.
    pub(crate) fn sign_soon(&mut self, step: &Step<'_>) {
        if self.members.mesh.is_none() || self.members.has_left {
            return;
        }
        let soon = step.now.mono.after(NODE_RECORD_WAIT);
        let at = self.members.signed.map_or(soon, |signed| soon.max(signed.after(NODE_RECORD_PAUSE)));
        if self.members.next_record.is_none_or(|next| next > at) {
            self.sign_at(at);
        }
    }

    /// It is time for the next record, which also tells that this node is still there.
    pub(crate) fn node_record_due(&mut self, at: Mono, step: &mut Step<'_>) {
        if self.members.next_record == Some(at) && !self.members.has_left {
            self.sign_node(step);
        }
    }

    /// Where this node listens has changed.
    pub(crate) fn take_addresses(&mut self, mut addresses: Vec<Box<str>>, step: &mut Step<'_>) {
        addresses.truncate(ADDRESSES_MAX as usize);
        if addresses == self.addresses {
            return;
        }
        self.addresses = addresses;
        if self.members.mesh.is_some() {
            self.sign_soon(step);
        } else {
            self.sign_node(step);
        }
    }

    /// This node is a member no longer, and says so.
    pub(crate) fn leave(&mut self, step: &mut Step<'_>) {
        if self.members.mesh.is_some() {
            self.members.has_left = true;
            self.sign_node(step);
        }
    }

    /// Asks for a renewal from two thirds of the certificate's life on.
    pub(crate) fn arm_renewal(&mut self, step: &Step<'_>) {
        let Some(mesh) = &self.members.mesh else { return };
        let at = step.now.when(mesh.certificate.renew_at());
        self.renew_at(at);
    }

    fn renew_at(&mut self, at: Mono) {
        let Some(mesh) = &mut self.members.mesh else { return };
        if let Some(before) = mesh.renews.replace(at) {
            self.timers.clear(before, Why::Renew);
        }
        self.timers.set(at, Why::Renew);
    }

    pub(crate) fn renew(&mut self, at: Mono, step: &mut Step<'_>) {
        let Some(mesh) = &mut self.members.mesh else { return };
        if mesh.renews != Some(at) || !self.rules.hold(Rule::CertificateIsRenewed) {
            return;
        }
        if mesh.certificate.renew_at() > step.wall() {
            self.arm_renewal(step);
            return;
        }
        let pause = RENEW_PAUSE << mesh.renewals.min(RENEW_PAUSE_MAX.ilog2() - RENEW_PAUSE.ilog2() + 1);
        mesh.renewals = mesh.renewals.saturating_add(1);
        step.ask(Effect::Renew);
        self.renew_at(step.now.mono.after(pause.min(RENEW_PAUSE_MAX)));
    }

    /// A new certificate is in place.
    pub(crate) fn certified(&mut self, certificate: Validity, step: &mut Step<'_>) {
        let Some(mesh) = &mut self.members.mesh else { return };
        mesh.certificate = certificate;
        mesh.renewals = 0;
        self.arm_renewal(step);
        self.sign_node(step);
    }

    /// The wall clock has jumped: what this node says of itself says when, and its certificate may be due.
    pub(crate) fn time_has_moved(&mut self, step: &Step<'_>) {
        self.sign_soon(step);
        self.arm_renewal(step);
    }
}

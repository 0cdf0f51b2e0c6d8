//! Whom the authority of a mesh vouches for is taken, and nobody else, at both ends of a link (G14).

use std::sync::Arc;

use keys::certificate::{of_node, self_signed};
use keys::tls::{JOIN_ALPN, Role, Shown, Trust, join_dialer, listener, member_dialer};
use keys::{AuthorityCertificate, AuthorityKey, AuthorityTrust, NodeKey, PublicKey};
use proto::NodeId;
use proto::limits::{CERTIFICATE_LIFE, HOUR, SECOND};
use referee::certificates::{Forged, Purpose};
use referee::peer::wall;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ServerConfig};

use super::{NoCertificate, shake};

const AUTHORITY: [u8; 32] = [0x61; 32];
const MEMBER: [u8; 32] = [0x62; 32];

struct Mesh {
    key: AuthorityKey,
    trust: AuthorityTrust,
}

struct Member {
    key: Arc<NodeKey>,
    shown: Shown,
    trust: AuthorityTrust,
}

impl Mesh {
    fn new(key: AuthorityKey) -> Self {
        let name = "lab".parse().expect("a name");
        let certificate = AuthorityCertificate::make(&key, &name, wall()).expect("a certificate");
        Self { key, trust: AuthorityTrust::new(Arc::new(certificate)) }
    }

    /// Whose seed the tests know.
    fn known() -> Self {
        Self::new(AuthorityKey::from_published_seed(&AUTHORITY))
    }

    /// Somebody else's, which has the same name.
    fn other() -> Self {
        Self::new(AuthorityKey::make().expect("randomness"))
    }

    fn certificate(&self, node: &PublicKey, now: u64) -> CertificateDer<'static> {
        let name = "beta".parse().expect("a name");
        of_node(&self.key, self.trust.authority(), node, &name, now).expect("a certificate")
    }

    fn member(&self) -> Member {
        let key = NodeKey::make().expect("randomness");
        let certificate = self.certificate(key.public(), wall());
        self.shows(key, certificate)
    }

    /// Somebody who trusts this mesh, and shows whatever certificate.
    fn shows(&self, key: NodeKey, certificate: CertificateDer<'static>) -> Member {
        let key = Arc::new(key);
        Member { shown: Shown::new(Arc::clone(&key), certificate), key, trust: self.trust.clone() }
    }

    /// Likewise, with the seed that the tests know.
    fn forges(&self, change: impl FnOnce(&mut Forged)) -> Member {
        let key = NodeKey::from_published_seed(&MEMBER);
        let mut forged = Forged::right(AUTHORITY, "lab", *key.public().as_bytes(), wall());
        change(&mut forged);
        self.shows(key, forged.der().into())
    }
}

impl Member {
    fn id(&self) -> NodeId {
        self.key.id()
    }

    fn listens(&self) -> ServerConfig {
        listener(&self.shown, Trust::Authority(self.trust.clone())).expect("a listener")
    }

    fn dials(&self, meant: &Self) -> ClientConfig {
        member_dialer(&self.shown, meant.id(), self.trust.clone()).expect("a dialer")
    }
}

/// Whether a member in good standing links with it, whoever dials.
fn is_taken(mesh: &Mesh, whom: &Member) {
    let good = mesh.member();
    shake(whom.dials(&good), good.listens()).expect("it is let in");
    shake(good.dials(whom), whom.listens()).expect("it is dialed");
}

/// Whether neither door opens, each for this reason.
fn is_refused(mesh: &Mesh, whom: &Member, reason: &str) {
    let good = mesh.member();
    let error = shake(whom.dials(&good), good.listens()).expect_err("let in");
    assert!(error.starts_with("listener:") && error.contains(reason), "wanted {reason}: {error}");
    let error = shake(good.dials(whom), whom.listens()).expect_err("dialed");
    assert!(error.starts_with("dialer:") && error.contains(reason), "wanted {reason}: {error}");
}

#[test]
fn members_of_a_mesh_link_with_each_other_without_having_heard_of_each_other() {
    let mesh = Mesh::known();
    is_taken(&mesh, &mesh.member());
    is_taken(&mesh, &mesh.forges(|_| {}));
}

#[test]
fn a_certificate_that_the_authority_did_not_sign_opens_no_door() {
    let mesh = Mesh::known();
    let key = NodeKey::make().expect("randomness");
    let by_itself = self_signed(&key, &"beta".parse().expect("a name")).expect("a certificate");
    is_refused(&mesh, &mesh.shows(key, by_itself), "");
    is_refused(&mesh, &mesh.forges(|forged| forged.issuer_seed = MEMBER), "UnknownIssuer");
    let key = NodeKey::make().expect("randomness");
    let others = Mesh::other().certificate(key.public(), wall());
    is_refused(&mesh, &mesh.shows(key, others), "UnknownIssuer");
    is_refused(&mesh, &mesh.forges(|forged| forged.issuer_name = "another"), "UnknownIssuer");
}

#[test]
fn a_member_of_another_mesh_trusts_nobody_of_this_one() {
    let (mesh, other) = (Mesh::known(), Mesh::other());
    let (ours, theirs) = (mesh.member(), other.member());
    assert!(shake(ours.dials(&theirs), theirs.listens()).is_err());
    assert!(shake(theirs.dials(&ours), ours.listens()).is_err());
}

#[test]
fn a_member_cannot_sign_for_others() {
    let mesh = Mesh::known();
    let key = NodeKey::make().expect("randomness");
    let now = wall();
    let mut forged = Forged::right(MEMBER, "beta", *key.public().as_bytes(), now);
    forged.name = "gamma";
    forged.other_names = vec!["gamma"];
    is_refused(&mesh, &mesh.shows(key, forged.der().into()), "UnknownIssuer");
}

#[test]
fn a_certificate_counts_from_its_first_moment_to_its_last() {
    let mesh = Mesh::known();
    let now = wall();
    for (since, is_good) in [(0, true), (CERTIFICATE_LIFE - HOUR, true), (CERTIFICATE_LIFE + 2 * SECOND, false)] {
        let key = NodeKey::make().expect("randomness");
        let certificate = mesh.certificate(key.public(), now - since);
        let member = mesh.shows(key, certificate);
        if is_good { is_taken(&mesh, &member) } else { is_refused(&mesh, &member, "Expired") }
    }
    for (ahead, is_good) in [(8 * 60 * SECOND, true), (HOUR, false)] {
        let key = NodeKey::make().expect("randomness");
        let certificate = mesh.certificate(key.public(), now + ahead);
        let member = mesh.shows(key, certificate);
        if is_good { is_taken(&mesh, &member) } else { is_refused(&mesh, &member, "NotValidYet") }
    }
}

#[test]
fn a_revoked_node_opens_no_door_although_its_certificate_holds() {
    let mut mesh = Mesh::known();
    let (out, other) = (mesh.member(), mesh.member());
    is_taken(&mesh, &out);
    mesh.trust.revoked.insert(out.id());
    is_refused(&mesh, &out, "Revoked");
    is_taken(&mesh, &other);
}

#[test]
fn a_certificate_for_another_use_opens_no_door() {
    let mesh = Mesh::known();
    for uses in [vec![], vec![Purpose::ServerAuth], vec![Purpose::ClientAuth], vec![Purpose::CodeSigning]] {
        is_refused(&mesh, &mesh.forges(|forged| forged.uses = uses), "InvalidPurpose");
    }
    is_refused(&mesh, &mesh.forges(|forged| forged.is_authority = true), "InvalidPurpose");
}

#[test]
fn the_authoritys_own_certificate_is_nobodys_on_a_link() {
    let mesh = Mesh::known();
    let certificate = mesh.trust.authority().der().clone();
    is_refused(&mesh, &mesh.shows(NodeKey::from_published_seed(&AUTHORITY), certificate), "");
}

#[test]
fn a_certificate_whose_names_differ_or_are_none_opens_no_door() {
    let mesh = Mesh::known();
    for names in [vec!["alpha"], vec![], vec!["beta", "alpha"], vec!["beta.example"]] {
        let member = mesh.forges(|forged| forged.other_names.clone_from(&names));
        let reason = if names.len() == 1 || names.is_empty() { "NotValidForName" } else { "BadEncoding" };
        is_refused(&mesh, &member, reason);
    }
    for name in ["Beta", "", "be ta", ".beta"] {
        let member = mesh.forges(|forged| (forged.name, forged.other_names) = (name, vec![name]));
        is_refused(&mesh, &member, "");
    }
}

#[test]
fn a_member_that_answers_in_anothers_place_is_not_dialed() {
    let mesh = Mesh::known();
    let (good, other, meant) = (mesh.member(), mesh.member(), mesh.member());
    let error = shake(good.dials(&meant), other.listens()).expect_err("refused");
    assert!(error.starts_with("dialer:"), "{error}");
}

#[test]
fn a_members_certificate_without_its_key_or_no_certificate_at_all_opens_no_door() {
    let mesh = Mesh::known();
    let good = mesh.member();
    let owner = NodeKey::make().expect("randomness");
    let stolen = mesh.certificate(owner.public(), wall());
    let thief = mesh.shows(NodeKey::make().expect("randomness"), stolen.clone());
    let error = shake(thief.dials(&good), good.listens()).expect_err("let in");
    assert!(error.starts_with("listener:"), "{error}");
    let meant = mesh.shows(owner, stolen);
    let error = shake(good.dials(&meant), thief.listens()).expect_err("dialed");
    assert!(error.starts_with("dialer:"), "{error}");
    let mut nobody = good.dials(&good);
    nobody.client_auth_cert_resolver = Arc::new(NoCertificate);
    let error = shake(nobody, good.listens()).expect_err("let in");
    assert!(error.starts_with("listener:"), "{error}");
}

#[test]
fn no_bit_of_a_members_certificate_can_be_changed() {
    let mesh = Mesh::known();
    let now = wall();
    let member = NodeKey::make().expect("randomness");
    let good = mesh.certificate(member.public(), now);
    assert!(mesh.trust.judge(&good, now).is_ok());
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut changed = good.to_vec();
            changed[at] ^= 1 << bit;
            assert!(mesh.trust.judge(&changed, now).is_err(), "byte {at}, bit {bit}");
        }
        assert!(mesh.trust.judge(&good[..at], now).is_err(), "{at} bytes");
    }
    let longer = [&good[..], &[0]].concat();
    assert!(mesh.trust.judge(&longer, now).is_err(), "a byte too many");
}

#[test]
fn a_guest_comes_in_with_an_open_ticket_and_only_by_the_door_for_guests() {
    let mut mesh = Mesh::known();
    let ticket = keys::ticket::Ticket::make(mesh.trust.mesh(), mesh.member().id(), [], 0).expect("a ticket").key();
    let closed = mesh.member();
    mesh.trust.guests.insert(ticket.guest());
    let open = mesh.member();
    let (_, server) = shake(join_dialer(&ticket, open.id()).expect("a dialer"), open.listens()).expect("let in");
    assert_eq!(server.alpn_protocol(), Some(JOIN_ALPN));
    let error = shake(join_dialer(&ticket, closed.id()).expect("a dialer"), closed.listens()).expect_err("let in");
    assert!(error.starts_with("listener:"), "{error}");
    let other = keys::ticket::Ticket::make(mesh.trust.mesh(), open.id(), [], 0).expect("a ticket").key();
    let error = shake(join_dialer(&other, open.id()).expect("a dialer"), open.listens()).expect_err("let in");
    assert!(error.starts_with("listener:"), "{error}");
    // Whoever answers in the inviter's place is not believed.
    let error = shake(join_dialer(&ticket, closed.id()).expect("a dialer"), open.listens()).expect_err("dialed");
    assert!(error.starts_with("dialer:"), "{error}");
}

#[test]
fn a_guest_is_no_peer_and_a_member_is_no_guest_whatever_they_speak() {
    let mut mesh = Mesh::known();
    let member = mesh.member();
    let guest = NodeKey::make().expect("randomness").id();
    mesh.trust.guests.insert(guest);
    let trust = Trust::Authority(mesh.trust.clone());
    assert_eq!(trust.role(member.id(), b"aicp/1"), Some(Role::Peer));
    assert_eq!(trust.role(guest, JOIN_ALPN), Some(Role::Guest));
    assert_eq!((trust.role(member.id(), JOIN_ALPN), trust.role(guest, b"aicp/1")), (None, None));
    assert_eq!((trust.role(guest, b"h3"), trust.role(guest, b"")), (None, None));
    let pinned = Trust::Pinned([member.id()].into());
    assert_eq!((pinned.role(member.id(), b"aicp/1"), pinned.role(member.id(), JOIN_ALPN)), (Some(Role::Peer), None));
}

#[test]
fn a_node_of_pinned_peers_knows_no_guests_door() {
    let a = super::Host::new("alpha");
    let ticket = keys::ticket::Ticket::make([0; 32], a.key.id(), [], 0).expect("a ticket").key();
    assert!(shake(join_dialer(&ticket, a.key.id()).expect("a dialer"), a.listens_for(&[ticket.guest()])).is_err());
}

//! Who comes to a member's door with a certificate that does not make it one is not let in.

use std::sync::Arc;

use keys::{AuthorityCertificate, AuthorityKey, NodeKey, certificate};
use referee::members::{authority, lets_in, mesh, said};
use referee::peer::wall;

const DAY: u64 = 86_400_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_certificate_does_not_open_a_members_door() {
    let folder = tempfile::tempdir().expect("a folder");
    let alpha = mesh(folder.path(), &["alpha"]).remove(0);
    let (key, own) = authority(&alpha);
    let node = Arc::new(NodeKey::make().expect("randomness"));
    let other_key = AuthorityKey::make().expect("randomness");
    let other = AuthorityCertificate::make(&other_key, own.name(), wall()).expect("made");
    let name = "mallory".parse().expect("a name");
    let made = |key: &AuthorityKey, mesh: &AuthorityCertificate, node: &NodeKey, at: u64| {
        certificate::of_node(key, mesh, node.public(), &name, at).expect("made").to_vec()
    };
    let good = made(&key, &own, &node, wall());
    assert_eq!(lets_in(&alpha, &node, Some(good.clone())).await, Ok(()), "the others prove nothing without this");
    let stranger = Arc::new(NodeKey::make().expect("randomness"));
    let mut cut = good.clone();
    let last = cut.len() - 1;
    cut[last] ^= 1;
    let wrong = [
        ("self-signed", &node, None),
        ("another authority's", &node, Some(made(&other_key, &other, &node, wall()))),
        ("of an authority of the same name, by another key", &node, Some(made(&other_key, &own, &node, wall()))),
        ("expired", &node, Some(made(&key, &own, &node, wall() - 31 * DAY))),
        ("not yet valid", &node, Some(made(&key, &own, &node, wall() + DAY))),
        ("another node's", &stranger, Some(good.clone())),
        ("the authority's own", &node, Some(own.der().to_vec())),
        ("damaged", &node, Some(cut)),
    ];
    for (what, key, certificate) in wrong {
        assert!(lets_in(&alpha, key, certificate).await.is_err(), "{what}");
    }
    said(&alpha.ctl(&["revoke", &node.id().to_string(), "--yes"]));
    assert!(lets_in(&alpha, &node, Some(good)).await.is_err(), "revoked");
}

//! The key of a mesh's authority reaches a second holder, and nobody else.

use keys::share::{Ends, ShareError, ShareKey, seal};
use keys::{AuthorityKey, NodeKey};

struct Scene {
    authority: AuthorityKey,
    receiver: NodeKey,
    ends: Ends,
}

impl Scene {
    fn new() -> Self {
        let authority = AuthorityKey::make().expect("randomness");
        let (holder, receiver) = (NodeKey::make().expect("randomness"), NodeKey::make().expect("randomness"));
        let ends = Ends { mesh: authority.mesh(), holder: holder.id(), receiver: receiver.id() };
        Self { authority, receiver, ends }
    }

    fn sealed(&self, key: &ShareKey) -> bytes::Bytes {
        let signature = key.sign(&self.receiver, &self.ends);
        seal(&self.authority, &self.ends, self.receiver.public(), key.public(), &signature).expect("sealed")
    }
}

#[test]
fn the_authoritys_key_arrives_as_it_is_and_its_bytes_are_never_seen_on_the_way() {
    let seed = [0x5a; 32];
    let scene = Scene { authority: AuthorityKey::from_published_seed(&seed), ..Scene::new() };
    let scene = Scene { ends: Ends { mesh: scene.authority.mesh(), ..scene.ends }, ..scene };
    let key = ShareKey::make().expect("randomness");
    let sealed = scene.sealed(&key);
    assert!(!sealed.windows(8).any(|bytes| bytes == &seed[..8]));
    assert_ne!(sealed, scene.sealed(&key), "never the same bytes twice");
    let arrived = key.open(&sealed, &scene.ends).expect("opened");
    assert_eq!(arrived.public(), scene.authority.public());
}

#[test]
fn what_was_changed_on_the_way_or_is_for_others_does_not_open() {
    let scene = Scene::new();
    let ends = scene.ends;
    let attempt = |change: &dyn Fn(&mut Vec<u8>), ends: &Ends| {
        let key = ShareKey::make().expect("randomness");
        let mut sealed = scene.sealed(&key).to_vec();
        change(&mut sealed);
        key.open(&sealed, ends).map(drop)
    };
    assert_eq!(attempt(&|_| {}, &ends), Ok(()));
    let bytes = scene.sealed(&ShareKey::make().expect("randomness")).len();
    for at in 0..bytes {
        // The highest bit of a point is not part of it, and the key that both derive is over all of it.
        assert_eq!(attempt(&|sealed| sealed[at] ^= 0x80, &ends), Err(ShareError::Broken), "byte {at}");
        assert_eq!(attempt(&|sealed| sealed.truncate(at), &ends), Err(ShareError::Broken), "{at} bytes");
    }
    assert_eq!(attempt(&|sealed| sealed.push(0), &ends), Err(ShareError::Broken));
    let other = Scene::new().ends;
    for wrong in [
        Ends { mesh: other.mesh, ..ends },
        Ends { holder: other.holder, ..ends },
        Ends { receiver: other.receiver, ..ends },
    ] {
        assert_eq!(attempt(&|_| {}, &wrong), Err(ShareError::Broken));
    }
    let sealed = scene.sealed(&ShareKey::make().expect("randomness"));
    assert_eq!(ShareKey::make().expect("randomness").open(&sealed, &ends).map(drop), Err(ShareError::Broken));
}

#[test]
fn the_key_is_sealed_for_nobody_but_the_node_that_was_meant() {
    let scene = Scene::new();
    let (key, other) = (ShareKey::make().expect("randomness"), ShareKey::make().expect("randomness"));
    let signature = key.sign(&scene.receiver, &scene.ends);
    let thief = NodeKey::make().expect("randomness");
    let attempt = |ends: &Ends, receiver: &NodeKey, public: &[u8; 32], signature: &[u8; 64]| {
        seal(&scene.authority, ends, receiver.public(), public, signature).map(drop)
    };
    assert_eq!(attempt(&scene.ends, &scene.receiver, key.public(), &signature), Ok(()));
    let wrong = Err(ShareError::Signature);
    assert_eq!(attempt(&scene.ends, &scene.receiver, other.public(), &signature), wrong, "another key");
    assert_eq!(attempt(&scene.ends, &thief, key.public(), &signature), wrong, "another node");
    let by_thief = key.sign(&thief, &scene.ends);
    assert_eq!(attempt(&scene.ends, &scene.receiver, key.public(), &by_thief), wrong, "signed by another");
    let elsewhere = Ends { holder: thief.id(), ..scene.ends };
    assert_eq!(attempt(&elsewhere, &scene.receiver, key.public(), &signature), wrong, "meant for another holder");
    let strange = Ends { mesh: [7; 32], ..scene.ends };
    assert_eq!(attempt(&strange, &scene.receiver, key.public(), &signature), Err(ShareError::OtherMesh));
}

#[test]
fn a_receiver_whose_key_leads_to_a_secret_that_everyone_knows_gets_nothing() {
    let seed = [0x44; 32];
    let receiver = NodeKey::from_published_seed(&seed);
    let ends = Ends { receiver: receiver.id(), ..Scene::new().ends };
    let scene = Scene::new();
    let ends = Ends { mesh: scene.authority.mesh(), ..ends };
    let said = [&ends.mesh[..], ends.holder.as_bytes(), ends.receiver.as_bytes(), &[0; 32]].concat();
    let signature = referee::forge::sign(&seed, &[keys::sign::Context::Successor.as_bytes(), &said].concat());
    let sealed = seal(&scene.authority, &ends, receiver.public(), &[0; 32], &signature);
    assert_eq!(sealed, Err(ShareError::Broken));
}

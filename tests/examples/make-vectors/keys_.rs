//! Keys that are admitted and keys that are not, prekeys, and signatures behind contexts.

use keys::AgentKey;
use keys::sign::Context;
use proto::Refusal;
use referee::{forge, hex};
use serde_json::json;

use crate::Cases;

pub(crate) fn write() {
    let mut keys = Cases::new("keys.json");
    for seed in [[0; 32], [1; 32], [2; 32], [3; 32], [0xff; 32]] {
        let key = AgentKey::from_published_seed(&seed);
        keys.take(
            format!("seed of {:02x}", seed[0]),
            json!({ "seed": hex::write(seed), "public": hex::write(key.public().as_bytes()), "text": key.id().to_string() }),
        );
    }
    let mut refuse = |name: String, public: [u8; 32]| {
        keys.refuse(name, Refusal::Key, json!({ "public": hex::write(public) }));
    };
    for (at, point) in forge::small_order_points().into_iter().enumerate() {
        refuse(format!("small order {at}"), point);
    }
    for (at, point) in forge::non_canonical_points().into_iter().enumerate() {
        refuse(format!("not canonical {at}"), point);
    }
    let public = *AgentKey::from_published_seed(&[1; 32]).public().as_bytes();
    for (at, point) in forge::mixed_order_points(&public).into_iter().enumerate() {
        refuse(format!("mixed order {at}"), point);
    }
    let mut nowhere = [0; 32];
    nowhere[0] = 2;
    refuse("not on the curve".into(), nowhere);
    keys.write("Key pairs and the ids of their public keys; public keys that must never be admitted.");

    let mut prekeys = Cases::new("prekeys.json");
    for secret in [[0x41; 32], [0x42; 32], [0x77; 32]] {
        prekeys.take(format!("secret of {:02x}", secret[0]), json!({ "secret": hex::write(secret) }));
    }
    prekeys.write("X25519 prekeys and their ids.");
    signatures();
}

fn signatures() {
    let mut cases = Cases::new("signatures.json");
    let seed = [5; 32];
    let public = hex::write(AgentKey::from_published_seed(&seed).public().as_bytes());
    let case = |context: &str, message: &[u8], signature: [u8; 64]| json!({ "public": public, "context": context, "message": hex::write(message), "signature": hex::write(signature) });
    let digest = [0x33; 32];
    cases.take("a frame's digest", case("", &digest, forge::sign(&seed, &digest)));
    for context in Context::ALL {
        let name = std::str::from_utf8(context.as_bytes()).unwrap().trim_end_matches('\0');
        let message = b"what follows the context";
        let signature = forge::sign(&seed, &[context.as_bytes(), message].concat());
        cases.take(format!("behind {name}"), case(name, message, signature));
        let bare = forge::sign(&seed, message);
        cases.refuse(format!("without {name}"), Refusal::Signature, case(name, message, bare));
    }
    let good = forge::sign(&seed, &digest);
    let mut refuse = |name: &str, signature: [u8; 64]| {
        cases.refuse(name, Refusal::Signature, case("", &digest, signature));
    };
    let mut changed = good;
    changed[0] ^= 1;
    refuse("another R", changed);
    changed = good;
    changed[32] ^= 1;
    refuse("another S", changed);
    changed = good;
    changed[32..].copy_from_slice(&plus_order(&good[32..]));
    refuse("S plus the order", changed);
    changed = good;
    changed[..32].copy_from_slice(&forge::small_order_points()[0]);
    refuse("R of small order", changed);
    changed = good;
    changed[..32].copy_from_slice(&forge::non_canonical_points()[0]);
    refuse("R not canonical", changed);
    refuse("zeros", [0; 64]);
    cases.write("Signatures of one key: over a frame's digest, and behind contexts.");
}

/// S + L, the second name of the same scalar.
pub(crate) fn plus_order(scalar: &[u8]) -> [u8; 32] {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    let mut sum = [0; 32];
    for at in 0..32 {
        let add = u16::from(scalar[at]) + u16::from(ORDER[at]) + carry;
        sum[at] = add.to_le_bytes()[0];
        carry = add >> 8;
    }
    sum
}

//! The table of shapes, whole, and headers with one fault each.

use proto::{Boundary, Refusal};
use referee::{hex, judge};
use serde_json::json;

use crate::Cases;

const TYPES: [(&str, u8); 6] =
    [("REQUEST", 1), ("RESPONSE", 2), ("ACK", 3), ("ERROR", 4), ("PING", 5), ("BROADCAST", 6)];

pub(crate) fn write() {
    let mut shapes = Cases::new("shapes.json");
    for (door, boundary) in [("wire", Boundary::Wire), ("up", Boundary::Up), ("down", Boundary::Down)] {
        for (name, message_type) in TYPES {
            for receipt in 0..4 {
                for sequence in [0, 1] {
                    if judge::shape_word(boundary, message_type, receipt, sequence, 0) == "receipt" {
                        continue;
                    }
                    shapes.take(
                        format!("{door} {name} receipt {receipt} sequence {sequence}"),
                        json!({ "door": door, "type": message_type, "receipt": receipt, "sequence": sequence }),
                    );
                }
            }
        }
    }
    shapes.write("What each value of the flags' low byte makes of a type, a receipt and a sequence.");
    headers();
}

fn headers() {
    let mut cases = Cases::new("headers.json");
    let with = |change: &dyn Fn(&mut [u8; 96])| {
        let mut header = judge::plain_header(1, 0, 0, 0x0003, 1);
        header[2..10].copy_from_slice(&0x5f3a_91c2_d07b_e844_u64.to_be_bytes());
        header[10..18].copy_from_slice(&1_795_219_200_000_000_000_u64.to_be_bytes());
        header[82..86].copy_from_slice(&200_u32.to_be_bytes());
        (header[88], header[90]) = (8, 8);
        change(&mut header);
        json!({ "header": hex::write(header), "door": "wire" })
    };
    cases.take("a request", with(&|_| {}));
    cases.take("a hop further", with(&|h| h[88] = 7));
    cases.take("its last hop", with(&|h| h[88] = 0));
    cases.take("to a neighbour only", with(&|h| (h[88], h[90]) = (0, 0)));
    cases.take("the furthest", with(&|h| (h[88], h[90]) = (32, 32)));
    cases.take("flags that version 1 does not know", with(&|h| h[86] = 0xff));
    cases.take("the shortest", with(&|h| h[82..86].copy_from_slice(&134_u32.to_be_bytes())));
    let most: u32 = 2 + 16_384 + 10_485_760 + 132;
    cases.take("the longest", with(&|h| h[82..86].copy_from_slice(&most.to_be_bytes())));
    cases.take("a durable request", with(&|h| (h[87], h[95]) = (7, 9)));
    cases.take("a chunk", with(&|h| (h[87], h[89], h[95]) = (9, 4, 1)));
    cases.take("the last chunk", with(&|h| (h[87], h[89], h[95]) = (0x19, 4, 2)));
    cases.take(
        "a chunk ack",
        with(&|h| {
            (h[1], h[87], h[89], h[95]) = (3, 9, 4, 2);
            h[82..86].copy_from_slice(&42_u32.to_be_bytes());
        }),
    );
    let mut refuse = |name: &str, reason: Refusal, change: &dyn Fn(&mut [u8; 96])| {
        cases.refuse(name, reason, with(change));
    };
    refuse("version 0", Refusal::Version, &|h| h[0] = 0);
    refuse("version 2", Refusal::Version, &|h| h[0] = 2);
    refuse("type 0", Refusal::Type, &|h| h[1] = 0);
    refuse("type 7", Refusal::Type, &|h| h[1] = 7);
    for bit in [0x20, 0x40, 0x80] {
        refuse(&format!("flag {bit:#04x}"), Refusal::Flags, &|h| h[87] |= bit);
    }
    refuse("ttl above the initial ttl", Refusal::Hops, &|h| h[88] = 9);
    refuse("initial ttl above 32", Refusal::Hops, &|h| h[90] = 33);
    refuse("content type 6", Refusal::ContentType, &|h| h[89] = 6);
    refuse("content type 254", Refusal::ContentType, &|h| h[89] = 254);
    refuse("a receipt in a request", Refusal::Receipt, &|h| h[91] = 1);
    refuse("an ACK with receipt 4", Refusal::Receipt, &|h| (h[1], h[91]) = (3, 4));
    refuse("an ACK with receipt 3 on the wire", Refusal::Receipt, &|h| (h[1], h[91]) = (3, 3));
    refuse("source zeros", Refusal::ZeroId, &|h| h[18..50].fill(0));
    refuse("destination zeros", Refusal::ZeroId, &|h| h[50..82].fill(0));
    refuse("a place without REQUIRES_ACK", Refusal::Shape, &|h| h[95] = 1);
    refuse("REQUIRES_ACK without a place", Refusal::Shape, &|h| h[87] = 7);
    refuse("FINAL without STREAMING", Refusal::Shape, &|h| h[87] = 0x13);
    refuse("not sealed", Refusal::Unprotected, &|h| h[87] = 2);
    refuse("not signed", Refusal::Unprotected, &|h| h[87] = 1);
    refuse("neither sealed nor signed", Refusal::Unprotected, &|h| h[87] = 0);
    refuse("a sealed PING", Refusal::Shape, &|h| h[1] = 5);
    refuse("an ACK with a content type", Refusal::ContentType, &|h| (h[1], h[87], h[91], h[95]) = (3, 2, 1, 1));
    refuse("an ERROR in octets", Refusal::ContentType, &|h| (h[1], h[87], h[89]) = (4, 2, 4));
    refuse("a PING with a named content type", Refusal::ContentType, &|h| (h[1], h[87], h[89]) = (5, 2, 255));
    refuse("a chunk with a named content type", Refusal::ContentType, &|h| {
        (h[87], h[89], h[95]) = (9, 255, 1);
    });
    refuse("too short for what it is", Refusal::Length, &|h| h[82..86].copy_from_slice(&133_u32.to_be_bytes()));
    refuse("too long", Refusal::TooLarge, &|h| h[82..86].copy_from_slice(&(most + 1).to_be_bytes()));
    refuse("as long as the field allows", Refusal::TooLarge, &|h| h[82..86].fill(0xff));
    refuse("a pong with content", Refusal::TooLarge, &|h| {
        (h[1], h[87], h[89]) = (3, 2, 0);
        h[82..86].copy_from_slice(&81_u32.to_be_bytes());
    });
    refuse("a PING longer than 64 KiB", Refusal::TooLarge, &|h| {
        (h[1], h[87]) = (5, 2);
        h[82..86].copy_from_slice(&(2 + 16_384 + 65_536 + 81_u32).to_be_bytes());
    });
    cases.write("Headers on the wire, most of them with one fault.");
}

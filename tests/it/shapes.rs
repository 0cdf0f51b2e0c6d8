//! The table of type, receipt, flags and sequence, all 65,536 values of the flags. The table is written out here a
//! second time, row by row as in `docs/PROTOCOL.md`, and knows nothing of how the code finds a shape.

use proto::Boundary;
use referee::judge;

/// Shape, types, STREAMING, FINAL, REQUIRES_ACK, has a sequence, receipt; `None` is any. Protection comes after.
type Row = (&'static str, &'static [u8], bool, Option<bool>, bool, Option<bool>, u8, u16);

const SEALED: u16 = 1;
const SIGNED: u16 = 2;
const BOTH: u16 = 3;

const WIRE: &[Row] = &[
    ("once", &[1, 2, 6], false, Some(false), false, Some(false), 0, BOTH),
    ("durable", &[1, 6, 2, 4], false, Some(false), true, Some(true), 0, BOTH),
    ("durable", &[3], false, Some(false), true, Some(true), 2, BOTH),
    ("stored", &[3], false, Some(false), false, Some(true), 1, SIGNED),
    ("pong", &[3], false, Some(false), false, Some(false), 0, SIGNED),
    ("notice", &[4], false, Some(false), false, Some(false), 0, SIGNED),
    ("ping", &[5], false, Some(false), false, Some(false), 0, SIGNED),
    ("opener", &[1, 2], true, Some(false), false, Some(false), 0, BOTH),
    ("chunk", &[1, 2], true, None, false, Some(true), 0, SEALED),
    ("chunk-ack", &[3], true, Some(false), false, None, 0, SEALED),
    ("stream-end", &[3], true, Some(true), false, Some(false), 0, SIGNED),
    ("stream-abort", &[4], true, Some(false), false, Some(false), 0, SIGNED),
];

const UP: &[Row] = &[
    ("once", &[1, 2, 6], false, Some(false), false, Some(false), 0, 0),
    ("durable", &[1, 2, 6], false, Some(false), true, Some(false), 0, 0),
    ("handled", &[3], false, Some(false), false, Some(false), 2, 0),
    ("notice", &[4], false, Some(false), false, Some(false), 0, 0),
    ("ping", &[5], false, Some(false), false, Some(false), 0, 0),
    ("opener", &[1, 2], true, Some(false), false, Some(false), 0, 0),
    ("chunk", &[1, 2], true, None, false, Some(true), 0, 0),
    ("stream-abort", &[4], true, Some(false), false, Some(false), 0, 0),
];

const DOWN: &[Row] = &[
    ("once", &[1, 2, 6], false, Some(false), false, Some(false), 0, 0),
    ("durable", &[1, 2, 6, 4], false, Some(false), true, Some(false), 0, 0),
    ("durable", &[3], false, Some(false), true, Some(false), 2, 0),
    ("told", &[3], false, Some(false), false, Some(false), 1, 0),
    ("told", &[3], false, Some(false), false, Some(false), 2, 0),
    ("told", &[3], false, Some(false), false, Some(false), 3, 0),
    ("pong", &[3], false, Some(false), false, Some(false), 0, 0),
    ("notice", &[4], false, Some(false), false, Some(false), 0, 0),
    ("ping", &[5], false, Some(false), false, Some(false), 0, 0),
    ("opener", &[1, 2], true, Some(false), false, Some(false), 0, 0),
    ("chunk", &[1, 2], true, None, false, Some(true), 0, 0),
    ("chunk-ack", &[3], true, Some(false), false, None, 0, 0),
    ("stream-end", &[3], true, Some(true), false, Some(false), 0, 0),
    ("stream-abort", &[4], true, Some(false), false, Some(false), 0, 0),
];

fn expected(boundary: Boundary, message_type: u8, receipt: u8, sequence: u32, flags: u16) -> &'static str {
    let (rows, receipt_fits) = match boundary {
        Boundary::Wire => (WIRE, if message_type == 3 { receipt <= 2 } else { receipt == 0 }),
        Boundary::Up => (UP, if message_type == 3 { receipt == 2 } else { receipt == 0 }),
        Boundary::Down => (DOWN, if message_type == 3 { receipt <= 3 } else { receipt == 0 }),
    };
    if flags & 0x00e0 != 0 {
        return "flags";
    }
    if !receipt_fits {
        return "receipt";
    }
    let is = |bit: u16| flags & bit != 0;
    let row = rows.iter().find(|(_, types, streaming, last, ack, place, row_receipt, _)| {
        types.contains(&message_type)
            && *streaming == is(0x8)
            && last.is_none_or(|last| last == is(0x10))
            && *ack == is(0x4)
            && place.is_none_or(|place| place == (sequence > 0))
            && *row_receipt == receipt
    });
    let Some((shape, .., needed)) = row else { return "shape" };
    let there = flags & 3;
    match (needed & !there, there & !needed) {
        (0, 0) => shape,
        (0, _) => "shape",
        _ => "unprotected",
    }
}

#[test]
fn all_flag_values_of_every_type_behave_as_the_table_says() {
    for boundary in [Boundary::Wire, Boundary::Up, Boundary::Down] {
        for message_type in 1..=6 {
            for receipt in 0..=3 {
                for sequence in [0, 1, u32::MAX] {
                    for flags in 0..=u16::MAX {
                        let found = judge::shape_word(boundary, message_type, receipt, sequence, flags);
                        let wanted = expected(boundary, message_type, receipt, sequence, flags);
                        assert_eq!(
                            found, wanted,
                            "{boundary:?} type {message_type} receipt {receipt} sequence {sequence} flags {flags:#06x}"
                        );
                    }
                }
            }
        }
    }
}

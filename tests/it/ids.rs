//! What people type: ids with a checksum, and names that can hide nothing.

use bech32::{Bech32m, Hrp};
use proptest::prelude::*;
use proto::{AgentId, IdTextError, MessageId, Name};

proptest! {
    #[test]
    fn an_id_is_read_as_it_was_written_and_one_wrong_letter_is_noticed(
        bytes in any::<[u8; 32]>(),
        at in 5_usize..63,
        letter in prop::sample::select(b"qpzry9x8gf2tvdw0s3jn54khce6mua7l".to_vec()),
    ) {
        let id = AgentId::new(bytes);
        let text = id.to_string();
        prop_assert_eq!(text.len(), 63);
        prop_assert_eq!(text.parse(), Ok(id));
        prop_assert_eq!(text.to_uppercase().parse(), Ok(id));
        let mut wrong = text.clone().into_bytes();
        wrong[at] = letter;
        let wrong = String::from_utf8(wrong).expect("letters");
        if wrong != text {
            prop_assert_eq!(wrong.parse::<AgentId>(), Err(IdTextError::Checksum));
        }
    }
}

#[test]
fn a_text_that_is_no_id_is_refused_with_what_is_wrong() {
    let id = AgentId::new([7; 32]);
    let text = id.to_string();
    let other = |prefix: &str, bytes: &[u8]| {
        bech32::encode::<Bech32m>(Hrp::parse(prefix).expect("a prefix"), bytes).expect("a text")
    };
    for (what, wrong, error) in [
        ("nothing", String::new(), IdTextError::Prefix),
        ("another prefix", other("aicq", &[7; 32]), IdTextError::Prefix),
        ("31 bytes", other("aicp", &[7; 31]), IdTextError::Length),
        ("33 bytes", other("aicp", &[7; 33]), IdTextError::Length),
        (
            "the older checksum",
            bech32::encode::<bech32::Bech32>(Hrp::parse("aicp").expect("a prefix"), &[7; 32]).expect("a text"),
            IdTextError::Checksum,
        ),
        ("cut short", text[..62].into(), IdTextError::Checksum),
        ("mixed case", format!("{}{}", &text[..30], text[30..].to_uppercase()), IdTextError::Checksum),
        ("the short form", id.short(), IdTextError::Checksum),
        ("a name", "writer@gpu7".into(), IdTextError::Prefix),
    ] {
        assert_eq!(wrong.parse::<AgentId>(), Err(error), "{what}: {wrong}");
    }
    assert_eq!(id.short(), format!("{}…{}", &text[..9], &text[59..]));
}

#[test]
fn a_name_is_plain_or_no_name() {
    for name in ["a", "0", "planner", "cli-root", "a.b_c-d", &"x".repeat(63)] {
        assert_eq!(name.parse::<Name>().expect(name).as_str(), name);
    }
    for name in
        ["", "-a", ".a", "_a", "A", "a b", "a@b", "a/b", "ä", "a\n", "a\u{1b}[31m", "a\u{202e}", &"x".repeat(64)]
    {
        assert!(name.parse::<Name>().is_err(), "{name:?}");
    }
}

#[test]
fn a_message_id_is_sixteen_digits_and_nothing_else() {
    let id = MessageId::new(0x00c0_ffee_0000_0001);
    assert_eq!(id.to_string(), "00c0ffee00000001");
    assert_eq!(MessageId::parse("00c0ffee00000001"), Some(id));
    for wrong in [
        "",
        "00c0ffee0000001",
        "00c0ffee000000011",
        "00C0FFEE00000001",
        "+0c0ffee00000001",
        "0x0ffee000000001",
        "00c0ffee0000000ö",
    ] {
        assert_eq!(MessageId::parse(wrong), None, "{wrong}");
    }
}

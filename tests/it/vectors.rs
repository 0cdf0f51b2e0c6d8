//! `proto/vectors` is the referee between languages; our code must agree with every line of it.

use std::collections::BTreeSet;

use proto::Refusal;
use referee::{judge, root};

#[test]
fn our_code_agrees_with_every_vector() {
    let mut judged = 0;
    let mut differing = Vec::new();
    for (file, judge) in judge::FILES {
        let text = std::fs::read_to_string(root().join("proto/vectors").join(file)).expect(file);
        let cases = judge::cases(&text);
        assert!(!cases.is_empty(), "{file} has no cases");
        for case in &cases {
            judged += 1;
            if let Err(difference) = judge::compare(case, judge) {
                differing.push(format!("{file}, {}: {difference}", case["name"]));
            }
        }
    }
    assert!(differing.is_empty(), "{} of {judged}:\n{}", differing.len(), differing.join("\n"));
}

#[test]
fn a_vector_that_is_wrong_is_noticed() {
    let text = std::fs::read_to_string(root().join("proto/vectors/frames.json")).expect("frames.json");
    let frame = judge::FILES.iter().find(|(file, _)| *file == "frames.json").expect("a judge").1;
    for case in judge::cases(&text) {
        let mut wrong = case.clone();
        if case.get("refused").is_some() {
            wrong["refused"] = "hops-of-joy".into();
        } else {
            wrong["body"] = format!("{}00", case["body"].as_str().expect("a body")).into();
        }
        assert!(judge::compare(&wrong, frame).is_err(), "{}", case["name"]);
    }
}

#[test]
fn every_reason_stands_on_the_page_with_its_code_and_is_shown_by_a_vector() {
    let page = std::fs::read_to_string(root().join("docs/PROTOCOL.md")).expect("the page");
    let mut shown = BTreeSet::new();
    for (file, _) in judge::FILES {
        let text = std::fs::read_to_string(root().join("proto/vectors").join(file)).expect(file);
        shown.extend(judge::cases(&text).iter().filter_map(|case| Some(case.get("refused")?.as_str()?.to_owned())));
    }
    for refusal in Refusal::ALL {
        assert!(page.contains(&format!("`{}`", refusal.reason())), "{refusal} is not on the page");
        assert!(page.contains(&refusal.code().get().to_string()), "{refusal}: the code is not on the page");
        assert!(shown.contains(refusal.reason()), "{refusal}: no vector shows it");
    }
    assert_eq!(shown.len(), Refusal::ALL.len(), "a vector names a reason that the code does not know");
}

#[test]
fn the_bounds_on_the_page_are_those_of_the_code() {
    use proto::limits as l;
    let page = std::fs::read_to_string(root().join("docs/PROTOCOL.md")).expect("the page");
    let thousands = |number: usize| {
        let digits = number.to_string();
        let groups: Vec<_> =
            digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
        groups.join(",")
    };
    let (_, limits) = page.split_once("## 14. Limits").expect("section 14");
    for (what, bound) in [
        ("body of a frame", thousands(l::BODY_BYTES_MAX)),
        ("body of a frame", thousands(l::SMALL_BODY_BYTES_MAX)),
        ("body of a frame", thousands(l::CHUNK_BYTES_MAX)),
        ("metadata", thousands(l::METADATA_BYTES_MAX)),
        ("metadata", format!("{} entries", l::METADATA_ENTRIES_MAX)),
        ("metadata", format!("{} levels", l::DEPTH_MAX)),
        ("initial ttl", l::HOPS_MAX.to_string()),
        ("frames under one ephemeral key", format!("2^{}", l::SEALS_PER_EPHEMERAL_MAX.ilog2())),
        ("frames under one ephemeral key", format!("{} min", l::EPHEMERAL_LIFE_MAX / l::SECOND / 60)),
        ("a prekey's life", format!("{} h", l::PREKEY_LIFE_MAX / l::HOUR)),
        ("a prekey's life", format!("{} min", l::PREKEY_ERASURE_DELAY / l::SECOND / 60)),
        ("record body", thousands(l::RECORD_BYTES_MAX)),
        ("a node's certificate", thousands(l::CERTIFICATE_BYTES_MAX)),
        ("a node's certificate", format!("{} days", l::CERTIFICATE_LIFE / l::HOUR / 24)),
        ("nodes in a list of revocations", l::REVOKED_MAX.to_string()),
        ("what a newcomer asks, what it is answered", thousands(l::JOIN_ASK_BYTES_MAX)),
        ("what a newcomer asks, what it is answered", thousands(l::JOIN_ANSWER_BYTES_MAX)),
        ("a message's life", format!("{} h", l::MESSAGE_LIFE_MAX / l::HOUR)),
    ] {
        let row = limits
            .lines()
            .find(|line| line.starts_with(&format!("| {what} |")))
            .unwrap_or_else(|| panic!("no row {what}"));
        assert!(row.contains(&bound), "{what}: the code says {bound}, the page {row}");
    }
}

//! `proto/vectors` is the referee between languages; our code must agree with every line of it.

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

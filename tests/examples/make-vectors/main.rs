//! Writes `proto/vectors` anew: `cargo run -p aicp-tests --example make-vectors`.
//!
//! Only for a change of the format: sealed frames carry fresh nonces and ephemeral keys, so every run gives other
//! bytes, and old ones must stay readable. What is written is judged by our code on the way, and by an independent
//! reader in `tests/interop`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a maker of test data stops at the first fault"
)]

mod bodies;
mod content;
mod frames;
mod headers;
mod keys_;
mod local;
mod records;

use proto::Refusal;
use referee::judge;
use serde_json::{Value, json};

/// Cases of one file. What our code makes of a case that is taken is written into it.
#[derive(Debug)]
pub(crate) struct Cases {
    file: &'static str,
    cases: Vec<Value>,
}

impl Cases {
    pub(crate) fn new(file: &'static str) -> Self {
        Self { file, cases: Vec::new() }
    }

    /// A case that must be taken.
    pub(crate) fn take(&mut self, name: impl Into<String>, case: Value) {
        let name = name.into();
        let mut case = named(&name, case);
        let found = self.judge(&case).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        for (field, value) in found.as_object().unwrap() {
            case[field] = value.clone();
        }
        self.push(case);
    }

    /// A case that must be refused for exactly this reason.
    pub(crate) fn refuse(&mut self, name: impl Into<String>, reason: Refusal, case: Value) {
        let name = name.into();
        let mut case = named(&name, case);
        match self.judge(&case) {
            Err(refusal) if refusal == reason.into() => {}
            other => panic!("{name}: wanted {reason}, got {other:?}"),
        }
        case["refused"] = json!(reason.reason());
        case["code"] = json!(reason.code().get());
        self.push(case);
    }

    fn judge(&self, case: &Value) -> judge::Outcome {
        let (_, judge) = judge::FILES.into_iter().find(|(file, _)| *file == self.file).unwrap();
        judge(case)
    }

    fn push(&mut self, case: Value) {
        assert!(self.cases.iter().all(|other| other["name"] != case["name"]), "twice: {}", case["name"]);
        self.cases.push(case);
    }

    /// One case a line, so that a change is seen.
    pub(crate) fn write(self, about: &str) {
        let path = referee::root().join("proto/vectors").join(self.file);
        let cases: Vec<_> = self.cases.iter().map(Value::to_string).collect();
        let text = format!("{{\"about\": {},\n\"cases\": [\n{}\n]}}\n", json!(about), cases.join(",\n"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        println!("{}: {} cases", self.file, cases.len());
    }
}

fn named(name: &str, mut case: Value) -> Value {
    case["name"] = json!(name);
    case
}

fn main() {
    keys_::write();
    headers::write();
    frames::write();
    content::write();
    bodies::write();
    records::write();
    local::write();
}

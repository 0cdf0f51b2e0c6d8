//! Rules of a destination's operator on real daemons: each kind lets through what it names and nothing else, changes
//! without a restart, and says to whom it refuses something which rule came nearest and what would allow it.

use proto::metadata::{Key, MetadataDraft};
use proto::{ErrorCode, MessageType, Receipt, Shape};
use referee::door::{DURABLE, Door, draft};
use referee::hosts::{Host, until};
use serde_json::Value;
use std::time::Duration;

/// A rule, and a message that it lets through or not: who sends it, the capability that it asks for, its subject.
struct Case {
    rule: &'static [&'static str],
    allowed: (Who, Option<&'static str>, &'static str),
    refused: (Who, Option<&'static str>, &'static str),
    /// What the refusal says of the rule.
    misses: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Planner,
    Other,
    Local,
}
use Who::{Local, Other, Planner};

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case { rule: &["--from", "planner@alpha"], allowed: (Planner, None, "x"), refused: (Other, None, "x"), misses: "senders planner@alpha" },
    Case { rule: &["--from", "plan*"], allowed: (Planner, None, "x"), refused: (Local, None, "x"), misses: "senders 'plan*@*'" },
    Case { rule: &["--from", "ID"], allowed: (Planner, None, "x"), refused: (Other, None, "x"), misses: "senders aicp1" },
    Case { rule: &["--node", "alpha"], allowed: (Other, None, "x"), refused: (Local, None, "x"), misses: "nodes alpha" },
    Case { rule: &["--node", "b*a"], allowed: (Local, None, "x"), refused: (Planner, None, "x"), misses: "nodes 'b*a'" },
    Case { rule: &["--capability", "draft*"], allowed: (Planner, Some("drafts"), "x"), refused: (Planner, None, "x"), misses: "capabilities 'draft*'" },
    Case { rule: &["--subject", "draft.*"], allowed: (Planner, None, "draft.a"), refused: (Planner, None, "x'; reboot"), misses: "subjects 'draft.*'" },
    Case { rule: &["--from", "*@alpha", "--subject", "a"], allowed: (Other, None, "a"), refused: (Local, None, "a"), misses: "senders '*@alpha'" },
];

fn ctl(host: &Host, arguments: &[&str]) -> String {
    let mut all = arguments.to_vec();
    if matches!(arguments, ["allow", "add" | "rm", ..]) {
        all.push("--json");
    }
    let output = host.ctl(&all);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Adds a rule for the writer, and gives its name.
fn add(host: &Host, rule: &[&str]) -> String {
    let told = ctl(host, &[&["allow", "add", "--to", "writer"], rule].concat());
    let first: Value = serde_json::from_str(told.lines().next().expect("a line")).expect("JSON");
    first["rule"].as_str().expect("a name").to_owned()
}

struct Scene {
    planner: Door,
    other: Door,
    local: Door,
    writer: Door,
}

impl Scene {
    fn open(alpha: &Host, beta: &Host) -> Self {
        Self {
            planner: Door::attached(&alpha.socket(), "planner"),
            other: Door::attached(&alpha.socket(), "other"),
            local: Door::attached(&beta.socket(), "local"),
            writer: Door::attached(&beta.socket(), "writer"),
        }
    }

    /// Sends it durably and at most once. What came of both: nothing but a delivery, or the words of the refusal.
    fn send(&mut self, (who, capability, subject): (Who, Option<&str>, &str), is_allowed: bool) -> Vec<String> {
        let metadata = MetadataDraft { capability, subject: Some(subject), ..MetadataDraft::default() };
        let sender = match who {
            Planner => &mut self.planner,
            Other => &mut self.other,
            Local => &mut self.local,
        };
        let to = sender.find("writer@beta");
        let mut refusals = Vec::new();
        for shape in [DURABLE, Shape::Once] {
            let id = sender.request(to, shape, &metadata, b"hello");
            if is_allowed {
                let delivery = self.writer.about(id);
                assert_eq!((delivery.body.as_ref(), delivery.header.shape()), (&b"hello"[..], shape));
                if shape == DURABLE {
                    self.writer.handled(&delivery);
                    assert_eq!(sender.about(id).header.receipt(), Receipt::Handled);
                }
                continue;
            }
            if shape == DURABLE && who != Local {
                sender.told(id, Receipt::Accepted);
            }
            let told = sender.about(id);
            let error = told.error().expect("a refusal");
            assert_eq!(error.code, ErrorCode::POLICY, "{error:?}");
            if told.header.shape() == DURABLE || told.metadata.has(Key::DeliveryNumber) {
                sender.handled(&told);
            }
            refusals.push(error.message.to_string());
        }
        refusals
    }
}

#[test]
fn each_kind_of_rule_lets_through_what_it_names_and_nothing_else_without_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, beta) = Host::two(folder.path());
    let mut scene = Scene::open(&alpha, &beta);
    let planner = scene.planner.me.to_string();
    let process = beta.process();
    for Case { rule, allowed, refused, misses } in CASES {
        // Without a rule everybody may.
        scene.send(*refused, true);
        let rule: Vec<&str> = rule.iter().map(|word| if *word == "ID" { planner.as_str() } else { word }).collect();
        let name = add(&beta, &rule);
        scene.send(*allowed, true);
        for words in scene.send(*refused, false) {
            assert!(words.contains(&format!("{name} comes nearest, and is for {misses}")), "{words}");
            assert!(words.contains("this would allow it: aicpctl allow add --to writer --from "), "{words}");
        }
        // A second rule adds to the first.
        let second = add(&beta, &["--subject", "*"]);
        scene.send(*refused, true);
        scene.send(*allowed, true);
        ctl(&beta, &["allow", "rm", &second]);
        scene.send(*refused, false);
        ctl(&beta, &["allow", "rm", &name]);
    }
    assert_eq!(beta.process(), process);
    assert!(!beta.log().contains("restarting in place"));
}

#[test]
fn an_answer_that_is_waited_for_comes_whatever_rules_there_are_for_whoever_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, beta) = Host::two(folder.path());
    let mut planner = Door::attached(&alpha.socket(), "planner");
    ctl(&alpha, &["allow", "add", "--to", "planner", "--from", "nobody@nowhere"]);
    for address in ["echo@beta", "echo@alpha"] {
        let echo = planner.find(address);
        for shape in [Shape::Once, DURABLE] {
            let id = planner.request(echo, shape, &MetadataDraft::default(), b"hello");
            let answer = planner.about(id);
            assert_eq!(answer.header.message_type(), MessageType::Response, "{address}: {:?}", answer.error());
        }
    }
    // And nobody else may begin.
    let mut stranger = Door::attached(&beta.socket(), "stranger");
    let to = stranger.find("planner@alpha");
    for message_type in [MessageType::Request, MessageType::Response] {
        let answer = draft(message_type, Shape::Once, stranger.me, to);
        let id = stranger.submit(answer, &MetadataDraft::default(), b"unasked");
        if message_type == MessageType::Request {
            assert_eq!(stranger.error(id).code, ErrorCode::POLICY);
        }
    }
    let echo = planner.find("echo@alpha");
    let id = planner.request(echo, Shape::Once, &MetadataDraft::default(), b"last");
    assert_eq!(planner.about(id).body.as_ref(), b"last");
    assert!(!planner.has_heard(b"unasked"), "an answer that nobody asked for is judged like anything else");
}

#[test]
fn what_is_refused_and_awaited_by_nobody_is_a_dead_letter_of_its_sender_s_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, beta) = Host::two(folder.path());
    let mut scene = Scene::open(&alpha, &beta);
    add(&beta, &["--from", "nobody@nowhere"]);
    let to = scene.planner.find("writer@beta");
    let broadcast = draft(MessageType::Broadcast, DURABLE, scene.planner.me, to);
    let metadata = MetadataDraft { topic: Some("news"), ..MetadataDraft::default() };
    let id = scene.planner.submit(broadcast, &metadata, b"hello");
    scene.planner.told(id, Receipt::Accepted);
    let dead = until("it is a dead letter", Duration::from_secs(20), || {
        let dead: Value = serde_json::from_str(&ctl(&alpha, &["dlq", "ls", "--json"])).expect("JSON");
        dead["letters"].as_array().or(dead["messages"].as_array())?.first().cloned()
    });
    assert_eq!((&dead["message_id"], &dead["code"]), (&id.to_string().into(), &4008.into()), "{dead}");
    assert!(dead["why"].as_str().expect("words").contains("no rule of its destination allows it"), "{dead}");
    let story = ctl(&beta, &["explain", &id.to_string()]);
    assert!(story.contains("said-forbidden"), "{story}");
}

#[test]
fn a_rule_can_be_tried_and_nothing_is_sent_by_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut alpha = Host::make(folder.path(), "alpha");
    alpha.configure(&[]);
    alpha.configure_also(
        "\n[[allow]]\nname = \"plans\"\nto = \"writer\"\nfrom = \"planner@beta\"\nsubject = \"draft.*\"\n",
    );
    alpha.start();
    let test = |words: &[&str]| {
        let output = alpha.ctl(&[&["allow", "test"], words].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, told) = test(&["planner@beta", "writer", "--subject", "draft.a"]);
    assert!(code == Some(0) && told.contains("allowed: rule plans allows it"), "{told}");
    let (code, told) = test(&["planner@beta", "writer", "--subject", "other"]);
    assert!(code == Some(5) && told.contains("refused") && told.contains("--subject other"), "{told}");
    assert!(test(&["someone", "writer@alpha"]).1.contains("--from someone@alpha"), "a bare name is one of this node");
    let (code, told) = test(&["someone@gamma", "reader"]);
    assert!(code == Some(0) && told.contains("no rule is for reader"), "{told}");
    assert_eq!(test(&["someone@gamma", "reader@beta"]).0, Some(2), "another node judges for its own");
    let listed = ctl(&alpha, &["allow", "ls"]);
    assert!(listed.contains("plans") && listed.contains("aicpd.toml"), "{listed}");
    let kept = alpha.ctl(&["allow", "rm", "plans"]);
    let told = String::from_utf8_lossy(&kept.stderr).into_owned();
    assert!(kept.status.code() == Some(4) && told.contains("it stands in") && told.contains("aicpd.toml"), "{told}");
    assert_eq!(alpha.status()["outbox_messages"], 0);
}

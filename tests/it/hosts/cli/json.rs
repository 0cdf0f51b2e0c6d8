//! What programs read: every object has a schema, and within one number of it no field goes away or becomes something
//! else. The fields are in `fields.txt`; `AICP_REGENERATE=1` adds new ones there, and takes none away.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use client::{Agent, Stage};
use referee::hosts::{Host, binary, until};
use referee::members::{alone, ticket};
use referee::root;
use serde_json::Value;

use super::text;
use crate::hosts::operate::{Announcer, await_known};

const FIELDS: &str = "tests/it/hosts/cli/fields.txt";
const DEMO: &str = "aicp.demo/1 ";
const SOON: Duration = Duration::from_secs(15);

/// Every field that was seen, as `schema path type`.
#[derive(Default)]
struct Seen(BTreeMap<(String, String), BTreeSet<&'static str>>);

impl Seen {
    /// Takes the objects in the output of a command, one a line.
    fn take(&mut self, lines: &str) {
        for line in lines.lines() {
            let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            let schema = object["schema"].as_str().unwrap_or_else(|| panic!("no schema: {line}")).to_owned();
            self.walk(&schema, String::new(), &object);
        }
    }

    fn walk(&mut self, schema: &str, path: String, value: &Value) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "text",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        };
        if !path.is_empty() {
            self.0.entry((schema.to_owned(), path.clone())).or_default().insert(kind);
        }
        // What an agent says is no field of ours.
        if path == "body" {
            return;
        }
        for item in value.as_array().into_iter().flatten() {
            self.walk(schema, format!("{path}[]"), item);
        }
        for (key, value) in value.as_object().into_iter().flatten() {
            let dot = if path.is_empty() { "" } else { "." };
            self.walk(schema, format!("{path}{dot}{key}"), value);
        }
    }

    /// Nothing is said of a field that may be empty, unless it always is.
    fn lines(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for ((schema, path), kinds) in &self.0 {
            let kinds: Vec<&str> = kinds.iter().copied().filter(|kind| kinds.len() == 1 || *kind != "null").collect();
            lines.insert(format!("{schema} {path} {}", kinds.join("|")));
        }
        lines
    }
}

/// Runs a command against a host, and takes what it says in JSON, whether it ended well or not.
fn run(seen: &mut Seen, host: &Host, arguments: &[&str]) -> Option<i32> {
    let output = host.ctl(&[arguments, &["--json"]].concat());
    let talk = text(&output.stderr);
    seen.take(&text(&output.stdout));
    talk.lines().filter(|line| line.starts_with('{')).for_each(|line| seen.take(line));
    output.status.code()
}

fn begin(host: &Host, arguments: &[&str]) -> Child {
    let mut command = Command::new(binary("aicpctl"));
    command.arg("--socket").arg(host.socket()).args(arguments).arg("--json").env_clear();
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("aicpctl runs")
}

#[test]
fn no_field_of_any_json_goes_away_or_becomes_something_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, mut beta) = Host::two(folder.path());
    let mut seen = Seen::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (_writer, waiting) = runtime.block_on(async {
        let writer = Agent::attach("writer").capability("write").topic("news").socket(alpha.socket());
        let writer = writer.await.expect("attached");
        await_known(&writer, "echo@beta").await;
        let reader = Agent::attach("reader").socket(alpha.socket()).await.expect("attached");
        let to = reader.id();
        reader.detach().await.expect("it leaves");
        outcome(&mut seen, &alpha).await;
        Announcer::new(&alpha).says_what_dies(&alpha, to);

        assert_eq!(beta.stop().code(), Some(0));
        until("alpha knows that beta is down", SOON, || (alpha.status()["peers"][0]["state"] != "up").then_some(()));
        let waiting = writer.send("echo@beta", "s", "b").until(Stage::Stored).await.expect("accepted");
        writer.send("reader@alpha", "s", "b").until(Stage::Accepted).await.expect("accepted");
        (writer, waiting.id().to_string())
    });
    looks(&mut seen, &alpha, &waiting);
    messages(&mut seen, &alpha);
    this_host(&mut seen, &alpha, folder.path());
    configuration(&mut seen, &alpha);
    membership(&mut seen, folder.path());
    judge(&seen, |line| !line.starts_with(DEMO));
}

#[test]
fn no_field_of_the_demos_json_goes_away_or_becomes_something_else() {
    let output = Command::new(binary("aicpctl")).args(["demo", "--json"]).env_clear().output().expect("aicpctl runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut seen = Seen::default();
    seen.take(&text(&output.stdout));
    judge(&seen, |line| line.starts_with(DEMO));
}

/// What is to be seen of a node for which something waits everywhere.
fn looks(seen: &mut Seen, alpha: &Host, waiting: &str) {
    let lists: [&[&str]; 4] = [&["agents"], &["outbox", "ls"], &["dlq", "ls"], &["agents", "--capability", "write"]];
    for list in lists {
        assert_eq!(run(seen, alpha, list), Some(0), "{list:?}");
        let items = alpha.ctl(&[list, &["-o", "jsonl"]].concat());
        seen.take(&text(&items.stdout));
    }
    let once: [&[&str]; 6] = [
        &["status"],
        &["agent", "show", "reader"],
        &["whois", "alpha"],
        &["whois", "echo"],
        &["explain", waiting],
        &["outbox", "retry", "--all"],
    ];
    for one in once {
        assert_eq!(run(seen, alpha, one), Some(0), "{one:?}");
    }
    assert_eq!(run(seen, alpha, &["ask", "nobody@alpha", "x"]), Some(4));
}

/// An earlier message's end, told to whoever comes back.
async fn outcome(seen: &mut Seen, alpha: &Host) {
    let former = Agent::attach("former").socket(alpha.socket()).await.expect("attached");
    former.send("reader", "s", "b").until(Stage::Handled).await.expect("accepted");
    drop(former);
    assert_eq!(run(seen, alpha, &["recv", "--as", "reader", "--count", "1"]), Some(0));
    let mut back = begin(alpha, &["recv", "--as", "former", "--count", "1"]);
    let mut told = String::new();
    BufReader::new(back.stdout.as_mut().expect("piped")).read_line(&mut told).expect("a line");
    seen.take(&told);
    assert!(alpha.ctl(&["send", "former", "end", "--wait", "accepted"]).status.success());
    assert!(back.wait().expect("it ends").success());
}

fn messages(seen: &mut Seen, alpha: &Host) {
    let mut tap = begin(alpha, &["tap", "--count", "1", "--agent", "echo"]);
    let mut begun = String::new();
    BufReader::new(tap.stderr.as_mut().expect("piped")).read_line(&mut begun).expect("a line");
    let asks: [&[&str]; 5] = [
        &["ask", "echo", "x"],
        &["send", "echo", "x", "--wait", "handled"],
        &["ping", "echo", "-c", "1"],
        &["bench", "latency", "--count", "4"],
        &["bench", "throughput", "--count", "4", "--durable"],
    ];
    for ask in asks {
        assert_eq!(run(seen, alpha, ask), Some(0), "{ask:?}");
    }
    seen.take(&text(&tap.wait_with_output().expect("it ends").stdout));
}

fn this_host(seen: &mut Seen, alpha: &Host, folder: &Path) {
    symlink(folder.join("alpha/log"), alpha.state().join("aicpd.log")).expect("a link");
    let path = |name: &str| folder.join(name).display().to_string();
    let (state, config) = (alpha.state().display().to_string(), alpha.config().display().to_string());
    let (man, report) = (path("man"), path("report"));
    let asks: [&[&str]; 8] = [
        &["identity", "show", "--state-dir", &state],
        &["cert", "--config", &config],
        &["doctor", "--config", &config],
        &["check"],
        &["logs", "-n", "1", "--config", &config],
        &["bugreport", &report, "--config", &config],
        &["man", &man],
        &["version"],
    ];
    for ask in asks {
        assert!(run(seen, alpha, ask).is_some(), "{ask:?}");
    }
}

/// What its files say, before and after it has read them again.
fn configuration(seen: &mut Seen, alpha: &Host) {
    let path = alpha.config().display().to_string();
    let of_files: [&[&str]; 8] = [
        &["config", "show"],
        &["config", "get", "log.level"],
        &["config", "set", "log.level", "info"],
        &["config", "set", "mesh.max_hops", "3"],
        &["allow", "add", "--to", "*", "--from", "*@alpha", "--name", "all"],
        &["allow", "add", "--to", "*", "--name", "some"],
        &["allow", "ls"],
        &["allow", "rm", "some"],
    ];
    for ask in of_files {
        assert_eq!(run(seen, alpha, &[ask, &["--config", &path]].concat()), Some(0), "{ask:?}");
    }
    let of_the_daemon: [&[&str]; 5] = [
        &["config", "validate", &path],
        &["config", "reload"],
        &["config", "show"],
        &["allow", "ls"],
        &["allow", "test", "writer@alpha", "echo"],
    ];
    for ask in of_the_daemon {
        assert_eq!(run(seen, alpha, ask), Some(0), "{ask:?}");
    }
    assert_eq!(run(seen, alpha, &["config", "unset", "log.level", "--config", &path]), Some(0));
}

/// Two nodes make a mesh, and part again.
fn membership(seen: &mut Seen, folder: &Path) {
    let [one, two] = ["one", "two"].map(|name| alone(folder, name));
    assert_eq!(run(seen, &one, &["up"]), Some(0));
    assert_eq!(run(seen, &one, &["invite"]), Some(0));
    assert_eq!(run(seen, &two, &["join", &ticket(&one)]), Some(0));
    one.await_peer("two");
    until("two has said whom it is linked with", SOON, || {
        one.status()["peers"][0]["links"].as_array().is_some_and(|links| !links.is_empty()).then_some(())
    });
    seen.take(&text(&one.ctl(&["peers", "-o", "jsonl"]).stdout));
    let config = one.config().display().to_string();
    let asks: [&[&str]; 10] = [
        &["peers"],
        &["peer", "show", "two"],
        &["status"],
        &["check"],
        &["cert", "--config", &config],
        &["authority", "share", "two", "--yes"],
        &["peer", "block", "two"],
        &["peer", "unblock", "two"],
        &["revoke", "two", "--yes"],
        &["peers"],
    ];
    for ask in asks {
        assert_eq!(run(seen, &one, ask), Some(0), "{ask:?}");
    }
    assert_eq!(run(seen, &one, &["down"]), Some(0));
    assert_eq!(run(seen, &one, &["leave", "--yes"]), Some(0));
}

/// Compares with those fields of the list that are looked for here.
fn judge(seen: &Seen, is_looked_for: impl Fn(&str) -> bool) {
    let path = root().join(FIELDS);
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let (committed, others): (BTreeSet<String>, BTreeSet<String>) =
        there.lines().map(str::to_owned).partition(|line| is_looked_for(line));
    let seen = seen.lines();
    if std::env::var_os("AICP_REGENERATE").is_some() {
        // What was always empty may say what it is by now.
        let is_told =
            |line: &str| line.strip_suffix("null").is_some_and(|path| seen.iter().any(|it| it.starts_with(path)));
        let kept = committed.into_iter().filter(|line| seen.contains(line) || !is_told(line));
        let all: BTreeSet<String> = kept.chain(others).chain(seen.iter().cloned()).collect();
        std::fs::write(&path, all.into_iter().collect::<Vec<_>>().join("\n") + "\n").expect("it can be written");
        return;
    }
    let gone: Vec<_> = committed.difference(&seen).collect();
    assert!(gone.is_empty(), "fields that programs may read are gone, or are something else: {gone:#?}");
    let new: Vec<_> = seen.difference(&committed).collect();
    let how = "AICP_REGENERATE=1 cargo test --test it cli::json -- --test-threads=1";
    assert!(new.is_empty(), "new fields: run {how}; {new:#?}");
}

#[test]
fn lists_are_one_item_a_line_ids_alone_or_yaml_as_it_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.start();
    let said = |arguments: &[&str]| {
        let output = host.ctl(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    for name in ["a", "b"] {
        said(&["recv", "--as", name, "--count", "0"]);
    }
    let whole: Value = serde_json::from_str(&said(&["agents", "-o", "json"])).expect("JSON");
    let agents = whole["agents"].as_array().expect("a list").clone();
    assert!(agents.len() >= 3, "{whole}");
    let ids: Vec<&str> = agents.iter().map(|agent| agent["id"].as_str().expect("an id")).collect();

    let items: Vec<Value> =
        said(&["agents", "-o", "jsonl"]).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(items.iter().map(|item| item["id"].as_str().expect("an id")).collect::<Vec<_>>(), ids);
    assert!(items.iter().all(|item| item["schema"] == "aicp.agent/1"));
    assert_eq!(said(&["-o", "id", "agents"]).lines().collect::<Vec<_>>(), ids);

    let yaml = said(&["agents", "-o", "yaml"]);
    assert!(yaml.starts_with("---\nschema: \"aicp.agents/1\"\nagents:\n  - "), "{yaml}");
    for agent in &agents {
        for (key, value) in agent.as_object().expect("an object") {
            let line = format!(" {key}: {value}\n");
            assert!(yaml.contains(&line), "{line:?} is missing in {yaml}");
        }
    }

    let (table, wide) = (said(&["agents"]), said(&["agents", "-o", "wide"]));
    for id in ids {
        assert!(!table.contains(id) && wide.contains(id), "{table}{wide}");
    }
    assert_eq!(said(&["agents", "--json"]), said(&["agents", "-o", "json"]));
}

#[test]
fn a_terminal_gets_colours_unless_no_color_says_otherwise() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.start();
    // It gives whatever it runs a terminal.
    let on_a_terminal = |variables: &[(&str, &str)]| {
        let line = format!("{} --socket {} status", binary("aicpctl").display(), host.socket().display());
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-c", &line, "/dev/null"]).env_clear().env("TERM", "xterm").stdin(Stdio::null());
        let output = script.envs(variables.iter().copied()).output().expect("script runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let (plain, colours) = (on_a_terminal(&[("NO_COLOR", "1")]), on_a_terminal(&[]));
    assert!(plain.contains("alpha") && !plain.contains('\u{1b}'), "{plain:?}");
    assert!(colours.contains("\u{1b}["), "{colours:?}");
    assert!(!text(&host.ctl(&["status"]).stdout).contains('\u{1b}'));
}

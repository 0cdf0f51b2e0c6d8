//! The command line as a whole: every verb that `aicpctl help` names, with a daemon and without one.

mod doctor;
mod json;
mod report;
mod root;
mod shell;
mod status;
mod top;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use referee::hosts::{Host, binary};
use serde_json::Value;

/// A verb, its arguments, how it may end with a daemon, and how without one. In arguments, `ID` is a message that nobody
/// knows, `STATE` the state folder, `CONFIG` the configuration, `NEW` a path at which nothing is, and `PASSPHRASE` and
/// `BACKUP` files that are there.
type Case = (&'static str, &'static [&'static str], &'static [i32], &'static [i32]);

const OF_CONFIG: &[&str] = &["--config", "CONFIG"];
const CASES: &[Case] = &[
    ("status", &[], &[0], &[3]),
    ("status", &["--check"], &[0, 8], &[3]),
    ("status", &["--watch", "--check"], &[2], &[2]),
    ("agents", &[], &[0], &[3]),
    ("agents", &["--capability", "nothing"], &[0], &[3]),
    ("agent show", &["echo"], &[0], &[3]),
    ("agent show", &["nobody"], &[4], &[3]),
    ("whois", &["alpha"], &[0], &[3]),
    ("whois", &["nobody"], &[4], &[3]),
    ("send", &["echo", "hi"], &[0], &[3]),
    ("send", &["nobody", "hi"], &[4], &[3]),
    ("ask", &["echo", "hi"], &[0], &[3]),
    ("ask", &["nobody", "hi"], &[4], &[3]),
    ("recv", &["--as", "someone", "--count", "0"], &[0], &[3]),
    ("recv", &["--count", "0"], &[2], &[2]),
    ("ping", &["echo", "-c", "1"], &[0], &[3]),
    ("ping", &["nobody", "-c", "1"], &[4], &[3]),
    ("outbox ls", &[], &[0], &[3]),
    ("outbox show", &["ID"], &[4], &[3]),
    ("outbox retry", &["--all"], &[0], &[3]),
    ("outbox drop", &["--all", "--yes"], &[0], &[3]),
    ("dlq ls", &[], &[0], &[3]),
    ("dlq show", &["ID"], &[4], &[3]),
    ("dlq requeue", &["--all"], &[0], &[3]),
    ("dlq purge", &["--all", "--yes"], &[0], &[3]),
    ("explain", &["ID"], &[4], &[3]),
    ("tap", &["--count", "0"], &[0], &[3]),
    ("top", &[], &[2], &[3]),
    ("clock trust", &[], &[0], &[3]),
    ("bench latency", &["--count", "4"], &[0], &[3]),
    ("bench throughput", &["--count", "4"], &[0], &[3]),
    ("identity show", &["--state-dir", "STATE"], &[0], &[0]),
    ("identity show", &["--state-dir", "NEW"], &[4], &[4]),
    ("identity backup", &["NEW", "--passphrase-file", "PASSPHRASE", "--state-dir", "STATE"], &[0], &[0]),
    ("identity restore", &["BACKUP", "--passphrase-file", "PASSPHRASE", "--state-dir", "NEW"], &[0], &[0]),
    ("config show", OF_CONFIG, &[0], &[0]),
    ("config show", &["--origin"], &[0], &[0, 2]),
    ("config get", &["log.level", "--config", "CONFIG"], &[0], &[0]),
    ("config get", &["log.levle", "--config", "CONFIG"], &[2], &[2]),
    ("config set", &["log.level", "debug", "--config", "CONFIG"], &[0], &[0]),
    ("config set", &["log.level", "loud", "--config", "CONFIG"], &[2], &[2]),
    // The second time it is no longer set.
    ("config unset", &["log.level", "--config", "CONFIG"], &[0, 4], &[0, 4]),
    ("config validate", &["CONFIG"], &[0], &[0]),
    ("config validate", &["PASSPHRASE"], &[2], &[2]),
    ("config reload", &[], &[0], &[3]),
    ("allow ls", OF_CONFIG, &[0], &[0]),
    ("allow add", &["--to", "*", "--name", "all", "--config", "CONFIG"], &[0, 2], &[0, 2]),
    ("allow rm", &["all", "--config", "CONFIG"], &[0, 4], &[0, 4]),
    ("allow test", &["echo@alpha", "echo"], &[0], &[3]),
    ("cert", OF_CONFIG, &[0], &[4]),
    ("doctor", OF_CONFIG, &[0, 8], &[1]),
    ("check", &[], &[0], &[2]),
    ("logs", OF_CONFIG, &[4], &[4]),
    ("bugreport", &["NEW", "--config", "CONFIG"], &[0], &[0]),
    ("bugreport", &["CONFIG", "--config", "CONFIG"], &[1], &[1]),
    ("completion", &["bash"], &[0], &[0]),
    ("completion", &["zsh"], &[0], &[0]),
    ("completion", &["fish"], &[0], &[0]),
    ("completion", &["csh"], &[2], &[2]),
    ("man", &["NEW"], &[0], &[0]),
    ("man", &["CONFIG"], &[1], &[1]),
    ("version", &[], &[0], &[0]),
    ("down", &[], &[1], &[3]),
    ("invite", &[], &[1], &[3]),
    ("leave", &["--yes"], &[1], &[3]),
    ("peer forget", &["nobody"], &[1], &[3]),
    ("revoke", &["nobody", "--yes"], &[1], &[3]),
    ("authority share", &["nobody", "--yes"], &[1], &[3]),
    // From here on the node is in a mesh, until it leaves. Without a daemon these start one, unless they cannot.
    ("up", &["--config", "PASSPHRASE"], &[0], &[2]),
    ("join", &["aicp-join:nonsense", "--config", "PASSPHRASE"], &[1, 2], &[2]),
    ("invite", &[], &[0], &[3]),
    ("peers", &[], &[0], &[3]),
    ("peer show", &["nobody"], &[4], &[3]),
    ("peer block", &["nobody"], &[4], &[3]),
    ("peer unblock", &["nobody"], &[4], &[3]),
    ("peer forget", &["nobody"], &[4], &[3]),
    ("revoke", &["nobody", "--yes"], &[4], &[3]),
    ("revoke", &["nobody"], &[2], &[2]),
    ("authority share", &["nobody", "--yes"], &[4], &[3]),
    ("cert", OF_CONFIG, &[0], &[4]),
    ("check", &[], &[0], &[2]),
    ("down", &[], &[0], &[3]),
    // The second time there is none to leave.
    ("leave", &["--yes"], &[0, 1], &[3]),
];
/// Tried where its JSON is: it takes a while.
const ELSEWHERE: &[&str] = &["demo"];
/// They say how things are by their exit code, and no error.
const JUDGES: &[&str] = &["doctor", "check", "allow test"];
/// What they print is a program.
const SCRIPTS: &[&str] = &["completion"];

/// Every verb that the help of the help names, its words in a row.
fn verbs() -> Vec<String> {
    fn below(above: &[String], found: &mut Vec<String>) {
        let help = ctl(Path::new("/nowhere"), &[&["help".to_owned()], above].concat());
        assert!(help.status.success(), "{above:?}: {}", String::from_utf8_lossy(&help.stderr));
        let text = String::from_utf8(help.stdout).expect("text");
        let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let names: Vec<&str> = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
        let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty() && *name != "help").collect();
        if names.is_empty() {
            found.push(above.join(" "));
        }
        for name in names {
            below(&[above, &[name.to_owned()]].concat(), found);
        }
    }
    let mut found = Vec::new();
    below(&[], &mut found);
    assert!(found.len() > 20, "the help is not read as it is written: {found:?}");
    found
}

fn ctl(socket: &Path, arguments: &[String]) -> Output {
    let mut command = Command::new(binary("aicpctl"));
    command.arg("--socket").arg(socket).args(arguments).env_clear().stdin(Stdio::null());
    command.output().expect("aicpctl runs")
}

/// What the arguments of a case stand for.
struct Stage {
    folder: tempfile::TempDir,
    host: Host,
    backup: PathBuf,
    passphrase: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let host = Host::make(folder.path(), "alpha");
        host.configure(&[]);
        let [backup, passphrase] = ["backup", "passphrase"].map(|name| folder.path().join(name));
        std::fs::write(&passphrase, "a passphrase that is long enough").expect("a file");
        let stage = Self { folder, host, backup, passphrase };
        let made = ["identity", "backup", "BACKUP", "--passphrase-file", "PASSPHRASE", "--state-dir", "STATE"];
        let made = ctl(&stage.host.socket(), &made.map(|word| stage.stands_for(word)));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        stage
    }

    fn stands_for(&self, word: &str) -> String {
        let new = || {
            static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
            let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            self.folder.path().join(format!("new-{number}"))
        };
        let path = match word {
            "ID" => return "0123456789abcdef".into(),
            "STATE" => self.host.state(),
            "CONFIG" => self.host.config(),
            "NEW" => new(),
            "PASSPHRASE" => self.passphrase.clone(),
            "BACKUP" => self.backup.clone(),
            word => return word.into(),
        };
        path.display().to_string()
    }

    fn try_all(&self, ends: impl Fn(&Case) -> &'static [i32]) {
        for case in CASES {
            for json in [false, true] {
                self.try_one(case, ends(case), json);
            }
        }
    }

    fn try_one(&self, case: &Case, ends: &[i32], json: bool) {
        let (verb, arguments, ..) = case;
        let words = verb.split(' ').chain(arguments.iter().copied()).chain(json.then_some("--json"));
        let words: Vec<String> = words.map(|word| self.stands_for(word)).collect();
        let output = ctl(&self.host.socket(), &words);
        let (told, talk) = (text(&output.stdout), text(&output.stderr));
        let code = output.status.code().expect("it ends by itself");
        assert!(ends.contains(&code), "{words:?} ended with {code}, and not {ends:?}:\n{told}{talk}");
        if code == 2 && talk.contains("try '--help'") {
            return assert_eq!(told, "", "{words:?}: the grammar's own error is talk");
        }
        if json && !SCRIPTS.contains(verb) {
            for line in told.lines() {
                let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{words:?}: {line}"));
                let schema = object["schema"].as_str().unwrap_or_default();
                assert!(schema.starts_with("aicp.") && schema.ends_with("/1"), "{words:?}: {line}");
            }
        }
        if code == 0 || code == 8 || JUDGES.contains(verb) {
            return;
        }
        assert_eq!(told, "", "{words:?} failed and printed data");
        if json {
            let error: Value = serde_json::from_str(talk.trim()).unwrap_or_else(|_| panic!("{words:?}: {talk}"));
            assert_eq!((&error["schema"], &error["exit"]), (&"aicp.error/1".into(), &code.into()), "{words:?}");
            assert!(error["what"].as_str().is_some_and(|what| !what.is_empty()), "{words:?}: {error}");
        } else {
            assert!(talk.starts_with("error"), "{words:?}: {talk}");
            assert!(talk.contains("\n  fix: "), "{words:?} does not say what to do: {talk}");
        }
        if code == 3 {
            self.says_how_to_start_one(&words, &talk);
        }
    }

    /// What, why with the path, what happens now, and each way to have a daemon.
    fn says_how_to_start_one(&self, words: &[String], talk: &str) {
        let socket = self.host.socket().display().to_string();
        for part in [
            "no daemon answers",
            &socket,
            "nothing was sent",
            "aicpctl up",
            "aicpd run",
            "systemctl start aicpd",
            "--socket",
        ] {
            assert!(talk.contains(part), "{words:?} does not say {part:?}: {talk}");
        }
    }
}

/// A command that goes on until it is dropped, and what it has shown so far.
struct Running {
    child: std::process::Child,
    shown: PathBuf,
}

impl Running {
    fn new(host: &Host, arguments: &[&str], shown: &Path) -> Self {
        let file = std::fs::File::create(shown).expect("a file");
        let mut command = Command::new(binary("aicpctl"));
        command
            .arg("--socket")
            .arg(host.socket())
            .args(arguments)
            .env_clear()
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command.stderr(file.try_clone().expect("the same file")).stdout(file);
        Self { child: command.spawn().expect("aicpctl runs"), shown: shown.into() }
    }

    fn shown(&self) -> String {
        std::fs::read_to_string(&self.shown).expect("text")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn every_verb_of_the_help_ends_as_the_conventions_say_with_a_daemon_and_without_one() {
    let named: BTreeSet<String> = verbs().into_iter().collect();
    let tried = CASES.iter().map(|(verb, ..)| *verb).chain(ELSEWHERE.iter().copied());
    let tried: BTreeSet<String> = tried.map(str::to_owned).collect();
    assert_eq!(named, tried, "verbs of `aicpctl help`, and those that are tried here");

    let mut stage = Stage::new();
    stage.try_all(|(.., without)| without);
    stage.host.start();
    stage.try_all(|(_, _, with, _)| with);
}

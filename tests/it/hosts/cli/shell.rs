//! What shells and `man` get: every verb stands in it, and names come from the daemon that runs.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use referee::hosts::{Host, binary};

use super::{text, verbs};

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

fn script(shell: &str) -> String {
    let output = Command::new(binary("aicpctl")).args(["completion", shell]).env_clear().output().expect("it runs");
    assert!(output.status.success(), "{shell}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A shell in which the script has been read, and whose `aicpctl` is the one of this tree.
fn run(shell: &str, words: &[&str], socket: &Path) -> Output {
    let programs = binary("aicpctl").parent().expect("a folder").display().to_string();
    let mut command = Command::new(shell);
    command.args(words).env_clear().env("AICP_SOCKET", socket).env("HOME", "/nowhere");
    command.env("PATH", format!("{programs}:/usr/local/bin:/usr/bin:/bin"));
    command.output().unwrap_or_else(|error| panic!("{shell}: {error}"))
}

/// What bash offers once this has been typed, by the function that the script left for it.
fn bash_offers(folder: &Path, socket: &Path, typed: &str) -> Vec<String> {
    let path = folder.join("aicpctl.bash");
    fs::write(&path, script("bash")).expect("a file");
    let ask = r#"
        source "$1" || exit 9
        COMP_LINE="$2" COMP_POINT=${#2}
        # As readline has them: what stands before and behind an @ are words of their own.
        read -ra COMP_WORDS <<< "${2//@/ @ }"
        [[ "$2" == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
        by="$(complete -p aicpctl)" by="${by##*-F }"
        "${by%% *}" aicpctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = run("bash", &["-c", ask, "bash", &path.display().to_string(), typed], socket);
    assert!(output.status.success(), "{typed:?}: {}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "{typed:?}");
    text(&output.stdout).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_offers_the_agents_and_peers_of_a_daemon_that_runs_and_stays_silent_without_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, beta) = Host::two(folder.path());
    for name in ["writer", "wrapper"] {
        assert!(alpha.ctl(&["recv", "--as", name, "--count", "0"]).status.success());
    }
    referee::hosts::until("echo@beta is known", std::time::Duration::from_secs(15), || {
        alpha.ctl(&["whois", "echo@beta"]).status.success().then_some(())
    });
    let offers = |typed: &str| bash_offers(folder.path(), &alpha.socket(), typed);
    assert_eq!(offers("aicpctl ask wr"), ["wrapper@alpha", "writer@alpha"]);
    assert_eq!(offers("aicpctl ask --timeout 5s writ"), ["writer@alpha"]);
    assert_eq!(offers("aicpctl ping echo@"), ["alpha", "beta"], "what stands before the @ stays");
    assert_eq!(offers("aicpctl outbox ls --agent writ"), ["writer@alpha"]);
    assert_eq!(offers("aicpctl outbox ls --node "), ["alpha", "beta"]);
    assert_eq!(offers("aicpctl whois be"), ["beta"]);
    assert_eq!(offers("aicpctl recv --as wri"), ["writer"]);
    assert_eq!(offers("aicpctl peer show be"), ["beta"]);
    let other = format!("aicpctl --socket {} recv --as ", beta.socket().display());
    assert_eq!(offers(&other), ["echo"], "the daemon that the line names is asked");
    let nowhere = folder.path().join("nowhere");
    assert_eq!(bash_offers(folder.path(), &nowhere, "aicpctl ask wr"), Vec::<String>::new());
    assert_eq!(bash_offers(folder.path(), &nowhere, "aicpctl ask "), Vec::<String>::new());
    assert_eq!(
        bash_offers(folder.path(), &nowhere, "aicpctl outb"),
        ["outbox"],
        "what the grammar says needs no daemon"
    );
    assert_eq!(bash_offers(folder.path(), &nowhere, "aicpctl ask --dur"), ["--durable"]);
}

/// Whether a shell is installed; where `AICP_NEED_SHELLS` is 1 it must be.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says whether they may be skipped")]
#[expect(clippy::print_stdout, reason = "whoever runs the tests wants to know")]
fn is_there(shell: &str) -> bool {
    let is_there = ["/usr/local/bin", "/usr/bin", "/bin"].iter().any(|place| Path::new(place).join(shell).exists());
    if !is_there {
        assert!(std::env::var("AICP_NEED_SHELLS").as_deref() != Ok("1"), "{shell} is needed");
        println!("skipped: needs {shell}");
    }
    is_there
}

/// What stands on the line of a zsh after this and the tab key were typed at its terminal.
fn zsh_completes(folder: &Path, socket: &Path, typed: &str) -> String {
    let (path, seen) = (folder.join("_aicpctl"), folder.join("line"));
    fs::write(&path, script("zsh")).expect("a file");
    // A zsh at a terminal of its own, and one that types there. A key of ours says what stands on the line.
    let ask = r#"
        zmodload zsh/zpty && zpty -b typist zsh -f -i || exit 9
        type() { zpty -w "$@"; zpty -r -t typist heard; }
        type typist "autoload -U compinit; compinit -u -D; source $1"
        type typist "show() { print -r -- \$BUFFER > $2.new; mv $2.new $2 }; zle -N show; bindkey '^X' show"
        type -n typist "$3"$'\t\x18'
        until [[ -e $2 ]]; do sleep 0.02; zpty -r -t typist heard; done
        :
    "#;
    let (script, line) = (path.display().to_string(), seen.display().to_string());
    let output = run("timeout", &["20", "zsh", "-f", "-c", ask, "zsh", &script, &line, typed], socket);
    assert!(output.status.success(), "{typed:?}: {} {}", output.status, text(&output.stderr));
    let line = fs::read_to_string(&seen).expect("what stood there");
    fs::remove_file(&seen).expect("a file");
    line.trim().to_owned()
}

/// What fish offers once this has been typed, each without its description.
fn fish_offers(folder: &Path, socket: &Path, typed: &str) -> Vec<String> {
    let path = folder.join("aicpctl.fish");
    fs::write(&path, script("fish")).expect("a file");
    let ask = format!("source {}; complete -C '{typed}'", path.display());
    let output = run("fish", &["--no-config", "-c", &ask], socket);
    assert!(output.status.success() && output.stderr.is_empty(), "{typed:?}: {}", text(&output.stderr));
    let offered = text(&output.stdout);
    offered.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

fn single(folder: &Path) -> Host {
    let mut host = Host::make(folder, "alpha");
    host.configure(&[]);
    host.start();
    host
}

#[test]
fn zsh_completes_the_names_that_a_daemon_knows_and_verbs_without_one() {
    if !is_there("zsh") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (host, nowhere) = (single(folder.path()), folder.path().join("nowhere"));
    let completes = |socket: &Path, typed: &str| zsh_completes(folder.path(), socket, typed);
    assert_eq!(completes(&host.socket(), "aicpctl whois alph"), "aicpctl whois alpha");
    assert_eq!(completes(&host.socket(), "aicpctl ask ech"), "aicpctl ask echo@alpha");
    assert_eq!(completes(&nowhere, "aicpctl whois alph"), "aicpctl whois alph");
    assert_eq!(completes(&nowhere, "aicpctl outb"), "aicpctl outbox");
    assert_eq!(completes(&nowhere, "aicpctl ask Carg"), "aicpctl ask Carg", "a file here is nobody's name");
    assert_eq!(completes(&nowhere, "aicpctl config validate Carg"), "aicpctl config validate Cargo.toml");
}

#[test]
fn fish_offers_the_names_that_a_daemon_knows_and_verbs_without_one() {
    if !is_there("fish") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (host, nowhere) = (single(folder.path()), folder.path().join("nowhere"));
    let offers = |socket: &Path, typed: &str| fish_offers(folder.path(), socket, typed);
    assert_eq!(offers(&host.socket(), "aicpctl whois alph"), ["alpha"]);
    assert_eq!(offers(&host.socket(), "aicpctl ask ech"), ["echo@alpha"]);
    assert_eq!(offers(&nowhere, "aicpctl whois alph"), Vec::<String>::new());
    assert_eq!(offers(&nowhere, "aicpctl outb"), ["outbox"]);
    assert_eq!(offers(&nowhere, "aicpctl ask "), Vec::<String>::new(), "a file here is nobody's name");
    assert_eq!(offers(&nowhere, "aicpctl config validate Carg"), ["Cargo.toml"]);
}

#[test]
fn every_verb_stands_in_each_script_and_has_a_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().join("man/man1");
    let made = Command::new(binary("aicpctl")).arg("man").arg(&pages).env_clear().output().expect("it runs");
    assert!(made.status.success(), "{}", text(&made.stderr));
    let scripts = SHELLS.map(script);
    for verb in verbs() {
        let last = verb.rsplit(' ').next().expect("a word");
        for (shell, script) in SHELLS.iter().zip(&scripts) {
            assert!(script.contains(last), "{verb} does not stand in the script for {shell}");
        }
        let name = format!("aicpctl-{}", verb.replace(' ', "-"));
        let page =
            fs::read_to_string(pages.join(format!("{name}.1"))).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Hyphens are escaped there, so that they are not broken.
        let shown = page.replace('\\', "");
        for part in [".TH", ".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS", &name] {
            assert!(shown.contains(part), "{name} has no {part}:\n{shown}");
        }
    }
    assert!(!scripts.concat().contains("complete-names)"), "what only scripts ask is offered to nobody");
}

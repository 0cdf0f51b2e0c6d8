//! The screen for whoever stays: at a real terminal, which is as it was when it ends.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use referee::hosts::{Host, binary, signal, until};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::Running;

const SOON: Duration = Duration::from_secs(20);
/// Room for five agents, also where a line says that something is to be mended.
const ROWS: u16 = 14;

/// A program at a terminal of its own, and all that it wrote there.
struct AtTerminal {
    child: Child,
    terminal: File,
    inside: OwnedFd,
    written: Arc<Mutex<Vec<u8>>>,
}

impl AtTerminal {
    fn run(host: &Host, arguments: &[&str]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = openpt(flags).expect("a terminal");
        unlockpt(&terminal).expect("unlocked");
        let inside = ioctl_tiocgptpeer(&terminal, flags).expect("its other end");
        let size = Winsize { ws_row: ROWS, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&inside, size).expect("a size");
        let end = || Stdio::from(inside.try_clone().expect("another one"));
        let mut ctl = Command::new(binary("aicpctl"));
        ctl.arg("--socket").arg(host.socket()).args(arguments).env_clear().env("NO_COLOR", "1");
        let child = ctl.stdin(end()).stdout(end()).stderr(end()).spawn().expect("it runs");
        let (terminal, written) = (File::from(terminal), Arc::new(Mutex::new(Vec::new())));
        let (mut from, to) = (terminal.try_clone().expect("another one"), Arc::clone(&written));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                to.lock().expect("nobody panics here").extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, terminal, inside, written }
    }

    fn all(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().expect("nobody panics here")).into_owned()
    }

    /// The last screen that was drawn to its end.
    fn screen(&self) -> Option<String> {
        let all = self.all();
        let (drawn, _) = all.rsplit_once("\x1b[J")?;
        let (_, screen) = drawn.rsplit_once("\x1b[H")?;
        Some(screen.replace("\x1b[K", ""))
    }

    fn await_screen(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        until(what, SOON, || self.screen().filter(|screen| fits(screen)))
    }

    fn types(&mut self, key: &str) {
        self.terminal.write_all(key.as_bytes()).expect("typed");
    }

    /// Waits for its end, after which the terminal is as it was.
    fn ended(&mut self) -> ExitStatus {
        let status = until("it ends", SOON, || self.child.try_wait().expect("a child"));
        let modes = tcgetattr(&self.inside).expect("its modes").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "{modes:?}");
        until("the screen is given back", SOON, || self.all().ends_with("\x1b[?25h\x1b[?1049l").then_some(()));
        status
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The cells of whoever it is about: the name, and how much goes out and comes in.
fn rates(screen: &str, name: &str) -> Option<(f64, f64)> {
    let line = screen.lines().find(|line| line.split_whitespace().next() == Some(name))?;
    let cells: Vec<_> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    let [.., sent, received] = cells.as_slice() else { return None };
    // Bytes stand in brackets behind a number of messages.
    let number = |cell: &str| cell.split(' ').next()?.parse().ok();
    Some((number(sent)?, number(received)?))
}

#[test]
fn top_shows_the_busiest_first_waits_for_a_daemon_that_is_gone_and_gives_the_terminal_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut alpha, beta) = Host::two(folder.path());
    until("echo@beta is known", SOON, || alpha.ctl(&["whois", "echo@beta"]).status.success().then_some(()));
    for name in ["aaa", "bbb"] {
        assert!(alpha.ctl(&["recv", "--as", name, "--count", "0"]).status.success());
    }
    assert!(alpha.ctl(&["send", "bbb", "later", "--wait", "stored"]).status.success());
    let bench = ["--as", "zzz", "bench", "throughput", "echo@beta", "--seconds", "120"];
    let load = Running::new(&alpha, &bench, &folder.path().join("load"));
    let mut top = AtTerminal::run(&alpha, &["top", "--every", "300ms"]);
    let is_busy = |name: &str, screen: &str| rates(screen, name).is_some_and(|(out, into)| out > 0.0 && into > 0.0);
    let place = |screen: &str, name: &str| screen.lines().position(|line| line.starts_with(name)).expect("it is shown");
    let screen = top.await_screen("who is busy", |screen| is_busy("zzz", screen) && is_busy("beta", screen));
    assert!(screen.starts_with("alpha  ") && screen.contains("order: traffic"), "{screen}");
    assert!(place(&screen, "zzz") < place(&screen, "aaa"), "the busiest is first: {screen}");
    assert!(!screen.contains('\x1b'), "no colours were wanted: {screen:?}");
    top.types("o");
    let screen = top.await_screen("the next order", |screen| screen.contains("order: what waits"));
    assert!(place(&screen, "bbb") < place(&screen, "aaa"), "something waits for it: {screen}");
    top.types("o");
    let screen = top.await_screen("the last order", |screen| screen.contains("order: name"));
    assert!(place(&screen, "aaa") < place(&screen, "zzz"), "{screen}");
    drop(load);
    // Of more than there is room for it says how many there are.
    for name in ["ccc", "ddd", "eee", "fff"] {
        assert!(alpha.ctl(&["recv", "--as", name, "--count", "0"]).status.success());
    }
    let screen = top.await_screen("what has no room", |screen| screen.contains("more"));
    assert_eq!(screen.lines().count(), usize::from(ROWS), "{screen}");

    assert_eq!(alpha.stop().code(), Some(0));
    top.await_screen("that nobody answers", |screen| screen.starts_with("no answer: "));
    alpha.start();
    top.await_screen("the daemon again", |screen| screen.starts_with("alpha  "));
    top.types("q");
    assert_eq!(top.ended().code(), Some(0));
    assert!(beta.status()["agents"].as_array().is_some_and(|agents| !agents.is_empty()));
}

#[test]
fn top_gives_the_terminal_back_whoever_ends_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.start();
    for (name, code) in [("TERM", 0), ("INT", 130)] {
        let mut top = AtTerminal::run(&host, &["top"]);
        top.await_screen("the node", |screen| screen.starts_with("alpha  "));
        signal(&top.child, name);
        let status = until("it ends", SOON, || top.child.try_wait().expect("a child"));
        assert_eq!(status.code(), Some(code), "{name}");
        let modes = tcgetattr(&top.inside).expect("its modes").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "{name}: {modes:?}");
        until("the screen is given back", SOON, || top.all().contains("\x1b[?25h\x1b[?1049l").then_some(()));
    }
}

/// Each message that an agent says or gets counts once, whichever way it goes.
#[test]
fn what_an_agent_sent_and_got_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, beta) = Host::two(folder.path());
    until("echo@beta is known", SOON, || alpha.ctl(&["whois", "echo@beta"]).status.success().then_some(()));
    for to in ["echo", "echo@beta"] {
        for more in [&["ask"][..], &["ask", "--durable"], &["send", "--wait", "handled"]] {
            let words = [&["--as", "asker"], more, &[to, "hello"]].concat();
            let output = alpha.ctl(&words);
            assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let counts = |host: &Host, name: &str| {
        let status = host.status();
        let agent = status["agents"].as_array().expect("agents").iter().find(|agent| agent["name"] == name).cloned();
        let agent = agent.expect("it is there");
        (agent["sent_messages"].as_u64().expect("a number"), agent["received_messages"].as_u64().expect("a number"))
    };
    // Echo answers all of them.
    assert_eq!(counts(&alpha, "asker"), (6, 6));
    assert_eq!((counts(&alpha, "echo"), counts(&beta, "echo")), ((3, 3), (3, 3)));
}

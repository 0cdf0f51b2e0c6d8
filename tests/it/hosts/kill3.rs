//! Three daemons that all know each other, an agent on each that writes to both others, and kills of any of the six.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use referee::agents::AgentProcess;
use referee::hosts::{Host, env_number, until};
use referee::peer::wall;

use super::kill::Moments;

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
/// Messages that all agents together submit in a second.
const RATE: u64 = 500;
/// From a daemon's door being open to the first message that waited for its agent. The promise; and what a busy machine
/// that runs other tests beside may take.
const REDELIVERY: Duration = Duration::from_secs(2);
const REDELIVERY_WHEN_BUSY: Duration = Duration::from_secs(6);

/// An agent ends so when the daemon takes it for an older one of its name, and is started once more.
const TAKEN_OVER: i32 = 3;

/// A daemon, and the agent beside it.
pub(super) struct Site {
    pub(super) host: Host,
    agent: AgentProcess,
    ledger: PathBuf,
}

/// What was done to one of them, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    DaemonKilled,
    DaemonBack,
    AgentKilled,
}

fn open(folder: &Path) -> Vec<Site> {
    let mut hosts: Vec<Host> = NAMES.iter().map(|name| Host::make(folder, name)).collect();
    for i in 0..hosts.len() {
        let others: Vec<&Host> = hosts.iter().filter(|other| other.name != hosts[i].name).collect();
        hosts[i].configure(&others);
    }
    hosts.iter_mut().for_each(Host::start);
    for host in &hosts {
        NAMES.iter().filter(|name| **name != host.name).for_each(|name| host.await_peer(name));
    }
    populate(folder, hosts, RATE)
}

/// An agent beside each daemon that writes to those beside all others; they make `rate` messages a second together.
pub(super) fn populate(folder: &Path, hosts: Vec<Host>, rate: u64) -> Vec<Site> {
    let names: Vec<String> = hosts.iter().map(|host| host.name.clone()).collect();
    let rate = (rate / names.len() as u64).to_string();
    let sites = hosts.into_iter().map(|host| {
        let ledger = folder.join(format!("{}.ledger", host.name));
        let to: Vec<String> =
            names.iter().filter(|name| **name != host.name).map(|name| format!("{}@{name}", agent_on(name))).collect();
        let (socket, name) = (host.socket(), agent_on(&host.name));
        let mut arguments = vec![text(&socket), &name, text(&ledger), &rate];
        arguments.extend(to.iter().map(String::as_str));
        // An agent must be known before anybody writes to it.
        let first = AgentProcess::start("kill-many", &[text(&socket), &name, text(&ledger), "1"]);
        until("the agent is attached", Duration::from_secs(15), || {
            let status = host.status();
            status["agents"].as_array()?.iter().any(|agent| agent["name"] == name.as_str()).then_some(())
        });
        drop(first);
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        (host, ledger, arguments)
    });
    let sites: Vec<_> = sites.collect();
    for (host, ..) in &sites {
        until("all agents are known everywhere", Duration::from_secs(15), || {
            let known = String::from_utf8_lossy(&host.ctl(&["agents", "--json"]).stdout).into_owned();
            names.iter().all(|name| known.contains(&format!("\"{}\"", agent_on(name)))).then_some(())
        });
    }
    let start = |(host, ledger, arguments): (Host, PathBuf, Vec<String>)| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Site { agent: AgentProcess::start("kill-many", &arguments), host, ledger }
    };
    sites.into_iter().map(start).collect()
}

fn agent_on(node: &str) -> String {
    format!("agent-{node}")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn kills_among_three_daemons_and_their_agents_lose_nothing_and_double_nothing_unmarked() {
    let kills = env_number("AICP_KILLS", 20);
    let folder = tempfile::tempdir().expect("a folder");
    let mut sites = open(folder.path());
    let mut deeds = Vec::new();
    let begun = wall();
    let mut moments = Moments(0x9E37_79B9 ^ u64::from(std::process::id()).wrapping_mul(0x2545_F491_4F6C_DD1D));
    for _ in 0..kills {
        moments.pause(500);
        sites.iter_mut().for_each(|site| site.agent.again_after(TAKEN_OVER));
        let at = usize::try_from(moments.below(3)).expect("a few");
        let site = &mut sites[at];
        if moments.below(2) == 0 {
            deeds.push((at, wall(), Deed::DaemonKilled));
            site.host.kill();
            moments.pause(250);
            site.host.start();
            deeds.push((at, wall(), Deed::DaemonBack));
        } else {
            deeds.push((at, wall(), Deed::AgentKilled));
            site.agent.kill();
            moments.pause(100);
            site.agent.again();
        }
    }
    let took = Duration::from_nanos(wall() - begun);
    let books = settle(&mut sites);
    let count = books.iter().map(|book| book.sent.len() as u64).sum::<u64>();
    let repeats = judge(&NAMES, &books);
    let mut waits = redeliveries(&books, &deeds);
    waits.sort_unstable();
    let most = waits.last().copied().unwrap_or_default();
    let late = waits.iter().filter(|wait| **wait > REDELIVERY).count();
    let () = println!(
        "{kills} kills in {took:.0?}, {count} messages, {repeats} deliveries again, all marked; {} daemons came back to \
         mail that waited, the first of it was delivered within {most:?}, {late} times later than {REDELIVERY:?}",
        waits.len()
    );
    assert!(most <= REDELIVERY_WHEN_BUSY, "what waited was delivered only {most:?} after the start");
}

/// Nobody sends any more; what each agent wrote down once all has ended.
pub(super) fn settle(sites: &mut [Site]) -> Vec<Book> {
    for site in sites.iter() {
        fs::write(site.ledger.with_extension("stop"), "").expect("a file");
    }
    for site in sites.iter_mut() {
        until("an agent has heard the end of all it sent", Duration::from_secs(120), || {
            site.agent.again_after(TAKEN_OVER);
            let ledger = fs::read_to_string(&site.ledger).expect("a ledger");
            let refused: Vec<&str> = ledger.lines().filter(|line| line.starts_with("R ")).take(3).collect();
            assert!(refused.is_empty(), "refused: {refused:?}");
            ledger.contains("\nE\n").then_some(())
        });
    }
    for site in sites.iter() {
        until(&format!("nothing is queued at {}", site.host.name), Duration::from_secs(60), || {
            let status = site.host.status();
            let left = ["outbox_messages", "mailbox_messages", "awaiting"];
            left.iter().all(|what| status[what].as_u64() == Some(0)).then_some(())
        });
    }
    sites.iter().map(|site| Book::read(&site.ledger)).collect()
}

/// What one agent wrote down.
#[derive(Default)]
pub(super) struct Book {
    /// By number: to whom, of which kind, when.
    pub(super) sent: BTreeMap<u64, (String, String, u64)>,
    heard: BTreeMap<u64, String>,
    /// By number: in which line it was begun, and in which it was accepted, if that was heard.
    lines: BTreeMap<u64, (usize, Option<usize>)>,
    /// By whom, which number, of which kind, whether marked, when.
    given: Vec<(String, u64, String, bool, u64)>,
}

impl Book {
    fn read(ledger: &Path) -> Self {
        let mut book = Self::default();
        let number = |word: &str| word.parse::<u64>().expect("a number");
        for (at, line) in fs::read_to_string(ledger).expect("a ledger").lines().enumerate() {
            let words: Vec<&str> = line.split(' ').collect();
            match *words {
                ["S", i, _, to, kind, when] => {
                    book.lines.insert(number(i), (at, None));
                    let again = book.sent.insert(number(i), (to.into(), kind.into(), number(when)));
                    assert!(again.is_none(), "{i} was drawn twice");
                }
                ["H", i, answer] => {
                    book.heard.insert(number(i), answer.into());
                }
                ["P", i] => {
                    let (_, accepted) = book.lines.get_mut(&number(i)).expect("it was begun");
                    accepted.get_or_insert(at);
                }
                ["D", from, i, kind, mark, when] => {
                    book.given.push((from.into(), number(i), kind.into(), mark == "marked", number(when)));
                }
                ["A" | "E", ..] => {}
                // A refusal ends the message, and none was to end so.
                _ => panic!("{line}"),
            }
        }
        book
    }
}

/// Compares what was sent with what came; gives the number of deliveries that came again.
pub(super) fn judge(names: &[&str], books: &[Book]) -> u64 {
    let mut repeats = 0;
    for (from, book) in names.iter().zip(books) {
        for (i, (to, kind, _)) in &book.sent {
            let answer = book.heard.get(i).unwrap_or_else(|| panic!("{from} never heard of {i} to {to}"));
            let wanted = if kind == "ask" { format!("re:{i}") } else { "-".into() };
            assert_eq!(*answer, wanted, "{from} asked {i} of {to}");
        }
        let source = format!("{}@{from}", agent_on(from));
        for (name, reader) in names.iter().zip(books).filter(|(name, _)| *name != from) {
            let address = format!("{}@{name}", agent_on(name));
            let wanted: Vec<u64> = book.sent.iter().filter(|(_, (to, ..))| *to == address).map(|(i, _)| *i).collect();
            repeats += judge_pair(&source, &wanted, &book.lines, reader);
        }
    }
    repeats
}

/// Of two messages the one that was accepted before the other was begun is delivered first.
fn judge_pair(source: &str, wanted: &[u64], lines: &BTreeMap<u64, (usize, Option<usize>)>, reader: &Book) -> u64 {
    let mut times: BTreeMap<u64, u64> = BTreeMap::new();
    let mut last_begun = 0;
    for (_, i, _, is_marked, _) in reader.given.iter().filter(|(from, ..)| from == source) {
        let before = times.entry(*i).or_default();
        *before += 1;
        if !is_marked {
            assert_eq!(*before, 1, "{i} of {source} was delivered again and not marked");
            let (begun, accepted) = lines[i];
            assert!(accepted.is_none_or(|at| at > last_begun), "{i} of {source} came after one that was begun later");
            last_begun = last_begun.max(begun);
        }
    }
    let delivered: Vec<u64> = times.keys().copied().collect();
    assert_eq!(delivered, wanted, "what {source} sent and what was delivered");
    times.values().map(|times| times - 1).sum()
}

/// For each start of a daemon: how long the first message that was submitted before it took from there to its agent. A
/// start that was followed by another kill at the same place before that is left out.
fn redeliveries(books: &[Book], deeds: &[(usize, u64, Deed)]) -> Vec<Duration> {
    let mut submitted = BTreeMap::new();
    for (from, book) in NAMES.iter().zip(books) {
        let source = format!("{}@{from}", agent_on(from));
        submitted.extend(book.sent.iter().map(|(i, (_, _, at))| ((source.clone(), *i), *at)));
    }
    let mut waits = Vec::new();
    for (at, ready, _) in deeds.iter().filter(|(_, _, deed)| *deed == Deed::DaemonBack) {
        let waited = |(from, i, _, _, when): &&(String, u64, String, bool, u64)| {
            when >= ready && submitted.get(&(from.clone(), *i)).is_some_and(|at| at < ready)
        };
        let Some((.., first)) = books[*at].given.iter().find(waited) else { continue };
        let is_cut = deeds.iter().any(|(other, when, _)| other == at && when > ready && when < first);
        if !is_cut {
            waits.push(Duration::from_nanos(first - ready));
        }
    }
    waits
}

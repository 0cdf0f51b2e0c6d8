//! Every error code: how it comes about on real daemons, and that whoever asked hears it, with the id of what it said.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use proto::control::ErrorBody;
use proto::metadata::MetadataDraft;
use proto::{AgentId, ErrorCode, MessageType, NodeId, Receipt, Shape, limits};
use referee::door::{DURABLE, Door, draft, frame, wall};
use referee::hosts::{Host, binary, until};
use referee::root;

/// One way in which a code comes about.
struct Case {
    code: ErrorCode,
    what: &'static str,
    how: How,
}

enum How {
    /// Real daemons alone. The agent that asked hears it: the ERROR has the id of what it said.
    Here(fn(&mut World) -> ErrorBody),
    /// Another test shows it: a file, the name of the test, and the word for the code in it.
    There(&'static str, &'static str, &'static str),
}
use How::{Here, There};

/// What only nodes say to each other. All other codes reach an agent.
const BETWEEN_NODES: [ErrorCode; 3] = [ErrorCode::STALE, ErrorCode::NO_ROUTE, ErrorCode::OLDER_FLOW];
const REFUSES: &str = "tests/interop/daemon_refuses.py";
const TALKS: &str = "tests/interop/daemon_talks.py";
const OPERATE: &str = "tests/it/hosts/operate.rs";
const THIS: &str = "tests/it/hosts/codes.rs";

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Both hosts run, and are linked.
    case(ErrorCode::OFFLINE, "an agent that nobody knows, once", Here(unknown_once)),
    case(ErrorCode::OFFLINE, "an agent that nobody knows, durably", Here(unknown_durable)),
    case(ErrorCode::OFFLINE, "an ask over the wire to an agent that is away", Here(ask_of_one_away)),
    case(ErrorCode::UNAUTHENTICATED, "a source that is not attached here", Here(not_attached)),
    case(ErrorCode::TOO_LARGE, "a header that announces too much", Here(too_large)),
    case(ErrorCode::TIMEOUT, "an answer to a request that is gone", Here(answered_twice)),
    case(ErrorCode::TIMEOUT, "expired after a delivery", Here(expired_after_delivery)),
    case(ErrorCode::TIMEOUT, "expired after an attempt has left", Here(expired_after_attempt)),
    case(ErrorCode::STALE, "a frame that is sent at most once, too late", There(REFUSES, "a once REQUEST that is too old: a NOTICE 4005, and the link stays", "4005")),
    case(ErrorCode::HOPS, "said by a node on the way", There(TALKS, "what a peer says of an ask reaches the agent that asked: 4006, 4013 and 4014 with its id", "4006")),
    case(ErrorCode::NO_ROUTE, "an agent that does not live there", There(REFUSES, "a frame for an agent that is not hosted there: a NOTICE 4007, and the link stays", "4007")),
    case(ErrorCode::POLICY, "a message to a node", Here(to_a_node)),
    case(ErrorCode::POLICY, "withdrawn by an operator", There(OPERATE, "what_an_operator_drops_is_told_to_its_sender_with_whether_it_may_have_arrived", "ErrorCode::POLICY")),
    case(ErrorCode::POLICY, "the name of another user", There(THIS, "the_name_of_another_user_is_refused_with_its_code", "4008")),
    case(ErrorCode::POLICY, "refused for good by its agent", Here(denied_by_agent)),
    case(ErrorCode::FULL, "the mailbox of an agent here", Here(mailbox_full)),
    case(ErrorCode::FULL, "an ask of an agent that does not read", Here(slow_agent)),
    case(ErrorCode::FULL, "an answer that finds no room", Here(no_room_for_answer)),
    case(ErrorCode::MALFORMED, "metadata that only a daemon may set", Here(malformed_metadata)),
    case(ErrorCode::MALFORMED, "a subject that the node does not know", Here(unknown_subject)),
    case(ErrorCode::MALFORMED, "content that its destination refuses", There(TALKS, "content that is refused settles its place, and ends with a durable ERROR 4010", "4010")),
    case(ErrorCode::MALFORMED, "content that its agent refuses for good", Here(refused_for_good)),
    case(ErrorCode::VERSION, "another version at the agents' door", Here(other_version)),
    case(ErrorCode::VERSION, "another version between nodes", There(REFUSES, "a frame of another version closes the link with 4011", "4011")),
    case(ErrorCode::EXPIRED, "expired when it was submitted", Here(expired_at_once)),
    case(ErrorCode::EXPIRED, "expired in the mailbox, and never delivered", Here(expired_in_mailbox)),
    case(ErrorCode::PREKEY, "sealed to a prekey that is not kept", There(TALKS, "a once REQUEST to a prekey that echo does not have gets a signed 4013", "4013")),
    case(ErrorCode::PREKEY, "told to the agent that asked", There(TALKS, "what a peer says of an ask reaches the agent that asked: 4006, 4013 and 4014 with its id", "4013")),
    case(ErrorCode::GIVEN_UP, "refused as often as it may be", Here(given_up)),
    case(ErrorCode::GIVEN_UP, "refused with a code that is not for agents to say", Here(refused_as_if_by_a_node)),
    case(ErrorCode::OLDER_FLOW, "a place in an older flow", There(TALKS, "an older flow gets a 4015 with the newest flow id, and is not delivered", "4015")),
    case(ErrorCode::SERVER, "the key of a new agent that cannot be kept", Here(key_not_kept)),
    case(ErrorCode::SERVER, "asked once of an agent that could not handle it", Here(failed_once)),
    case(ErrorCode::STORAGE, "a waiting message that the disk does not give back", Here(bad_disk)),
    // The other host is stopped.
    case(ErrorCode::OFFLINE, "an ask of an agent whose node is away", Here(ask_of_node_away)),
    case(ErrorCode::EXPIRED, "expired before any attempt has left", Here(expired_before_attempt)),
    case(ErrorCode::FULL, "the agent's own outbox", Here(outbox_full)),
    case(ErrorCode::FULL, "more answers awaited than one agent may", Here(too_many_awaited)),
];

const fn case(code: ErrorCode, what: &'static str, how: How) -> Case {
    Case { code, what, how }
}

#[test]
fn every_error_code_has_a_case_and_reaches_an_agent_unless_only_nodes_say_it() {
    for code in ErrorCode::ALL {
        let mut of_code = CASES.iter().filter(|case| case.code == *code).peekable();
        assert!(of_code.peek().is_some(), "{code} has no case");
        let reaches_agent = of_code.any(|case| matches!(case.how, Here(_) | There(TALKS, ..)));
        assert!(reaches_agent || BETWEEN_NODES.contains(code), "no agent hears {code}");
    }
    for Case { code, how, .. } in CASES {
        let There(file, test, word) = how else { continue };
        assert!(shows(file, test, word), "{file}: {test}: is not there, or does not speak of {code}");
    }
}

#[test]
fn every_error_code_comes_about_and_whoever_asked_hears_it() {
    let mut world = World::start();
    for Case { code, what, how } in CASES {
        if let Here(provoke) = how {
            assert_eq!(provoke(&mut world).code, *code, "{what}");
        }
    }
}

/// Only root can be another user.
#[test]
fn the_name_of_another_user_is_refused_with_its_code() {
    let is_root = fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0);
    if !is_root {
        assert!(std::env::var_os("AICP_NEED_ROOT").is_none(), "needs root");
        println!("skipped: needs root");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.start();
    Door::attached(&host.socket(), "taken").leave();
    let (socket, program) = (host.socket(), folder.path().join("aicpctl"));
    fs::copy(binary("aicpctl"), &program).expect("a copy that others may run");
    for path in [folder.path(), socket.parent().expect("a folder"), &socket, &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("a mode");
    }
    let ask_as = |name: &str| {
        let mut ctl = Command::new(&program);
        ctl.arg("--socket").arg(&socket).args(["ask", "--as", name, "echo", "hi"]);
        ctl.env_clear().env("NO_COLOR", "1").uid(65_534).gid(65_534).output().expect("aicpctl runs")
    };
    assert!(ask_as("free").status.success(), "another user is welcome under a name of its own");
    let output = ask_as("taken");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("AICP-4008") && said.contains("another user"), "{said}");
}

/// Whether the test is there, under its name, and its lines name the code.
fn shows(file: &str, test: &str, word: &str) -> bool {
    let text = fs::read_to_string(root().join(file)).expect("the file");
    let is_rust = file.ends_with(".rs");
    let (begin, end) =
        if is_rust { (format!("fn {test}("), "\n}\n") } else { (format!("@check(\"{test}\")"), "@check") };
    let Some((_, after)) = text.split_once(&begin) else { return false };
    let body = after.split(end).next().unwrap_or_default();
    body.contains(word)
}

/// Two hosts that know each other, with small rooms.
struct World {
    alpha: Host,
    beta: Host,
    _folder: tempfile::TempDir,
}

const OUTBOX_MESSAGES: usize = limits::STUBS_MAX + 6;
const MAILBOX_MESSAGES: usize = 4;
const LIMITS: &str = "mailbox_bytes = \"16MiB\"\npair_bytes = \"16MiB\"\ndeliveries = 2\n";

impl World {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (alpha, beta) = (Host::make(folder.path(), "alpha"), Host::make(folder.path(), "beta"));
        let mut world = Self { alpha, beta, _folder: folder };
        world.alpha.configure(&[&world.beta]);
        world.beta.configure(&[&world.alpha]);
        let rooms = format!(
            "outbox_messages = {OUTBOX_MESSAGES}\nmailbox_messages = {MAILBOX_MESSAGES}\npair_messages = \
             {MAILBOX_MESSAGES}\n"
        );
        world.alpha.configure_also(&format!("\n[limits]\n{LIMITS}{rooms}"));
        world.beta.configure_also(&format!("\n[limits]\n{LIMITS}"));
        world.alpha.start();
        world.beta.start();
        world.alpha.await_peer("beta");
        world
    }

    fn here(&self, name: &str) -> Door {
        Door::attached(&self.alpha.socket(), name)
    }

    fn there(&self, name: &str) -> Door {
        Door::attached(&self.beta.socket(), name)
    }

    /// An agent of the other host that is known here, and away.
    fn away_there(&self, name: &str, asker: &mut Door) -> AgentId {
        self.there(name).leave();
        asker.find(&format!("{name}@beta"))
    }

    fn without_beta(&mut self) {
        if self.beta.process().is_some() {
            self.beta.stop();
        }
        until("the peer is gone", Duration::from_secs(20), || {
            (self.alpha.status()["peers"][0]["state"] != "up").then_some(())
        });
    }
}

fn plain() -> MetadataDraft<'static> {
    MetadataDraft::default()
}

fn expires_in(life: Duration) -> MetadataDraft<'static> {
    let life = u64::try_from(life.as_nanos()).expect("short");
    MetadataDraft { expiry: Some(wall() + life), ..plain() }
}

const SOON: Duration = Duration::from_millis(1200);

fn unknown_once(world: &mut World) -> ErrorBody {
    let mut asker = world.here("unknown-once");
    let id = asker.request(AgentId::new([7; 32]), Shape::Once, &plain(), b"");
    asker.error(id)
}

fn unknown_durable(world: &mut World) -> ErrorBody {
    let mut asker = world.here("unknown-durable");
    let id = asker.request(AgentId::new([7; 32]), DURABLE, &plain(), b"");
    asker.error(id)
}

fn ask_of_one_away(world: &mut World) -> ErrorBody {
    let mut asker = world.here("asks-one-away");
    let sleeper = world.away_there("sleeper", &mut asker);
    let id = asker.request(sleeper, Shape::Once, &plain(), b"are you there?");
    asker.error(id)
}

fn ask_of_node_away(world: &mut World) -> ErrorBody {
    let mut asker = world.here("asks-node-away");
    let echo = asker.find("echo@beta");
    world.without_beta();
    let id = asker.request(echo, Shape::Once, &plain(), b"are you there?");
    asker.error(id)
}

fn not_attached(world: &mut World) -> ErrorBody {
    let mut liar = world.here("liar");
    let draft = draft(MessageType::Request, Shape::Once, AgentId::new([7; 32]), liar.me);
    let id = liar.submit(draft, &plain(), b"");
    liar.error(id)
}

fn too_large(world: &mut World) -> ErrorBody {
    let mut boaster = world.here("boaster");
    let draft = draft(MessageType::Request, DURABLE, boaster.me, boaster.me);
    let mut bytes = frame(&draft, &plain(), b"");
    let announced = u32::try_from(limits::PLAIN_BYTES_MAX + 1).expect("small");
    bytes[82..86].copy_from_slice(&announced.to_be_bytes());
    boaster.say(&bytes);
    let error = boaster.error(draft.id);
    assert!(boaster.has_ended(), "what follows cannot be told apart");
    error
}

fn answered_twice(world: &mut World) -> ErrorBody {
    let (mut asker, mut answerer) = (world.here("asks-once"), world.here("answers-twice"));
    let id = asker.request(answerer.me, DURABLE, &plain(), b"");
    let request = answerer.delivery();
    answerer.respond(&request, b"first");
    assert_eq!(asker.delivery().body.as_ref(), b"first");
    answerer.respond(&request, b"second");
    answerer.error(id)
}

fn expired_after_delivery(world: &mut World) -> ErrorBody {
    let (mut asker, mut ponderer) = (world.here("asks-ponderer"), world.here("ponderer"));
    let id = asker.request(ponderer.me, DURABLE, &expires_in(SOON), b"");
    ponderer.delivery();
    asker.error(id)
}

fn expired_after_attempt(world: &mut World) -> ErrorBody {
    let mut asker = world.here("asks-frozen");
    let echo = asker.find("echo@beta");
    let process = world.beta.process().expect("it runs").to_string();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &process]).status().expect("kill").success());
    signal("-STOP");
    let id = asker.request(echo, DURABLE, &expires_in(SOON), b"");
    let error = asker.error(id);
    signal("-CONT");
    error
}

fn expired_before_attempt(world: &mut World) -> ErrorBody {
    let mut asker = world.here("asks-too-early");
    let echo = asker.find("echo@beta");
    world.without_beta();
    let id = asker.request(echo, DURABLE, &expires_in(SOON), b"");
    asker.error(id)
}

fn expired_at_once(world: &mut World) -> ErrorBody {
    let mut asker = world.here("asks-too-late");
    let metadata = MetadataDraft { expiry: Some(wall() - limits::SECOND), ..plain() };
    let id = asker.request(asker.me, DURABLE, &metadata, b"");
    asker.error(id)
}

fn expired_in_mailbox(world: &mut World) -> ErrorBody {
    let mut asker = world.here("asks-absent");
    let absent = world.away_there("absent", &mut asker);
    let id = asker.request(absent, DURABLE, &expires_in(Duration::from_secs(3)), b"");
    asker.told(id, Receipt::Stored);
    asker.error(id)
}

fn to_a_node(world: &mut World) -> ErrorBody {
    let mut asker = world.here("asks-a-node");
    let node: NodeId = world.alpha.id.parse().expect("an id");
    let id = asker.request(node.agent(), DURABLE, &plain(), b"");
    asker.error(id)
}

fn mailbox_full(world: &mut World) -> ErrorBody {
    let mut sender = world.here("fills-mailbox");
    let absent = {
        let door = world.here("absent-here");
        let id = door.me;
        door.leave();
        id
    };
    for _ in 0..MAILBOX_MESSAGES {
        let id = sender.request(absent, DURABLE, &plain(), b"");
        sender.told(id, Receipt::Stored);
    }
    let id = sender.request(absent, DURABLE, &plain(), b"");
    with_advice(sender.error(id))
}

fn slow_agent(world: &mut World) -> ErrorBody {
    let none = MetadataDraft { credit_messages: Some(0), credit_bytes: Some(0), ..plain() };
    let slow = Door::attached_with(&world.alpha.socket(), "slow", none);
    let mut asker = world.here("asks-slow");
    let id = asker.request(slow.me, Shape::Once, &plain(), b"");
    with_advice(asker.error(id))
}

/// The asker leaves its first answer unacknowledged, and the second one does not fit beside it.
fn no_room_for_answer(world: &mut World) -> ErrorBody {
    let (mut asker, mut talker) = (world.here("asks-talker"), world.there("talker"));
    let address = asker.find("talker@beta");
    let first = asker.request(address, DURABLE, &plain(), b"");
    let second = asker.request(address, DURABLE, &plain(), b"");
    let long = vec![b'x'; 9 << 20];
    let request = talker.delivery();
    assert_eq!(request.header.id(), first);
    talker.respond(&request, &long);
    assert_eq!(asker.about(first).body.len(), long.len());
    let request = talker.delivery();
    talker.respond(&request, &long);
    asker.error(second)
}

fn outbox_full(world: &mut World) -> ErrorBody {
    let mut sender = world.here("fills-outbox");
    let echo = sender.find("echo@beta");
    world.without_beta();
    // A BROADCAST whose end is not asked for keeps no stub.
    let metadata = MetadataDraft { topic: Some("news"), ..plain() };
    let mut last = None;
    for _ in 0..OUTBOX_MESSAGES {
        let draft = draft(MessageType::Broadcast, DURABLE, sender.me, echo);
        last = Some(sender.submit(draft, &metadata, b""));
    }
    sender.told(last.expect("one at least"), Receipt::Accepted);
    let id = sender.submit(draft(MessageType::Broadcast, DURABLE, sender.me, echo), &metadata, b"");
    with_advice(sender.error(id))
}

fn too_many_awaited(world: &mut World) -> ErrorBody {
    let mut sender = world.here("awaits-much");
    let echo = sender.find("echo@beta");
    world.without_beta();
    let ids: Vec<_> = (0..limits::STUBS_MAX).map(|_| sender.request(echo, DURABLE, &plain(), b"")).collect();
    sender.told(*ids.last().expect("one at least"), Receipt::Accepted);
    let id = sender.request(echo, DURABLE, &plain(), b"");
    with_advice(sender.error(id))
}

/// Who hears that something is full is told when to come back.
fn with_advice(error: ErrorBody) -> ErrorBody {
    assert!(error.retry_after_ms > 0, "{error:?}");
    error
}

fn malformed_metadata(world: &mut World) -> ErrorBody {
    let mut liar = world.here("sets-a-floor");
    let id = liar.request(liar.me, DURABLE, &MetadataDraft { floor: Some(1), ..plain() }, b"");
    liar.error(id)
}

fn unknown_subject(world: &mut World) -> ErrorBody {
    let mut asker = world.here("asks-nonsense");
    let metadata = MetadataDraft { subject: Some("node.nonsense"), ..plain() };
    let id = asker.request(AgentId::ZERO, Shape::Once, &metadata, b"");
    asker.error(id)
}

fn other_version(world: &mut World) -> ErrorBody {
    let mut newer = world.here("newer");
    let draft = draft(MessageType::Request, Shape::Once, newer.me, newer.me);
    let mut bytes = frame(&draft, &plain(), b"");
    bytes[0] = 2;
    newer.say(&bytes);
    let error = newer.error(draft.id);
    assert!(newer.has_ended(), "what follows cannot be told apart");
    error
}

fn given_up(world: &mut World) -> ErrorBody {
    let (mut asker, mut refuser) = (world.here("asks-refuser"), world.there("refuser"));
    let address = asker.find("refuser@beta");
    let id = asker.request(address, DURABLE, &plain(), b"");
    for _ in 0..2 {
        let delivery = refuser.delivery();
        assert_eq!(delivery.header.id(), id);
        refuser.refuse(&delivery);
    }
    asker.error(id)
}

/// An agent may deny what it gets; its sender hears its words, and that they are an agent's.
fn denied_by_agent(world: &mut World) -> ErrorBody {
    refused_with(world, "denier", ErrorCode::POLICY)
}

fn refused_for_good(world: &mut World) -> ErrorBody {
    refused_with(world, "critic", ErrorCode::MALFORMED)
}

/// One delivery, and its sender hears it at once: no other comes.
fn refused_with(world: &mut World, name: &str, code: ErrorCode) -> ErrorBody {
    let mut heard = None;
    for shape in [DURABLE, Shape::Once] {
        for error in refused_on_both(world, name, shape, code) {
            assert_eq!((error.code, &*error.message), (code, "its agent refused it: there is nothing in it"));
            heard = Some(error);
        }
    }
    heard.expect("an error")
}

/// A request to an agent on this node, and one to an agent on another. Both refuse it, and this is what the asker hears.
fn refused_on_both(world: &mut World, name: &str, shape: Shape, code: ErrorCode) -> [ErrorBody; 2] {
    let mut asker = world.here(&format!("asks-{name}"));
    let (near, far) = (world.here(name), world.there(name));
    [(near, name.to_owned()), (far, format!("{name}@beta"))].map(|(mut refuser, address)| {
        let address = asker.find(&address);
        let id = asker.request(address, shape, &plain(), b"");
        let delivery = refuser.about(id);
        refuser.refuse_with(&delivery, code, "there is nothing in it");
        // Whoever says it twice says nothing more.
        refuser.refuse_with(&delivery, code, "there is still nothing in it");
        asker.error(id)
    })
}

/// What is asked once does not come again, so whoever asked hears of a failure too; in words of its node.
fn failed_once(world: &mut World) -> ErrorBody {
    let mut heard = None;
    for code in [ErrorCode::SERVER, ErrorCode::EXPIRED, ErrorCode::STORAGE] {
        for error in refused_on_both(world, "unable", Shape::Once, code) {
            assert_eq!((error.code, &*error.message), (ErrorCode::SERVER, "its agent could not handle it"));
            heard = Some(error);
        }
    }
    heard.expect("an error")
}

/// That it expired, or that a disk lost it, is for nodes to know: it comes again, as after any other refusal.
fn refused_as_if_by_a_node(world: &mut World) -> ErrorBody {
    let (mut asker, mut refuser) = (world.here("asks-forger"), world.there("forger"));
    let address = asker.find("forger@beta");
    let id = asker.request(address, DURABLE, &plain(), b"");
    for code in [ErrorCode::EXPIRED, ErrorCode::STORAGE] {
        let delivery = refuser.delivery();
        assert_eq!(delivery.header.id(), id);
        refuser.refuse_with(&delivery, code, "so it was");
    }
    asker.error(id)
}

fn key_not_kept(world: &mut World) -> ErrorBody {
    let mut newcomer = world.here("old-name");
    let uids = fs::read_dir(world.alpha.state().join("agents")).expect("users").flatten();
    let blocked: Vec<_> = uids.map(|uid| uid.path().join("new-name.key")).collect();
    blocked.iter().for_each(|path| fs::create_dir(path).expect("a folder where the key should lie"));
    let id = newcomer.attach("new-name", plain());
    let error = newcomer.error(id);
    blocked.iter().for_each(|path| fs::remove_dir(path).expect("gone"));
    error
}

/// A bit of what waits for an agent turns over on the disk before the agent comes.
fn bad_disk(world: &mut World) -> ErrorBody {
    let mut sender = world.here("trusts-the-disk");
    let keeper = world.here("keeper");
    let address = keeper.me;
    keeper.leave();
    let long = vec![b'x'; 1 << 20];
    let id = sender.request(address, DURABLE, &plain(), &long);
    sender.told(id, Receipt::Stored);
    turn_over(&world.alpha.state().join("store"), long.len() / 2);
    let _keeper = world.here("keeper");
    sender.error(id)
}

/// Changes one byte of the journal so far before its end.
fn turn_over(store: &Path, before_end: usize) {
    let segments = fs::read_dir(store).expect("a store").flatten().map(|entry| entry.path());
    let newest = segments.filter(|path| path.extension().is_some_and(|end| end == "segment")).max();
    let newest = newest.expect("a segment");
    let bytes = fs::read(&newest).expect("its bytes");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("something is written");
    let at = end - before_end;
    let file = fs::File::options().write(true).open(&newest).expect("the segment");
    file.write_all_at(&[!bytes[at]], at as u64).expect("written");
}

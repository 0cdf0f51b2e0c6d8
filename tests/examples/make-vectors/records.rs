//! Records of agents and nodes and lists of revocations, signed by whom they should be and by whom they should not.

use bytes::Bytes;
use keys::sign::Context;
use keys::{AgentKey, AuthorityCertificate, AuthorityKey, NodeKey, certificate, sign};
use proto::record::{AgentRecord, NodeRecord, Revocations};
use proto::{AgentId, NodeId, Refusal};
use referee::certificates::{Forged, Purpose};
use referee::{forge, hex};
use serde_json::{Value, json};

use crate::Cases;
use crate::frames::NOW;

const AGENT: [u8; 32] = [1; 32];
const NODE: [u8; 32] = [9; 32];
const AUTHORITY: [u8; 32] = [10; 32];

fn agent_record() -> AgentRecord {
    AgentRecord {
        public_key: *AgentKey::from_published_seed(&AGENT).public().as_bytes(),
        name: "summarizer".parse().unwrap(),
        capabilities: vec!["summarize".into()],
        topics: vec!["news".into(), "weather".into()],
        prekey: Some((*referee::judge::prekey_public(&[0x41; 32]).public(), NOW + 172_800_000_000_000)),
        host: NodeKey::from_published_seed(&NODE).id(),
        chain: vec![],
        sequence: NOW,
        expiry: NOW + 604_800_000_000_000,
    }
}

fn node_record() -> NodeRecord {
    NodeRecord {
        public_key: *NodeKey::from_published_seed(&NODE).public().as_bytes(),
        name: "alpha".parse().unwrap(),
        addresses: vec!["10.0.0.5:7727".into(), "[fd00::5]:7727".into(), "alpha.example:7727".into()],
        links: vec![NodeKey::from_published_seed(&[8; 32]).id()],
        certificate: None,
        sequence: NOW,
        expiry: NOW + 604_800_000_000_000,
    }
}

fn case(record: &[u8]) -> Value {
    let host = NodeKey::from_published_seed(&NODE);
    let mut case = json!({ "record": hex::write(record) });
    if record.first() == Some(&1) {
        case["host_public"] = json!(hex::write(host.public().as_bytes()));
    }
    case
}

fn list_case(list: &[u8]) -> Value {
    json!({ "record": hex::write(list), "authority_public": hex::write(authority().public().as_bytes()) })
}

fn authority() -> AuthorityKey {
    AuthorityKey::from_published_seed(&AUTHORITY)
}

fn list(nodes: &[[u8; 32]]) -> Revocations {
    let nodes = nodes.iter().map(|id| NodeId::new(AgentId::new(*id))).collect();
    Revocations { mesh: authority().mesh(), epoch: 7, nodes }
}

/// Signs any body as a list of revocations.
fn as_list(body: &[u8]) -> Vec<u8> {
    let signature = forge::sign(&AUTHORITY, &[Context::Revocation.as_bytes(), body].concat());
    [&[3][..], &u16::try_from(body.len()).unwrap().to_be_bytes(), body, &signature].concat()
}

/// Signs any body as an agent's record.
fn as_agent(body: &[u8]) -> Vec<u8> {
    let signature = forge::sign(&AGENT, &[Context::AgentRecord.as_bytes(), body].concat());
    let hosting = forge::sign(&NODE, &[Context::Hosting.as_bytes(), body, &signature].concat());
    [&[1][..], &u16::try_from(body.len()).unwrap().to_be_bytes(), body, &signature, &hosting].concat()
}

/// Signs any body as a node's record.
fn as_node(body: &[u8]) -> Vec<u8> {
    let signature = forge::sign(&NODE, &[Context::NodeRecord.as_bytes(), body].concat());
    [&[2][..], &u16::try_from(body.len()).unwrap().to_be_bytes(), body, &signature].concat()
}

/// The entries of a body, so that one can be changed, left out or added.
fn entries(body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    // Found by looking for what follows: the bodies here have fewer than 16 entries and keys of one byte.
    let object = body[0] & 0x0f;
    let mut found = Vec::new();
    let mut rest = &body[1..];
    for _ in 0..object {
        let length = value_bytes(&rest[1..]);
        found.push((rest[0], rest[1..=length].to_vec()));
        rest = &rest[1 + length..];
    }
    found
}

fn value_bytes(value: &[u8]) -> usize {
    let many = |count: usize, at: usize| (0..count).fold(at, |at, _| at + value_bytes(&value[at..]));
    match value[0] {
        0xa0..=0xbf => 1 + usize::from(value[0] & 0x1f),
        0x90..=0x9f => many(usize::from(value[0] & 0x0f), 1),
        0xc4 | 0xd9 => 2 + usize::from(value[1]),
        0xcf => 9,
        0x00..=0x7f => 1,
        other => panic!("not in these records: {other:#x}"),
    }
}

fn body_of(entries: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![0x80 | u8::try_from(entries.len()).unwrap()];
    for (key, value) in entries {
        body.push(*key);
        body.extend(value);
    }
    body
}

pub(crate) fn write() {
    let mut cases = Cases::new("records.json");
    let (agent, node) = (AgentKey::from_published_seed(&AGENT), NodeKey::from_published_seed(&NODE));
    let good = sign::agent_record(&agent, &node, &agent_record()).unwrap().as_bytes().clone();
    cases.take("an agent", case(&good));
    let bare = AgentRecord { prekey: None, capabilities: vec![], topics: vec![], ..agent_record() };
    cases.take("an agent without a prekey", case(sign::agent_record(&agent, &node, &bare).unwrap().as_bytes()));
    let chain =
        AgentRecord { chain: vec![Bytes::from(vec![0x30; 300]), Bytes::from_static(b"\x30\x00")], ..agent_record() };
    cases.take("an agent with a chain", case(sign::agent_record(&agent, &node, &chain).unwrap().as_bytes()));
    let as_itself = AgentRecord { public_key: *node.public().as_bytes(), name: "alpha".parse().unwrap(), ..bare };
    cases.take("a node as an agent", case(sign::agent_record(node.as_agent(), &node, &as_itself).unwrap().as_bytes()));
    let good_node = sign::node_record(&node, &node_record()).unwrap().as_bytes().clone();
    cases.take("a node", case(&good_node));
    let alone = NodeRecord { addresses: vec![], links: vec![], ..node_record() };
    cases.take("a node alone", case(sign::node_record(&node, &alone).unwrap().as_bytes()));
    layout(&mut cases, &good, &good_node);
    signatures(&mut cases, &good, &good_node);
    fields(&mut cases);
    certificates(&mut cases);
    members(&mut cases);
    revocations(&mut cases);
    cases.write("Records as they are passed on.");
}

fn layout(cases: &mut Cases, agent: &[u8], node: &[u8]) {
    let mut refuse = |name: &str, record: &[u8]| cases.refuse(name, Refusal::RecordForm, case(record));
    refuse("nothing", b"");
    refuse("another kind", &[&[3], &agent[1..]].concat());
    refuse("a kind that nobody knows", &[&[4], &agent[1..]].concat());
    refuse("a byte missing", &agent[..agent.len() - 1]);
    refuse("a byte too many", &[node, &[0]].concat());
    refuse("an agent as a node", &[&[2], &agent[1..]].concat());
    let long = vec![0x80; 32_769];
    refuse("a body too long", &as_node(&long));
    let body = body_of(&entries(node_record().write().unwrap().as_ref()));
    refuse("bytes after the map", &as_node(&[&body[..], &[0xc0]].concat()));
    refuse("a body that is no map", &as_node(b"\x91\xc0"));
    let mut swapped = entries(node_record().write().unwrap().as_ref());
    swapped.swap(0, 1);
    refuse("keys not in order", &as_node(&body_of(&swapped)));
    let mut twice = entries(node_record().write().unwrap().as_ref());
    twice.insert(1, twice[0].clone());
    refuse("a key twice", &as_node(&body_of(&twice)));
    let mut all = entries(node_record().write().unwrap().as_ref());
    all.push((0x7f, vec![0xd4, 1, 0]));
    refuse("an extension in an unknown field", &as_node(&body_of(&all)));
    all.pop();
    all.push((0xcc, vec![0x80, 0xc0]));
    refuse("key 128", &as_node(&body_of(&all)));
    all.pop();
    all.push((0x7f, [vec![0x91; 8], vec![0xc0]].concat()));
    refuse("9 levels in an unknown field", &as_node(&body_of(&all)));
    all.pop();
    all.push((0x7f, [vec![0x91; 7], vec![0xc0]].concat()));
    cases.take("an unknown field", case(&as_node(&body_of(&all))));
}

fn signatures(cases: &mut Cases, agent: &[u8], node: &[u8]) {
    let change = |record: &[u8], from_end: usize| {
        let mut changed = record.to_vec();
        let at = changed.len() - from_end;
        changed[at] ^= 1;
        changed
    };
    cases.refuse("an agent's signature changed", Refusal::RecordSignature, case(&change(agent, 128)));
    cases.refuse("a countersignature changed", Refusal::Countersignature, case(&change(agent, 64)));
    cases.refuse("a node's signature changed", Refusal::RecordSignature, case(&change(node, 64)));
    let at = agent.windows(10).position(|bytes| bytes == b"summarizer").unwrap();
    let mut renamed = agent.to_vec();
    renamed[at] = b'x';
    cases.refuse("an agent renamed", Refusal::RecordSignature, case(&renamed));
    let mut other_host = case(agent);
    other_host["host_public"] = json!(hex::write(NodeKey::from_published_seed(&[8; 32]).public().as_bytes()));
    cases.refuse("countersigned by another node", Refusal::Countersignature, other_host);
    let body = agent_record().write().unwrap();
    let signature = forge::sign(&AGENT, &[Context::AgentRecord.as_bytes(), &body].concat());
    let by_itself = forge::sign(&AGENT, &[Context::Hosting.as_bytes(), &body, &signature].concat());
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    let record = [&[1][..], &length, &body, &signature, &by_itself].concat();
    cases.refuse("countersigned by the agent itself", Refusal::Countersignature, case(&record));
    let elsewhere = AgentRecord { host: NodeKey::from_published_seed(&[8; 32]).id(), ..agent_record() };
    let elsewhere = as_agent(&elsewhere.write().unwrap());
    cases.refuse("countersigned by a node that it does not name", Refusal::Countersignature, case(&elsewhere));
    let wrong = forge::sign(&NODE, &[Context::AgentRecord.as_bytes(), &body, &signature].concat());
    let record = [&[1][..], &length, &body, &signature, &wrong].concat();
    cases.refuse("countersigned behind another context", Refusal::Countersignature, case(&record));
    let body = node_record().write().unwrap();
    let signature = forge::sign(&NODE, &[Context::AgentRecord.as_bytes(), &body].concat());
    let record = [&[2][..], &u16::try_from(body.len()).unwrap().to_be_bytes(), &body, &signature].concat();
    cases.refuse("a node signed behind another context", Refusal::RecordSignature, case(&record));
}

fn fields(cases: &mut Cases) {
    let agent = entries(agent_record().write().unwrap().as_ref());
    let node = entries(node_record().write().unwrap().as_ref());
    for (key, _) in &agent {
        let left: Vec<_> = agent.iter().filter(|(other, _)| other != key).cloned().collect();
        cases.refuse(format!("an agent without field {key}"), Refusal::RecordValue, case(&as_agent(&body_of(&left))));
    }
    for (key, _) in &node {
        let left: Vec<_> = node.iter().filter(|(other, _)| other != key).cloned().collect();
        cases.refuse(format!("a node without field {key}"), Refusal::RecordValue, case(&as_node(&body_of(&left))));
    }
    let set = |all: &[(u8, Vec<u8>)], key: u8, value: &[u8]| {
        let mut all: Vec<_> = all.iter().filter(|(other, _)| *other != key).cloned().collect();
        all.push((key, value.to_vec()));
        all.sort();
        body_of(&all)
    };
    let str8 = |bytes: usize| [&[0xd9, u8::try_from(bytes).unwrap()][..], &vec![b'a'; bytes]].concat();
    let many = |count: u16, one: &[u8]| [&[0xdc][..], &count.to_be_bytes(), &one.repeat(count.into())].concat();
    cases.take("the longest name", case(&as_agent(&set(&agent, 2, &str8(63)))));
    cases.take("32 abilities", case(&as_agent(&set(&agent, 3, &many(32, b"\xa1a")))));
    cases.take("64 topics", case(&as_agent(&set(&agent, 4, &many(64, b"\xa1a")))));
    cases.take("512 links", case(&as_node(&set(&node, 12, &many(512, &[&[0xc4, 32][..], &[7; 32]].concat())))));
    let link31 = [&[0x91, 0xc4, 31][..], &[7; 31]].concat();
    let certificate = [&[0x91, 0xc5][..], &16_385_u16.to_be_bytes(), &[0; 16_385]].concat();
    for (name, key, value) in [
        ("a name in capitals", 2, &b"\xa1A"[..]),
        ("a name with a control character", 2, b"\xa2a\x07"),
        ("a name that begins with a dot", 2, b"\xa2.a"),
        ("a name with an at sign", 2, b"\xa3a@b"),
        ("an empty name", 2, b"\xa0"),
        ("a name in octets", 2, b"\xc4\x01a"),
        ("a name of 64 bytes", 2, &str8(64)),
        ("33 abilities", 3, &many(33, b"\xa1a")),
        ("an empty ability", 3, b"\x91\xa0"),
        ("an ability of 65 bytes", 3, &[vec![0x91], str8(65)].concat()),
        ("an ability with a control character", 3, b"\x91\xa1\x1b"),
        ("abilities as a text", 3, b"\xa1a"),
        ("65 topics", 4, &many(65, b"\xa1a")),
        ("a prekey of 31 bytes", 5, &[&[0xc4, 31][..], &[7; 31]].concat()),
        ("not_after as a text", 6, b"\xa11"),
        ("a host of 31 bytes", 7, &[&[0xc4, 31][..], &[7; 31]].concat()),
        ("an empty chain", 8, b"\x90"),
        ("five certificates", 8, b"\x95\xc4\x00\xc4\x00\xc4\x00\xc4\x00\xc4\x00"),
        ("a chain too long", 8, &certificate),
        ("a sequence in the signed format", 9, b"\xd3\0\0\0\0\0\0\0\x01"),
        ("an expiry of nil", 10, b"\xc0"),
        ("an agent with addresses", 11, b"\x90"),
        ("an agent with links", 12, b"\x90"),
    ] {
        cases.refuse(name, Refusal::RecordValue, case(&as_agent(&set(&agent, key, value))));
    }
    for (name, key, value) in [
        ("a node with abilities", 3, &b"\x90"[..]),
        ("a node with a host", 7, &[&[0xc4, 32][..], &[7; 32]].concat()),
        ("17 addresses", 11, &many(17, b"\xa1a")),
        ("513 links", 12, &many(513, &[&[0xc4, 32][..], &[7; 32]].concat())),
        ("a link of 31 bytes", 12, &link31),
    ] {
        cases.refuse(name, Refusal::RecordValue, case(&as_node(&set(&node, key, value))));
    }
    let small = [&[0xc4, 32][..], &forge::small_order_points()[1]].concat();
    cases.refuse("an agent's key of small order", Refusal::Key, case(&as_agent(&set(&agent, 1, &small))));
    cases.refuse("a node's key of small order", Refusal::Key, case(&as_node(&set(&node, 1, &small))));
}

fn certificates(cases: &mut Cases) {
    let node = entries(node_record().write().unwrap().as_ref());
    let with = |chain: &[u8]| {
        let mut all = node.clone();
        all.push((8, chain.to_vec()));
        all.sort();
        case(&as_node(&body_of(&all)))
    };
    let certificate = |bytes: u16| [&[0xc5][..], &bytes.to_be_bytes(), &vec![0x30; bytes.into()]].concat();
    cases.take("a node with a certificate", with(&[&[0x91][..], &certificate(400)].concat()));
    cases.take("a node with the longest certificate", with(&[&[0x91][..], &certificate(2048)].concat()));
    for (name, chain) in [
        ("a certificate of 2,049 bytes", [&[0x91][..], &certificate(2049)].concat()),
        ("a node with two certificates", [&[0x92][..], &certificate(300), &certificate(300)].concat()),
        ("a node with an empty chain", vec![0x90]),
        ("a node with a certificate that is no chain", certificate(300)),
    ] {
        cases.refuse(name, Refusal::RecordValue, with(&chain));
    }
}

/// Records whose certificates are judged too.
fn members(cases: &mut Cases) {
    let (node, other) = (NodeKey::from_published_seed(&NODE), NodeKey::from_published_seed(&[8; 32]));
    let mesh = AuthorityCertificate::make(&authority(), &"lab".parse().unwrap(), NOW).unwrap();
    let with = |record: NodeRecord, certificate: Option<Vec<u8>>| {
        let record = NodeRecord { certificate: certificate.map(Into::into), ..record };
        let mut case = case(sign::node_record(&node, &record).unwrap().as_bytes());
        case["authority"] = json!(hex::write(mesh.der()));
        case
    };
    let right = Forged::right(AUTHORITY, "lab", *node.public().as_bytes(), NOW);
    let right = Forged { name: "alpha", other_names: vec!["alpha"], ..right };
    let good = NodeRecord { expiry: NOW, ..node_record() };
    let made = certificate::of_node(&authority(), &mesh, node.public(), &good.name, NOW).unwrap().to_vec();
    cases.take("a member", with(node_record(), Some(made)));
    cases.take("a member until the last second of its certificate", with(good.clone(), Some(right.der())));
    let other_key = *other.public().as_bytes();
    let by_itself = certificate::self_signed(&node, &good.name).unwrap().to_vec();
    for (name, certificate) in [
        ("a member without a certificate", None),
        ("a member with a certificate by itself", Some(by_itself)),
        ("a member of another mesh", Some(Forged { issuer_seed: [11; 32], ..right.clone() }.der())),
        ("a member with another's certificate", Some(Forged { public_key: other_key, ..right.clone() }.der())),
        (
            "a member under another name",
            Some(Forged { name: "beta", other_names: vec!["beta"], ..right.clone() }.der()),
        ),
        ("a member with two names", Some(Forged { other_names: vec!["beta"], ..right.clone() }.der())),
        ("a member that may only listen", Some(Forged { uses: vec![Purpose::ServerAuth], ..right.clone() }.der())),
        ("a member that may only dial", Some(Forged { uses: vec![Purpose::ClientAuth], ..right.clone() }.der())),
        ("a member that may sign for others", Some(Forged { is_authority: true, ..right.clone() }.der())),
        ("a member with a broken certificate", Some(vec![0x30; 300])),
    ] {
        cases.refuse(name, Refusal::Certificate, with(good.clone(), certificate));
    }
    let longer = NodeRecord { expiry: right.not_after * 1_000_000_000 + 1, ..good };
    cases.refuse("a member for longer than its certificate", Refusal::Certificate, with(longer, Some(right.der())));
}

fn revocations(cases: &mut Cases) {
    let two = list(&[[1; 32], [2; 32]]);
    let good = sign::revocations(&authority(), &two).unwrap().as_bytes().clone();
    cases.take("a list of revocations", list_case(&good));
    let nobody = sign::revocations(&authority(), &list(&[])).unwrap();
    cases.take("a list of nobody", list_case(nobody.as_bytes()));
    let body = two.write().unwrap();
    let mut other = list_case(&good);
    other["authority_public"] = json!(hex::write(NodeKey::from_published_seed(&NODE).public().as_bytes()));
    cases.refuse("a list of another mesh", Refusal::WrongKey, other);
    let mut changed = good.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    cases.refuse("a list whose signature was changed", Refusal::RecordSignature, list_case(&changed));
    let wrong = forge::sign(&AUTHORITY, &[Context::NodeRecord.as_bytes(), &body].concat());
    let wrong = [&good[..good.len() - 64], &wrong].concat();
    cases.refuse("a list signed behind another context", Refusal::RecordSignature, list_case(&wrong));
    let longer = as_list(&[&body[..], &[0xc0]].concat());
    cases.refuse("a list with bytes after the map", Refusal::RecordForm, list_case(&longer));
    let fields = |mesh: &[u8], nodes: &[u8]| list_case(&as_list(&[b"\x83\x01", mesh, b"\x02\x07\x03", nodes].concat()));
    let id = |first: u16| [&[0xc4, 32][..], &first.to_be_bytes(), &[0; 30]].concat();
    let mesh = [&[0xc4, 32][..], &authority().mesh()].concat();
    let many = |count: u16| {
        let nodes: Vec<u8> = (0..count).flat_map(id).collect();
        [&[0xdc][..], &count.to_be_bytes(), &nodes].concat()
    };
    cases.take("a list of 900", fields(&mesh, &many(900)));
    for (name, mesh, nodes) in [
        ("a list of 901", &mesh, many(901)),
        ("a list not in order", &mesh, [&[0x92][..], &id(2), &id(1)].concat()),
        ("a list that names one twice", &mesh, [&[0x92][..], &id(1), &id(1)].concat()),
        ("a list that names 31 bytes", &mesh, [&[0x91, 0xc4, 31][..], &[0; 31]].concat()),
        ("a list of no array", &mesh, id(1)),
        ("a list of a mesh of 31 bytes", &[&[0xc4, 31][..], &[0; 31]].concat(), vec![0x90]),
    ] {
        cases.refuse(name, Refusal::RecordValue, fields(mesh, &nodes));
    }
    for key in 1..=3_u8 {
        let left: Vec<_> =
            [(1, mesh.clone()), (2, vec![7]), (3, vec![0x90])].into_iter().filter(|(k, _)| *k != key).collect();
        cases.refuse(format!("a list without field {key}"), Refusal::RecordValue, list_case(&as_list(&body_of(&left))));
    }
}

//! Schedules about meshes with members: who comes, goes, is out, or lies.

use mesh::{Input, PeerSaid};
use proto::limits::{HOUR, NODE_RECORD_LIFE, RECORD_LIFE};
use proto::record::{AgentRecord, NodeRecord};
use proto::{AgentId, NodeId};

use crate::forge;
use crate::machine::Crash;
use crate::schedule::Wish;
use crate::time::{MILLI, SECOND, hours, minutes, seconds};
use crate::world::World;

/// What every reachable node has to do within this time of a revocation.
const OUT_WITHIN: u64 = 5 * SECOND;

/// Records that a hostile member brings.
const LIES: u64 = 10_000;

/// All join, and have told each other whom they are linked with.
fn settled(world: &mut World) {
    let nodes = world.hosts.len() as u64;
    world.run_for(nodes * SECOND + seconds(20));
    know_each_other(world, "all were to know each other");
}

fn know_each_other(world: &mut World, what: &str) {
    let members = world.members();
    let all = members.iter().all(|node| members.iter().all(|other| node == other || world.is_known(*node, *other)));
    world.must(all, what);
}

/// The last one joins; within three seconds all know it, and it reaches each of them.
pub(super) fn newcomer(world: &mut World) {
    let last = world.hosts.len() - 1;
    world.run_for(last as u64 * SECOND / 2 - SECOND / 10);
    world.run_for(seconds(3));
    know_each_other(world, "all were to know each other within three seconds");
    let mail: Vec<_> = (0..last).map(|to| world.submit(last, to, &Wish::TOLD)).collect();
    let arrived = world.run_until(seconds(5), |world| mail.iter().all(|sent| world.is_stored(*sent)));
    world.must(arrived, "its messages were to reach all others");
    world.settle_and_check();
}

/// The last one is parted from all but the first when it joins, and for long after.
pub(super) fn parted_newcomer(world: &mut World) {
    world.run_for(seconds(1) + 300 * MILLI);
    for other in [1, 2] {
        world.part(3, other, minutes(10));
    }
    world.run_for(minutes(1));
    for (node, other) in [(1, 3), (2, 3), (3, 1), (3, 2)] {
        let is_known = world.is_known(node, other);
        world.must(is_known, "who is parted was to be known through the first");
    }
    let mail = world.submit(1, 3, &Wish::TOLD);
    world.run_for(seconds(5));
    for other in [1, 2] {
        world.heal(3, other);
    }
    let arrived = world.run_until(minutes(1), |world| world.is_stored(mail));
    world.must(arrived, "what waited for a way was to arrive");
    world.settle_and_check();
}

pub(super) fn silent(world: &mut World) {
    settled(world);
    world.crash(2, Crash::Kill);
    world.run_for(NODE_RECORD_LIFE - hours(25));
    let still = world.has_peer(0, 2) && world.knows_agents_of(1, 2);
    world.must(still, "it was to be known while its record counts");
    world.run_for(hours(26));
    let gone = !world.has_peer(0, 2) && !world.has_peer(1, 2) && !world.knows_agents_of(0, 2);
    world.must(gone, "a node that signs nothing was to end with its agents");
    world.restart(2);
    world.run_for(minutes(1));
    know_each_other(world, "who comes back was to be known again");
    world.settle_and_check();
}

/// Its key is gone, and its node goes on; then it comes back. A clock that jumps meanwhile ends nothing.
pub(super) fn ended_agent(world: &mut World) {
    settled(world);
    let agent = world.agent_id(2);
    world.send_away(2, RECORD_LIFE + hours(48));
    world.run_for(seconds(1));
    world.crash(2, Crash::Kill);
    world.lose_keys(2);
    world.restart(2);
    world.run_for(RECORD_LIFE - hours(2));
    let year = i64::try_from(365 * hours(24)).unwrap_or(0);
    world.jump_clock(1, year);
    world.run_for(minutes(1));
    // Whose new record comes meanwhile, and has ended by that clock.
    world.crash(0, Crash::Kill);
    world.restart(0);
    world.run_for(minutes(4));
    let still = world.knows(1, world.agent_id(0)) && world.knows(1, agent);
    world.must(still, "nothing was to end by a clock that has just jumped");
    world.jump_clock(1, -year);
    world.run_for(minutes(20));
    let still = world.knows(0, agent) && world.knows(1, agent);
    world.must(still, "it was to be known while its record counts");
    world.run_for(hours(3));
    let gone = (0..3).all(|node| !world.knows(node, agent));
    world.must(gone, "it was to be forgotten when its record ended");
    let has_node = world.has_peer(0, 2) && world.has_peer(1, 2);
    world.must(has_node, "its node was to stay a member");
    world.run_for(hours(50));
    let back = (0..3).all(|node| world.knows(node, agent));
    world.must(back, "an agent that comes back was to be known again");
    world.settle_and_check();
}

/// One node is away while another one leaves, and comes back with what it held.
pub(super) fn left(world: &mut World) {
    settled(world);
    for other in 0..3 {
        world.part(3, other, hours(2));
    }
    world.run_for(seconds(10));
    world.leave(2);
    world.run_for(seconds(1));
    let told = !world.has_peer(0, 2) && !world.knows_agents_of(1, 2);
    world.must(told, "all whom it could tell were to know that it has left");
    world.crash(2, Crash::Kill);
    world.run_for(minutes(2));
    for other in 0..3 {
        world.heal(3, other);
    }
    world.run_for(minutes(2));
    let is_gone = [0, 1, 3].iter().all(|node| !world.has_peer(*node, 2) && !world.knows_agents_of(*node, 2));
    world.must(is_gone, "who has left was to stay away");
    world.settle_and_check();
}

/// Mail is queued for the one who is revoked, mail of it waits for an agent, and an answer of it is awaited.
pub(super) fn revoked(world: &mut World) {
    settled(world);
    let out = 4;
    world.send_away(1, minutes(3));
    world.run_for(seconds(1));
    let waits = world.submit(out, 1, &Wish::TOLD);
    world.run_until(seconds(5), |world| world.is_stored(waits));
    world.send_away(out, minutes(30));
    world.run_for(seconds(1));
    let awaited = world.submit(2, out, &Wish::REQUEST);
    world.run_until(seconds(5), |world| world.is_stored(awaited));
    world.part(0, out, minutes(30));
    world.run_for(seconds(10));
    let queued = world.submit(0, out, &Wish::REQUEST);
    world.run_until(seconds(5), |world| world.is_owned(queued));
    world.revoke(3, 1, &[out]);
    world.run_for(OUT_WITHIN);
    for node in 0..out {
        let is_out = world.list_of(node) == 1 && !world.has_peer(node, out) && !world.knows_agents_of(node, out);
        world.must(is_out, "who is revoked was to be out everywhere within five seconds");
        let is_linked = world.is_linked(node, out);
        world.must(!is_linked, "links to who is revoked were to be hung up");
    }
    world.run_for(seconds(10));
    let told = world.is_ended(queued) && world.is_ended(awaited);
    world.must(told, "whoever wrote to who is revoked was to hear how it ended");
    world.run_for(minutes(5));
    let is_delivered = world.is_delivered(waits);
    world.must(!is_delivered, "mail of who is revoked was not to be delivered");
    world.settle_and_check();
}

/// It goes on as if nothing had been said: it dials, starts anew, and its record goes round.
pub(super) fn revoked_comes_again(world: &mut World) {
    settled(world);
    let record = world.record_of(2);
    world.revoke(0, 1, &[2]);
    world.run_for(seconds(30));
    world.crash(2, Crash::Kill);
    world.restart(2);
    world.run_for(minutes(1));
    if let Some(record) = record {
        let mut newer = record.get().record.clone();
        newer.sequence += minutes(10);
        if let Ok(newer) = forge::sign_node(newer) {
            world.say_as(1, 0, PeerSaid::Node(newer));
        }
    }
    for node in [0, 1] {
        world.crash(node, Crash::Kill);
        world.restart(node);
    }
    world.run_for(minutes(1));
    let is_out = [0, 1].iter().all(|node| !world.has_peer(*node, 2) && !world.is_linked(*node, 2));
    world.must(is_out, "who is revoked was to stay out");
    world.settle_and_check();
}

pub(super) fn older_list(world: &mut World) {
    settled(world);
    world.revoke(0, 1, &[]);
    world.run_for(seconds(2));
    for other in [0, 1, 3] {
        world.part(2, other, minutes(10));
    }
    world.run_for(seconds(10));
    world.revoke(0, 2, &[3]);
    world.run_for(OUT_WITHIN);
    let is_older = world.list_of(2) == 1 && world.list_of(1) == 2;
    world.must(is_older, "the list was to reach who is there, and nobody else");
    let older = world.list(1, &[]);
    for (from, to) in [(1, 0), (0, 1)] {
        if let Some(older) = older.clone() {
            world.say_as(from, to, PeerSaid::Revoked(older));
        }
    }
    if let Some(older) = older {
        world.input_now(0, Input::Revoked(older));
    }
    world.run_for(seconds(1));
    let is_kept = world.list_of(0) == 2 && world.list_of(1) == 2 && !world.has_peer(0, 3);
    world.must(is_kept, "an older list was to change nothing");
    for other in [0, 1, 3] {
        world.heal(2, other);
    }
    world.run_until(minutes(1), |world| world.is_linked(2, 0));
    world.run_for(OUT_WITHIN);
    let is_out = world.list_of(2) == 2 && !world.has_peer(2, 3) && !world.is_linked(2, 3);
    world.must(is_out, "who comes back was to hear the list");
    world.settle_and_check();
}

/// Clocks stand two days ahead and behind meanwhile, and for a day nobody answers.
pub(super) fn renewed(world: &mut World) {
    let day = 24 * HOUR;
    let two_days = i64::try_from(2 * day).unwrap_or(0);
    settled(world);
    world.run_for(10 * day);
    for by in [two_days, -two_days, -two_days, two_days] {
        world.jump_clock(1, by);
        world.run_for(minutes(30));
    }
    know_each_other(world, "nobody was to be forgotten by a clock that jumped");
    let asked = world.renewals_asked(0) + world.renewals_asked(1);
    world.must(asked == 0, "no certificate was to be renewed after ten days");
    world.deny_renewal(1, true);
    world.run_for(11 * day);
    let asked = world.renewals_asked(1);
    world.must(
        (12..=40).contains(&asked),
        &format!("a renewal was to be asked for again and again, and was {asked} times"),
    );
    let renewed = world.renewals_asked(0);
    world.must(renewed == 1, &format!("a certificate was to be renewed once, and was {renewed} times"));
    world.deny_renewal(1, false);
    world.run_for(19 * day);
    for node in 0..2 {
        let is_certified = world.is_certified(node);
        world.must(is_certified, "certificates were to be renewed in time");
    }
    world.settle_and_check();
}

pub(super) fn one_name(world: &mut World) {
    world.rename_as(2, 1);
    settled(world);
    let words = world.ask_for_node(0, 1).unwrap_or_default();
    let names_both = [1, 2].iter().all(|node| words.contains(&world.node_id(*node)));
    world.must(names_both, &format!("a name of two nodes was to show both ids, and shows: {words}"));
    world.settle_and_check();
}

pub(super) fn blocked(world: &mut World) {
    settled(world);
    world.block(0, 2, true);
    world.run_for(seconds(2));
    let is_cut = !world.is_linked(0, 2);
    world.must(is_cut, "the link to who is blocked was to be hung up");
    world.crash(2, Crash::Kill);
    world.restart(2);
    world.run_for(minutes(1));
    let stays_out = !world.is_linked(0, 2) && world.is_linked(1, 2);
    world.must(stays_out, "who is blocked at one node was to stay out there, and nowhere else");
    let mail = world.submit(0, 2, &Wish::TOLD);
    world.run_for(seconds(5));
    world.block(0, 2, false);
    let arrived = world.run_until(minutes(1), |world| world.is_stored(mail));
    world.must(arrived, "who is let in again was to be reached");
    world.settle_and_check();
}

/// It is gone for good, as far as anybody knows; one of the others forgets it, and mail for it waits. It comes back.
pub(super) fn forgotten(world: &mut World) {
    settled(world);
    world.crash(2, Crash::Kill);
    world.set_apart(2, true);
    world.run_for(seconds(10));
    let mail = world.submit(0, 2, &Wish::REQUEST);
    world.run_until(seconds(5), |world| world.is_owned(mail));
    world.forget(0, 2);
    world.run_for(seconds(1));
    let is_gone = !world.has_peer(0, 2) && !world.knows_agents_of(0, 2);
    world.must(is_gone, "who is forgotten was to be known no more, nor its agents");
    // Links come and go, and records with them.
    world.crash(1, Crash::Kill);
    world.run_for(seconds(30));
    world.restart(1);
    world.run_for(minutes(30));
    let is_gone = !world.has_peer(0, 2) && world.has_peer(1, 2);
    world.must(is_gone, "it was to stay forgotten there, and nowhere else");
    world.set_apart(2, false);
    world.restart(2);
    let arrived = world.run_until(minutes(2), |world| world.is_delivered(mail));
    world.must(arrived, "who comes back was to be known again, and to get what waited");
    know_each_other(world, "who comes back was to be known again");
    world.settle_and_check();
}

/// It moves twice while one of the others cannot hear it.
pub(super) fn moved(world: &mut World) {
    settled(world);
    world.part(3, 2, minutes(30));
    world.run_for(minutes(1));
    let (_, before) = world.whereabouts(2);
    for addresses in [&["far:1", "near:1"][..], &["far:2"]] {
        world.move_to(2, addresses);
        world.run_for(seconds(7));
        let (said, _) = world.whereabouts(2);
        world.must(said == addresses, &format!("its record was to say where it is, and says {said:?}"));
        let is_known = [0, 1, 3].iter().all(|node| world.has_newest(*node, 2));
        world.must(is_known, "all were to know within seconds where it is");
    }
    let (_, after) = world.whereabouts(2);
    world.must(after > before, "a new record was to be signed");
    world.move_to(2, &["far:2"]);
    world.run_for(seconds(20));
    let same = world.whereabouts(2).1 == after;
    world.must(same, "nothing was to be signed where nothing has changed");
    let is_linked = world.is_linked(0, 2) && world.is_linked(1, 2);
    world.must(is_linked, "its links were to stay");
    world.settle_and_check();
}

/// Its records are lower than those that others hold, until it hears of them.
pub(super) fn went_back(world: &mut World) {
    settled(world);
    world.back_up(2);
    world.run_for(minutes(10));
    // Links change, and so do the records.
    world.crash(1, Crash::Kill);
    world.run_for(seconds(30));
    world.restart(1);
    world.run_for(minutes(1));
    world.put_back(2, true);
    let back = i64::try_from(minutes(30)).unwrap_or(0);
    world.jump_clock(2, -back);
    world.restart(2);
    world.run_for(minutes(2));
    world.settle_and_check();
}

/// Records of nodes that nobody certified, of agents of nodes that nobody knows, and older ones of those that are known.
pub(super) fn lying_member(world: &mut World) {
    settled(world);
    let old = world.record_of(2);
    world.crash(2, Crash::Kill);
    world.restart(2);
    world.run_for(seconds(30));
    let before = world.directory_of(0);
    for lie in 0..LIES {
        let id = AgentId::new(world.chance.bytes32());
        let Some(record) = old.as_ref().map(|old| old.get().record.clone()) else { return };
        let made_up = NodeRecord {
            public_key: forge::public_key(id),
            certificate: None,
            sequence: record.sequence + hours(24),
            ..record.clone()
        };
        let agent = AgentRecord {
            public_key: forge::public_key(AgentId::new(world.chance.bytes32())),
            name: record.name.clone(),
            capabilities: Vec::new(),
            topics: Vec::new(),
            prekey: None,
            host: NodeId::new(id),
            chain: Vec::new(),
            sequence: record.sequence,
            expiry: record.expiry,
        };
        let older = NodeRecord { sequence: record.sequence.saturating_sub(lie), ..record };
        for said in [made_up, older].map(forge::sign_node).into_iter().flatten() {
            world.say_as(1, 0, PeerSaid::Node(said));
        }
        if let Ok(said) = forge::sign_agent(agent) {
            world.say_as(1, 0, PeerSaid::Agent(said));
        }
        world.run_for(MILLI);
    }
    let after = world.directory_of(0);
    world.must(before == after, "what a member lies about others was to change nothing");
    world.settle_and_check();
}

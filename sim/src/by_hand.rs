//! Schedules that chance finds too seldom, each with the story of one trouble. A core that keeps the contract lives
//! through all of them; one that leaves out the rule that a schedule is about does not.

mod clocks;
mod members;
mod refusals;
mod rules;

use mesh::Rule;
use proto::FlowKind;
use proto::Shape as Kind;

use crate::machine::Crash;
use crate::network::{Fate, Parcel};
use crate::schedule::Wish;
use crate::shape::Handling;
use crate::story::Story;
use crate::time::{SECOND, hours, minutes, seconds};
use crate::world::World;

/// A schedule: what it is called, and how it goes.
#[derive(Clone, Copy, Debug)]
pub struct ByHand {
    /// As a sentence that a good core makes true.
    pub name: &'static str,
    /// From how many seeds it is worth living.
    pub seeds: u64,
    /// How many nodes it takes, with one agent each.
    nodes: Nodes,
    live: fn(&mut World),
}

impl ByHand {
    /// Lives it, with a rule left out or not, until the account is made.
    #[must_use]
    pub fn run(&self, seed: u64, without: Option<Rule>) -> World {
        let mut world = self.nodes.world(seed, without);
        (self.live)(&mut world);
        world
    }

    /// The same, and what happened.
    #[must_use]
    pub fn tell(&self, seed: u64, without: Option<Rule>) -> (World, Vec<String>) {
        let mut world = self.nodes.world(seed, without);
        world.story = Story::told();
        (self.live)(&mut world);
        let story = world.story.lines().to_vec();
        (world, story)
    }
}

/// What a schedule begins with.
#[derive(Clone, Copy, Debug)]
enum Nodes {
    /// Nodes that know each other.
    Pinned(usize),
    /// Members of a mesh, before the first one starts.
    Members(usize),
}

impl Nodes {
    fn world(self, seed: u64, without: Option<Rule>) -> World {
        match self {
            Self::Pinned(nodes) => World::quiet(seed, nodes, without),
            Self::Members(nodes) => World::mesh(seed, nodes, without),
        }
    }
}

/// All of them.
pub const BY_HAND: &[ByHand] = &[
    ByHand {
        name: "a message that went back with its source's store comes again marked",
        seeds: 10,
        nodes: Nodes::Pinned(2),
        live: renumbered_again,
    },
    ByHand {
        name: "a destination that claims too much settles only what was sent",
        seeds: 10,
        nodes: Nodes::Pinned(2),
        live: claims_too_much,
    },
    ByHand {
        name: "what outlived its mark because a clock went back comes marked",
        seeds: 10,
        nodes: Nodes::Pinned(2),
        live: outlived_its_mark,
    },
    ByHand {
        name: "an answer from a slow clock is taken",
        seeds: 10,
        nodes: Nodes::Pinned(2),
        live: answer_from_the_past,
    },
    ByHand {
        name: "a message sealed to a lost prekey is sealed again at once",
        seeds: 10,
        nodes: Nodes::Pinned(2),
        live: lost_prekey,
    },
    ByHand {
        name: "a new flow waits for the old one, and nothing is renumbered",
        seeds: 10,
        nodes: Nodes::Pinned(2),
        live: new_waits_for_old,
    },
    ByHand { name: "a window full of messages arrives in order", seeds: 1, nodes: Nodes::Pinned(2), live: full_window },
    ByHand {
        name: "three days without a peer end as they should",
        seeds: 1,
        nodes: Nodes::Pinned(2),
        live: three_days,
    },
    ByHand { name: "an agent that asks too much hears so", seeds: 1, nodes: Nodes::Pinned(2), live: asks_too_much },
    ByHand { name: "what is known survives a restart", seeds: 10, nodes: Nodes::Pinned(2), live: known_after_restart },
    ByHand { name: "days of changing prekeys lose nothing", seeds: 10, nodes: Nodes::Pinned(2), live: days_of_prekeys },
    ByHand { name: "a mailbox that is full loses nothing", seeds: 1, nodes: Nodes::Pinned(2), live: full_mailbox },
    ByHand {
        name: "a refusal of an old prekey that comes twice stops nothing",
        seeds: 10,
        nodes: Nodes::Pinned(2),
        live: refused_twice,
    },
    ByHand {
        name: "a late word of an older flow loses nothing",
        seeds: 10,
        nodes: Nodes::Pinned(2),
        live: late_older_flow,
    },
    ByHand {
        name: "a mark that only a floor has made is answered for",
        seeds: 10,
        nodes: Nodes::Pinned(2),
        live: mark_of_a_floor,
    },
    ByHand { name: "large bodies fill the window and arrive", seeds: 1, nodes: Nodes::Pinned(2), live: large_bodies },
    ByHand {
        name: "a store that was copied at rest and put back delivers again what it had, marked",
        seeds: 10,
        nodes: Nodes::Pinned(2),
        live: clocks::copied_at_rest,
    },
    ByHand {
        name: "what was said once is not heard again when its hour comes back",
        seeds: 10,
        nodes: Nodes::Pinned(2),
        live: clocks::its_hour_comes_back,
    },
    ByHand {
        name: "a clock that jumps two days either way ends nothing",
        seeds: 3,
        nodes: Nodes::Pinned(2),
        live: clocks::two_days_either_way,
    },
    ByHand {
        name: "what no rule allows reaches nobody, and its sender hears so, whatever crashes",
        seeds: 10,
        nodes: Nodes::Pinned(2),
        live: rules::forbidden,
    },
    ByHand {
        name: "a destination that lies harms only what it was sent",
        seeds: 10,
        nodes: Nodes::Pinned(3),
        live: lies_all_day,
    },
    ByHand {
        name: "a newcomer and all others know each other, whoever it came through",
        seeds: 5,
        nodes: Nodes::Members(6),
        live: members::newcomer,
    },
    ByHand {
        name: "what somebody cannot hear from a node itself goes on through its neighbours",
        seeds: 5,
        nodes: Nodes::Members(4),
        live: members::parted_newcomer,
    },
    ByHand {
        name: "a silent node ends with its agents, and is known again when it comes back",
        seeds: 1,
        nodes: Nodes::Members(3),
        live: members::silent,
    },
    ByHand {
        name: "who has left stays away, whatever others still hold",
        seeds: 5,
        nodes: Nodes::Members(4),
        live: members::left,
    },
    ByHand {
        name: "who is revoked is out within five seconds, with its mail",
        seeds: 5,
        nodes: Nodes::Members(5),
        live: members::revoked,
    },
    ByHand {
        name: "who is revoked and comes again is refused",
        seeds: 5,
        nodes: Nodes::Members(3),
        live: members::revoked_comes_again,
    },
    ByHand {
        name: "a list of revocations reaches who was away, and an older one changes nothing",
        seeds: 5,
        nodes: Nodes::Members(4),
        live: members::older_list,
    },
    ByHand {
        name: "a certificate is renewed in time, whatever clocks do, and asked for until it is",
        seeds: 1,
        nodes: Nodes::Members(2),
        live: members::renewed,
    },
    ByHand {
        name: "a name that two nodes claim means neither",
        seeds: 3,
        nodes: Nodes::Members(3),
        live: members::one_name,
    },
    ByHand {
        name: "a node that is blocked stays out until it is let in",
        seeds: 5,
        nodes: Nodes::Members(3),
        live: members::blocked,
    },
    ByHand {
        name: "a node whose store and clock went back is believed again",
        seeds: 5,
        nodes: Nodes::Members(3),
        live: members::went_back,
    },
    ByHand {
        name: "a member that lies about others changes nothing",
        seeds: 1,
        nodes: Nodes::Members(3),
        live: members::lying_member,
    },
    ByHand {
        name: "an end that is told again because a store went back is marked",
        seeds: 10,
        nodes: Nodes::Pinned(2),
        live: clocks::told_again,
    },
    ByHand {
        name: "what its agent refuses for good ends at once, and comes no more whatever crashes",
        seeds: 10,
        nodes: Nodes::Pinned(2),
        live: refusals::refused_for_good,
    },
    ByHand {
        name: "an agent that its node hosts no longer is forgotten when its record ends",
        seeds: 1,
        nodes: Nodes::Members(3),
        live: members::ended_agent,
    },
    ByHand {
        name: "a node that an operator forgets is known again when it comes back, and gets what waited for it",
        seeds: 5,
        nodes: Nodes::Members(3),
        live: members::forgotten,
    },
    ByHand {
        name: "a node that is reached elsewhere says so to all members",
        seeds: 5,
        nodes: Nodes::Members(4),
        live: members::moved,
    },
    ByHand {
        name: "whoever asks once hears at once of a refusal, on its own node and on another",
        seeds: 10,
        nodes: Nodes::Pinned(2),
        live: refusals::declined,
    },
    ByHand {
        name: "an old prekey that is refused for a message that has ended meanwhile holds up nothing behind it",
        seeds: 10,
        nodes: Nodes::Pinned(2),
        live: refusals::old_prekey_of_ended,
    },
];

fn is_durable(parcel: &Parcel) -> bool {
    matches!(parcel.content.header.shape(), Kind::Durable(FlowKind::Messages))
}

/// The backup is made while the message is owned; then it is stored, handled, and a newer flow begins.
fn renumbered_again(world: &mut World) {
    world.on_frames(|parcel, _| if parcel.from == 1 { Fate::Lost } else { Fate::Arrives });
    let sent = world.submit(0, 1, &Wish::TOLD);
    world.run_until(seconds(5), |world| world.is_delivered(sent));
    world.back_up(0);
    world.leave_frames();
    world.run_for(minutes(2));
    world.stop(0);
    world.run_for(seconds(20));
    let newer = world.submit(0, 1, &Wish::TOLD);
    world.run_until(seconds(10), |world| world.is_stored(newer));
    world.put_back(0, true);
    world.restart(0);
    world.run_for(minutes(3));
    let renumbered = world.tally().renumbered > 0;
    world.must(renumbered, "the message was to be renumbered");
    world.settle_and_check();
}

fn claims_too_much(world: &mut World) {
    let first = world.submit(0, 1, &Wish::TOLD);
    world.on_frames(|parcel, _| if parcel.from == 1 { Fate::Lost } else { Fate::Arrives });
    world.run_until(seconds(5), |world| world.is_delivered(first));
    world.hold_syncs(0);
    let second = world.submit(0, 1, &Wish::TOLD);
    world.run_until(seconds(1), |world| world.place(second).is_some());
    if let Some((flow, sequence)) = world.place(second) {
        world.forge_stored(second, flow, sequence);
    }
    world.run_for(seconds(1));
    world.release_syncs(0);
    world.settle_and_check();
    let arrived = world.is_delivered(second);
    world.must(arrived, "the second message was to arrive");
}

/// Its source is away until the mark is dropped; then both clocks go back, so that it has not expired.
fn outlived_its_mark(world: &mut World) {
    world.on_frames(|parcel, _| if parcel.from == 1 { Fate::Lost } else { Fate::Arrives });
    let sent = world.submit(0, 1, &Wish { life: Some(seconds(60)), ..Wish::TOLD });
    world.run_until(seconds(5), |world| world.is_delivered(sent));
    world.crash(0, Crash::Kill);
    world.leave_frames();
    world.run_for(minutes(13));
    let back = i64::try_from(minutes(14)).unwrap_or(0);
    for node in 0..2 {
        world.jump_clock(node, -back);
    }
    world.restart(0);
    world.settle(minutes(30));
    let again = world.mail(sent).is_some_and(|mail| mail.deliveries > 1);
    world.must(again, "the message was to come again");
    world.check();
}

fn answer_from_the_past(world: &mut World) {
    world.send_away(1, minutes(5));
    world.run_for(seconds(1));
    let sent = world.submit(0, 1, &Wish { life: Some(hours(48)), ..Wish::REQUEST });
    world.run_until(seconds(10), |world| world.is_stored(sent));
    world.run_for(seconds(2));
    let back = i64::try_from(hours(73)).unwrap_or(0);
    world.jump_clock(1, -back);
    world.run_for(minutes(6));
    world.settle_and_check();
}

/// The first attempt after the restart is sealed to a prekey that died with the process.
fn lost_prekey(world: &mut World) {
    let first = world.submit(0, 1, &Wish::TOLD);
    world.run_until(seconds(5), |world| world.is_stored(first));
    world.run_for(seconds(1));
    world.crash(1, Crash::Kill);
    let sent = world.submit(0, 1, &Wish::TOLD);
    world.run_for(seconds(10));
    world.restart(1);
    world.run_until(seconds(40), |world| world.tally().old_prekeys > 0);
    let met_it = world.tally().old_prekeys > 0;
    let arrives = world.run_until(seconds(4), |world| world.is_stored(sent));
    world.must(!met_it || arrives, "what was sealed to an old prekey was to be sealed again at once");
    world.settle_and_check();
}

fn full_window(world: &mut World) {
    let messages = 3000_u64;
    let mut left = 0_u64;
    world.on_frames(move |parcel, _| {
        if !is_durable(parcel) {
            return Fate::Arrives;
        }
        left += 1;
        match left % 7 {
            0 => Fate::Late(SECOND / 2),
            1 if left < messages => Fate::Lost,
            _ => Fate::Arrives,
        }
    });
    for _ in 0..messages {
        world.submit(0, 1, &Wish::TOLD);
    }
    world.run_for(minutes(20));
    world.settle_and_check();
    let seen = world.seen(1);
    world.must(seen == messages, &format!("{seen} of {messages} arrived"));
}

/// What expires while the peer is away is told; what is long-lived arrives.
fn three_days(world: &mut World) {
    world.part(0, 1, hours(70));
    world.run_for(seconds(10));
    let short = world.submit(0, 1, &Wish { life: Some(hours(1)), ..Wish::REQUEST });
    let long = world.submit(0, 1, &Wish { life: Some(hours(72)), ..Wish::REQUEST });
    world.run_for(hours(2));
    let told = world.is_ended(short);
    world.must(told, "the end of what expired was to be told");
    world.run_for(hours(69));
    world.settle_and_check();
    let arrived = world.is_delivered(long);
    world.must(arrived, "what lives for three days was to arrive");
}

/// More questions than one agent may await the ends of.
fn asks_too_much(world: &mut World) {
    world.set_handling(1, Handling { never: 1000, ..Handling::default() });
    for _ in 0..1100 {
        world.submit(0, 1, &Wish::REQUEST);
    }
    world.run_for(seconds(20));
    world.set_handling(1, Handling::default());
    world.run_for(minutes(10));
    world.settle(minutes(20));
    world.check();
}

/// The peer is down; its agent is known from before.
fn known_after_restart(world: &mut World) {
    world.crash(1, Crash::Kill);
    world.run_for(seconds(5));
    world.crash(0, Crash::Power);
    world.run_for(seconds(1));
    world.restart(0);
    world.run_for(seconds(5));
    let sent = world.submit(0, 1, &Wish::REQUEST);
    let accepted = world.run_until(seconds(5), |world| world.is_owned(sent));
    world.must(accepted, "a message to a known agent whose node is away was to be accepted");
    world.restart(1);
    world.settle_and_check();
    let arrived = world.is_delivered(sent);
    world.must(arrived, "it was to arrive");
}

fn days_of_prekeys(world: &mut World) {
    let mut sent = Vec::new();
    for hour in 0..100 {
        sent.push(world.submit(0, 1, &Wish::REQUEST));
        sent.push(world.submit(1, 0, &Wish::TOLD));
        world.run_for(hours(1));
        let late = sent.iter().filter(|sent| !world.is_delivered(**sent)).count();
        world.must(late == 0, &format!("{late} have not arrived after {hour} hours"));
        sent.clear();
    }
    world.settle_and_check();
}

/// More than a mailbox holds, for an agent that is away.
fn full_mailbox(world: &mut World) {
    world.send_away(1, minutes(20));
    world.run_for(seconds(1));
    let messages = proto::limits::MAILBOX_MESSAGES_MAX as u64 + 300;
    for round in 0..messages {
        world.submit(0, 1, &Wish::TOLD);
        if round.is_multiple_of(500) {
            world.run_for(seconds(2));
        }
    }
    world.run_for(minutes(25));
    world.settle_and_check();
    let seen = world.seen(1);
    world.must(seen == messages, &format!("{seen} of {messages} arrived"));
}

/// Its STORED speaks of what it has not, its 4015 of flows that are not: messages to others, and those that it was not
/// sent, are not its to lose.
fn lies_all_day(world: &mut World) {
    for round in 0..100_u32 {
        let lied_to = world.submit(0, 1, &Wish::TOLD);
        world.submit(0, 2, &Wish::TOLD);
        let asked = world.submit(1, 2, &Wish::REQUEST);
        world.run_until(seconds(1), |world| world.place(lied_to).is_some());
        if let Some((flow, sequence)) = world.place(lied_to) {
            world.forge_stored(lied_to, flow, sequence.saturating_add(round));
            world.forge_older_flow(lied_to, flow.get().saturating_add(u64::from(round) * 2));
        }
        world.forge_older_flow(lied_to, proto::limits::FLOW_ID_MAX - 1 - u64::from(round % 4));
        // Another agent claims to have handled what was not for it.
        world.forge_handled(lied_to, 2, round + 1);
        world.forge_handled(asked, 0, round + 1);
        world.run_for(seconds(2));
    }
    world.settle_and_check();
}

/// The second copy comes while the attempt under the new prekey is not yet confirmed.
fn refused_twice(world: &mut World) {
    world.crash(1, Crash::Kill);
    let sent = world.submit(0, 1, &Wish::TOLD);
    world.run_for(seconds(2));
    world.on_frames(|parcel, _| {
        let shape = parcel.content.header.shape();
        if shape == Kind::Notice {
            Fate::Twice(SECOND / 2)
        } else if shape == Kind::Stored {
            Fate::Late(SECOND)
        } else {
            Fate::Arrives
        }
    });
    world.restart(1);
    world.run_until(seconds(60), |world| world.is_stored(sent));
    world.run_for(seconds(10));
    let next = world.submit(0, 1, &Wish::TOLD);
    let arrives = world.run_until(minutes(2), |world| world.is_stored(next));
    world.must(arrives, "the next message was to be stored within two minutes");
    world.settle_and_check();
}

/// A clock that went back makes flows that do not come from the clock; what is said of one must not lead into another.
fn late_older_flow(world: &mut World) {
    let minute = i64::try_from(minutes(1)).unwrap_or(0);
    world.jump_clock(0, 2 * minute);
    let first = world.submit(0, 1, &Wish::TOLD);
    world.run_until(seconds(5), |world| world.place(first).is_some());
    let newest = world.place(first).map_or(0, |(flow, _)| flow.get());
    world.run_for(seconds(5));
    world.jump_clock(0, -4 * minute);
    for _ in 0..2 {
        world.crash(0, Crash::Kill);
        world.restart(0);
        world.run_for(seconds(5));
        // The true word is lost, and an old one comes instead.
        let is_notice = |parcel: &Parcel| parcel.content.header.shape() == Kind::Notice;
        world.on_frames(move |parcel, _| if is_notice(parcel) { Fate::Lost } else { Fate::Arrives });
        let next = world.submit(0, 1, &Wish::TOLD);
        world.run_for(seconds(2));
        world.forge_older_flow(next, newest);
        world.run_for(seconds(5));
        world.leave_frames();
        world.run_for(minutes(2));
    }
    world.settle_and_check();
}

/// A destination that has lost its store first sees a frame from the middle of a flow; then the source goes back to the
/// beginning of it.
fn mark_of_a_floor(world: &mut World) {
    world.on_frames(|parcel, _| if parcel.from == 1 { Fate::Lost } else { Fate::Arrives });
    let early: Vec<_> = (0..3).map(|_| world.submit(0, 1, &Wish::TOLD)).collect();
    world.run_until(seconds(5), |world| early.iter().all(|sent| world.is_stored(*sent)));
    world.back_up(0);
    world.leave_frames();
    world.run_for(minutes(2));
    world.crash(1, Crash::StoreLost);
    world.submit(0, 1, &Wish::TOLD);
    world.submit(0, 1, &Wish::TOLD);
    world.run_for(seconds(2));
    world.on_frames(|parcel, _| if parcel.content.header.sequence().get() == 4 { Fate::Lost } else { Fate::Arrives });
    world.restart(1);
    world.run_for(minutes(2));
    world.put_back(0, true);
    world.restart(0);
    world.run_for(seconds(10));
    world.submit(0, 1, &Wish::TOLD);
    world.run_for(minutes(2));
    world.leave_frames();
    world.settle_and_check();
}

/// What was owned before a restart arrives late; what was said after it must not overtake it.
fn new_waits_for_old(world: &mut World) {
    world.on_frames(|parcel, _| if is_durable(parcel) { Fate::Lost } else { Fate::Arrives });
    let old = world.submit(0, 1, &Wish::TOLD);
    world.run_for(seconds(2));
    world.crash(0, Crash::Kill);
    world.restart(0);
    world.run_for(seconds(5));
    let new = world.submit(0, 1, &Wish::TOLD);
    world.run_for(seconds(5));
    world.on_frames(
        move |parcel, _| if parcel.content.header.id() == old.id { Fate::Late(SECOND) } else { Fate::Arrives },
    );
    world.run_until(minutes(5), |world| world.is_delivered(old) && world.is_delivered(new));
    world.settle_and_check();
    let tally = world.tally();
    world.must(tally.renumbered == 0 && tally.marked == 0, "nothing was to be renumbered or marked");
}

/// More than a window of bytes, with losses in the middle.
fn large_bodies(world: &mut World) {
    let messages = 40_u64;
    let mut count = 0_u64;
    world.on_frames(move |parcel, _| {
        count += u64::from(is_durable(parcel));
        match count % 9 {
            0 if count < messages => Fate::Lost,
            1 => Fate::Late(SECOND),
            _ => Fate::Arrives,
        }
    });
    for _ in 0..messages {
        world.submit(0, 1, &Wish { body_bytes: 1 << 20, ..Wish::TOLD });
    }
    world.run_for(minutes(5));
    world.settle_and_check();
    let seen = world.seen(1);
    world.must(seen == messages, &format!("{seen} of {messages} arrived"));
}

//! Schedules that chance finds too seldom, each with the story of one trouble. A core that keeps the contract lives
//! through all of them; one that leaves out the rule that a schedule is about does not.

use mesh::Rule;
use proto::FlowKind;
use proto::Shape as Kind;

use crate::machine::Crash;
use crate::network::Fate;
use crate::schedule::Wish;
use crate::shape::Handling;
use crate::time::{SECOND, hours, minutes, seconds};
use crate::world::World;

/// A schedule: what it is called, and how it goes.
#[derive(Clone, Copy, Debug)]
pub struct ByHand {
    /// As a sentence that a good core makes true.
    pub name: &'static str,
    /// Lives it, with a rule left out or not, until the account is made.
    pub live: fn(u64, Option<Rule>) -> World,
}

/// All of them.
pub const BY_HAND: &[ByHand] = &[
    ByHand { name: "a message that went back with its source's store comes again marked", live: renumbered_again },
    ByHand { name: "a destination that claims too much settles only what was sent", live: claims_too_much },
    ByHand { name: "what outlived its mark because a clock went back comes marked", live: outlived_its_mark },
    ByHand { name: "an answer from a slow clock is taken", live: answer_from_the_past },
    ByHand { name: "a message sealed to a lost prekey is sealed again at once", live: lost_prekey },
    ByHand { name: "a window full of messages arrives in order", live: full_window },
    ByHand { name: "three days without a peer end as they should", live: three_days },
    ByHand { name: "an agent that asks too much hears so", live: asks_too_much },
];

fn is_durable(parcel: &crate::network::Parcel) -> bool {
    matches!(parcel.content.header.shape(), Kind::Durable(FlowKind::Messages))
}

/// The backup is made while the message is owned; then it is stored, handled, and a newer flow begins.
fn renumbered_again(seed: u64, without: Option<Rule>) -> World {
    let mut world = World::quiet(seed, 2, without);
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
    world
}

fn claims_too_much(seed: u64, without: Option<Rule>) -> World {
    let mut world = World::quiet(seed, 2, without);
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
    world
}

/// Its source is away until the mark is dropped; then both clocks go back, so that it has not expired.
fn outlived_its_mark(seed: u64, without: Option<Rule>) -> World {
    let mut world = World::quiet(seed, 2, without);
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
    world
}

fn answer_from_the_past(seed: u64, without: Option<Rule>) -> World {
    let mut world = World::quiet(seed, 2, without);
    world.send_away(1, minutes(5));
    world.run_for(seconds(1));
    let sent = world.submit(0, 1, &Wish { life: Some(hours(48)), ..Wish::REQUEST });
    world.run_until(seconds(10), |world| world.is_stored(sent));
    world.run_for(seconds(2));
    let back = i64::try_from(hours(73)).unwrap_or(0);
    world.jump_clock(1, -back);
    world.run_for(minutes(6));
    world.settle_and_check();
    world
}

/// The first attempt after the restart is sealed to a prekey that died with the process.
fn lost_prekey(seed: u64, without: Option<Rule>) -> World {
    let mut world = World::quiet(seed, 2, without);
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
    world
}

fn full_window(seed: u64, without: Option<Rule>) -> World {
    let mut world = World::quiet(seed, 2, without);
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
    world
}

/// What expires while the peer is away is told; what is long-lived arrives.
fn three_days(seed: u64, without: Option<Rule>) -> World {
    let mut world = World::quiet(seed, 2, without);
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
    world
}

/// More questions than one agent may await the ends of.
fn asks_too_much(seed: u64, without: Option<Rule>) -> World {
    let mut world = World::quiet(seed, 2, without);
    world.set_handling(1, Handling { never: 1000, ..Handling::default() });
    for _ in 0..1100 {
        world.submit(0, 1, &Wish::REQUEST);
    }
    world.run_for(seconds(20));
    world.set_handling(1, Handling::default());
    world.run_for(minutes(10));
    world.settle(minutes(20));
    world.check();
    world
}

//! Schedules about clocks that jump and stores that were put back.

use proto::Shape as Kind;

use crate::agent::Act;
use crate::network::Fate;
use crate::schedule::Wish;
use crate::time::{hours, minutes, seconds};
use crate::world::{What, World};

/// The copy is made of a store at rest, with a message in it that its agent handles afterwards.
pub(super) fn copied_at_rest(world: &mut World) {
    world.send_away(1, seconds(60));
    world.run_for(seconds(1));
    let sent = world.submit(0, 1, &Wish::TOLD);
    world.run_until(seconds(5), |world| world.is_stored(sent));
    world.stop(1);
    let stopped = world.run_until(seconds(30), |world| !world.is_up(1));
    world.must(stopped, "it was to stop");
    world.back_up(1);
    world.run_until(minutes(5), |world| world.is_delivered(sent));
    world.run_for(seconds(5));
    world.put_back(1, true);
    world.restart(1);
    world.settle_and_check();
    let again = world.mail(sent).is_some_and(|mail| mail.deliveries > 1);
    world.must(again, "what the store had forgotten was to come again");
}

/// A frame is recorded, and comes again when a clock stands where it stood when it was made.
pub(super) fn its_hour_comes_back(world: &mut World) {
    world.keeps_sent = true;
    let to = world.agent_id(1);
    world.plan(0, What::Act { agent: 0, act: Act::SayOnce { to, asks: false } });
    world.run_for(seconds(2));
    let is_once = |parcel: &&crate::Parcel| parcel.content.header.shape() == Kind::Once && parcel.from == 0;
    let recorded = world.sent.iter().find(is_once).cloned();
    world.keeps_sent = false;
    world.must(recorded.is_some(), "a frame was to be recorded");
    world.run_for(minutes(3));
    let back = i64::try_from(minutes(3)).unwrap_or(0);
    world.jump_clock(1, -back);
    for after in [0, seconds(1), seconds(10)] {
        if let Some(parcel) = recorded.clone() {
            world.inject(parcel, after);
        }
    }
    world.run_for(seconds(20));
    world.settle(minutes(15));
    world.check();
}

/// Mail waits at both ends while a clock stands two days ahead, and then two days behind.
pub(super) fn two_days_either_way(world: &mut World) {
    let days = i64::try_from(hours(48)).unwrap_or(0);
    for node in 0..2 {
        for by in [days, -days] {
            world.send_away(1, minutes(8));
            world.run_for(seconds(1));
            let waits = world.submit(0, 1, &Wish { life: Some(hours(24)), ..Wish::REQUEST });
            world.run_until(seconds(5), |world| world.is_stored(waits));
            world.part(0, 1, minutes(6));
            let owned = world.submit(0, 1, &Wish { life: Some(hours(24)), ..Wish::TOLD });
            world.run_until(seconds(5), |world| world.is_owned(owned));
            world.jump_clock(node, by);
            world.run_for(minutes(5));
            world.jump_clock(node, -by);
            world.run_for(minutes(5));
            let arrived = world.run_until(minutes(5), |world| world.is_delivered(waits) && world.is_delivered(owned));
            world.must(arrived, "what waited while a clock was wrong was to arrive");
            world.run_for(minutes(15));
        }
    }
    world.settle_and_check();
}

/// The copy is made while the message is owned. Its end is told; then the store goes back, and the message expires in it
/// when its birth is long past.
pub(super) fn told_again(world: &mut World) {
    world.on_frames(|_, _| Fate::Lost);
    let sent = world.submit(0, 1, &Wish { life: Some(minutes(25)), ..Wish::REQUEST });
    world.run_until(seconds(5), |world| world.is_owned(sent));
    world.run_for(seconds(1));
    world.back_up(0);
    world.leave_frames();
    let is_told = world.run_until(minutes(2), |world| world.is_ended(sent));
    world.must(is_told, "its end was to be told");
    world.run_for(seconds(5));
    world.part(0, 1, minutes(40));
    world.put_back(0, true);
    world.restart(0);
    world.run_for(minutes(30));
    let is_told_again = world.mail(sent).is_some_and(|mail| mail.ends.len() > 1);
    world.must(is_told_again, "an end was to be told again");
    world.settle_and_check();
}

//! What an agent refuses for good.

use proto::Shape as Kind;

use crate::agent::Act;
use crate::machine::Crash;
use crate::network::Fate;
use crate::schedule::Wish;
use crate::shape::Handling;
use crate::time::{SECOND, minutes, seconds};
use crate::world::{What, World};

/// A question, something of which nobody awaits the end, and one more question whose refusal has to wait: its node
/// crashes before the end has left.
pub(super) fn refused_for_good(world: &mut World) {
    world.set_handling(1, Handling { refuse_for_good: 1000, pause_ms: 1, ..Handling::default() });
    let asked = world.submit(0, 1, &Wish::REQUEST);
    let told = world.submit(0, 1, &Wish::TOLD);
    let heard = world.run_until(seconds(5), |world| world.is_ended(asked) && world.is_stored(told));
    world.must(heard, "its sender was to hear within five seconds that it was refused");
    world.on_frames(|parcel, _| if parcel.from == 1 { Fate::Lost } else { Fate::Arrives });
    let later = world.submit(0, 1, &Wish::REQUEST);
    world.run_for(seconds(5));
    world.crash(1, Crash::Power);
    world.leave_frames();
    world.set_handling(1, Handling { pause_ms: 1, ..Handling::default() });
    world.restart(1);
    let heard = world.run_until(minutes(3), |world| world.is_ended(later));
    world.must(heard, "the end of what was refused was to outlive the crash of its node");
    for sent in [asked, told, later] {
        let times = world.mail(sent).map_or(0, |mail| mail.deliveries);
        world.must(times == 1, &format!("what was refused for good was to come once, and came {times} times"));
    }
    world.settle_and_check();
}

/// Two questions that are asked once, one of them by the very agent that refuses. For each of them it refuses for good, and
/// not for good, which is the same for what does not come again.
pub(super) fn declined(world: &mut World) {
    let refuses = [(1000, 0), (0, 1000)];
    for (round, (refuse, refuse_for_good)) in (1..).zip(refuses) {
        world.set_handling(1, Handling { refuse, refuse_for_good, pause_ms: 1, ..Handling::default() });
        let to = world.agent_id(1);
        for from in [0, 1] {
            world.plan(0, What::Act { agent: from, act: Act::SayOnce { to, asks: true } });
        }
        let heard = world.run_until(seconds(1), |world| world.tally().declined == 2 * round);
        world.must(heard, "whoever asked was to hear within a second that it gets no answer");
    }
    world.set_handling(1, Handling::default());
    world.settle_and_check();
}

/// One word about an old prekey is said of all that came at once, and names the first of it. Its end comes before.
pub(super) fn old_prekey_of_ended(world: &mut World) {
    world.set_handling(1, Handling { pause_ms: 1, ..Handling::default() });
    world.on_frames(|parcel, _| if parcel.from == 1 { Fate::Lost } else { Fate::Arrives });
    let first = world.submit(0, 1, &Wish::REQUEST);
    world.run_for(seconds(3));
    world.crash(1, Crash::Kill);
    let behind = world.submit(0, 1, &Wish::TOLD);
    world.run_for(seconds(10));
    let late = |parcel: &crate::network::Parcel| parcel.content.header.shape() == Kind::Notice;
    world.on_frames(move |parcel, _| if late(parcel) { Fate::Late(SECOND) } else { Fate::Arrives });
    world.restart(1);
    world.run_until(seconds(40), |world| world.tally().old_prekeys > 0 || world.is_stored(behind));
    let arrives = world.run_until(seconds(4), |world| world.is_stored(behind) && world.is_ended(first));
    world.must(arrives, "what was sealed to the same old prekey was to be sealed again at once");
    world.leave_frames();
    world.settle_and_check();
}

//! What an agent refuses for good.

use crate::machine::Crash;
use crate::network::Fate;
use crate::schedule::Wish;
use crate::shape::Handling;
use crate::time::{minutes, seconds};
use crate::world::World;

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

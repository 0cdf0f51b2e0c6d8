//! Rules of a destination's operator.

use mesh::{Allow, Pattern, Policy, Where};

use crate::machine::Crash;
use crate::network::Fate;
use crate::schedule::Wish;
use crate::time::{minutes, seconds};
use crate::world::World;

/// Everybody is asked for, and nobody lives there.
fn nobody() -> Policy {
    Policy::new(vec![Allow {
        name: "nobody".into(),
        to: Pattern::new("*"),
        from: None,
        node: Some(Where::new("elsewhere")),
        capability: None,
        subject: None,
    }])
}

/// Refused is settled with its mark: what was refused before a crash of the destination is not judged anew after it, when
/// the rules have changed; and what comes behind it flows.
pub(super) fn forbidden(world: &mut World) {
    world.set_policy(1, nobody());
    let asked = world.submit(0, 1, &Wish::REQUEST);
    let told = world.submit(0, 1, &Wish::TOLD);
    world.forbid(asked);
    world.forbid(told);
    world.on_frames(|parcel, _| if parcel.from == 1 { Fate::Lost } else { Fate::Arrives });
    world.run_for(seconds(5));
    world.crash(1, Crash::Power);
    world.set_policy(1, Policy::default());
    world.leave_frames();
    world.restart(1);
    let allowed = world.submit(0, 1, &Wish::REQUEST);
    world.run_for(minutes(3));
    let seen = world.is_delivered(asked) || world.is_delivered(told);
    world.must(!seen, "what no rule allows was to reach nobody");
    let heard = world.is_ended(asked) && world.is_stored(asked);
    world.must(heard, "its sender was to hear that it was refused");
    let arrived = world.is_delivered(allowed);
    world.must(arrived, "what came behind it was to arrive");
    world.settle_and_check();
}

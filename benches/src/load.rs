//! Kept messages, sent as fast as so many in flight allow, each stage timed. It knows no host and prints nothing.

use std::time::Duration;

use client::{Agent, Body, Stage};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::BODY_BYTES;
use crate::times::{Times, since};

/// What is timed of each message.
pub const STAGES: [&str; 3] = ["accepted", "stored", "handled"];

/// Waits until an agent can be sent to: its record takes a moment from host to host.
///
/// # Panics
/// If it takes long.
pub async fn is_known(me: &Agent, to: &str) {
    let begun = Instant::now();
    while me.resolve(to).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{to} is not known");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Keeps so many under way, each begun when another was handled: the times of each stage, and of all together.
///
/// # Panics
/// If one is refused.
pub async fn send_many(me: &Agent, to: &'static str, in_flight: usize, count: usize) -> ([Times; 3], f64) {
    let body = Body::octets(vec![0x5A; BODY_BYTES]);
    let begun = Instant::now();
    let mut lanes = JoinSet::new();
    for lane in 0..in_flight {
        let share = count / in_flight + usize::from(lane < count % in_flight);
        let (me, body) = (me.clone(), body.clone());
        lanes.spawn(async move {
            let mut stages: [Times; 3] = Default::default();
            for _ in 0..share {
                send(&me, to, body.clone(), &mut stages).await;
            }
            stages
        });
    }
    let mut all: [Times; 3] = Default::default();
    while let Some(stages) = lanes.join_next().await {
        all.iter_mut().zip(&stages.unwrap()).for_each(|(all, one)| all.join(one));
    }
    (all, since(begun))
}

async fn send(me: &Agent, to: &str, body: Body, stages: &mut [Times; 3]) {
    let begun = Instant::now();
    let sent = me.send(to, "store", body).until(Stage::Handled).await.unwrap();
    stages[0].note(since(begun));
    sent.stored().await.unwrap();
    stages[1].note(since(begun));
    sent.handled().await.unwrap();
    stages[2].note(since(begun));
}

//! Handlers, where many messages wait for them.

use tokio::sync::watch;

use super::credit::request;
use super::*;

/// More than there are places for handlers.
const MANY: u64 = limits::LIBRARY_HANDLERS_MAX as u64 + 8;
const LAST: u64 = 1000;

/// Serves: what the peer sent is handled once a stranger's message was. Gives how many of the peer's were begun.
fn serve_strangers_first(me: &Agent) -> watch::Receiver<usize> {
    let (free, freed) = watch::channel(false);
    let (begin, begun) = watch::channel(0);
    me.on_other(move |message| {
        let (free, mut freed, begin) = (free.clone(), freed.clone(), begin.clone());
        async move {
            if message.source() == STRANGER {
                free.send_replace(true);
            } else {
                begin.send_modify(|begun| *begun += 1);
                freed.wait_for(|freed| *freed).await.map_err(|_| crate::Refuse::new("nobody frees it"))?;
            }
            Ok(())
        }
    });
    let server = me.clone();
    tokio::spawn(async move { server.serve().await });
    begun
}

#[tokio::test(flavor = "current_thread")]
async fn whoever_comes_behind_many_slow_messages_of_one_source_is_served_and_their_order_stays() {
    let (_folder, path, listener) = listen();
    let daemon = async {
        let mut door = Door::open(&listener).await;
        let durable = |number| request(Shape::Durable(FlowKind::Messages), number);
        for number in 1..=MANY {
            door.deliver(&durable(number), number, b"slow").await;
        }
        door.deliver(&Draft { source: STRANGER, ..durable(LAST) }, LAST, b"quick").await;
        for expected in [LAST].into_iter().chain(1..=MANY) {
            let handled = door.hear(DoorEvent::Handled).await;
            assert_eq!(handled.metadata.number(Key::DeliveryNumber), Some(expected));
        }
        door
    };
    let agent = async {
        let me = Agent::attach("me").socket(&path).await.expect("it attaches");
        serve_strangers_first(&me);
        me
    };
    tokio::join!(daemon, agent);
}

#[tokio::test(flavor = "current_thread")]
async fn questions_of_one_source_that_are_answered_slowly_leave_half_of_the_places_to_others() {
    let (_folder, path, listener) = listen();
    let (tell, told) = tokio::sync::oneshot::channel();
    let daemon = async {
        let mut door = Door::open(&listener).await;
        for id in 1..=MANY {
            door.deliver_once(id).await;
        }
        told.await.expect("the agent is there");
        let durable = Draft { source: STRANGER, ..request(Shape::Durable(FlowKind::Messages), LAST) };
        door.deliver(&durable, LAST, b"quick").await;
        let handled = door.hear(DoorEvent::Handled).await;
        assert_eq!(handled.metadata.number(Key::DeliveryNumber), Some(LAST));
        door
    };
    let agent = async {
        let me = Agent::attach("me").socket(&path).await.expect("it attaches");
        let mut begun = serve_strangers_first(&me);
        let half = limits::LIBRARY_HANDLERS_MAX / 2;
        begun.wait_for(|begun| *begun >= half).await.expect("it serves");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(*begun.borrow(), half, "the rest is left to others");
        tell.send(()).expect("the door is there");
        let all = usize::try_from(MANY).expect("a number");
        begun.wait_for(|begun| *begun == all).await.expect("all of them have their turn");
        me
    };
    tokio::join!(daemon, agent);
}

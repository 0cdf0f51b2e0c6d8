//! Credit, both ways, and the lease of a delivery that is worked on.

use super::*;

const PAUSE: Duration = Duration::from_millis(100);

/// What the peer asks, once or durably.
pub(super) fn request(shape: Shape, id: u64) -> Draft {
    Draft {
        message_type: MessageType::Request,
        shape,
        id: proto::MessageId::new(id),
        timestamp: 1,
        source: PEER,
        destination: ME,
        content_type: ContentType::Text,
        hops: 0,
        sequence: Sequence::NONE,
        told: Receipt::None,
        last: false,
    }
}

impl Door {
    pub(super) async fn allow(&mut self, (messages, bytes): (u64, u64)) {
        let draft = Draft { source: NODE, destination: AgentId::ZERO, ..request(Shape::Once, 1) };
        let draft = Draft { content_type: ContentType::None, ..draft };
        let metadata = MetadataDraft {
            subject: Some("agent.credit"),
            credit_messages: Some(messages),
            credit_bytes: Some(bytes),
            ..MetadataDraft::default()
        };
        self.say(&draft, &metadata, b"").await;
    }

    async fn hears_nothing(&mut self) {
        let heard = tokio::time::timeout(PAUSE, self.stream.read_buf(&mut self.arrived)).await;
        assert!(heard.is_err() && self.arrived.is_empty(), "it says something");
    }

    /// So many submissions, and nothing behind them.
    async fn submissions(&mut self, count: usize) -> Vec<Content> {
        let mut heard = Vec::new();
        for _ in 0..count {
            heard.push(self.hear(DoorEvent::Submit).await);
        }
        self.hears_nothing().await;
        heard
    }

    pub(super) async fn deliver_once(&mut self, id: u64) {
        let (name, node) = ("peer".parse().expect("a name"), "beta".parse().expect("a name"));
        self.say(&request(Shape::Once, id), &proved(&name, &node), b"hi").await;
    }

    async fn hear_credit(&mut self) -> u64 {
        self.hear(DoorEvent::Credit).await.metadata.number(Key::CreditMessages).expect("a number")
    }
}

fn send(me: &Agent, count: usize) -> tokio::task::JoinSet<()> {
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..count {
        let me = me.clone();
        sending.spawn(async move {
            let sent = me.send(PEER, "store", "this").until(Stage::Handled).await.expect("it is accepted");
            sent.handled().await.expect("it is handled");
        });
    }
    sending
}

#[tokio::test(flavor = "current_thread")]
async fn submissions_wait_for_credit_in_frames_and_the_end_of_a_delivery_does_not() {
    let (_folder, path, listener) = listen();
    let daemon = async {
        let mut door = Door::open_with(&listener, Some((3, 1 << 20))).await;
        door.submissions(2).await;
        door.deliver(&request(Shape::Durable(FlowKind::Messages), 5), 1, b"a").await;
        door.hear(DoorEvent::Handled).await;
        door.hears_nothing().await;
        // What did not wait counts all the same.
        assert_eq!(door.heard.0, 4);
        door.allow((5, 1 << 20)).await;
        door.submissions(1).await;
        door.allow((100, 1 << 20)).await;
        door.submissions(5).await;
    };
    let agent = async {
        let me = Agent::attach("me").socket(&path).await.expect("it attaches");
        let sending = send(&me, 8);
        let Ok(Incoming::Delivery(delivery)) = me.recv().await else { panic!("a delivery") };
        delivery.handled().await.expect("handled");
        (me, sending)
    };
    tokio::join!(daemon, agent);
}

#[tokio::test(flavor = "current_thread")]
async fn submissions_wait_for_credit_in_bytes_and_may_go_beyond_it_if_they_begin_below() {
    let (_folder, path, listener) = listen();
    let daemon = async {
        let mut door = Door::open_with(&listener, Some((100, 1))).await;
        door.submissions(1).await;
        door.allow((100, door.heard.1)).await;
        door.hears_nothing().await;
        door.allow((100, door.heard.1 + 1)).await;
        door.submissions(1).await;
        door.allow((100, 1 << 20)).await;
        door.submissions(1).await;
    };
    let agent = async {
        let me = Agent::attach("me").socket(&path).await.expect("it attaches");
        let sending = send(&me, 3);
        (me, sending)
    };
    tokio::join!(daemon, agent);
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_sent_again_keeps_within_the_credit_of_the_new_connection_and_goes_first() {
    let (_folder, path, listener) = listen();
    let daemon = async {
        let mut door = Door::open(&listener).await;
        let before = door.submissions(5).await;
        drop(door);
        let mut door = Door::open_with(&listener, Some((3, 1 << 20))).await;
        let mut again = door.submissions(2).await;
        door.allow((4, 1 << 20)).await;
        again.extend(door.submissions(1).await);
        door.allow((100, 1 << 20)).await;
        let rest = door.submissions(3).await;
        again.extend_from_slice(&rest[..2]);
        let ids = |of: &[Content]| of.iter().map(|content| content.header.id()).collect::<Vec<_>>();
        assert_eq!(ids(&again), ids(&before), "all of them, in order");
        assert!(again.iter().all(|content| content.metadata.has(Key::Again)));
        assert!(!rest[2].metadata.has(Key::Again), "what is new comes behind");
    };
    let agent = async {
        let me = Agent::attach("me").socket(&path).await.expect("it attaches");
        let mut events = me.events();
        let old = send(&me, 5);
        while !matches!(events.next().await, Some(Event::Reconnected { resubmitted: 5 })) {}
        let new = send(&me, 1);
        (me, old, new)
    };
    tokio::join!(daemon, agent);
}

#[tokio::test(flavor = "current_thread")]
async fn credit_follows_what_is_received_and_an_answer_is_never_stopped_by_a_full_inbox() {
    let (_folder, path, listener) = listen();
    let (go, full) = tokio::sync::oneshot::channel();
    let (ask, asked) = tokio::sync::oneshot::channel();
    let window = limits::LIBRARY_INBOX_MESSAGES as u64;
    let daemon = async {
        let mut door = Door::open(&listener).await;
        assert_eq!(door.credit, Some(window), "said with the attach");
        for id in 0..window {
            door.deliver_once(100 + id).await;
        }
        door.hears_nothing().await;
        go.send(()).expect("the agent is there");
        assert_eq!(door.hear_credit().await, window + window / 4, "a quarter was received");
        door.hears_nothing().await;
        for id in 0..window / 4 {
            door.deliver_once(10_000 + id).await;
        }
        ask.send(()).expect("the agent is there");
        door.hear(DoorEvent::Submit).await;
        assert_eq!(door.hear_credit().await, window + window / 2, "somebody waits for an answer");
        door
    };
    let agent = async {
        let me = Agent::attach("me").socket(&path).await.expect("it attaches");
        full.await.expect("the door is there");
        for _ in 0..window / 4 {
            me.recv().await.expect("a delivery");
        }
        asked.await.expect("the door is there");
        tokio::time::sleep(PAUSE).await;
        let asking = me.clone();
        let asking = tokio::spawn(async move { asking.ask(PEER, "is", "there room").await });
        (me, asking)
    };
    tokio::join!(daemon, agent);
}

#[tokio::test(flavor = "current_thread")]
async fn a_handler_that_runs_longer_than_the_lease_says_so_in_time_and_its_answer_counts() {
    let (_folder, path, listener) = listen();
    let lease = Duration::from_millis(1500);
    let (tell, told) = tokio::sync::watch::channel(false);
    let daemon = async {
        let mut door = Door::open(&listener).await;
        let begun = tokio::time::Instant::now();
        door.lease = lease;
        door.deliver(&request(Shape::Durable(FlowKind::Messages), 5), 7, b"a b").await;
        let mut until = begun + lease;
        while begun.elapsed() < 2 * lease {
            let working = door.hear(DoorEvent::Working).await;
            assert_eq!(working.metadata.number(Key::DeliveryNumber), Some(7));
            assert!(tokio::time::Instant::now() < until, "the lease has ended before it was extended");
            until = tokio::time::Instant::now() + lease;
            door.answer(&working, bytes::Bytes::new()).await;
        }
        tell.send(true).expect("the handler waits");
        let answer = door.hear(DoorEvent::Respond).await;
        assert_eq!((answer.metadata.number(Key::DeliveryNumber), &answer.body[..]), (Some(7), &b"done"[..]));
        door.tell(&answer, Receipt::Accepted).await;
        door
    };
    let agent = async {
        let me = Agent::attach("me").socket(&path).await.expect("it attaches");
        me.on("count", move |_| {
            let mut told = told.clone();
            async move {
                told.wait_for(|told| *told).await.map_err(|_| crate::Refuse::new("the door is gone"))?;
                Ok("done")
            }
        });
        let server = me.clone();
        tokio::spawn(async move { server.serve().await });
        me
    };
    tokio::join!(daemon, agent);
}

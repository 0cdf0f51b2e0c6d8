//! The agents' door as the node sees it: what clients say comes in, and the model hears what it means.

use mesh::{ClientId, Input};
use proto::metadata::Key as Field;
use proto::{Content, DoorEvent, FlowKind, MessageType, Shape};

use crate::account::Key;
use crate::model::Asks;
use crate::world::{What, World};

impl World {
    /// What a client said, or that it came, reaches the core.
    pub(crate) fn client_said(
        &mut self,
        client: ClientId,
        node: usize,
        incarnation: u32,
        content: Option<Box<Content>>,
        uid: u32,
    ) {
        if !self.is_running(node, incarnation) {
            return;
        }
        let Some(content) = content else {
            return self.input(node, Input::ClientCame { client, uid, is_admin: false });
        };
        if !self.run(node).is_some_and(|run| run.clients.contains_key(&client) && !run.is_stopping) {
            return;
        }
        self.account_for(client, node, &content);
        self.input(node, Input::ClientSaid { client, content });
    }

    fn account_for(&mut self, client: ClientId, node: usize, content: &Content) {
        let header = &content.header;
        match DoorEvent::of(content) {
            Some(DoorEvent::Submit) if header.shape() == Shape::Durable(FlowKind::Messages) => {
                let key = Key::message(header.source(), header.destination(), header.id());
                let is_asked =
                    header.message_type() == MessageType::Request || content.metadata.has(Field::HandledWanted);
                let is_unfit = self.unfit.contains(&header.id()) || self.forbidden.contains(&header.id());
                let rank = match content.metadata.number(Field::LastStage) {
                    Some(0) => 0,
                    Some(3) => 1,
                    Some(1) => 2,
                    Some(_) | None => 3,
                };
                let says_again = content.metadata.has(Field::Again);
                self.model.submitted(key, Asks { is_asked, says_again, rank }, is_unfit);
            }
            Some(DoorEvent::Submit) if header.shape() == Shape::Once => self.model.said_once(header),
            Some(DoorEvent::Refuse) if !content.metadata.has(Field::DeliveryNumber) => {
                self.model.declined_once(content)
            }
            Some(DoorEvent::Handled | DoorEvent::Refuse | DoorEvent::Respond | DoorEvent::Working) => {
                self.model.acknowledged(node, client, content);
            }
            Some(DoorEvent::Attach) => self.taken_over(client, node),
            Some(DoorEvent::Detach) => self.model.void(node, Some(client), Some(header.source())),
            Some(
                DoorEvent::Credit
                | DoorEvent::Resolve
                | DoorEvent::Order
                | DoorEvent::Question
                | DoorEvent::Submit
                | DoorEvent::Ping
                | DoorEvent::Delivery
                | DoorEvent::Answer
                | DoorEvent::DurableDelivery
                | DoorEvent::Told
                | DoorEvent::Refused
                | DoorEvent::Pong,
            )
            | None => {}
        }
    }

    /// Whoever attaches takes over: what others were given is void.
    fn taken_over(&mut self, client: ClientId, node: usize) {
        let Some(end) = self.run(node).and_then(|run| run.clients.get(&client)).copied() else { return };
        let agent = self.agent_id(end.agent);
        if !end.is_stranger {
            self.model.void(node, None, Some(agent));
        }
    }

    pub(crate) fn client_left(&mut self, client: ClientId, node: usize, incarnation: u32) {
        if !self.is_running(node, incarnation) {
            return;
        }
        let was_there = self.run(node).is_some_and(|run| run.clients.remove(&client).is_some());
        if was_there {
            self.model.void(node, Some(client), None);
            self.input(node, Input::ClientLeft { client });
        }
    }

    pub(crate) fn disconnect(&mut self, node: usize, client: ClientId) {
        let now = self.now;
        let incarnation = self.incarnation(node);
        let Some(end) = self.run(node).and_then(|run| run.clients.get(&client)).copied() else { return };
        let after = end.heard_at.saturating_sub(now);
        self.plan(after, What::LineLost { agent: end.agent, client });
        self.plan(after, What::Left { client, node, incarnation });
    }
}

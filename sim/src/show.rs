//! Inputs and effects in one line each, for people. Nothing is decided by it.

use core::fmt::Write;

use mesh::{Change, Control, Effect, Input, Load, Outgoing};
use proto::entry::Entry;
use proto::{Content, Shape};

pub(crate) fn show_input(input: &Input) -> String {
    match input {
        Input::ClientSaid { client, content } => format!("client {} says {}", client.0, show_content(content)),
        Input::PeerSaid { link, said } => match said {
            mesh::PeerSaid::Frame(content) => format!("link {} frame {}", link.0, show_content(content.get())),
            mesh::PeerSaid::Unfit(content, refusal) => {
                format!("link {} unfit {} ({})", link.0, show_content(content.get()), refusal.reason())
            }
            mesh::PeerSaid::OldPrekey(header) => format!("link {} old prekey {}", link.0, header.get().id()),
            mesh::PeerSaid::UnknownSource(agent) => format!("link {} unknown source {}", link.0, agent.short()),
            mesh::PeerSaid::Agent(known) => format!("link {} agent {}", link.0, known.get().id.short()),
            mesh::PeerSaid::Node(known) => format!("link {} node {}", link.0, known.get().id.short()),
            mesh::PeerSaid::Revoked(list) => format!("link {} list {}", link.0, list.get().record.epoch),
            mesh::PeerSaid::Want(agent) => format!("link {} wants {}", link.0, agent.short()),
            mesh::PeerSaid::Explain(id) => format!("link {} explain {id}", link.0),
            mesh::PeerSaid::Story(_) => format!("link {} story", link.0),
            mesh::PeerSaid::Notice(notice) => format!("link {} notice {notice:?}", link.0),
        },
        Input::LinkUp { link, peer, dialed, .. } => format!("link {} up to {peer} dialed={dialed}", link.0),
        Input::AgentSigned(known) => format!("agent {} signed", known.get().id.short()),
        Input::NodeSigned(_) => "node signed".into(),
        Input::Revoked(list) => format!("list {}", list.get().record.epoch),
        Input::ClientCame { .. }
        | Input::ClientLeft { .. }
        | Input::ClientRoom { .. }
        | Input::LinkDown { .. }
        | Input::DialFailed { .. }
        | Input::LinkRoom { .. }
        | Input::LinkSilent { .. }
        | Input::LinkHeard { .. }
        | Input::Disk { .. }
        | Input::AgentMade(_)
        | Input::AgentNotMade { .. }
        | Input::PrekeyMade { .. }
        | Input::Stored { .. }
        | Input::Unreadable { .. }
        | Input::Policy(_)
        | Input::Bounds(_)
        | Input::Addresses(_)
        | Input::Certified(_)
        | Input::Block { .. }
        | Input::Forget { .. }
        | Input::Leave
        | Input::Tick
        | Input::Stop => format!("{input:?}"),
    }
}

/// A frame in one line.
pub(crate) fn show_content(content: &Content) -> String {
    use proto::metadata::Key;
    let header = &content.header;
    let mut line = format!(
        "{:?}/{} {} {}->{}",
        header.message_type(),
        header.shape().word(),
        header.id(),
        header.source().short(),
        header.destination().short()
    );
    if header.receipt() != proto::Receipt::None {
        let _ = write!(line, " {:?}", header.receipt());
    }
    if header.sequence().is_place() {
        let _ = write!(line, " seq={}", header.sequence().get());
    }
    let shown = [Key::FlowId, Key::Floor, Key::DeliveryNumber, Key::Attempt, Key::LastStage];
    for key in shown {
        if let Some(value) = content.metadata.number(key) {
            let _ = write!(line, " {key:?}={value}");
        }
    }
    for key in [Key::Again, Key::Marked, Key::HandledWanted] {
        if content.metadata.has(key) {
            let _ = write!(line, " {key:?}");
        }
    }
    if let Some(subject) = content.metadata.subject() {
        let _ = write!(line, " {subject}");
    }
    if header.message_type() == proto::MessageType::Error
        && let Ok(error) = content.error()
    {
        let _ = write!(line, " {} {}", error.code, error.message);
    }
    line
}

pub(crate) fn show_effect(effect: &Effect) -> String {
    match effect {
        Effect::Store { transaction, changes } => {
            let shown: Vec<_> = changes.iter().map(show_change).collect();
            format!("store {} [{}]", transaction.0, shown.join(", "))
        }
        Effect::Send { link, outgoing, .. } => format!("send over {} {}", link.0, show_outgoing(outgoing)),
        Effect::Tell { client, outgoing, .. } => format!("tell {} {}", client.0, show_outgoing(outgoing)),
        Effect::Control { link, said } => match said {
            Control::Record(_) => format!("control {} record", link.0),
            Control::Want(agent) => format!("control {} want {}", link.0, agent.short()),
            Control::Explain(id) => format!("control {} explain {id}", link.0),
            Control::Story(_) => format!("control {} story", link.0),
            Control::Notice(notice) => format!("control {} {notice:?}", link.0),
        },
        Effect::LearnAgent(known) => format!("learn agent {}", known.get().id.short()),
        Effect::LearnNode(known) => format!("learn node {}", known.get().id.short()),
        Effect::KeepRevoked(list) => format!("keep list {}", list.get().record.epoch),
        Effect::SignAgent(_) => "sign agent".into(),
        Effect::SignNode(_) => "sign node".into(),
        Effect::Dial { .. }
        | Effect::HangUp { .. }
        | Effect::Disconnect { .. }
        | Effect::MakeAgent { .. }
        | Effect::MakePrekey { .. }
        | Effect::ErasePrekey { .. }
        | Effect::ForgetNode(_)
        | Effect::Renew
        | Effect::Report(_)
        | Effect::Stopped => format!("{effect:?}"),
    }
}

fn show_outgoing(outgoing: &Outgoing) -> String {
    let draft = &outgoing.draft;
    let notes = &outgoing.notes;
    let mut line = format!(
        "{:?}/{} {} {}->{}",
        draft.message_type,
        draft.shape.word(),
        draft.id,
        draft.source.short(),
        draft.destination.short()
    );
    if draft.shape == Shape::Told {
        let _ = write!(line, " {:?}", draft.told);
    }
    if draft.sequence.is_place() {
        let _ = write!(line, " seq={}", draft.sequence.get());
    }
    if let Some(flow) = notes.flow_id {
        let _ = write!(line, " flow={} floor={:?}", flow.get(), notes.floor);
    }
    if let Some(number) = notes.delivery_number {
        let _ = write!(line, " number={number:x} attempt={:?}", notes.attempt);
    }
    for (is_there, word) in [(notes.again, " AGAIN"), (notes.marked, " MARKED")] {
        if is_there {
            line.push_str(word);
        }
    }
    if let Load::Entry(entry) = &outgoing.load {
        let _ = write!(line, " entry={}", entry.get());
    }
    line
}

fn show_change(change: &Change) -> String {
    let (number, bytes) = match change {
        Change::Forget(number) => return format!("forget {}", number.get()),
        Change::Put(number, bytes) => (number.get(), bytes),
    };
    match Entry::read(bytes.clone()) {
        Ok(Entry::Owned { letter, place, .. }) => format!(
            "{number}: owned {:?} {} {}->{} at {}/{}{}",
            letter.message_type,
            letter.id,
            letter.source.short(),
            letter.destination.short(),
            place.flow.get(),
            place.sequence,
            if letter.again { " AGAIN" } else { "" }
        ),
        Ok(Entry::Received { received, .. }) => format!(
            "{number}: received {:?} {}{}",
            received.letter.message_type,
            received.letter.id,
            if received.marked { " MARKED" } else { "" }
        ),
        Ok(Entry::Stub(stub)) => format!("{number}: stub {}", stub.id),
        Ok(Entry::Mark(mark)) => format!(
            "{number}: mark {}->{} {}/{}",
            mark.source.short(),
            mark.destination.short(),
            mark.place.flow.get(),
            mark.place.sequence
        ),
        Ok(Entry::Record(_)) => format!("{number}: record"),
        Ok(Entry::Dead { dead, .. }) => format!("{number}: dead {} {}", dead.letter.id, dead.code),
        Ok(Entry::Moved(entry, place)) => {
            format!("{number}: moved {} to {}/{}", entry.get(), place.flow.get(), place.sequence)
        }
        Ok(
            entry @ (Entry::Birth(_)
            | Entry::MarksDropped(_)
            | Entry::Delivered(_)
            | Entry::ClockSuspended(_)
            | Entry::Died { .. }
            | Entry::Revived { .. }
            | Entry::Clock(_)),
        ) => {
            format!("{number}: {entry:?}")
        }
        Err(error) => format!("{number}: {error}"),
    }
}

//! `aicpctl recv`: an agent in the shell. It prints what arrives, answers, or lets a command do so; a message counts as
//! handled once it was printed, or once the command has ended well.

use std::process::Stdio;

use client::{
    Body, ClientError, ContentType, Delivery, End, Event, Incoming, Message, MessageType, Outcome, Proof, Refuse,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::agent;
use crate::args::{Common, Recv};
use crate::failure::{Exit, Failure};
use crate::render::{BOLD, DIM, Out, YELLOW, body_in_json, escape, escape_body};

/// Longest answer that a command gives.
const ANSWER_BYTES_MAX: u64 = proto::limits::BODY_BYTES_MAX as u64;

pub(crate) async fn run(common: &Common, asked: Recv, out: Out) -> Result<(), Failure> {
    if common.name.is_none() {
        return Err(Failure::new(Exit::Usage, "recv needs a name, so that others know whom to write to")
            .fix("aicpctl recv --as NAME"));
    }
    let me = agent(common).await?;
    out.talk(format_args!("{} is there; ctrl-c ends it", escape(&me.address())));
    let mut events = me.events();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if matches!(event, Event::Disconnected { .. }) {
                out.talk("the daemon went away; trying again");
            } else if matches!(event, Event::Reconnected { .. }) {
                out.talk("connected again");
            }
        }
    });
    let mut left = asked.count;
    while left != Some(0) {
        match me.recv().await? {
            Incoming::Outcome(outcome) => show_outcome(&outcome, out),
            Incoming::Delivery(delivery) => {
                show(&delivery, out);
                settle(delivery, &asked, out).await?;
                left = left.map(|left| left - 1);
            }
        }
    }
    let _ = me.detach().await;
    Ok(())
}

async fn settle(delivery: Delivery, asked: &Recv, out: Out) -> Result<(), Failure> {
    let id = delivery.id();
    let is_question = delivery.message_type() == MessageType::Request;
    let settled = match (&asked.exec, &asked.respond) {
        (Some(command), _) => match delivery.working_while(execute(command, delivery.message())).await {
            Ok(answer) if is_question && !answer.is_empty() => delivery.respond(as_body(answer)).await,
            Ok(_) => delivery.handled().await,
            Err(why) => {
                out.talk(format_args!("{YELLOW}refused{YELLOW:#} {id}: {}", escape(&why)));
                delivery.refuse(Refuse::new(why)).await
            }
        },
        (None, Some(text)) if is_question => delivery.respond(text.as_str()).await,
        (None, Some(_) | None) => delivery.handled().await,
    };
    match settled {
        // It comes again by itself.
        Err(ClientError::Disconnected | ClientError::Refused { .. }) => {
            out.talk(format_args!("{YELLOW}not settled{YELLOW:#} {id}: it comes again"));
            Ok(())
        }
        other => Ok(other?),
    }
}

/// Runs a command with the body on its standard input; what it prints is the answer.
async fn execute(command: &str, message: &Message) -> Result<Vec<u8>, String> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .env("AICP_MESSAGE_ID", message.id().to_string())
        .env("AICP_FROM", message.source_address())
        .env("AICP_FROM_ID", message.source().to_string())
        .env("AICP_SUBJECT", message.subject().unwrap_or_default())
        .env("AICP_ATTEMPT", message.attempt().to_string())
        .env("AICP_MARKED", if message.is_marked() { "1" } else { "0" })
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("the command cannot be run: {error}"))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A command need not read what it is given.
            let _ = stdin.write_all(message.body()).await;
        }
    };
    let read = async {
        let mut answer = Vec::new();
        if let Some(stdout) = stdout {
            let _ = stdout.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut answer).await;
        }
        answer
    };
    let ((), answer) = tokio::join!(write, read);
    let status = child.wait().await.map_err(|error| error.to_string())?;
    if status.success() { Ok(answer) } else { Err(format!("the command ended with {status}")) }
}

fn as_body(bytes: Vec<u8>) -> Body {
    String::from_utf8(bytes).map_or_else(|error| Body::octets(error.into_bytes()), Body::text)
}

fn show(delivery: &Delivery, out: Out) {
    out.object("recv", described(delivery));
    let subject = delivery.subject().map(|subject| format!(" {}", escape(subject))).unwrap_or_default();
    let again = match (delivery.attempt(), delivery.is_marked()) {
        (1, false) => String::new(),
        (attempt, _) => format!(" {YELLOW}attempt {attempt}, may have been here before{YELLOW:#}"),
    };
    let proof = match delivery.proof() {
        Some(Proof::SameHost) => "this host",
        Some(Proof::Signature) => "signed",
        None => "unproved",
    };
    out.line(format_args!(
        "{BOLD}{}{BOLD:#}{subject} {DIM}{} {proof}{DIM:#}{again}",
        escape(&delivery.source_address()),
        delivery.id()
    ));
    out.line(escape_body(delivery.body()));
}

fn described(delivery: &Delivery) -> Value {
    let mut told = json!({
        "id": delivery.id().to_string(),
        "from": delivery.source_address(),
        "from_id": delivery.source().to_string(),
        "subject": delivery.subject(),
        "durable": delivery.is_durable(),
        "attempt": delivery.attempt(),
        "marked": delivery.is_marked(),
        "hops": delivery.hops(),
        "proof": match delivery.proof() {
            Some(Proof::SameHost) => Some("same-host"),
            Some(Proof::Signature) => Some("signature"),
            None => None,
        },
        "sent_at_ns": delivery.sent_at(),
        "received_at_ns": delivery.received_at(),
        "expires_at_ns": delivery.expires_at(),
    });
    let mut body = body_in_json(delivery.body(), delivery.content_type() == ContentType::Json);
    if let (Some(told), Some(body)) = (told.as_object_mut(), body.as_object_mut()) {
        told.append(body);
    }
    told
}

fn show_outcome(outcome: &Outcome, out: Out) {
    let end = match outcome.end() {
        End::Handled => "was handled".to_owned(),
        End::Answered => format!("was answered: {}", escape_body(outcome.message().body())),
        End::Failed(why) => format!("was not handled: {}", escape(&why.to_string())),
    };
    out.object("outcome", json!({ "id": outcome.id().to_string(), "end": end }));
    out.line(format_args!("{DIM}an earlier message {} {end}{DIM:#}", outcome.id()));
}

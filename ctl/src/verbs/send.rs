//! `aicpctl send`: a message that is kept until its end is known, and how far it has come.

use std::time::Duration;

use client::{Agent, ClientError, MessageId, Stage};
use serde_json::json;
use tokio::time::Instant;

use super::{agent, body};
use crate::args::{Common, Send, Wait};
use crate::failure::Failure;
use crate::render::{Out, body_in_json, escape, escape_body, short};

/// After this long it is said that there is something to wait for.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) async fn run(common: &Common, asked: Send, out: Out) -> Result<(), Failure> {
    let body = body(asked.body.as_deref()).await?;
    let me = agent(common).await?;
    let begun = Instant::now();
    let stage = match asked.wait {
        Wait::Accepted => Stage::Accepted,
        Wait::Stored => Stage::Stored,
        Wait::Handled => Stage::Handled,
    };
    let about = |error: ClientError| Failure::about(&asked.agent, error);
    let sending = me.send(&asked.agent, asked.subject.as_str(), body).until(stage).expires_in(asked.expires);
    let sent = sending.await.map_err(about)?;
    let mut told = json!({ "id": sent.id().to_string(), "to": asked.agent, "from": me.address(), "stage": "accepted" });
    note(&mut told, "accepted", begun, out, sent.id());

    if asked.wait != Wait::Accepted {
        patiently(sent.stored(), &asked, &me, out).await.map_err(about)?;
        note(&mut told, "stored", begun, out, sent.id());
    }
    if asked.wait == Wait::Handled {
        let answer = patiently(sent.handled(), &asked, &me, out).await.map_err(about)?;
        note(&mut told, "handled", begun, out, sent.id());
        if let Some(answer) = answer {
            out.line(escape_body(answer.body()));
            if let Some(told) = told.as_object_mut() {
                told.insert("answer".into(), body_in_json(answer.body(), false));
            }
        }
    }
    out.object("send", told);
    let _ = me.detach().await;
    Ok(())
}

/// Says that a stage is reached, and when.
fn note(told: &mut serde_json::Value, stage: &str, begun: Instant, out: Out, id: MessageId) {
    let took = begun.elapsed();
    out.line(format_args!("{stage} {id} {}", short(took)));
    if let Some(told) = told.as_object_mut() {
        told.insert("stage".into(), json!(stage));
        told.insert(format!("{stage}_us"), json!(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)));
    }
}

/// Waits, and after a while says for what.
async fn patiently<T>(
    stage: impl Future<Output = Result<T, ClientError>>,
    asked: &Send,
    me: &Agent,
    out: Out,
) -> Result<T, ClientError> {
    let mut stage = std::pin::pin!(stage);
    if let Ok(done) = tokio::time::timeout(PATIENCE, &mut stage).await {
        return done;
    }
    let why = why_it_waits(me, asked).await.unwrap_or_else(|| "it is on its way".into());
    out.talk(format_args!("waiting: {why}"));
    out.talk("  now: kept on disk until its end is known; ctrl-c leaves it under way");
    out.talk("  see: aicpctl status, or --wait accepted to return at once");
    stage.await
}

async fn why_it_waits(me: &Agent, asked: &Send) -> Option<String> {
    let found = me.resolve(&asked.agent).await.ok()?;
    let node = escape(&found.node_name);
    let status = me.status().await.ok()?;
    if status.node_id == found.node_id {
        return Some(format!("{} has not handled it yet, or is away", escape(&asked.agent)));
    }
    let peer = status.peers.iter().find(|peer| peer.id == found.node_id)?;
    if peer.state == "up" {
        Some(format!("node {node} is up, but has not answered yet"))
    } else {
        Some(format!("node {node} is {}", escape(&peer.state)))
    }
}

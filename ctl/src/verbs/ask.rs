//! `aicpctl ask`: a question, and its answer on standard output.

use client::ContentType;
use serde_json::json;
use tokio::time::Instant;

use super::{agent, body};
use crate::args::{Ask, Common};
use crate::failure::Failure;
use crate::render::{Out, body_in_json, escape, escape_body, short};

pub(crate) async fn run(common: &Common, asked: Ask, out: Out) -> Result<(), Failure> {
    let body = body(Some(&asked.body)).await?;
    let me = agent(common).await?;
    let begun = Instant::now();
    let mut ask = me.ask(&asked.agent, asked.subject, body).timeout(asked.timeout);
    if asked.durable {
        ask = ask.durable();
    }
    let answer = ask.await.map_err(|error| Failure::about(&asked.agent, error))?;
    let took = begun.elapsed();
    let mut told = json!({
        "id": answer.id().to_string(),
        "from": answer.source_address(),
        "from_id": answer.source().to_string(),
        "took_us": u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    });
    if let (Some(told), Some(body)) =
        (told.as_object_mut(), body_in_json(answer.body(), answer.content_type() == ContentType::Json).as_object_mut())
    {
        told.append(body);
    }
    out.object("ask", told);
    out.line(escape_body(answer.body()));
    if !out.is_json() {
        out.talk(format_args!("{} answered {} in {}", escape(&answer.source_address()), me.address(), short(took)));
    }
    // The answer is there; whether the name was given back in time is of no interest.
    let _ = me.detach().await;
    Ok(())
}

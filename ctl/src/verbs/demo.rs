//! `aicpctl demo`: two daemons on this host, a question, durable messages, and a crash in the middle. It shows what the
//! mesh promises, cleans up after itself, and fails if a promise is broken. It leaves nothing behind.

mod host;
mod reader;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::{Agent, ClientError, ErrorCode, Sent, Stage};
use serde_json::json;
use tokio::time::Instant;

use self::host::{Host, Pair};
use self::reader::Reader;
use crate::args::Demo;
use crate::failure::{Exit, Failure};
use crate::render::{BOLD, DIM, GREEN, Out, escape, escape_body, plural, short};

/// Messages that are sent one after another, each to its end.
const ONE_BY_ONE: u32 = 10;
/// Messages that are under way when the receiving daemon is killed.
const IN_THE_CRASH: u32 = 5;
/// Messages that are sent while it is dead.
const WHILE_DEAD: u32 = 5;
/// How long the two may take to find each other.
const FIND_WITHIN: Duration = Duration::from_secs(20);
/// How long all messages may take to be handled once the daemon is back: its peer dials again within 16 s at the latest.
const RECOVER_WITHIN: Duration = Duration::from_secs(60);
/// How long one message may take while all is well.
const HANDLE_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) async fn run(asked: &Demo, out: Out) -> Result<(), Failure> {
    let daemon = daemon_beside_us()?;
    let folder = tempfile::Builder::new().prefix("aicp-demo-").tempdir()?;
    let kept = asked.keep.then(|| folder.path().to_path_buf());
    let begun = Instant::now();
    let told = play(&daemon, folder.path(), out).await;
    // The daemons have ended by here: `play` owns them.
    if let Some(path) = kept {
        out.talk(format_args!("kept: {}", path.display()));
        let _ = folder.keep();
    } else if let Err(error) = folder.close() {
        out.talk(format_args!("the demo's folder could not be removed: {error}"));
    }
    let told = told?;
    out.object("demo", &told);
    let left = if asked.keep { "the folder stays" } else { "all cleaned up" };
    out.story(format_args!("{DIM}{left}, {} in all{DIM:#}\n", short(begun.elapsed())));
    out.story("Try next:");
    out.story("  aicpd run                           a daemon of your own, on this host");
    out.story("  aicpctl status                      how it is");
    out.story("  aicpctl ask echo hello              a question to the agent that is built in");
    out.story("  aicpctl recv --as inbox             be an agent; then, elsewhere: aicpctl send inbox hello");
    out.story("  aicpctl bench latency               how fast it is here");
    Ok(())
}

/// Both programs are built and installed together.
fn daemon_beside_us() -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()?.with_file_name("aicpd");
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::new(Exit::Failed, "the daemon's program is not beside this one")
        .why(format!("looked for {}", path.display()))
        .now("nothing was started")
        .fix("cargo build --workspace, or install aicpd and aicpctl into one folder"))
}

/// The whole story. The daemons end with it, however it ends.
async fn play(daemon: &Path, folder: &Path, out: Out) -> Result<serde_json::Value, Failure> {
    let Pair { alpha, mut beta } = host::prepare(daemon, folder).await?;
    let begun = Instant::now();
    let mut alpha = alpha;
    alpha.start().await?;
    beta.start().await?;
    out.story(format_args!(
        "{GREEN}✓{GREEN:#} two daemons: {BOLD}alpha{BOLD:#} {} and {BOLD}beta{BOLD:#} {}, each with the other's id pinned",
        alpha.short_id(),
        beta.short_id()
    ));
    let writer = attach("writer", &alpha).await?;
    let reader = Reader::start(attach("reader", &beta).await?);
    find(&writer, "echo@beta", &alpha).await?;
    find(&writer, "reader@beta", &alpha).await?;
    out.story(format_args!(
        "{GREEN}✓{GREEN:#} they found each other; writer@alpha and reader@beta are attached ({})",
        short(begun.elapsed())
    ));
    let ask_us = ask(&writer, out).await?;

    one_by_one(&writer, out).await?;
    let crash = crash(&writer, &mut beta, &reader, out).await?;
    let told = judge(&reader, crash, ask_us, out)?;

    reader.detach().await;
    let _ = writer.detach().await;
    let (a, b) = (alpha.stop().await?, beta.stop().await?);
    out.story(format_args!("{GREEN}✓{GREEN:#} both daemons drained and stopped ({}, {})", short(a), short(b)));
    Ok(told)
}

async fn attach(name: &str, host: &Host) -> Result<Agent, Failure> {
    Agent::attach(name).socket(host.socket()).await.map_err(|error| host.explain(error.into()))
}

/// Waits until an address is known at alpha.
async fn find(me: &Agent, address: &str, host: &Host) -> Result<(), Failure> {
    let ends = Instant::now() + FIND_WITHIN;
    loop {
        match me.resolve(address).await {
            Ok(_) => return Ok(()),
            Err(ClientError::Refused { code: ErrorCode::OFFLINE, .. }) if Instant::now() < ends => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(error) => return Err(host.explain(Failure::about(address, error))),
        }
    }
}

/// A question across the two daemons, cold and warm.
async fn ask(me: &Agent, out: Out) -> Result<u128, Failure> {
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let answer = me.ask("echo@beta", "greet", "hello").timeout(HANDLE_WITHIN).await;
        let answer = answer.map_err(|error| Failure::about("echo@beta", error))?;
        times.push(begun.elapsed());
        if &answer.body()[..] != b"hello" {
            let said = escape_body(answer.body());
            return Err(Failure::new(Exit::Failed, format!("echo@beta answered `{said}` instead of `hello`")));
        }
    }
    let (first, least) = (times.first().copied().unwrap_or_default(), times.iter().min().copied().unwrap_or_default());
    out.story(format_args!(
        "{GREEN}✓{GREEN:#} echo@beta answered in {} ({} warm): signed, sealed end to end, verified",
        short(first),
        short(least)
    ));
    Ok(least.as_micros())
}

async fn send(me: &Agent, number: u32) -> Result<Sent, Failure> {
    let sending = me.send("reader@beta", "note", format!("message {number}")).until(Stage::Handled);
    let accepted = tokio::time::timeout(HANDLE_WITHIN, sending).await.unwrap_or(Err(ClientError::Timeout));
    accepted.map_err(|error| Failure::about("reader@beta", error))
}

async fn wait<T>(stage: impl Future<Output = Result<T, ClientError>>, within: Duration) -> Result<T, Failure> {
    let reached = tokio::time::timeout(within, stage).await.unwrap_or(Err(ClientError::Timeout));
    reached.map_err(|error| Failure::about("reader@beta", error))
}

/// Durable messages while all is well, with the time of each stage.
async fn one_by_one(me: &Agent, out: Out) -> Result<(), Failure> {
    out.story(format_args!(
        "\n{BOLD}durable messages{BOLD:#} to reader@beta, each on disk before anything is promised"
    ));
    for number in 1..=ONE_BY_ONE {
        let begun = Instant::now();
        let sent = send(me, number).await?;
        let accepted = begun.elapsed();
        wait(sent.stored(), HANDLE_WITHIN).await?;
        let stored = begun.elapsed();
        wait(sent.handled(), HANDLE_WITHIN).await?;
        out.story(format_args!(
            "  message {number:2}  accepted {:>8}  stored {:>8}  handled {:>8}",
            short(accepted),
            short(stored),
            short(begun.elapsed())
        ));
    }
    Ok(())
}

/// What the crash showed.
struct Crash {
    sent: u32,
    recovered: Duration,
}

/// Kills beta while messages are under way, sends more, and starts it again.
async fn crash(me: &Agent, beta: &mut Host, reader: &Reader, out: Out) -> Result<Crash, Failure> {
    out.story(format_args!("\n{BOLD}a crash{BOLD:#}: beta is killed (kill -9) while messages are under way"));
    let mut under_way = Vec::new();
    let mut number = ONE_BY_ONE;
    for _ in 0..IN_THE_CRASH {
        number += 1;
        under_way.push((number, send(me, number).await?));
    }
    beta.kill().await?;
    let seen = reader.numbers().len();
    out.story(format_args!("  {IN_THE_CRASH} accepted, beta killed; its agent had seen {seen} of {number} messages"));
    let begun = Instant::now();
    for _ in 0..WHILE_DEAD {
        number += 1;
        under_way.push((number, send(me, number).await?));
    }
    out.story(format_args!(
        "  {WHILE_DEAD} more accepted in {}: alpha keeps them, beta is away",
        short(begun.elapsed())
    ));
    if let Ok(status) = me.status().await {
        out.story(format_args!("  {DIM}alpha: outbox {}, awaiting {}{DIM:#}", status.outbox_messages, status.awaiting));
    }
    let mut waiting = Vec::new();
    for (number, sent) in under_way {
        // Looks once and does not wait.
        match tokio::time::timeout(Duration::ZERO, sent.handled()).await {
            Ok(end) => drop(end.map_err(|error| Failure::about("reader@beta", error))?),
            Err(_) => waiting.push((number, sent)),
        }
    }
    let left = waiting.len();
    out.story(format_args!("  {left} message{} not handled yet", plural(left)));
    let back = Instant::now();
    beta.start().await?;
    out.story(format_args!("  beta started again in {}", short(back.elapsed())));
    let ends = back + RECOVER_WITHIN;
    for (number, sent) in waiting {
        wait(sent.handled(), ends.saturating_duration_since(Instant::now())).await.map_err(|failure| {
            let why = failure.why.clone().unwrap_or(failure.what);
            beta.explain(
                Failure::new(Exit::Failed, format!("message {number} was not handled after the crash")).why(why),
            )
        })?;
        out.story(format_args!("  message {number:2}  handled {:>8} after the restart", short(back.elapsed())));
    }
    Ok(Crash { sent: number, recovered: back.elapsed() })
}

/// Whether the promises were kept.
fn judge(reader: &Reader, crash: Crash, ask_us: u128, out: Out) -> Result<serde_json::Value, Failure> {
    let numbers = reader.numbers();
    let mut seen = BTreeSet::new();
    let firsts: Vec<_> = numbers.iter().copied().filter(|number| seen.insert(*number)).collect();
    let repeated = numbers.len() - firsts.len();
    let lost = (1..=crash.sent).filter(|number| !seen.contains(number)).count();
    let is_ordered = firsts.is_sorted();
    let unmarked = reader.repeats_without_mark();
    out.story(format_args!(
        "\n{BOLD}{} sent, {} handled, {lost} lost{BOLD:#}; in order: {}; {repeated} came twice{}",
        crash.sent,
        seen.len(),
        if is_ordered { "yes" } else { "no" },
        if repeated > 0 { ", marked as such" } else { "" },
    ));
    let broken = |what: String| Failure::new(Exit::Failed, what).fix("aicpctl demo --keep, and read the logs");
    if lost > 0 {
        return Err(broken(format!("{lost} message{} lost", plural(lost))));
    }
    if !is_ordered {
        return Err(broken(format!("messages came out of order: {firsts:?}")));
    }
    if unmarked > 0 {
        return Err(broken(format!("{unmarked} message{} came twice and did not say so", plural(unmarked))));
    }
    Ok(json!({
        "sent": crash.sent, "handled": seen.len(), "lost": lost, "repeated": repeated, "in_order": is_ordered,
        "ask_us": u64::try_from(ask_us).unwrap_or(u64::MAX),
        "recovered_us": u64::try_from(crash.recovered.as_micros()).unwrap_or(u64::MAX),
    }))
}

/// The end of a log, for whoever has to find out what went wrong.
fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().rev().take(3).map(escape).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

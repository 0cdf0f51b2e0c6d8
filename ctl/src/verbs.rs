//! The verbs: each takes what was asked for, asks the daemon, and shows what came of it.

mod agents;
mod allow;
mod ask;
mod bench;
mod bugreport;
mod cert;
mod check;
mod clock;
mod completion;
mod config;
mod demo;
mod dlq;
mod doctor;
mod explain;
mod host;
mod identity;
mod join;
mod leave;
mod logs;
mod man;
mod names;
mod outbox;
mod peers;
mod ping;
mod recv;
mod revoke;
mod select;
mod send;
mod start;
mod status;
mod tap;
mod top;
mod up;
mod version;
mod whois;

use std::io::Read;
use std::process::ExitCode;

use client::{Agent, Body, ClientError, Node};

use crate::args::{Args, Common, Verb};
use crate::failure::{Exit, Failure};
use crate::render::Out;
use crate::user;

/// Runs one verb to its end.
pub(crate) async fn run(args: Args, out: &Out) -> Result<ExitCode, Failure> {
    let Args { common, verb } = args;
    let out = *out;
    match verb {
        // These say by their exit code how things are.
        Verb::Status(asked) => return status::run(&common, &asked, out).await,
        Verb::Doctor(asked) => return doctor::run(&common, &asked, out).await,
        Verb::Check(asked) => return Ok(check::run(&common, &asked, out).await),
        Verb::CompleteNames(asked) => return Ok(names::run(&asked, out).await),
        Verb::Agents(asked) => agents::run(&common, &asked, out).await,
        Verb::Agent(asked) => agents::show(&common, &asked, out).await,
        Verb::Whois(asked) => whois::run(&common, &asked, out).await,
        Verb::Up(asked) => up::run(&common, asked, out).await,
        Verb::Down => leave::down(&common, out).await,
        Verb::Invite(asked) => up::invite(&common, &asked, out).await,
        Verb::Join(asked) => join::run(&common, asked, out).await,
        Verb::Leave(asked) => leave::run(&common, &asked, out).await,
        Verb::Peers => peers::run(&common, out).await,
        Verb::Peer(asked) => peers::one(&common, asked, out).await,
        Verb::Revoke(asked) => revoke::run(&common, &asked, out).await,
        Verb::Authority(asked) => revoke::authority(&common, &asked, out).await,
        Verb::Send(asked) => send::run(&common, asked, out).await,
        Verb::Ask(asked) => ask::run(&common, asked, out).await,
        Verb::Recv(asked) => recv::run(&common, asked, out).await,
        Verb::Ping(asked) => ping::run(&common, asked, out).await,
        Verb::Outbox(asked) => outbox::run(&common, asked, out).await,
        Verb::Dlq(asked) => dlq::run(&common, asked, out).await,
        Verb::Explain(asked) => explain::run(&common, asked, out).await,
        Verb::Tap(asked) => tap::run(&common, asked, out).await,
        Verb::Top(asked) => top::run(&common, asked, out).await,
        Verb::Clock(asked) => clock::run(&common, &asked, out).await,
        Verb::Bench(asked) => bench::run(&common, asked, out).await,
        Verb::Demo(asked) => demo::run(&asked, out).await,
        Verb::Identity(asked) => identity::run(asked, out).await,
        Verb::Config(asked) => config::run(&common, asked, out).await,
        Verb::Allow(asked) => allow::run(&common, asked, out).await,
        Verb::Cert(asked) => cert::run(&common, &asked, out).await,
        Verb::Logs(asked) => logs::run(&common, &asked, out).await,
        Verb::Bugreport(asked) => bugreport::run(&common, &asked, out).await,
        Verb::Completion(asked) => completion::run(&asked, out),
        Verb::Man(asked) => man::run(&asked, out),
        Verb::Version => version::run(&common, out).await,
    }?;
    Ok(Exit::Ok.into())
}

async fn node(common: &Common) -> Result<Node, Failure> {
    Ok(Node::connect(common.socket.as_deref()).await?)
}

/// Attaches as whoever was asked for, or as the user at the keyboard.
async fn agent(common: &Common) -> Result<Agent, Failure> {
    let name = common.name.clone().unwrap_or_else(user::agent_name);
    let mut attaching = Agent::attach(name.clone());
    if let Some(path) = &common.socket {
        attaching = attaching.socket(path);
    }
    attaching.await.map_err(|error| {
        if let ClientError::Invalid { what } = error {
            return Failure::new(Exit::Usage, format!("`{name}` is no name: {what}"));
        }
        error.into()
    })
}

/// What was given, or what stands on standard input.
async fn body(given: Option<&str>) -> Result<Body, Failure> {
    if let Some(text) = given.filter(|text| *text != "-") {
        return Ok(Body::text(text));
    }
    // On a thread of its own, so that ctrl-c is heard meanwhile.
    let read = tokio::task::spawn_blocking(|| {
        let mut bytes = Vec::new();
        // One byte more than any body may have, so that the library says what is wrong with a longer one.
        let most = u64::try_from(proto::limits::BODY_BYTES_MAX).unwrap_or(u64::MAX);
        std::io::stdin().lock().take(most + 1).read_to_end(&mut bytes).map(|_| bytes)
    });
    let bytes = read.await.map_err(std::io::Error::other)??;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Body::text(text),
        Err(error) => Body::octets(error.into_bytes()),
    })
}

/// `aicp1k7q2…m9xd`, as people read ids.
fn short_id(text: &str) -> String {
    text.parse::<client::AgentId>().map_or_else(|_| crate::render::escape(text), |id| id.short())
}

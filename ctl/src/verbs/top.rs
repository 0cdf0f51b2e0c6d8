//! `aicpctl top`: the terminal filled with what happens at this node, the busiest first, looked at again and again.

mod page;
mod terminal;

use std::io::Read;
use std::time::Duration;

use client::Node;
use proto::control::NodeStatus;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::page::{Order, Page};
use self::terminal::Terminal;
use super::node;
use super::status::{Rates, warnings};
use crate::args::{Common, Top};
use crate::failure::{Exit, Failure};
use crate::render::Out;

/// The daemon has better things to do than to be looked at.
const SHORTEST: Duration = Duration::from_millis(200);

pub(crate) async fn run(common: &Common, asked: Top, out: Out) -> Result<(), Failure> {
    let every = asked.every.max(SHORTEST);
    let mut watch = Watch { node: node(common).await?, seen: None, before: None, trouble: None };
    if out.is_json() {
        return Err(no_terminal("it shows a screen, and no data"));
    }
    watch.look(common).await;
    let terminal = Terminal::take().map_err(|error| no_terminal(&error.to_string()))?;
    let mut keys = keys();
    let (mut resized, mut asked_to_end) = (signal(SignalKind::window_change())?, signal(SignalKind::terminate())?);
    let mut order = Order::Traffic;
    let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        terminal.show(&watch.page(order, out));
        tokio::select! {
            key = keys.recv() => match key {
                Some(b'q') | None => return Ok(()),
                Some(b'o') => order = order.next(),
                Some(b' ') => watch.look(common).await,
                Some(_) => {}
            },
            _ = ticks.tick() => watch.look(common).await,
            _ = resized.recv() => {}
            _ = asked_to_end.recv() => return Ok(()),
        }
    }
}

/// What was typed. The thread ends with the process.
fn keys() -> mpsc::UnboundedReceiver<u8> {
    let (tell, hear) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for key in std::io::stdin().lock().bytes().map_while(Result::ok) {
            if tell.send(key).is_err() {
                return;
            }
        }
    });
    hear
}

fn no_terminal(why: &str) -> Failure {
    Failure::new(Exit::Usage, "top needs a terminal").why(why).fix("aicpctl status --watch, with --json for programs")
}

/// The last two looks at the daemon.
struct Watch {
    node: Node,
    seen: Option<(NodeStatus, Instant)>,
    before: Option<(NodeStatus, Instant)>,
    /// Why the last look saw nothing.
    trouble: Option<Failure>,
}

impl Watch {
    /// A daemon that goes away is waited for: whoever watches wants to see it come back.
    async fn look(&mut self, common: &Common) {
        let status = match self.node.status().await {
            Ok(status) => Ok(status),
            // It may have been started anew since.
            Err(_) => self.look_anew(common).await,
        };
        match status {
            Ok(status) => {
                let now = (status, Instant::now());
                self.before = self.seen.replace(now);
                self.trouble = None;
            }
            Err(failure) => {
                self.before = None;
                self.trouble = Some(failure);
            }
        }
    }

    async fn look_anew(&mut self, common: &Common) -> Result<NodeStatus, Failure> {
        self.node = node(common).await?;
        Ok(self.node.status().await?)
    }

    fn page(&self, order: Order, out: Out) -> Page<'_> {
        let seen = self.seen.as_ref();
        let both = self.before.as_ref().zip(seen);
        let rates = both.map(|((before, then), (status, now))| Rates::between(before, status, *now - *then));
        Page {
            status: seen.map(|(status, _)| status),
            warnings: seen.map_or(0, |(status, _)| warnings::of(status).len()),
            trouble: self.trouble.as_ref(),
            rates,
            order,
            out,
        }
    }
}

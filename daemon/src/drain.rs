//! Signals: the first one asks for an orderly end, the second ends at once. Nothing is decided about messages here.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{App, Failure};

/// Runs until SIGTERM or SIGINT, or until the daemon cannot go on, and then ends it in peace as far as possible.
pub async fn run_until_signal(mut app: App) -> Result<(), Failure> {
    let mut signals = Signals::new();
    tokio::select! {
        failure = app.failed() => {
            tracing::error!(%failure, "ending");
            app.abandon().await;
            return Err(failure);
        }
        name = signals.next() => tracing::info!(signal = name, "stopping; a second signal ends at once"),
    }
    tokio::select! {
        ended = app.stop() => ended,
        name = signals.next() => {
            tracing::warn!(signal = name, "ended at once");
            Err(Failure::Unclean)
        }
    }
}

struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

impl Signals {
    fn new() -> Self {
        let listen =
            |kind| signal(kind).inspect_err(|error| tracing::warn!(%error, "a signal cannot be listened for")).ok();
        Self { terminate: listen(SignalKind::terminate()), interrupt: listen(SignalKind::interrupt()) }
    }

    async fn next(&mut self) -> &'static str {
        async fn of(signal: &mut Option<Signal>) {
            match signal {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = of(&mut self.terminate) => "SIGTERM",
            () = of(&mut self.interrupt) => "SIGINT",
        }
    }
}

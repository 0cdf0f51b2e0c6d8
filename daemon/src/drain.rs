//! The daemon's life from its first start to its end: it runs until a signal or a failure, and restarts in place where
//! an order asks for that. SIGHUP reads the configuration again. The first of the other signals asks for an orderly
//! end, the second ends at once. Nothing is decided about messages here.

use config::{Config, Flags};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::Ended;
use crate::systemd::Manager;
use crate::{App, Failure, Inherited, StartError};

/// Why it did not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It had to end.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Runs until SIGTERM or SIGINT, or until the daemon cannot go on, and then ends it in peace as far as possible. A
/// restart in place reads the configuration of `flags` anew. `manager` hears how far it is.
pub async fn run(flags: &Flags, mut config: Config, inherited: Inherited, manager: &Manager) -> Result<(), RunError> {
    let mut signals = Signals::new();
    let mut app = App::start_with(&config, inherited).await?;
    let mut _beating = manager.started(&app);
    loop {
        let ended = tokio::select! {
            ended = app.ended() => ended,
            asked = signals.asked() => match asked {
                Asked::Anew => {
                    manager.reloading();
                    app.reload().await;
                    manager.ready();
                    continue;
                }
                Asked::Stop(name) => {
                    tracing::info!(signal = name, "stopping; a second signal ends at once");
                    manager.stopping();
                    return Ok(signals.or_at_once(app.stop()).await?);
                }
            },
        };
        match ended {
            Ended::Failed(failure) => {
                tracing::error!(%failure, "ending");
                app.abandon().await;
                return Err(failure.into());
            }
            Ended::Restart => {
                tracing::info!("restarting in place");
                manager.reloading();
                let kept = signals.or_at_once(app.stop_to_restart()).await?;
                (app, config) = start_again(flags, config, kept).await?;
                _beating = manager.started(&app);
            }
        }
    }
}

/// A file that cannot be used changes nothing: the daemon goes on as it was configured before.
async fn start_again(flags: &Flags, before: Config, kept: Inherited) -> Result<(App, Config), StartError> {
    let config = config::load(flags).unwrap_or_else(|error| {
        tracing::error!(%error, "the configuration cannot be used; that of the last start counts");
        before
    });
    Ok((App::start_with(&config, kept).await?, config))
}

/// What a signal asks for.
enum Asked {
    /// An end; the signal's name.
    Stop(&'static str),
    /// That the configuration is read anew.
    Anew,
}

struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    hangup: Option<Signal>,
}

impl Signals {
    fn new() -> Self {
        let listen =
            |kind| signal(kind).inspect_err(|error| tracing::warn!(%error, "a signal cannot be listened for")).ok();
        Self {
            terminate: listen(SignalKind::terminate()),
            interrupt: listen(SignalKind::interrupt()),
            hangup: listen(SignalKind::hangup()),
        }
    }

    async fn asked(&mut self) -> Asked {
        tokio::select! {
            () = comes(&mut self.terminate) => Asked::Stop("SIGTERM"),
            () = comes(&mut self.interrupt) => Asked::Stop("SIGINT"),
            () = comes(&mut self.hangup) => Asked::Anew,
        }
    }

    async fn stop(&mut self) -> &'static str {
        loop {
            if let Asked::Stop(name) = self.asked().await {
                return name;
            }
        }
    }

    /// Waits for a stop, but no longer than until somebody asks once more.
    async fn or_at_once<T>(&mut self, stopping: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            ended = stopping => ended,
            name = self.stop() => {
                tracing::warn!(signal = name, "ended at once");
                Err(Failure::Unclean)
            }
        }
    }
}

async fn comes(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

//! What the operator sees. Here, logs, to standard error: no payload is ever logged, and nobody's address above DEBUG
//! but those that are configured. Below, what the shell counts, and the door where metrics and health are told.

pub(crate) mod counters;
mod door;
mod exposition;
mod http;

pub(crate) use door::MetricsDoor;

use config::{Log, LogFormat};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Starts to log as the configuration says. Called once; a second call changes nothing.
pub fn start(log: &Log) {
    // The configuration has checked it; what it let through and this does not is logged as usual.
    let targets: Targets = log.level.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let layer = match log.format {
        LogFormat::Text => fmt::layer().with_target(false).with_ansi(false).with_writer(std::io::stderr).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
    };
    // Other crates speak up only when something is wrong, unless they are asked.
    let quiet = [("quinn", LevelFilter::WARN), ("quinn_proto", LevelFilter::WARN), ("rustls", LevelFilter::WARN)];
    let asked = |name: &str| log.level.contains(name);
    let targets = targets.with_targets(quiet.into_iter().filter(|(name, _)| !asked(name)));
    drop(tracing_subscriber::registry().with(layer.with_filter(targets)).try_init());
}

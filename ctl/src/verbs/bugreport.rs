//! `aicpctl bugreport`: all that helps whoever mends it, in one file. It holds names, numbers and states. Messages are
//! never in it: neither what they say nor what they are about; nor is any key, and network addresses only if that was
//! said. It sends nothing anywhere.

mod redact;

use std::fmt::Write as _;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use config::Config;
use proto::control::NodeStatus;
use serde_json::json;

use self::redact::Redactor;
use super::doctor;
use super::host;
use super::logs::{self, Place};
use super::status::warnings;
use crate::args::{Bugreport, Common, StateOf};
use crate::clock;
use crate::failure::{Exit, Failure};
use crate::render::{Out, escape, long};

/// So many of the latest lines of the log.
const LOG_LINES: u32 = 300;

pub(crate) async fn run(common: &Common, asked: &Bugreport, out: Out) -> Result<(), Failure> {
    let status = host::status(common).await;
    let config = host::configuration(common, &host::as_the_daemon(common, &asked.state).await);
    let report = report(common, &asked.state, status.as_ref(), &config).await;
    let report = match asked.with_addresses {
        true => redact::secrets(&report),
        false => Redactor::new(status.as_ref(), config.as_ref().ok()).all(&report),
    };
    if asked.file.as_deref() == Some(Path::new("-")) {
        out.raw(&report);
        return Ok(());
    }
    let path = asked.file.clone().unwrap_or_else(|| usual_name(status.as_ref()));
    write(&path, &report)?;
    out.object("bugreport", json!({ "file": path.display().to_string(), "bytes": report.len() }));
    out.line(path.display());
    if !out.is_json() {
        out.talk("look through it before you send it: it names agents, nodes and folders of this host");
    }
    Ok(())
}

fn usual_name(status: Option<&NodeStatus>) -> PathBuf {
    // A name that a daemon tells makes no path.
    let name = status.map(|status| status.node_name.as_str()).filter(|name| proto::Name::is_name(name));
    PathBuf::from(format!("aicp-bugreport-{}.txt", name.unwrap_or("node")))
}

/// For whoever runs this alone, and never over something else.
fn write(path: &Path, report: &str) -> Result<(), Failure> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.and_then(|mut file| file.write_all(report.as_bytes())).map_err(|error| {
        Failure::new(Exit::Failed, format!("{} cannot be written", path.display()))
            .why(error.to_string())
            .now("nothing was written over")
            .fix("another file name, or - for standard output")
    })
}

async fn report(
    common: &Common,
    asked: &StateOf,
    status: Option<&NodeStatus>,
    config: &Result<Config, Failure>,
) -> String {
    let mut text = format!("AICP bug report, {}\n", clock::rfc3339(clock::now()));
    section(&mut text, "versions", &versions(status));
    section(&mut text, "host", &this_host());
    section(&mut text, "limits of the daemon's process", &limits(common).await);
    section(&mut text, "configuration", &config.as_ref().map_or_else(|failure| failure.what.clone(), describe));
    section(&mut text, "status", &status.map_or_else(|| "no daemon answers".into(), state));
    let findings = doctor::examine(common, asked, false).await;
    let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
    section(&mut text, "doctor", &findings.join("\n"));
    section(&mut text, &format!("the latest {LOG_LINES} lines of the log"), &log(common, asked).await);
    text
}

fn section(text: &mut String, head: &str, body: &str) {
    // Writing into a string cannot fail.
    let _ = write!(text, "\n== {head}\n");
    for line in body.lines() {
        text.push_str(&escape(line));
        text.push('\n');
    }
}

fn versions(status: Option<&NodeStatus>) -> String {
    let daemon = status.map_or("does not answer", |status| &status.version);
    format!("aicpctl {}\naicpd {daemon}", env!("CARGO_PKG_VERSION"))
}

fn this_host() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let system = read("/etc/os-release");
    let system = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown");
    let memory = read("/proc/meminfo");
    let memory: Vec<_> = memory.lines().take(3).collect();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let buffers = host::BUFFERS.map(|name| format!("{name} {}", host::kernel_number(name).unwrap_or(0)));
    format!(
        "{system}\nLinux {} {}\n{processors} processors\n{}\n{}\nup {}",
        read("/proc/sys/kernel/osrelease"),
        std::env::consts::ARCH,
        memory.join("\n"),
        buffers.join("\n"),
        read("/proc/uptime"),
    )
}

async fn limits(common: &Common) -> String {
    let Some(behind) = host::daemon_process(common).await else { return "it is not known which process it is".into() };
    std::fs::read_to_string(format!("/proc/{}/limits", behind.process)).unwrap_or_else(|error| error.to_string())
}

/// What it comes to, and not its text: comments may hold anything.
fn describe(config: &Config) -> String {
    let mut lines = vec![
        format!("node       {}", config.node_name),
        format!("state      {}", config.state_dir.display()),
        format!("socket     {} (mode {:04o})", config.socket.path.display(), config.socket.mode),
        format!("groups     {:?} {:?}", config.socket.group, config.socket.admin_group),
        format!("listen     {:?}", config.mesh.listen),
        format!("hops       {}", config.mesh.hops),
        format!("log        {} {:?}", config.log.level, config.log.format),
        format!("metrics    {:?}", config.metrics),
        format!("limits     {:?}", config.limits),
    ];
    for peer in &config.mesh.peers {
        let address = peer.address.as_deref().unwrap_or("(dials us)");
        lines.push(format!("peer       {} {} {address}", peer.name, peer.node));
    }
    lines.extend(config.mesh.advertise.iter().map(|address| format!("advertise  {address}")));
    lines.join("\n")
}

fn state(status: &NodeStatus) -> String {
    let told = serde_json::to_string_pretty(status).unwrap_or_default();
    let warnings: Vec<_> = warnings::of(status).iter().map(|warning| format!("⚠ {warning}\n")).collect();
    format!("up {}\n{}{told}", long(status.uptime_ms), warnings.concat())
}

async fn log(common: &Common, asked: &StateOf) -> String {
    match logs::place(common, asked).await {
        Ok(Place::File(path)) => match logs::latest(&path, LOG_LINES) {
            Ok((lines, _)) => lines.join("\n"),
            Err(error) => format!("{}: {error}", path.display()),
        },
        Ok(Place::Journal) => logs::of_journal(LOG_LINES).await.unwrap_or_else(|error| error.to_string()),
        Err(failure) => failure.what,
    }
}

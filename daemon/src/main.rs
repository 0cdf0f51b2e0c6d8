//! `aicpd`: parses, runs one command, and turns its end into an exit code. It decides nothing.

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use daemon::cli::{Arguments, Command};
use daemon::fsck::FsckError;
use daemon::systemd::{self, Manager};
use daemon::{StateDir, drain, files, fsck, telemetry};

/// Damage was found.
const DAMAGE: u8 = 1;
/// Bad configuration or flags.
const USAGE: u8 = 2;
/// `fsck` could not read what it was to look at.
const UNREADABLE: u8 = 3;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(end) => end,
        Err(error) => {
            let is_usage = error.downcast_ref::<config::ConfigError>().is_some();
            let is_unreadable = error.downcast_ref::<FsckError>().is_some();
            let told = writeln!(std::io::stderr(), "aicpd: {error}");
            match (is_usage || told.is_err(), is_unreadable) {
                (true, _) => ExitCode::from(USAGE),
                (false, true) => ExitCode::from(UNREADABLE),
                (false, false) => ExitCode::FAILURE,
            }
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Run(flags) => {
            let config = config::load(&flags.flags())?;
            telemetry::start(&config.log, systemd::stderr_is_the_journal());
            let (inherited, manager) = (systemd::inherited()?, Manager::of_this_process());
            files::raise_limit();
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .thread_name("aicpd")
                .build()
                .map_err(daemon::StartError::Thread)?;
            let ended = runtime.block_on(drain::run(&flags.flags(), config, inherited, &manager));
            runtime.shutdown_background();
            ended?;
        }
        Command::Init(flags) => {
            let config = config::load(&flags.flags())?;
            let named = flags.name.is_some().then_some(&config.node_name);
            let node = StateDir::init(&config.state_dir, named)?;
            say(&format!("{node}\n"))?;
        }
        Command::Fsck(flags) => {
            let config = config::load(&flags.state.flags())?;
            let report = fsck::run(&config.state_dir)?;
            say(&if flags.json { format!("{}\n", fsck::json(&report)) } else { fsck::text(&report) })?;
            return Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGE) });
        }
        Command::MarkRestored(flags) => StateDir::mark_restored(&config::load(&flags.flags())?.state_dir)?,
        Command::CheckConfig(flags) => {
            let config = config::load(&flags.flags())?;
            say(&daemon::cli::describe(&config))?;
        }
        Command::Man(flags) => {
            std::fs::create_dir_all(&flags.folder)?;
            clap_mangen::generate_to(Arguments::command(), &flags.folder)?;
        }
        Command::DefaultConfig => say(config::SAMPLE)?,
        Command::Version => say(concat!("aicpd ", env!("CARGO_PKG_VERSION"), "\n"))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

//! `aicpd`: parses, runs one command, and turns its end into an exit code. It decides nothing.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use daemon::cli::{Arguments, Command};
use daemon::{App, StateDir, drain, telemetry};

/// Bad configuration or flags.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let is_usage = error.downcast_ref::<config::ConfigError>().is_some();
            let told = writeln!(std::io::stderr(), "aicpd: {error}");
            if is_usage || told.is_err() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Command::Run(flags) => {
            let config = config::load(&flags.flags())?;
            telemetry::start(&config.log);
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .thread_name("aicpd")
                .build()
                .map_err(daemon::StartError::Thread)?;
            let ended = runtime.block_on(async {
                let app = App::start(&config).await?;
                Ok(drain::run_until_signal(app).await?)
            });
            runtime.shutdown_background();
            ended
        }
        Command::Init(flags) => {
            let config = config::load(&flags.flags())?;
            let named = flags.name.is_some().then_some(&config.node_name);
            let node = StateDir::init(&config.state_dir, named)?;
            say(&format!("{node}\n"))
        }
        Command::CheckConfig(flags) => {
            let config = config::load(&flags.flags())?;
            say(&daemon::cli::describe(&config))
        }
        Command::DefaultConfig => say(config::SAMPLE),
        Command::Version => say(concat!("aicpd ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

//! `aicpctl`: the command line of the mesh. Reads what was asked for, runs one verb, and says how it ended. It never
//! speaks to the network itself: all that goes through the daemon on this host; `doctor` alone knocks at the peers' ports,
//! to see whether they can be reached. Keys are the one thing that it handles without the daemon.

mod args;
mod clock;
mod failure;
mod passphrase;
#[cfg(test)]
mod reference;
mod render;
mod user;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::failure::Failure;
use crate::render::Out;

fn main() -> ExitCode {
    let args = Args::parse();
    let out = Out::new(args.common.format());
    run(args, &out).unwrap_or_else(|failure| {
        out.fail(&failure);
        failure.exit.into()
    })
}

fn run(args: Args, out: &Out) -> Result<ExitCode, Failure> {
    // One thread: a message wakes nobody but the task that waits for it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let end = runtime.block_on(async {
        tokio::select! {
            end = verbs::run(args, out) => end,
            // What the verb has begun is ended by dropping it.
            _ = tokio::signal::ctrl_c() => Err(Failure::interrupted()),
        }
    });
    // Somebody who types no more must not hold us up.
    runtime.shutdown_background();
    end
}

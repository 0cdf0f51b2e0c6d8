//! `aicpctl`: the command line of the mesh. Reads what was asked for, runs one verb, and says how it ended. It never
//! speaks to the network itself: all that goes through the daemon on this host. Keys are the one thing that it handles
//! without the daemon.

mod args;
mod failure;
mod passphrase;
mod render;
mod user;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::failure::{Exit, Failure};
use crate::render::Out;

fn main() -> ExitCode {
    let args = Args::parse();
    let out = Out::new(args.common.json);
    let end = match run(args, &out) {
        Ok(()) => Exit::Ok,
        Err(failure) => {
            out.fail(&failure);
            failure.exit
        }
    };
    ExitCode::from(end as u8)
}

fn run(args: Args, out: &Out) -> Result<(), Failure> {
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

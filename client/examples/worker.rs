//! Serves one subject until it is stopped: `cargo run -p aicp-client --example worker`. What it was given and did not
//! finish comes again.

use std::io::Write;

use client::{Agent, ClientError, Event, Refuse};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ClientError> {
    let me = Agent::attach("worker").capability("count").await?;
    writeln!(std::io::stdout(), "{} is there", me.address())?;

    let mut events = me.events();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Event::Disconnected { why } = event {
                let _ = writeln!(std::io::stderr(), "the daemon is gone ({why}); trying again");
            }
        }
    });

    me.on("count", |message| async move {
        let text = message.text()?;
        if text.is_empty() {
            return Err(Refuse::new("there is nothing to count"));
        }
        Ok(format!("{} words", text.split_whitespace().count()))
    });
    me.serve().await
}

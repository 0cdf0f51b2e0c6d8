//! Asks an agent once and shows the answer: `cargo run -p aicp-client --example ask -- echo@beta hello`.

use std::io::Write;

use client::{Agent, ClientError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ClientError> {
    let mut words = std::env::args().skip(1);
    let to = words.next().unwrap_or_else(|| "echo".into());
    let text = words.next().unwrap_or_else(|| "hello".into());

    let me = Agent::attach("asker").await?;
    let answer = me.ask(to, "greet", text).await?;
    let shown = String::from_utf8_lossy(answer.body()).escape_debug().to_string();
    writeln!(std::io::stdout(), "{} says {shown}", answer.source_address())?;
    me.detach().await
}

//! `aicpctl allow`: who may send what to agents of this node.

use config::RawAllow;
use proto::control::{AllowTest, ConfigRule};
use serde_json::json;

use super::config::{Seen, edit_failure, order_reload, tell_reload};
use super::{node, select};
use crate::args::Common;
use crate::args::config::{Add, Allow, Rm, Test};
use crate::failure::{Exit, Failure};
use crate::render::{GREEN, Out, RED, escape};

pub(crate) async fn run(common: &Common, asked: Allow, out: Out) -> Result<(), Failure> {
    match asked {
        Allow::Ls(which) => ls(&Seen::of(common, &which).await?, out),
        Allow::Add(asked) => add(common, asked, out).await,
        Allow::Rm(asked) => rm(common, &asked, out).await,
        Allow::Test(asked) => test(common, &asked, out).await,
    }
}

fn ls(seen: &Seen, out: Out) -> Result<(), Failure> {
    out.object("allow-rules", json!({ "rules": seen.told.rules }));
    if out.is_json() {
        return Ok(());
    }
    if seen.told.rules.is_empty() {
        out.talk("no rule: every agent of the mesh may send to every agent of this node");
        return Ok(());
    }
    let any = |text: &str| if text.is_empty() { "*".into() } else { escape(text) };
    let head = ["RULE", "TO", "FROM", "NODE", "CAPABILITY", "SUBJECT", "WHERE"].map(String::from).to_vec();
    let rows = seen.told.rules.iter().map(|rule| {
        let parts = [&rule.to, &rule.from, &rule.node, &rule.capability, &rule.subject];
        let parts = parts.into_iter().map(|part| any(part));
        std::iter::once(escape(&rule.name)).chain(parts).chain([escape(&rule.origin)]).collect()
    });
    out.table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    Ok(())
}

/// A rule on one line.
pub(super) fn in_words(rule: &ConfigRule) -> String {
    let parts = [("to", &rule.to), ("from", &rule.from), ("node", &rule.node)];
    let more = [("capability", &rule.capability), ("subject", &rule.subject)];
    let parts = parts.into_iter().chain(more).filter(|(_, text)| !text.is_empty());
    let parts = parts.map(|(word, text)| format!(" {word} {}", escape(text)));
    format!("{}:{}", escape(&rule.name), parts.collect::<String>())
}

async fn add(common: &Common, asked: Add, out: Out) -> Result<(), Failure> {
    let seen = Seen::of(common, &asked.which).await?;
    let mut edit = seen.edit(&asked.which)?;
    let Add { to, from, node, capability, subject, name, .. } = asked;
    let rule = RawAllow { name, to: Some(to), from, node, capability, subject };
    let name = edit.allow(&rule).map_err(edit_failure)?;
    let path = edit.path().display().to_string();
    edit.save().map_err(edit_failure)?;
    out.object("allow-added", json!({ "rule": name, "file": path }));
    out.line(format_args!("rule {} is in {}", escape(&name), escape(&path)));
    take_effect(&seen, !asked.no_reload, out).await
}

async fn rm(common: &Common, asked: &Rm, out: Out) -> Result<(), Failure> {
    let seen = Seen::of(common, &asked.which).await?;
    let mut edit = seen.edit(&asked.which)?;
    edit.disallow(&asked.name).map_err(edit_failure)?;
    let path = edit.path().display().to_string();
    edit.save().map_err(edit_failure)?;
    out.object("allow-removed", json!({ "rule": asked.name, "file": path }));
    out.line(format_args!("rule {} is gone from {}", escape(&asked.name), escape(&path)));
    take_effect(&seen, !asked.no_reload, out).await
}

async fn take_effect(seen: &Seen, reloads: bool, out: Out) -> Result<(), Failure> {
    match &seen.daemon {
        Some(daemon) if reloads => tell_reload(&order_reload(daemon, false).await?, out),
        Some(_) => out.talk("the daemon does not know yet: aicpctl config reload"),
        None => out.talk("it holds from the daemon's next start on"),
    }
    Ok(())
}

async fn test(common: &Common, asked: &Test, out: Out) -> Result<(), Failure> {
    let test = AllowTest {
        source: asked.from.clone(),
        destination: asked.to.clone(),
        capability: asked.capability.clone(),
        subject: asked.subject.clone(),
    };
    let told = node(common).await?.test_allow(&test).await.map_err(select::refused)?;
    out.object("allow", &told);
    if told.allowed {
        out.line(format_args!("{GREEN}allowed{GREEN:#}: {}", escape(&told.words)));
        return Ok(());
    }
    out.line(format_args!("{RED}refused{RED:#}: {}", escape(&told.words)));
    Err(Failure::new(Exit::Denied, format!("{} would not take it", asked.to)).fix("aicpctl allow add"))
}

//! `aicpctl config`: what the daemon runs with, and what its files say. Files are read and written here; the daemon is
//! asked for what only it knows, and may be down.

use std::path::PathBuf;

use client::Node;
use config::edit::{Edit, EditError};
use config::{ConfigError, Flags, Host, Key, Origin};
use proto::control::{ConfigKey, NodeConfig, ReloadReply};
use serde_json::json;

use super::{node, select};
use crate::args::Common;
use crate::args::config::{Config, Get, Reload, Set, Show, Validate, Which};
use crate::failure::{Exit, Failure};
use crate::render::{DIM, Out, escape};

pub(crate) async fn run(common: &Common, asked: Config, out: Out) -> Result<(), Failure> {
    match asked {
        Config::Show(asked) => show(&Seen::of(common, &asked.which).await?, &asked, out),
        Config::Get(asked) => get(&Seen::of(common, &asked.which).await?, &asked, out),
        Config::Set(asked) => set(common, &asked, out).await,
        Config::Unset(asked) => unset(common, &asked, out).await,
        Config::Validate(asked) => validate(common, &asked, out).await,
        Config::Reload(asked) => reload(common, &asked, out).await,
    }
}

/// What there is to know of a configuration, and how.
pub(super) struct Seen {
    pub(super) told: NodeConfig,
    /// The daemon told it; otherwise the files did.
    pub(super) daemon: Option<Node>,
}

impl Seen {
    /// Of the daemon, if one answers and no other file was named.
    pub(super) async fn of(common: &Common, which: &Which) -> Result<Self, Failure> {
        let connected = if which.config.is_some() { None } else { node(common).await.ok() };
        if let Some(daemon) = connected {
            let told = daemon.config().await.map_err(select::refused)?;
            return Ok(Self { told, daemon: Some(daemon) });
        }
        let flags = Flags { config: which.config.clone(), ..Flags::default() };
        let loaded = config::load(&flags).map_err(failure)?;
        Ok(Self { told: loaded.told(), daemon: None })
    }

    /// A change of its files. What the daemon has in its environment and on its command line, it has told.
    pub(super) fn edit(&self, which: &Which) -> Result<Edit, Failure> {
        let file = Some(&self.told.file).filter(|file| !file.is_empty() && self.daemon.is_some());
        let flags = Flags { config: which.config.clone().or(file.map(PathBuf::from)), ..Flags::default() };
        let host = Host::of_this_process();
        let host = if self.daemon.is_some() { host.without_variables() } else { host };
        Edit::open(&flags, &host).map_err(edit_failure)
    }

    fn key(&self, name: &str) -> Result<&ConfigKey, Failure> {
        let found = self.told.keys.iter().find(|key| key.key == name);
        found.ok_or_else(|| edit_failure(EditError::NoKey { key: name.into(), meant: Key::meant(name) }))
    }

    /// A key that stands in the daemon's environment or on its command line cannot be changed in a file.
    fn must_be_free(&self, name: &str) -> Result<(), Failure> {
        let origin = &self.key(name)?.origin;
        if self.daemon.is_some() && (origin.starts_with("--") || origin.starts_with("AICP_")) {
            let what = format!("{name} is set by {origin} of the running daemon, which counts before any file");
            return Err(Failure::new(Exit::Usage, what)
                .now("nothing was changed")
                .fix(format!("take {origin} out of the way the daemon is started, or change it there")));
        }
        Ok(())
    }
}

fn show(seen: &Seen, asked: &Show, out: Out) -> Result<(), Failure> {
    out.object("config", &seen.told);
    for key in &seen.told.keys {
        let line = format!("{} = {}", escape(&key.key), escape(&key.value));
        if asked.origin {
            out.line(format_args!("{line:<48} {DIM}# {}{DIM:#}", escape(&key.origin)));
        } else {
            out.line(line);
        }
    }
    for rule in &seen.told.rules {
        out.line(format_args!("allow {}", super::allow::in_words(rule)));
    }
    if seen.daemon.is_none() && !out.is_json() {
        out.talk("no daemon was asked; this is what one would run with");
    }
    for key in &seen.told.needs_restart {
        out.talk(format_args!("{} stands otherwise in the files by now: aicpctl config reload --restart", escape(key)));
    }
    Ok(())
}

fn get(seen: &Seen, asked: &Get, out: Out) -> Result<(), Failure> {
    let key = seen.key(&asked.key)?;
    out.object("config-key", json!({ "key": key.key, "value": key.value, "origin": key.origin, "live": key.live }));
    out.line(escape(&key.value));
    Ok(())
}

async fn set(common: &Common, asked: &Set, out: Out) -> Result<(), Failure> {
    let seen = Seen::of(common, &asked.which).await?;
    seen.must_be_free(&asked.key)?;
    let mut edit = seen.edit(&asked.which)?;
    let key = edit.set(&asked.key, &asked.value).map_err(edit_failure)?;
    let path = edit.path().display().to_string();
    let value = edit.save().map_err(edit_failure)?.value(key.name);
    if !out.is_json() {
        out.line(format_args!("{} = {} {DIM}# {}{DIM:#}", key.name, escape(&value), escape(&path)));
    }
    let saved = Saved { key: key.name, path, is_live: key.is_live };
    saved.tell(seen.daemon.as_ref(), asked.reload, out).await
}

async fn unset(common: &Common, asked: &Get, out: Out) -> Result<(), Failure> {
    let seen = Seen::of(common, &asked.which).await?;
    let mut edit = seen.edit(&asked.which)?;
    let path = edit.path().display().to_string();
    if !edit.unset(&asked.key).map_err(edit_failure)? {
        return Err(
            Failure::new(Exit::NotFound, format!("{} is not set in {path}", asked.key)).now("nothing was changed")
        );
    }
    let key = Key::find(&asked.key);
    let loaded = edit.save().map_err(edit_failure)?;
    let (name, is_live) = key.map_or(("", false), |key| (key.name, key.is_live));
    if !out.is_json() {
        let origin = loaded.sources.origin(name).to_string();
        out.line(format_args!("{name} = {} {DIM}# {}{DIM:#}", escape(&loaded.value(name)), escape(&origin)));
    }
    Saved { key: name, path, is_live }.tell(seen.daemon.as_ref(), false, out).await
}

/// What was written, and what has still to happen.
struct Saved {
    key: &'static str,
    path: String,
    is_live: bool,
}

impl Saved {
    async fn tell(self, daemon: Option<&Node>, reloads: bool, out: Out) -> Result<(), Failure> {
        let Self { key, path, is_live } = self;
        out.object("config-set", json!({ "key": key, "file": path, "live": is_live }));
        match daemon {
            Some(daemon) if reloads => tell_reload(&order_reload(daemon, false).await?, out),
            Some(_) if is_live => out.talk("the daemon does not know yet: aicpctl config reload"),
            Some(_) => out.talk("it needs a restart: aicpctl config reload --restart"),
            None => out.talk("it holds from the daemon's next start on"),
        }
        Ok(())
    }
}

async fn validate(common: &Common, asked: &Validate, out: Out) -> Result<(), Failure> {
    let flags = match &asked.file {
        Some(file) => Flags { config: Some(file.clone()), ..Flags::default() },
        None => {
            // A daemon that was told of another file than the usual one says so.
            let told = match node(common).await {
                Ok(daemon) => daemon.config().await.ok().map(|told| PathBuf::from(told.file)),
                Err(_) => None,
            };
            Flags { config: told.filter(|file| file.exists()), ..Flags::default() }
        }
    };
    let loaded = config::load(&flags).map_err(failure)?;
    let set = loaded.values().filter(|shown| shown.origin != Origin::Default).count();
    let file = loaded.sources.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
    out.object("config-valid", json!({ "file": file, "keys_set": set, "rules": loaded.allow.len() }));
    let rules = loaded.allow.len();
    out.line(format_args!("it can be used: {} ({set} keys set, {rules} rules)", escape(&file)));
    Ok(())
}

async fn reload(common: &Common, asked: &Reload, out: Out) -> Result<(), Failure> {
    let reply = order_reload(&node(common).await?, asked.restart).await?;
    out.object("reload", &reply);
    tell_reload(&reply, out);
    Ok(())
}

/// Orders it. A bad file changes nothing, and the daemon says what is wrong with it.
pub(super) async fn order_reload(daemon: &Node, restart: bool) -> Result<ReloadReply, Failure> {
    daemon.reload(restart).await.map_err(|error| {
        if let client::ClientError::Refused { code, message, .. } = error {
            let exit = if code == client::ErrorCode::POLICY { Exit::Denied } else { Exit::Usage };
            let mut failure = Failure::new(exit, "the configuration was not read again").why(message);
            failure.code = Some(code);
            return failure.now("the daemon goes on as it was").fix("aicpctl config validate");
        }
        error.into()
    })
}

pub(super) fn tell_reload(reply: &ReloadReply, out: Out) {
    let keys = |keys: &[String]| escape(&keys.join(", "));
    if reply.applied.is_empty() && reply.needs_restart.is_empty() {
        out.story("read again; nothing has changed");
    }
    if !reply.applied.is_empty() {
        out.story(format_args!("holds now: {}", keys(&reply.applied)));
    }
    if reply.restarts {
        out.story(format_args!("restarting in place for: {}", keys(&reply.needs_restart)));
    } else if !reply.needs_restart.is_empty() {
        out.story(format_args!("needs a restart: {}", keys(&reply.needs_restart)));
        out.talk("  aicpctl config reload --restart, whenever it suits");
    }
}

pub(super) fn failure(error: ConfigError) -> Failure {
    Failure::new(Exit::Usage, error.to_string()).now("nothing was changed").fix("aicpd default-config shows every key")
}

pub(super) fn edit_failure(error: EditError) -> Failure {
    let words = error.to_string();
    let failed = |exit| Failure::new(exit, words.clone()).now("nothing was changed");
    match &error {
        EditError::NoKey { meant: Some(meant), .. } => failed(Exit::Usage).fix(format!("did you mean {meant}?")),
        EditError::NoKey { meant: None, .. } => failed(Exit::Usage).fix("aicpctl config show lists all keys"),
        EditError::Overridden { by: Origin::File(_), .. } => failed(Exit::Usage).fix("change it there"),
        EditError::Overridden { by, .. } => failed(Exit::Usage).fix(format!("take {by} away, or change it there")),
        EditError::NoRule { elsewhere: Some(place), .. } => {
            failed(Exit::NotFound).fix(format!("it stands in {place}; take it out there, then aicpctl config reload"))
        }
        EditError::NoRule { elsewhere: None, .. } => failed(Exit::NotFound).fix("aicpctl allow ls"),
        EditError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            failed(Exit::Denied).fix("sudo, as whoever may write there")
        }
        EditError::NoPlace => failed(Exit::Usage).fix("--config FILE"),
        EditError::Kind { .. } | EditError::Config(_) | EditError::Io { .. } => {
            failed(Exit::Usage).fix("aicpd default-config shows every key and what it may be")
        }
    }
}

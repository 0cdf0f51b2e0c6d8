//! The configuration while the daemon runs: what it runs with, and reading it again. What can change at once does, all
//! of it or nothing; what needs a restart is named. It touches no message.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use config::{Config, ConfigError};
use mesh::{ClientId, Input};
use parking_lot::{Mutex, RwLock};
use proto::control::{ControlBody, NodeConfig, Reload, ReloadReply, schema, subject};
use proto::{Content, ContentType, ErrorCode};

use crate::agent::{answer, content_type_of_answer, error_frame};
use crate::app::bounds;
use crate::groups::{Admins, Group};
use crate::member::look_at_addresses;
use crate::policy::policy;
use crate::shared::Shared;
use crate::{StartError, telemetry};

/// Who may open the agents' socket.
const OF_THE_SOCKET: [&str; 2] = ["socket.mode", "socket.group"];

/// What can be another after a reload.
#[derive(Debug)]
pub(crate) struct Live {
    config: Mutex<Config>,
    /// Keys that stand otherwise in the files by now.
    needs_restart: Mutex<Vec<&'static str>>,
    admins: RwLock<Option<Admins>>,
    /// The agents' socket was passed to us: its group and mode are its maker's.
    is_passed: AtomicBool,
    /// One reload at a time.
    gate: tokio::sync::Mutex<()>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A group that does not exist, or a socket that is not ours to change.
    #[error("{0}")]
    Host(#[from] StartError),
    #[error("the thread that reads the configuration has ended")]
    Ended,
}

impl Live {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            config: Mutex::new(config.clone()),
            needs_restart: Mutex::default(),
            admins: RwLock::default(),
            is_passed: AtomicBool::new(false),
            gate: tokio::sync::Mutex::default(),
        }
    }

    /// What the daemon runs with.
    pub(crate) fn config(&self) -> Config {
        self.config.lock().clone()
    }

    /// Somebody else made the agents' socket.
    pub(crate) fn socket_is_passed(&self) {
        self.is_passed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn set_admins(&self, admins: Admins) {
        *self.admins.write() = Some(admins);
    }

    /// Whether a process of this user and group may give orders.
    pub(crate) fn is_admin(&self, uid: u32, gid: u32) -> bool {
        self.admins.read().as_ref().is_some_and(|admins| admins.hold(uid, gid))
    }
}

/// Reads it again, from where it came. On an error everything stays as it was.
pub(crate) async fn reload(shared: &Shared) -> Result<ReloadReply, ReloadError> {
    let _alone = shared.live.gate.lock().await;
    let old = shared.live.config();
    let before = old.clone();
    let read = tokio::task::spawn_blocking(move || before.again());
    let new = read.await.map_err(|_| ReloadError::Ended)??;
    let (mut applied, needs_restart) = old.changes(&new);
    if shared.live.is_passed.load(Ordering::Relaxed) {
        applied.retain(|key| !OF_THE_SOCKET.contains(key));
    }
    let admins = Admins::new(new.socket.admin_group.as_deref())?;
    if applied.iter().any(|key| OF_THE_SOCKET.contains(key)) {
        open_to(&old.socket.path, &new.socket)?;
    }
    shared.live.set_admins(admins);
    telemetry::set_level(&new.log.level);
    shared.tell(Input::Bounds(bounds(&new.limits))).await;
    shared.tell(Input::Policy(policy(&new))).await;
    *shared.live.config.lock() = old.with_live_of(&new);
    look_at_addresses(shared).await;
    shared.live.needs_restart.lock().clone_from(&needs_restart);
    let names = |keys: Vec<&str>| keys.into_iter().map(String::from).collect::<Vec<_>>();
    let (applied, needs_restart) = (names(applied), names(needs_restart));
    tracing::info!(applied = applied.join(" "), needs_restart = needs_restart.join(" "), "configured anew");
    Ok(ReloadReply { schema: schema::RELOAD.into(), applied, needs_restart, restarts: false })
}

/// Who may open the agents' socket. The group comes first: a mode that is wide is never that of the wrong group.
fn open_to(path: &Path, socket: &config::Socket) -> Result<(), StartError> {
    let failed = |source| StartError::Socket { path: path.into(), source };
    let group = match &socket.group {
        Some(name) => Group::find("socket.group", name)?.id,
        None => rustix::process::getegid().as_raw(),
    };
    chown(path, None, Some(group)).map_err(failed)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(socket.mode)).map_err(failed)
}

/// Whether a question is the order to read the configuration again.
pub(crate) fn is_order(asked: &Content) -> bool {
    asked.metadata.subject() == Some(subject::RELOAD)
}

/// Carries the order out beside the node's task, for files are read, and answers it.
pub(crate) fn obey(shared: &Arc<Shared>, client: ClientId, is_admin: bool, asked: Box<Content>) {
    let to = Arc::clone(shared);
    shared.tasks.spawn("reload", async move {
        let (frame, restarts) = obeyed(&to, is_admin, &asked).await;
        if let Some(frame) = frame {
            to.sessions.answer(client, frame);
        }
        if restarts {
            to.restart();
        }
    });
}

async fn obeyed(shared: &Shared, is_admin: bool, asked: &Content) -> (Option<Bytes>, bool) {
    let header = &asked.header;
    let content_type = content_type_of_answer(header.content_type());
    let refuse = |code, words: &str| {
        (error_frame(shared, header.id(), header.source(), header.content_type(), code, words), false)
    };
    if !is_admin {
        return refuse(ErrorCode::POLICY, NOT_ADMIN);
    }
    let is_bare = asked.body.is_empty() && header.content_type() == ContentType::None;
    let order = if is_bare { Some(Reload::default()) } else { Reload::read(header.content_type(), &asked.body) };
    let Some(order) = order else { return refuse(ErrorCode::MALFORMED, "the body of the order cannot be read") };
    match reload(shared).await {
        Ok(reply) => {
            let restarts = order.restart && !reply.needs_restart.is_empty();
            let reply = ReloadReply { restarts, ..reply };
            (answer(shared, header, content_type, &reply.write(content_type)), restarts)
        }
        Err(error) => {
            tracing::error!(%error, "the configuration cannot be used; nothing has changed");
            refuse(ErrorCode::MALFORMED, &format!("nothing has changed: {error}"))
        }
    }
}

const NOT_ADMIN: &str = "only administrators may: root, the user that runs the daemon, or a member of the group that \
                         `[socket] admin_group` of its configuration names";

/// What the daemon runs with, and what waits for a restart.
pub(crate) fn told(shared: &Shared) -> NodeConfig {
    let needs_restart = shared.live.needs_restart.lock().iter().map(ToString::to_string).collect();
    NodeConfig { needs_restart, ..shared.live.config().told() }
}

//! How many files this process may have open at a time: each connection at the agents' door is one. It asks the system
//! and tells the operator, and closes nothing.

use proto::limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit that is in force as far as it may be raised without a privilege. Most systems begin with 1,024, for
/// the sake of programs that call `select`; this is none.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(?current, ?maximum, %error, "the number of open files cannot be raised to what is allowed");
    }
}

/// How many connections at the agents' door there are files for. Says so if they are fewer than this daemon would take.
pub(crate) fn sessions_max() -> usize {
    let files =
        getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let sessions = files.saturating_sub(limits::FILES_BESIDE_SESSIONS).clamp(1, limits::SESSIONS_MAX);
    if sessions < limits::SESSIONS_MAX {
        let needed = limits::SESSIONS_MAX + limits::FILES_BESIDE_SESSIONS;
        tracing::warn!(
            files,
            sessions,
            needed,
            "this process may open few files, so it takes fewer connections of agents; fix: LimitNOFILE= in its unit, or \
             ulimit -Hn before it starts"
        );
    }
    sessions
}

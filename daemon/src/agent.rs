//! The agents' door: a Unix socket, and one task for each connection. It knows whose process is there because the
//! kernel says so, and nothing about what agents say to each other.

mod compose;
mod credit;
mod door;
mod session;

pub(crate) use compose::{answer, compose, content_type_of_answer, error_frame};
pub(crate) use door::Door;
pub(crate) use session::Written;

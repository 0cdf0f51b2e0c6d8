//! The promises that users rely on. Test names read as sentences.

#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first fault")]
#![expect(clippy::disallowed_methods, reason = "a test may be told how long to try")]

mod admission;
mod authentication;
mod backups;
mod corpora;
mod entries;
mod hosts;
mod identity;
mod ids;
mod members;
mod old_data;
mod records;
mod schema;
mod sealing;
mod shapes;
mod share;
mod sim;
mod store;
mod tickets;
mod tidy;
mod tls;
mod vectors;

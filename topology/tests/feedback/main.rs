//! Decisions, what follows them, and what is learnt: laws over random histories, and single cases.

mod cases;
mod checkpoint;
#[path = "../common/mod.rs"]
mod common;
mod history;
mod laws;
mod linucb;
mod partitions;
mod restarts;

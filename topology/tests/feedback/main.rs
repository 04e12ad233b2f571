//! Decisions, what follows them, and what is learnt: laws over random histories, and single cases.

mod cases;
#[path = "../common/mod.rs"]
mod common;
mod history;
mod laws;
mod linucb;
mod partitions;

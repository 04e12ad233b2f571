//! Decisions, what follows them, and what is learnt: laws over random histories, and single cases.

mod cases;
mod history;
mod laws;
mod linucb;

//! What an inspection finds of decisions; its world is the command's tests' too.

mod cases;
pub(crate) mod world;

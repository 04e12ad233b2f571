//! The `saccade` command.
fn main() {}

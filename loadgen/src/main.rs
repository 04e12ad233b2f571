//! `saccade-loadgen`.
fn main() {}

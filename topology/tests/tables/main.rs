//! Tables: what each operator, limit and rule of time gives for histories small enough to check by hand.

mod driver;
mod limits;
mod operators;
mod playback;
mod rows;
mod sessions;
mod time;

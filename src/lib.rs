//! Saccade: player events in, fresh context vectors out.

mod aside;
pub mod cli;
mod clock;
pub mod cmcd;
pub mod config;
pub mod counted;
mod disk;
pub mod engine;
pub mod http;
mod inspect;
pub mod log;
pub mod telemetry;
pub mod wire;

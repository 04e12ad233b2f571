//! Saccade: player events in, fresh context vectors out.

pub mod cmcd;
pub mod config;
pub mod engine;
pub mod http;
pub mod log;
pub mod telemetry;
pub mod wire;

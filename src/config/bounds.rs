//! The range of every number that is not of the fold, each declared here and nowhere else.
//!
//! What is allowed is told from the range itself; tests hold that every number of the configuration has one and that
//! `configs/default.toml` says the same. The fold's own numbers are checked by `saccade-topology`.

use super::{Config, ConfigError, Duration};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Checks all of `config`; `path` is only named in the error.
pub(super) fn check(config: &Config, path: &Path) -> Result<(), ConfigError> {
    let Config { server, ingest, cmcd, log, checkpoint, publish, learner, .. } = config;
    let counts: [(&'static str, u64, RangeInclusive<u64>); 13] = [
        ("server.connections_max", server.connections_max.into(), 1..=1_000_000),
        ("server.threads", server.threads.into(), 0..=1024),
        ("ingest.body_bytes_max", ingest.body_bytes_max as u64, 1 << 10..=256 << 20),
        ("ingest.batch_events_max", ingest.batch_events_max as u64, 1..=1_000_000),
        ("ingest.event_bytes_max", ingest.event_bytes_max as u64, 256..=16 << 20),
        // The limiter counts in nanoseconds: above one a nanosecond it would let everything pass.
        ("ingest.rate_max", ingest.rate_max.into(), 0..=1_000_000_000),
        ("ingest.queue_max", ingest.queue_max as u64, 1..=1_000_000),
        ("cmcd.batch_records_max", cmcd.batch_records_max as u64, 1..=100_000),
        ("log.partitions", log.partitions.into(), 1..=256),
        ("log.retention_bytes", log.retention_bytes, 64 << 20..=u64::MAX),
        ("log.disk_reserve_bytes", log.disk_reserve_bytes, 16 << 20..=1 << 50),
        ("publish.streams_max", publish.streams_max.into(), 1..=1_000_000),
        ("publish.stream_buffer", publish.stream_buffer as u64, 1..=65_536),
    ];
    for (key, value, range) in counts {
        if !range.contains(&value) {
            let allowed = match *range.end() {
                u64::MAX => format!("at least {}", range.start()),
                most => format!("{} to {most}", range.start()),
            };
            return Err(refusal(path, key, value, allowed));
        }
    }
    let durations = [
        ("server.header_timeout", server.header_timeout, Duration(100)..=Duration::from_secs(HOUR)),
        ("server.body_timeout", server.body_timeout, Duration(100)..=Duration::from_secs(HOUR)),
        ("server.write_timeout", server.write_timeout, Duration(100)..=Duration::from_secs(HOUR)),
        ("ingest.queue_wait_max", ingest.queue_wait_max, Duration(1)..=Duration::from_secs(MINUTE)),
        ("log.retention_age", log.retention_age, Duration::from_secs(MINUTE)..=Duration::from_secs(3650 * DAY)),
        ("checkpoint.interval", checkpoint.interval, Duration(100)..=Duration::from_secs(DAY)),
        ("learner.cut_interval", learner.cut_interval, Duration(1)..=Duration::from_secs(HOUR)),
    ];
    for (key, value, range) in durations {
        if !range.contains(&value) {
            let allowed = format!("\"{}\" to \"{}\"", range.start(), range.end());
            return Err(refusal(path, key, format!("\"{value}\""), allowed));
        }
    }
    Ok(())
}

fn refusal(path: &Path, key: &'static str, value: impl Display, allowed: String) -> ConfigError {
    ConfigError::Range { path: path.into(), key, value: value.to_string(), allowed }
}

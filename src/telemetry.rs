//! What the process says of itself: logs through `tracing`, metrics through a Prometheus recorder.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use tracing_subscriber::EnvFilter;

/// Bounds of time histograms, seconds.
pub(crate) const SECONDS: [f64; 16] =
    [25e-6, 50e-6, 100e-6, 200e-6, 300e-6, 500e-6, 750e-6, 1e-3, 2e-3, 3e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.2, 1.0];

/// Checkpoints are written over four fifths of `checkpoint.interval`, which is 100 ms to a day.
const CHECKPOINT: &str = "saccade_checkpoint_seconds";
const CHECKPOINT_SECONDS: [f64; 16] =
    [0.1, 0.3, 1.0, 3.0, 5.0, 10.0, 20.0, 25.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 4.0 * 3600.0, 24.0 * 3600.0];

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Installs the metrics recorder, once per process. Handles made before it count nowhere.
pub fn install_metrics() {
    RECORDER.get_or_init(|| {
        let handle = builder().and_then(PrometheusBuilder::install_recorder).ok();
        metrics_process::Collector::default().describe();
        handle
    });
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full(CHECKPOINT.into()), &CHECKPOINT_SECONDS)
}

/// Counts the samples of histograms; until then they lie in memory, whether or not anybody asks for the metrics.
pub(crate) fn upkeep() {
    if let Some(Some(handle)) = RECORDER.get() {
        handle.run_upkeep();
    }
}

/// All metrics as Prometheus text.
pub fn render() -> String {
    let Some(Some(handle)) = RECORDER.get() else { return String::new() };
    handle.run_upkeep();
    metrics_process::Collector::default().collect();
    handle.render()
}

/// Sends logs to standard error: as text for people, or one JSON object a line. `RUST_LOG` chooses what is said.
pub fn install_logs(json: bool, default: &str) {
    let (filter, misread) = match filter(std::env::var(EnvFilter::DEFAULT_ENV).ok().as_deref()) {
        Ok(filter) => (filter.unwrap_or_else(|| EnvFilter::new(default)), None),
        Err(why) => (EnvFilter::new(default), Some(why)),
    };
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let installed = if json { logs.json().try_init() } else { logs.with_target(false).try_init() };
    if installed.is_err() {
        tracing::debug!("logs were installed before");
    }
    if let Some(why) = misread {
        tracing::warn!(
            "RUST_LOG is not looked at: {why}; write a level (error, warn, info, debug, trace) or saccade=debug"
        );
    }
}

/// What `RUST_LOG` asks for, if anything: a name alone would silence all but a module of that name, of which there is none.
fn filter(asked: Option<&str>) -> Result<Option<EnvFilter>, String> {
    let Some(asked) = asked.filter(|asked| !asked.trim().is_empty()) else { return Ok(None) };
    let is_level = |part: &str| part.parse::<tracing::level_filters::LevelFilter>().is_ok();
    match asked.split(',').map(str::trim).find(|part| !part.contains(['=', '[', ':']) && !is_level(part)) {
        Some(part) if !part.starts_with("saccade") => Err(format!("{part:?} is no level")),
        _ => EnvFilter::try_new(asked).map(Some).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rust_log_that_would_silence_all_is_told() {
        for asked in ["nonsense", "saccade=verbose", "info,whatever"] {
            assert!(filter(Some(asked)).is_err(), "{asked}");
        }
        for asked in ["debug", "warn,saccade=debug", "saccade", "off", "info,fjall=warn"] {
            assert!(filter(Some(asked)).is_ok_and(|filter| filter.is_some()), "{asked}");
        }
        assert!(filter(None).is_ok_and(|filter| filter.is_none()));
    }

    #[test]
    fn a_checkpoint_of_half_a_minute_is_told_from_one_of_a_second() {
        let recorder = builder().expect("there are bounds").build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!(CHECKPOINT).record(24.0);
            metrics::histogram!("saccade_log_fsync_seconds").record(40e-6);
        });
        let served = recorder.handle().render();
        for line in [
            "saccade_checkpoint_seconds_bucket{le=\"20\"} 0",
            "saccade_checkpoint_seconds_bucket{le=\"25\"} 1",
            "saccade_log_fsync_seconds_bucket{le=\"0.00005\"} 1",
        ] {
            assert!(served.contains(line), "{line} is not in\n{served}");
        }
    }
}

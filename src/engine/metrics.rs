//! Names, units and meanings of the loop's metrics.

use metrics::{Counter, Gauge, Histogram, Unit};
use saccade_topology::decision::Served;
use saccade_topology::model::ModelVersion;

const DECISIONS: &str = "saccade_decisions_total";
pub(super) const CLOCK_STEPS: &str = "saccade_clock_steps_total";
const OUTCOMES: &str = "saccade_join_outcomes_total";
const OPEN: &str = "saccade_decisions_open";
pub(super) const FILES_REJECTED: &str = "saccade_reward_files_rejected_total";
pub(super) const GIVEN_UP: &str = "saccade_checkpoints_given_up_total";
const BUILD: &str = "saccade_build_info";
const CUT: &str = "saccade_model_cut_seconds";

pub(super) fn describe() {
    use Unit::{Bytes, Count, Seconds};
    let counters = [
        ("saccade_events_total", "events folded, by result: accepted, duplicate, late, rejected"),
        (
            "saccade_profile_late_total",
            "events folded into their session but too late for their viewer's profile: too many of the viewer's were pending",
        ),
        ("saccade_sessions_closed_total", "sessions that ended, by reason: gap, max_length, evicted"),
        ("saccade_contexts_published_total", "contexts refreshed, by kind"),
        (GIVEN_UP, "checkpoints that the disk had no room for"),
        (CLOCK_STEPS, "times the machine's clock was set by a second or more, or the machine slept"),
        (DECISIONS, "decisions taken in, by model and by whose choice they were"),
        (OUTCOMES, "where decisions and rewards ended, by kind and outcome"),
        (
            "saccade_told_again_total",
            "decisions and explicit rewards of an id that was known, by kind: answered, but not in the log, and no outcome",
        ),
    ];
    for (name, what) in counters {
        metrics::describe_counter!(name, Count, what);
    }
    let gauges = [
        ("saccade_watermark_lag_seconds", Seconds, "server clock minus watermark"),
        ("saccade_sessions_active", Count, "live sessions"),
        ("saccade_viewers_active", Count, "viewer profiles"),
        (
            "saccade_viewer_sessions_max",
            Count,
            "most live sessions one viewer has had since the start; each event of a viewer refreshes them all",
        ),
        ("saccade_state_bytes", Bytes, "state of sessions, viewers and remembered event ids"),
        ("saccade_queue_depth", Count, "batches waiting for the partition"),
        ("saccade_log_bytes", Bytes, "log on the disk"),
        ("saccade_log_offset", Count, "offset the next record gets"),
        ("saccade_checkpoint_offset", Count, "records before it need no replay after a restart"),
        ("saccade_checkpoint_bytes", Bytes, "bytes written by the last checkpoint"),
        ("saccade_checkpoint_rows", Count, "rows written by the last checkpoint"),
        (
            "saccade_checkpoint_timestamp_seconds",
            Seconds,
            "when the last checkpoint was complete, seconds since the epoch",
        ),
        (BUILD, Count, "1, by the version of the program"),
        (OPEN, Count, "decisions whose window is open, by model"),
        ("saccade_disk_free_bytes", Bytes, "free on the disk of the data directory"),
        (
            "saccade_context_freshness_quantile_seconds",
            Seconds,
            "exact quantiles of arrival to published since the start",
        ),
    ];
    for (name, unit, what) in gauges {
        metrics::describe_gauge!(name, unit, what);
    }
    metrics::gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    // There from the start: a first one is seen as an increase.
    metrics::counter!(GIVEN_UP).absolute(0);
    let histograms = [
        ("saccade_log_append_seconds", "hand a batch to the operating system"),
        ("saccade_log_fsync_seconds", "make the log durable"),
        ("saccade_checkpoint_seconds", "begin to end of a checkpoint"),
        (CUT, "cut a version of each model from what was learnt"),
        ("saccade_checkpoint_pause_seconds", "longest stop of a partition for one checkpoint"),
    ];
    for (name, what) in histograms {
        metrics::describe_histogram!(name, Seconds, what);
    }
}

pub(super) fn cut_seconds() -> Histogram {
    metrics::histogram!(CUT)
}

/// What the books of a model count. They hold the numbers, also across restarts: counters are set to them.
pub(super) fn export_model(version: &ModelVersion) {
    let model = version.plan().spec.name.clone();
    let (mut decisions, mut ended) = (0, 0);
    for served in Served::ALL {
        let count = version.served(served);
        decisions += count;
        metrics::counter!(DECISIONS, "model" => model.clone(), "served" => served.name()).absolute(count);
    }
    for (end, count) in version.ends() {
        ended += count;
        metrics::counter!(OUTCOMES, "model" => model.clone(), "kind" => "decision", "outcome" => end).absolute(count);
    }
    metrics::gauge!(OPEN, "model" => model).set(decisions.max(version.decisions).saturating_sub(ended) as f64);
}

/// Ends of rewards, which are not counted by model: a dangling one has none.
pub(super) fn export_rewards(version: &ModelVersion) {
    for (end, count) in version.reward_ends() {
        metrics::counter!(OUTCOMES, "model" => "", "kind" => "reward", "outcome" => end).absolute(count);
    }
}

/// A partition's own handles.
pub(super) struct PartitionMetrics {
    pub accepted: Counter,
    pub duplicate: Counter,
    pub late: Counter,
    pub rejected: Counter,
    pub profile_late: Counter,
    /// Decisions and rewards.
    pub told_again: [Counter; 2],
    pub closed: [Counter; 3],
    pub published: [Counter; 2],
    pub append: Histogram,
    pub watermark_lag: Gauge,
    pub sessions: Gauge,
    pub viewers: Gauge,
    pub state_bytes: Gauge,
    pub crowd: Gauge,
    pub queue: Gauge,
    pub offset: Gauge,
}

impl PartitionMetrics {
    pub(super) fn new(partition: u16) -> Self {
        let p = partition.to_string();
        let events = |result: &'static str| metrics::counter!("saccade_events_total", "partition" => p.clone(), "result" => result);
        let closed = |reason: &'static str| metrics::counter!("saccade_sessions_closed_total", "partition" => p.clone(), "reason" => reason);
        let told_again = |kind: &'static str| metrics::counter!("saccade_told_again_total", "partition" => p.clone(), "kind" => kind);
        let published = |kind: &'static str| metrics::counter!("saccade_contexts_published_total", "kind" => kind);
        PartitionMetrics {
            accepted: events("accepted"),
            duplicate: events("duplicate"),
            late: events("late"),
            rejected: events("rejected"),
            profile_late: metrics::counter!("saccade_profile_late_total", "partition" => p.clone()),
            told_again: [told_again("decision"), told_again("reward")],
            closed: [closed("gap"), closed("max_length"), closed("evicted")],
            published: [published("session"), published("viewer")],
            append: metrics::histogram!("saccade_log_append_seconds"),
            watermark_lag: metrics::gauge!("saccade_watermark_lag_seconds", "partition" => p.clone()),
            sessions: metrics::gauge!("saccade_sessions_active", "partition" => p.clone()),
            viewers: metrics::gauge!("saccade_viewers_active", "partition" => p.clone()),
            state_bytes: metrics::gauge!("saccade_state_bytes", "partition" => p.clone()),
            crowd: metrics::gauge!("saccade_viewer_sessions_max", "partition" => p.clone()),
            queue: metrics::gauge!("saccade_queue_depth", "partition" => p.clone()),
            offset: metrics::gauge!("saccade_log_offset", "partition" => p.clone()),
        }
    }
}

//! Checks of the log: one pass over every partition finds what all of them report.

use super::state::Picture;
use super::{Check, Verdict, bytes};
use crate::cli::replay::progress;
use crate::config::Config;
use crate::counted::{counted, either};
use crate::engine::decode_or_damaged;
use crate::log::{EmbeddedLog, Log, LogError};
use crate::wire::rfc3339;
use saccade_topology::{Arrived, Event, Ignore, Offset, Plan, Record, Topology, Zones, admit};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Examples that are named; all are counted.
const NAMED_MAX: usize = 5;
/// Names of time zones that are none and told apart.
const ZONES_MAX: usize = 1_000;
/// Bytes of such a name that are shown.
const ZONE_BYTES_MAX: usize = 64;
/// Clocks are set back by a little now and then.
const BACK_MAX_MS: i64 = 60_000;
/// Retention drops whole segments, and none that a restart needs: this much over the bounds, beside a quarter of them, is how it works.
const OVER_BYTES: u64 = 512 << 20;
const OVER_AGE_MS: i64 = 43_200_000;

/// Findings of one kind: all counted, some named.
#[derive(Default)]
pub(super) struct Findings {
    pub count: u64,
    pub named: Vec<String>,
}

impl Findings {
    fn note(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(name());
        }
    }
}

/// What a partition's log gives when it is folded from its beginning.
pub(super) struct Folded {
    /// `None` where the log does not begin with the first record ever, is damaged, or nobody asked.
    pub whole: Option<Picture>,
}

#[derive(Default)]
pub(super) struct Scanned {
    records: u64,
    events: u64,
    damaged: Vec<LogError>,
    gaps: Findings,
    backwards: Findings,
    duplicates: Findings,
    arrivals: Findings,
    future: Findings,
    /// Events whose time zone is none, and how many there are by what it is called.
    nowhere: u64,
    no_zones: BTreeMap<String, u64>,
    oldest: Option<i64>,
    /// By partition.
    pub folded: Vec<Folded>,
}

pub(super) fn scan(log: &EmbeddedLog, config: &Config, plan: &Arc<Plan>, wanted: &[Check]) -> Scanned {
    let mut scanned = Scanned::default();
    if wanted.iter().all(|check| matches!(check, Check::DataOpen | Check::Disk)) {
        return scanned;
    }
    let zones = Zones::new();
    for partition in 0..log.partitions() {
        let mut pass = Pass {
            partition,
            config,
            zones: &zones,
            ids: RecentIds::new(config.dedup.events_max / 2),
            fold: wanted.contains(&Check::State).then(|| Topology::without_changes(Arc::clone(plan))),
            next: None,
            arrived: i64::MIN,
            out: &mut scanned,
        };
        let bounds = log.bounds(partition);
        let bar = bounds.as_ref().map_or_else(|_| progress(0), |b| progress(b.next.0 - b.first.0));
        let whole = log.read(partition, Offset(0), &mut |offset, bytes| {
            bar.inc(1);
            pass.take(offset, &decode_or_damaged(partition, offset, bytes)?);
            Ok(ControlFlow::Continue(()))
        });
        bar.finish_and_clear();
        let is_trimmed = bounds.is_ok_and(|b| b.is_trimmed);
        let fold = pass.fold.take().filter(|_| whole.is_ok() && !is_trimmed);
        scanned.folded.push(Folded { whole: fold.map(|mut fold| Picture::of(&mut fold)) });
        scanned.damaged.extend(whole.err());
    }
    scanned
}

/// One partition's pass.
struct Pass<'a> {
    partition: u16,
    config: &'a Config,
    zones: &'a Zones,
    ids: RecentIds,
    fold: Option<Topology>,
    /// Offset behind the latest record.
    next: Option<u64>,
    /// Latest arrival so far.
    arrived: i64,
    out: &'a mut Scanned,
}

impl Pass<'_> {
    fn take(&mut self, offset: Offset, arrived: &Arrived<'_>) {
        let partition = self.partition;
        self.out.records += 1;
        if self.next.is_none() {
            let oldest = self.out.oldest.get_or_insert(arrived.ingest_time.0);
            *oldest = arrived.ingest_time.0.min(*oldest);
        }
        let next = self.next.unwrap_or(offset.0);
        if offset.0 < next {
            self.out
                .backwards
                .note(|| format!("partition {partition} offset {} comes again after {}", offset.0, next - 1));
        } else if offset.0 > next {
            self.out
                .gaps
                .note(|| format!("partition {partition} offsets {next} to {} ({})", offset.0 - 1, offset.0 - next));
        }
        self.next = Some(next.max(offset.0 + 1));
        let back = self.arrived.saturating_sub(arrived.ingest_time.0);
        if back > BACK_MAX_MS {
            let (before, at) = (rfc3339(self.arrived), rfc3339(arrived.ingest_time.0));
            self.out
                .arrivals
                .note(|| format!("partition {partition} offset {} arrived {at}, after {before}", offset.0));
        }
        self.arrived = self.arrived.max(arrived.ingest_time.0);
        match &arrived.record {
            Record::Event(event) => self.event(offset, event, arrived),
            // What is remembered of these takes the room of event ids.
            Record::Decision(_) => self.ids.other(1),
            Record::Reward(reward) => self.ids.other(usize::from(reward.id.is_some())),
            Record::Passed(_) => self.ids.other(2),
            _ => {}
        }
        if let Some(fold) = self.fold.as_mut() {
            fold.apply(offset, arrived, &mut Ignore);
        }
    }

    fn event(&mut self, offset: Offset, event: &Event<'_>, arrived: &Arrived<'_>) {
        let partition = self.partition;
        self.out.events += 1;
        if let Some(before) = self.ids.see(event.id, offset.0) {
            self.out
                .duplicates
                .note(|| format!("{:?} in partition {partition} at offsets {before} and {}", event.id, offset.0));
        }
        if let Some(name) = event.timezone.filter(|name| !self.zones.has(name)) {
            self.out.note_zone(name);
        }
        if let Err(future) = admit(&self.config.time, event, arrived.ingest_time) {
            self.out.future.note(|| {
                format!(
                    "{:?} in partition {partition} at offset {}: {} s ahead",
                    event.id,
                    offset.0,
                    future.ahead_ms / 1000
                )
            });
        }
    }
}

/// The latest ids with the offsets they came at: those the fold certainly remembers.
struct RecentIds {
    max: usize,
    offsets: HashMap<u64, u64>,
    /// None for what is no event's.
    order: VecDeque<Option<u64>>,
}

impl RecentIds {
    fn new(max: u32) -> RecentIds {
        RecentIds { max: max as usize, offsets: HashMap::new(), order: VecDeque::new() }
    }

    /// The offset the id came at before.
    fn see(&mut self, id: &str, offset: u64) -> Option<u64> {
        let hash = xxh3_64(id.as_bytes());
        if let Some(before) = self.offsets.get(&hash) {
            return Some(*before);
        }
        self.push(Some(hash));
        self.offsets.insert(hash, offset);
        None
    }

    /// So many others were remembered.
    fn other(&mut self, count: usize) {
        (0..count).for_each(|_| self.push(None));
    }

    fn push(&mut self, hash: Option<u64>) {
        if self.order.len() == self.max
            && let Some(Some(oldest)) = self.order.pop_front()
        {
            self.offsets.remove(&oldest);
        }
        self.order.push_back(hash);
    }
}

pub(super) fn opened(log: &EmbeddedLog, config: &Config) -> Verdict {
    let (found, wanted) = (log.partitions(), config.log.partitions);
    if found != wanted {
        return Verdict::fail(
            format!(
                "the log has {}, log.partitions is {wanted}: `serve` will not start",
                counted(found.into(), "partition")
            ),
            format!("set log.partitions to {found}, or export and import into a new directory"),
        );
    }
    Verdict::pass(format!("not in use; {}, {} of log", counted(found.into(), "partition"), bytes(log.bytes())))
}

impl Scanned {
    fn note_zone(&mut self, name: &str) {
        self.nowhere += 1;
        let name = &name[..name.floor_char_boundary(ZONE_BYTES_MAX)];
        if let Some(count) = self.no_zones.get_mut(name) {
            *count += 1;
        } else if self.no_zones.len() < ZONES_MAX {
            self.no_zones.insert(name.to_owned(), 1);
        }
    }

    /// It is no fault of the data that a sender gives a name that is none.
    pub(super) fn timezones(&self) -> Verdict {
        if self.nowhere == 0 {
            return Verdict::pass(format!("every time zone of an event is one{}", self.reach()));
        }
        let name = either(self.nowhere, "event names", "events name");
        let found = format!("{} {name} a time zone that is none, as if it were not sent", self.nowhere);
        let mut names: Vec<_> = self.no_zones.iter().collect();
        names.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let named = names.into_iter().take(NAMED_MAX).map(|(name, n)| format!("{name:?}: {}", counted(*n, "event")));
        Verdict::pass(format!("{found}{}", self.reach())).examples(named.collect())
    }

    /// Said behind what was found, where not all could be read.
    fn reach(&self) -> &'static str {
        if self.damaged.is_empty() { "" } else { ", up to the damage that log-readable names" }
    }

    pub(super) fn readable(&self) -> Verdict {
        let (records, events) = (counted(self.records, "record"), self.events);
        let decode = either(self.records, "decodes", "decode");
        if self.damaged.is_empty() {
            return Verdict::pass(format!("{records} {decode}, of which {}", counted(events, "event")));
        }
        let found = format!("{records} {decode}, then the log is damaged");
        let to_do = "save what is whole with `saccade export --out FILE`, and import it into a new directory";
        Verdict::fail(found, to_do).examples(self.damaged.iter().map(LogError::to_string).collect())
    }

    pub(super) fn offsets(&self) -> Verdict {
        let Findings { count, named } = &self.backwards;
        if *count > 0 {
            let to_do = "two processes wrote to this log, or a copy of it was mixed with another: go back to a backup, or export and import";
            let have = either(*count, "record has", "records have");
            return Verdict::fail(format!("{count} {have} an offset that was given out before"), to_do)
                .examples(named.clone());
        }
        let gaps = match self.gaps.count {
            0 => "without gaps".to_string(),
            gaps => format!("{}, as an unclean stop leaves {}", counted(gaps, "gap"), either(gaps, "it", "them")),
        };
        Verdict::pass(format!("offsets only grow, {gaps}{}", self.reach())).examples(self.gaps.named.clone())
    }

    pub(super) fn duplicates(&self, config: &Config) -> Verdict {
        let (bound, Findings { count, named }) = (config.dedup.events_max / 2, &self.duplicates);
        if *count == 0 {
            return Verdict::pass(format!("no id twice among {bound} (half of dedup.events_max){}", self.reach()));
        }
        let to_do = "no state is wrong, the fold counts each id once; `saccade import` of the same events twice does this, `serve` never";
        let have = either(*count, "event has", "events have");
        Verdict::fail(format!("{count} {have} an id that came before{}", self.reach()), to_do).examples(named.clone())
    }

    pub(super) fn times(&self, config: &Config) -> Verdict {
        let (arrivals, future) = (&self.arrivals, &self.future);
        let max = config.time.max_future;
        if arrivals.count + future.count == 0 {
            let found = format!("arrivals are in order, no event is more than {max} ahead of its own{}", self.reach());
            return Verdict::pass(found);
        }
        let found = format!(
            "{} arrived more than a minute before the one before, {} more than {max} (time.max_future) ahead of arrival{}",
            counted(arrivals.count, "record"),
            counted(future.count, "event"),
            self.reach()
        );
        let to_do = "arrivals: let the server's clock be set by NTP, imports of older events do this too; events ahead: the fold sets them aside, \
                     look for a smaller time.max_future than the events were taken with";
        Verdict::fail(found, to_do).examples(arrivals.named.iter().chain(&future.named).cloned().collect())
    }

    pub(super) fn retention(&self, log: &EmbeddedLog, config: &Config, now: i64) -> Verdict {
        let (age_max, bytes_max) = (config.log.retention_age, config.log.retention_bytes);
        let age_ms = self.oldest.map_or(0, |oldest| now.saturating_sub(oldest));
        let age = |ms: i64| format!("{:.1} days", ms as f64 / 86_400_000.0);
        let found = format!(
            "oldest record {} (log.retention_age {age_max}), {} (log.retention_bytes {})",
            age(age_ms),
            bytes(log.bytes()),
            bytes(bytes_max)
        );
        let too_old = age_ms > age_max.0.saturating_add(age_max.0 / 4).saturating_add(OVER_AGE_MS);
        let too_large = log.bytes() > bytes_max.saturating_add(bytes_max / 4).saturating_add(OVER_BYTES);
        if !too_old && !too_large {
            return Verdict::pass(found);
        }
        let to_do = "a running server drops old segments behind its checkpoints, the last one once something is written behind it: \
                     start it with these bounds and send events";
        Verdict::fail(found, to_do)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_remembered_as_long_as_the_fold_certainly_does_with_what_else_takes_their_room() {
        let mut ids = RecentIds::new(4);
        assert_eq!(ids.see("a", 1), None);
        ids.other(3);
        assert_eq!(ids.see("a", 5), Some(1));
        ids.other(1);
        assert_eq!(ids.see("a", 7), None, "it may be forgotten");
    }
}

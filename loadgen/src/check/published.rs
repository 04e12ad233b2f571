//! Publish latencies while a run goes on: the checks write them down as they become known, those who watch look once a second.

use crate::tally::{Brief, Window, histogram};
use hdrhistogram::Histogram;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// From the intended sending of events to the contexts that contain them, of followed sessions.
#[derive(Clone)]
pub struct Published(Arc<Mutex<Latencies>>);

struct Latencies {
    /// Of all that counts, nanoseconds.
    all: Histogram<u64>,
    /// Of contexts that came since somebody looked.
    fresh: Window,
}

/// What those see who watch.
#[derive(Clone, Debug)]
pub struct Look {
    /// Of all that counts so far, nanoseconds.
    pub all: Histogram<u64>,
    /// Of contexts that came since the last look.
    pub fresh: Option<Brief>,
}

impl Published {
    /// Nothing yet.
    pub fn new() -> Published {
        Published(Arc::new(Mutex::new(Latencies { all: histogram(), fresh: Window::new() })))
    }

    /// A context came; what is due before the time to measure from is only seen by those who watch.
    pub fn came(&self, latency: Duration, is_measured: bool) {
        self.lock().fresh.record(latency);
        self.counts(latency, is_measured);
    }

    /// None will come: it counts as if one had come then, but nobody sees it come.
    pub fn never_came(&self, unseen: Duration, is_measured: bool) {
        self.counts(unseen, is_measured);
    }

    fn counts(&self, latency: Duration, is_measured: bool) {
        if is_measured {
            self.lock().all.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// All that counts, nanoseconds.
    pub fn all(&self) -> Histogram<u64> {
        self.lock().all.clone()
    }

    /// How it stands; nothing where one is being noted just now, as who sends waits for nobody: the next look has it.
    pub fn look(&self) -> Option<Look> {
        let mut latencies = self.0.try_lock().ok()?;
        let fresh = std::mem::replace(&mut latencies.fresh, Window::new());
        let all = latencies.all.clone();
        drop(latencies);
        Some(Look { all, fresh: fresh.brief() })
    }

    fn lock(&self) -> MutexGuard<'_, Latencies> {
        self.0.lock().expect("nobody panics while they hold it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_has_what_came_since_the_last_one_and_all_that_counts() {
        let published = Published::new();
        let max = || published.look().expect("nobody writes").fresh.map(|brief| brief.max_ms);
        assert_eq!(max(), None);
        published.came(Duration::from_millis(7), true);
        published.came(Duration::from_millis(2_000), false);
        assert_eq!((max(), max()), (Some(2_000.0), None));
        published.came(Duration::from_millis(3), true);
        let look = published.look().expect("nobody writes");
        assert_eq!((look.all.len(), look.fresh.map(|brief| brief.max_ms)), (2, Some(3.0)));
        assert_eq!(published.all(), look.all);
        published.never_came(Duration::from_secs(10), true);
        assert_eq!((max(), published.all().len()), (None, 3));
    }

    #[test]
    fn who_looks_does_not_wait_for_who_writes_and_misses_nothing() {
        let published = Published::new();
        published.came(Duration::from_millis(7), true);
        let writes = published.lock();
        assert!(published.look().is_none());
        drop(writes);
        assert!(published.look().expect("nobody writes").fresh.is_some());
    }
}

//! How long what waits for a partition will have waited, from when it could be read on, and when senders are told to come back.
//!
//! A queue that empties again was a burst and is let be. One that stands is more than the partition can take: it makes everything
//! late and helps nobody (Nichols and Jacobson, Controlling Queue Delay, ACM Queue 2012). Then only as much is let in as is folded
//! within `ingest.queue_wait_max`, until the queue has been short for a while.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A wait that is over the limit for this long, and not shrinking, is a standing queue; one that has grown by as much as the limit
/// meanwhile, and still grows, is one after half of that.
const STANDS_AFTER: Duration = Duration::from_millis(100);
/// A wait under a quarter of the limit for this long is none any more.
const CALM_AFTER: Duration = Duration::from_secs(1);
/// By how much turns count for less with each later one in what a record takes: one of 2 to this power.
const FADES: u32 = 3;

/// What waits, seen by all who send.
pub(super) struct Load {
    batches: AtomicUsize,
    records: AtomicU64,
    nanos_per_record: AtomicU64,
    stands: AtomicBool,
    batches_max: usize,
    wait_max: Duration,
}

/// What a turn took in.
pub(super) struct Turn {
    pub batches: usize,
    pub records: u64,
    pub took: Duration,
    /// The longest that one of its batches had waited before it was read.
    pub waited: Duration,
}

/// What only those who make turns know of it.
#[derive(Default)]
pub(super) struct Trend {
    /// Since when the wait is over the limit, and how long it was then.
    over_since: Option<(Instant, Duration)>,
    calm_since: Option<Instant>,
    /// The wait after the turn before.
    last: Duration,
    /// What the latest turns took, and their records: a turn of a few says little of what many take.
    nanos: u64,
    records: u64,
}

impl Load {
    pub(super) fn new(batches_max: usize, wait_max: Duration) -> Load {
        Load {
            batches: AtomicUsize::new(0),
            records: AtomicU64::new(0),
            nanos_per_record: AtomicU64::new(0),
            stands: AtomicBool::new(false),
            batches_max,
            wait_max,
        }
    }

    /// Batches that wait.
    pub(super) fn batches(&self) -> usize {
        self.batches.load(Ordering::Relaxed)
    }

    /// No further batch is to be sent now, if it has waited for so long already.
    pub(super) fn is_full(&self, waited: Duration) -> bool {
        let stands = self.stands.load(Ordering::Relaxed);
        self.batches() >= self.batches_max || (stands && waited + self.wait() > self.wait_max)
    }

    pub(super) fn sent(&self, records: u64) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    /// How long a batch that is sent now will wait.
    fn wait(&self) -> Duration {
        let nanos = self.nanos_per_record.load(Ordering::Relaxed);
        Duration::from_nanos(self.records.load(Ordering::Relaxed).saturating_mul(nanos))
    }

    /// A turn is over.
    pub(super) fn turned(&self, trend: &mut Trend, turn: Turn, now: Instant) {
        let Turn { batches, records, took, waited } = turn;
        self.batches.fetch_sub(batches, Ordering::Relaxed);
        self.records.fetch_sub(records, Ordering::Relaxed);
        trend.nanos = trend.nanos - (trend.nanos >> FADES) + took.as_nanos() as u64;
        trend.records = trend.records - (trend.records >> FADES) + records;
        self.nanos_per_record.store(trend.nanos / trend.records.max(1), Ordering::Relaxed);
        let wait = waited + self.wait();
        let grows = wait >= std::mem::replace(&mut trend.last, wait);
        if wait > self.wait_max {
            trend.calm_since = None;
            let (since, then) = *trend.over_since.get_or_insert((now, wait));
            if grows && wait > then + self.wait_max && now - since >= STANDS_AFTER / 2 {
                self.stands.store(true, Ordering::Relaxed);
            } else if now - since >= STANDS_AFTER {
                // After a stall, of the disk say, much waits at once and soon less: there is no more than it can take.
                let shrinks = wait + self.wait_max / 2 < then;
                trend.over_since = shrinks.then_some((now, wait));
                self.stands.fetch_or(!shrinks, Ordering::Relaxed);
            }
            return;
        }
        trend.over_since = None;
        if wait > self.wait_max / 4 {
            trend.calm_since = None;
        } else if now - *trend.calm_since.get_or_insert(now) >= CALM_AFTER {
            self.stands.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const RECORDS: u64 = 100;

    /// A partition that takes 1 ms for a batch of 100 records, in turns of one batch.
    struct Run {
        load: Load,
        trend: Trend,
        now: Instant,
        refused: u64,
        /// Before a batch is read.
        waited: Duration,
    }

    impl Run {
        fn new() -> Run {
            let load = Load::new(1000, 20 * MS);
            Run { load, trend: Trend::default(), now: Instant::now(), refused: 0, waited: Duration::ZERO }
        }

        /// For `turns` turns, `sent` batches come in each. Gives the longest queue in batches.
        fn turns(&mut self, turns: usize, sent: usize) -> usize {
            let mut longest = 0;
            for _ in 0..turns {
                for _ in 0..sent {
                    match self.load.is_full(self.waited) {
                        true => self.refused += 1,
                        false => self.load.sent(RECORDS),
                    }
                }
                longest = longest.max(self.load.batches());
                self.now += MS;
                if self.load.batches() > 0 {
                    let turn = Turn { batches: 1, records: RECORDS, took: MS, waited: self.waited };
                    self.load.turned(&mut self.trend, turn, self.now);
                }
            }
            longest
        }
    }

    #[test]
    fn a_burst_that_goes_by_is_taken() {
        let mut run = Run::new();
        run.turns(1, 80);
        run.turns(200, 0);
        assert_eq!((run.refused, run.load.batches()), (0, 0));
    }

    #[test]
    fn a_queue_that_grows_and_grows_is_not_waited_for() {
        let mut run = Run::new();
        // Three times as much as it can do.
        let longest = run.turns(300, 3);
        assert!(longest <= 130, "{longest} batches of 1 ms wait, {} were refused", run.refused);
    }

    #[test]
    fn a_queue_that_has_grown_and_shrinks_again_is_let_be() {
        let mut run = Run::new();
        run.turns(40, 3);
        run.turns(300, 0);
        assert_eq!((run.refused, run.load.batches()), (0, 0));
    }

    #[test]
    fn turns_of_a_few_records_say_little_of_what_many_take() {
        let (load, mut trend, now) = (Load::new(1000, 20 * MS), Trend::default(), Instant::now());
        let mut turn = |records, took| {
            load.sent(records);
            load.turned(&mut trend, Turn { batches: 1, records, took, waited: Duration::ZERO }, now);
        };
        (0..50).for_each(|_| turn(1, MS));
        turn(1000, 5 * MS);
        load.sent(1000);
        assert!(load.wait() < 15 * MS, "{:?} for what took 5 ms", load.wait());
    }

    #[test]
    fn what_piled_up_in_a_stall_is_taken() {
        let mut run = Run::new();
        run.turns(1, 600);
        // Half of what it can do goes on coming.
        for _ in 0..700 {
            run.turns(1, 1);
            run.turns(1, 0);
        }
        assert_eq!(run.refused, 0);
        assert!(run.load.batches() < 10);
    }

    #[test]
    fn a_standing_queue_is_kept_short() {
        let mut run = Run::new();
        run.turns(500, 2);
        let before = run.refused;
        let longest = run.turns(2000, 2);
        assert!(longest <= 22, "{longest} batches of 1 ms wait");
        // What is beyond what it can do is refused, and nothing else.
        assert!((1900..=2100).contains(&(run.refused - before)), "{} of 4000 refused", run.refused - before);
    }

    #[test]
    fn what_waits_long_before_it_is_read_is_a_standing_queue_too() {
        let mut run = Run { waited: 15 * MS, ..Run::new() };
        run.turns(200, 1);
        assert_eq!(run.refused, 0, "it takes as much as comes");
        run.waited = 25 * MS;
        run.turns(200, 1);
        // More than 20 ms, for longer than a burst: from then on nothing is taken, until they wait less.
        assert!((90..=110).contains(&run.refused), "{} of 200 refused", run.refused);
        run.waited = 10 * MS;
        let before = run.refused;
        let longest = run.turns(2000, 2);
        assert!(longest <= 12, "{longest} batches of 1 ms wait behind 10 ms");
        assert!((1900..=2100).contains(&(run.refused - before)), "{} of 4000 refused", run.refused - before);
    }

    #[test]
    fn bursts_are_taken_again_once_it_was_calm() {
        let mut run = Run::new();
        run.turns(1000, 2);
        assert!(run.refused > 0);
        run.turns(30, 0);
        // Half of what it can do, for longer than it takes to be calm.
        for _ in 0..600 {
            run.turns(1, 1);
            run.turns(1, 0);
        }
        let before = run.refused;
        run.turns(1, 80);
        run.turns(200, 0);
        assert_eq!(run.refused, before);
    }

    #[test]
    fn there_is_no_room_beyond_the_number_of_batches() {
        let mut run = Run::new();
        run.turns(1, 1500);
        assert_eq!((run.refused, run.load.batches()), (500, 999));
    }
}

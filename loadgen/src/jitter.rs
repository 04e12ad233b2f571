//! What the machine itself takes away. A loop on each processor that only looks at the clock sees whenever it is stopped: by the host of a
//! virtual machine, by the kernel's own threads, by interrupts. No server that runs there can be steadier. (The method is that of
//! `sysjitter`, Riddoch 2010; jHiccup, Tene 2012, does it for a process.)

use crate::waking::{self, Waking};
use saccade::counted::counted;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};
use std::time::{Duration, Instant};

/// What is told apart, in milliseconds; shorter gaps than the first are what looking at the clock takes.
const STEPS_MS: [f64; 5] = [0.1, 0.3, 1.0, 3.0, 10.0];

/// What loops saw.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Jitter {
    /// Processors that were watched at once.
    pub processors: usize,
    /// For how long.
    pub watched_s: f64,
    /// By length, the shorter ones with the longer.
    pub stops: Vec<Stops>,
    /// The longest, in milliseconds.
    pub longest_ms: f64,
    /// What waiting costs.
    pub waking: Waking,
}

/// Stops of a length or longer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Stops {
    /// The length, in milliseconds.
    pub from_ms: f64,
    /// How many, per second and processor.
    pub per_second: f64,
    /// Their share of the time, 0 to 1.
    pub share: f64,
}

/// Watches all processors at once, a loop on each as far as the system puts them there: while every processor has one, each is alone on its own.
pub fn watch(lasts: Duration) -> Jitter {
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
    let stopped: Vec<Vec<Duration>> = std::thread::scope(|scope| {
        let loops: Vec<_> = (0..processors).map(|_| scope.spawn(|| stops(lasts, Instant::now))).collect();
        loops.into_iter().map(|watching| watching.join().expect("a loop does not panic")).collect()
    });
    sum_up(lasts, &stopped, waking::watch())
}

/// Every stop that is worth telling.
fn stops(lasts: Duration, mut clock: impl FnMut() -> Instant) -> Vec<Duration> {
    let shortest = Duration::from_secs_f64(STEPS_MS[0] / 1e3);
    let begin = clock();
    let (mut before, mut stops) = (begin, vec![]);
    while before - begin < lasts {
        let now = clock();
        if now - before >= shortest {
            stops.push(now - before);
        }
        before = now;
    }
    stops
}

fn sum_up(lasts: Duration, stopped: &[Vec<Duration>], waking: Waking) -> Jitter {
    let time = lasts.as_secs_f64() * stopped.len() as f64;
    let all: Vec<f64> = stopped.iter().flatten().map(Duration::as_secs_f64).collect();
    let stops = STEPS_MS.map(|from_ms| {
        let long = all.iter().filter(|stop| **stop >= from_ms / 1e3);
        // The sum of nothing is -0 otherwise.
        let sum = long.clone().fold(0.0, |sum, stop| sum + stop);
        Stops { from_ms, per_second: long.count() as f64 / time, share: sum / time }
    });
    Jitter {
        processors: stopped.len(),
        watched_s: lasts.as_secs_f64(),
        stops: stops.to_vec(),
        longest_ms: all.iter().fold(0.0, |a: f64, b| a.max(b * 1e3)),
        waking,
    }
}

impl Display for Jitter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Jitter { processors, watched_s, longest_ms, waking, .. } = self;
        let each = counted(*processors as u64, "processor");
        writeln!(f, "an idle loop on each of {each} for {watched_s} s was stopped\n")?;
        writeln!(f, "{:>12} {:>16} {:>16}", "for at least", "times a second", "of the time")?;
        for Stops { from_ms, per_second, share } in &self.stops {
            writeln!(
                f,
                "{:>12} {per_second:>16.2} {:>16}",
                format!("{from_ms} ms"),
                format!("{:.3} %", share * 100.0)
            )?;
        }
        writeln!(f, "\nlongest {longest_ms:.1} ms\n\n{waking}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stops_the_loop_is_counted_by_length_and_share_of_the_time() {
        let begin = Instant::now();
        let us = |us| begin + Duration::from_micros(us);
        // 10 ms by 10 µs, but for stops of 0.2 and 4 ms.
        let mut at = 0;
        let mut clock = || {
            let now = us(at);
            at += match at {
                1_000 => 200,
                5_000 => 4_000,
                _ => 10,
            };
            now
        };
        let stopped = stops(Duration::from_millis(10), &mut clock);
        assert_eq!(stopped, [200, 4_000].map(Duration::from_micros));
        let waking = Waking { sleep_us: 5.0, wake_us: 3.0 };
        let jitter = sum_up(Duration::from_millis(10), &[stopped, vec![]], waking);
        let found: Vec<_> = jitter.stops.iter().map(|stops| (stops.per_second.round(), stops.share)).collect();
        let long = (50.0, 0.2);
        assert_eq!(found, [(100.0, 0.21), long, long, long, (0.0, 0.0)]);
        assert_eq!((jitter.processors, jitter.longest_ms), (2, 4.0));
        assert!(!jitter.to_string().contains('-'), "{jitter}");
    }

    #[test]
    fn a_machine_can_be_watched() {
        let jitter = watch(Duration::from_millis(50));
        assert!(jitter.processors >= 1 && jitter.stops.is_sorted_by(|a, b| a.share >= b.share), "{jitter}");
    }
}

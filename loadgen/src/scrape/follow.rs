//! Reads `/metrics` once a second on a thread of its own: processor and memory of the server over time.
//!
//! A server that does not answer leaves a gap: no figure is made up for it, nor is one spread over it.

use super::{ANSWER_MAX, Reading};
use crate::background::Background;
use crate::http::{Connection, Target};
use serde::{Deserialize, Serialize};
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout;

const INTERVAL: Duration = Duration::from_secs(1);
/// Readings further apart have at least one between them that was not answered.
pub const SILENT: Duration = Duration::from_millis(2_500);

/// The server between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerSecond {
    /// Seconds since the start at the second reading.
    pub at_s: f64,
    /// Processors in use, on average since the first reading, which is a second before, or two where answers took long: 1 is one core.
    pub cpu_cores: f64,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
}

/// A running reader.
pub struct Follower(Background<(Readings, Option<Reading>)>);

type Readings = Vec<(Instant, f64, u64)>;

impl Follower {
    /// Begins to read, and keeps the first reading that is not before `warm_at`.
    pub fn start(target: Target, warm_at: Instant) -> io::Result<Follower> {
        Background::start("metrics", async move |stopped| Ok(read_on(target, warm_at, stopped).await)).map(Follower)
    }

    /// Stops; `start` is where the seconds are counted from.
    pub fn finish(self, start: Instant) -> io::Result<(Vec<ServerSecond>, Option<Reading>)> {
        let (readings, warm) = self.0.finish()?;
        Ok((between(&readings, start), warm))
    }
}

async fn read_on(target: Target, warm_at: Instant, mut stopped: oneshot::Receiver<()>) -> (Readings, Option<Reading>) {
    let mut connection = Connection::new(target);
    let (mut readings, mut warm) = (vec![], None);
    let mut seconds = tokio::time::interval(INTERVAL);
    seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = seconds.tick() => {}
            _ = &mut stopped => return (readings, warm),
        }
        let answer = tokio::select! {
            answer = timeout(ANSWER_MAX, connection.get("/metrics")) => answer.unwrap_or_else(|late| Err(late.into())),
            _ = &mut stopped => return (readings, warm),
        };
        match answer {
            Ok((200, body)) => {
                let (reading, now) = (Reading::now(&body), Instant::now());
                if let (Some(cpu), Some(rss)) = reading.process() {
                    // The counters are those of the time at which the server got to it.
                    readings.push((now, cpu, rss));
                }
                if warm.is_none() && now >= warm_at {
                    warm = Some(reading);
                }
            }
            // Said once, by the reading before the run.
            Ok(_) => {}
            Err(_) => connection.close(),
        }
    }
}

fn between(readings: &[(Instant, f64, u64)], start: Instant) -> Vec<ServerSecond> {
    // Over a short time the processor's clock is too coarse: what came soon after another reading is passed over.
    let mut apart: Vec<(Instant, f64, u64)> = vec![];
    for reading in readings {
        if apart.last().is_none_or(|(last, ..)| reading.0.duration_since(*last) >= INTERVAL / 2) {
            apart.push(*reading);
        }
    }
    let second = |pair: &[(Instant, f64, u64)]| {
        let [(from, cpu_before, _), (to, cpu, rss_bytes)] = pair else { unreachable!("windows of two") };
        let passed = to.duration_since(*from);
        // Readings before the start belong to no second of the run.
        let at_s = to.checked_duration_since(start)?.as_secs_f64();
        // The processor's clock goes back when the server is started anew.
        (passed <= SILENT && cpu >= cpu_before).then(|| ServerSecond {
            at_s,
            cpu_cores: (cpu - cpu_before) / passed.as_secs_f64(),
            rss_bytes: *rss_bytes,
        })
    };
    apart.windows(2).filter_map(second).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{answer, never, scripted};
    use std::sync::mpsc;

    #[test]
    fn an_answer_that_does_not_come_costs_only_itself() {
        let (asked, again) = mpsc::channel();
        let target = scripted(move |_, before| {
            if before == 0 {
                never();
            }
            let _ = asked.send(before);
            answer("200 OK", "process_cpu_seconds_total 1\n")
        });
        let follower = Follower::start(target, Instant::now()).expect("a thread can be had");
        // The second reading may be on its way when the third is asked for.
        assert!(again.iter().any(|before| before == 2));
        let (_, warm) = follower.finish(Instant::now()).expect("it ends when it is told to");
        assert_eq!(warm.expect("it was read").process().0, Some(1.0));
    }

    #[test]
    fn processors_in_use_are_the_mean_between_two_readings() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let readings = [(start, 10.0, 1), (at(1_000), 10.5, 2), (at(1_001), 10.6, 2), (at(3_000), 13.5, 3)];
        let seconds = between(&readings, at(500));
        let expected = [
            ServerSecond { at_s: 0.5, cpu_cores: 0.5, rss_bytes: 2 },
            ServerSecond { at_s: 2.5, cpu_cores: 1.5, rss_bytes: 3 },
        ];
        assert_eq!(seconds, expected);
        let anew = [(start, 10.0, 1), (at(1_000), 0.1, 1), (at(2_000), 0.6, 1)];
        assert_eq!(between(&anew, start).iter().map(|s| s.cpu_cores).collect::<Vec<_>>(), [0.5]);
        let silent = [(start, 1.0, 1), (at(4_000), 1.1, 1), (at(5_000), 1.2, 1)];
        assert_eq!(between(&silent, start).iter().map(|s| s.at_s).collect::<Vec<_>>(), [5.0], "no mean over a gap");
        assert_eq!(between(&readings, at(2_000)).len(), 1, "what was before the start is left out");
        assert_eq!(between(&[], start), []);
    }
}

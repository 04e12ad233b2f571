//! One measured run: everything that watches is started, the schedule is sent, what was seen is judged.

use crate::beside::Beside;
use crate::check::{Checks, Wanted};
use crate::cli::Load;
use crate::drive::{self, Drive, Progress};
use crate::http::{Target, get_once, is_not_http, is_not_there, read_hint, write_hint};
use crate::live::say;
use crate::observe::Observer;
use crate::report::{Asked, Report, Run};
use crate::scrape::{ANSWER_MAX, Follower, Reading};
use crate::slo::Objective;
use bytes::Bytes;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What is watched, and what it is to be.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Follow the stream of all contexts.
    pub observe: bool,
    /// Viewers that are followed and whose vectors are compared; 0 for none.
    pub probes: usize,
    /// The server's configuration.
    pub config: Option<PathBuf>,
    /// What the run is to hold.
    pub objectives: Vec<Objective>,
}

/// Sends the load, watches as `watch` says, and judges what came of it. `live` begins to show how it goes when all else is said.
pub fn run<P: FnMut(Progress<'_>)>(
    drive: Drive,
    load: &Load,
    record: drive::Record,
    watch: &Watch,
    live: impl FnOnce() -> P,
) -> Result<Report, String> {
    let (target, timeout) = (drive.target.clone(), drive.timeout);
    target.reach(timeout)?;
    let before = scrape(&target, timeout)?;
    let observer = match watch.observe {
        true => Some(Observer::start(target.clone(), timeout).map_err(|e| format!("--observe: {e}"))?),
        false => None,
    };
    let measure_from = drive.measure_from;
    let mut source = load.source(true);
    let wanted = Wanted {
        probes: watch.probes,
        viewers_expected: load.viewers(&source),
        config: watch.config.clone(),
        measure_from,
        end: Arc::clone(&drive.interrupt),
    };
    let (watcher, checks) = match watch.probes {
        0 => (None, None),
        _ => Checks::start(target.clone(), timeout, wanted).map(|(watcher, checks)| (Some(watcher), Some(checks)))?,
    };
    // By the clock of the schedule.
    let warm_at = Instant::now() + if measure_from.is_zero() { Duration::ZERO } else { drive::LEAD + measure_from };
    let follow = |_: &Reading| Follower::start(target.clone(), warm_at).map_err(|e| format!("reading /metrics: {e}"));
    let follower = before.as_ref().map(follow).transpose()?;
    let progress = live();
    let (start, began) = (Instant::now(), SystemTime::now());
    let mut done = drive::run(drive, &mut source, record, watcher, progress).map_err(|e| format!("running: {e}"))?;
    if let Some(status) = done.refused {
        return Err(format!("the server answered {status} to events{}", write_hint(status)));
    }
    let ended = before.as_ref().and_then(|_| scrape_quietly(&target, timeout));
    done.tally.refused.add(&done.calls.refused);
    let followed = follower.map(|follower| follower.finish(start)).transpose();
    let (server_seconds, warm) = followed.map_err(|e| format!("reading /metrics: {e}"))?.unwrap_or_default();
    let observed = observer.map(Observer::finish).transpose().map_err(|e| format!("--observe: {e}"))?;
    // One time-out in all, from when the run was told to end.
    let give_up = done.interrupted.map(|at| start + at + timeout);
    let findings = checks.map(|checks| checks.finish(give_up)).transpose().map_err(|e| format!("checking: {e}"))?;
    if let Some(status) = findings.as_ref().and_then(|found| found.refused) {
        return Err(no_followers(&target, status));
    }
    let left = give_up.map_or(timeout, |give_up| timeout.min(give_up.saturating_duration_since(Instant::now())));
    let after = before.as_ref().map_or(Ok(None), |_| scrape(&target, left))?;
    let run = Run {
        asked: Asked {
            timeout_s: Some(timeout.as_secs_f64()),
            probes: Some(watch.probes),
            observe: Some(watch.observe),
            ..load.asked(&target, done.events, source.repeated(), measure_from)
        },
        began_ms: began.duration_since(UNIX_EPOCH).expect("the clock is after 1970").as_millis() as u64,
        tally: done.tally,
        idle: done.idle,
        interrupted: done.interrupted,
        unrecorded: done.unrecorded,
        beside: Beside::new(&done.calls, source.so_far()),
        server: before.zip(after).map(|(before, after)| {
            let warm = warm.as_ref().or(Some(&before).filter(|_| measure_from.is_zero()));
            after.since(&before, warm, ended.as_ref().unwrap_or(&after))
        }),
        server_seconds,
        observed,
        findings,
    };
    Ok(Report::new(run, &watch.objectives))
}

/// The server's metrics, where it gives them. What is wrong with those is said by others.
fn scrape_quietly(target: &Target, timeout: Duration) -> Option<Reading> {
    ask(target, timeout).ok().filter(|(status, _)| *status == 200).map(|(_, body)| Reading::now(&body))
}

/// The server's metrics; a server without them is measured from outside only. An error where it is no server of HTTP at all.
fn scrape(target: &Target, timeout: Duration) -> Result<Option<Reading>, String> {
    match ask(target, timeout) {
        Ok((200, body)) => return Ok(Some(Reading::now(&body))),
        Ok((status, _)) => {
            say(&format!(
                "GET /metrics was answered {status}: the server's own figures are left out{}",
                read_hint(status)
            ));
        }
        Err(e) if is_not_http(&e) => {
            return Err(format!("what listens at {} does not speak HTTP ({e}); see --target", target.authority));
        }
        Err(e) => say(&format!("GET /metrics failed: {e}: the server's own figures are left out")),
    }
    Ok(None)
}

fn ask(target: &Target, timeout: Duration) -> io::Result<(u16, Bytes)> {
    get_once(target, "/metrics", ANSWER_MAX.min(timeout))
}

/// Why nothing can be followed, and what to do.
fn no_followers(target: &Target, status: u16) -> String {
    match is_not_there(status) {
        true => format!(
            "GET /v1/schema was answered {status}: what listens at {} is no Saccade server; see --target, or give --probes 0 to send all the same",
            target.authority
        ),
        false => format!("followers were refused with {status}; see --read-token, or give --probes 0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{never, scripted};

    #[test]
    fn metrics_that_do_not_come_are_not_waited_for_as_long_as_an_answer_may_take() {
        let (target, begun) = (scripted(|_, _| never()), Instant::now());
        assert_eq!(scrape(&target, Duration::from_secs(60)), Ok(None));
        assert!(scrape_quietly(&target, Duration::from_secs(60)).is_none());
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }
}

//! Before a run: waits for a server that is still coming. One that is not started yet refuses connections, one that reads its log answers that
//! it is not ready; whatever else it answers is for others to judge.

use crate::http::{Target, get_once};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(100);
/// Longest wait for one answer: a server that is busy with its log gives this one all the same.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How long a server is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// In all.
    pub wait: Duration,
    /// For a connection.
    pub timeout: Duration,
}

/// Why the server cannot take a load yet, in words; none where it can, or does not say.
pub fn why_not(target: &Target, timeout: Duration) -> Option<String> {
    if let Err(why) = target.reach(timeout) {
        return Some(why);
    }
    let (status, body) = get_once(target, "/ready", ANSWER_MAX.min(timeout)).ok()?;
    let answer: Value = serde_json::from_slice(&body).ok()?;
    let error = answer.get("error").filter(|error| status == 503 && error["code"] == "not_ready")?;
    let said = error["message"].as_str().unwrap_or("no explanation came with it");
    Some(format!("the server at {} is not ready: {said}", target.authority))
}

/// Returns when the server can take a load. `say` is told what it waits for, at once, and at the end for how long it did.
pub fn wait(
    target: &Target,
    patience: Patience,
    interrupt: &AtomicBool,
    mut say: impl FnMut(String),
) -> Result<(), String> {
    let Patience { wait, timeout } = patience;
    let (begun, mut told) = (Instant::now(), None);
    let left = || wait.saturating_sub(begun.elapsed());
    while let Some(why) = why_not(target, timeout.min(left().max(ANSWER_MAX))) {
        if interrupt.load(Ordering::Relaxed) {
            return Err(format!("interrupted while it was waited for; {why}"));
        }
        if left().is_zero() {
            return Err(if wait.is_zero() { why } else { format!("waited {wait:?} (--wait); {why}") });
        }
        if told.as_ref() != Some(&why) {
            say(format!("{why}; waiting for it, up to {wait:?} (--wait)"));
            told = Some(why);
        }
        std::thread::sleep(AGAIN.min(left()));
    }
    if told.is_some() {
        say(format!("ready after {:.1} s", begun.elapsed().as_secs_f64()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{answer, scripted};
    use std::net::TcpListener;

    const LONG: Duration = Duration::from_secs(60);

    fn waited(target: &Target, wait: Duration) -> (Result<(), String>, Vec<String>) {
        let mut said = vec![];
        let patience = Patience { wait, timeout: LONG };
        let waited = super::wait(target, patience, &AtomicBool::new(false), |line| said.push(line));
        (waited, said)
    }

    fn not_ready() -> String {
        answer("503 Service Unavailable", r#"{"error":{"code":"not_ready","message":"the log is being replayed"}}"#)
    }

    #[test]
    fn a_server_that_reads_its_log_is_waited_for_and_that_is_said_once() {
        let target = scripted(|path, before| match (path, before) {
            ("/ready", 0 | 1) => not_ready(),
            _ => answer("200 OK", r#"{"status":"ready"}"#),
        });
        let (waited, said) = waited(&target, LONG);
        assert_eq!((waited, said.len()), (Ok(()), 2), "{said:?}");
        assert!(said[0].ends_with("is not ready: the log is being replayed; waiting for it, up to 60s (--wait)"));
        assert!(said[1].starts_with("ready after "), "{said:?}");
    }

    #[test]
    fn one_that_takes_too_long_is_an_error_that_says_why() {
        let target = scripted(|_, _| not_ready());
        let why = waited(&target, Duration::from_millis(300)).0.expect_err("it is never ready");
        assert!(why.starts_with("waited 300ms (--wait); the server at 127.0.0.1:"), "{why}");
        assert!(why.ends_with("is not ready: the log is being replayed"), "{why}");
        let interrupt = AtomicBool::new(true);
        let why = super::wait(&target, Patience { wait: LONG, timeout: LONG }, &interrupt, |_| ());
        assert!(why.expect_err("it was told to end").starts_with("interrupted"));
    }

    #[test]
    fn a_server_that_is_not_started_yet_is_waited_for() {
        let free = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = free.local_addr().expect("it is bound");
        drop(free);
        let target = Target::new(&format!("http://{address}"), None, None).expect("an address is a target");
        let (told, said) = waited(&target, Duration::ZERO);
        assert!(told.expect_err("nobody listens").starts_with("nothing answers at 127.0.0.1:") && said.is_empty());
        let mut started = None;
        let patience = Patience { wait: LONG, timeout: LONG };
        let waited = super::wait(&target, patience, &AtomicBool::new(false), |_| {
            started.get_or_insert_with(|| {
                crate::testing::scripted_at(TcpListener::bind(address).expect("it is free"), |_, _| String::new())
            });
        });
        assert_eq!(waited, Ok(()));
    }

    #[test]
    fn whatever_else_is_answered_is_no_reason_to_wait() {
        for said in [
            answer("404 Not Found", ""),
            answer("503 Service Unavailable", r#"{"error":{"code":"stopping"}}"#),
            answer("200 OK", r#"{"status":"read_only","why":"the disk is full"}"#),
            "SSH-2.0-example\r\n".into(),
            String::new(),
        ] {
            let target = scripted(move |_, _| said.clone());
            assert_eq!(waited(&target, LONG), (Ok(()), vec![]));
        }
    }
}

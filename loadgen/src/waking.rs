//! What waiting costs on this machine. A server at half its load waits most of the time: each request, answer and sync of the disk wakes a
//! thread. A processor that has nothing to do halts, which on a virtual machine is a call of its host, as is waking it.

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::fmt::{self, Display, Formatter};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Waits of each kind.
const ROUNDS: u32 = 1_000;
/// Length of a wait: about what a request waits for at some thousand a second.
const WAIT: Duration = Duration::from_micros(200);

/// Processor time of a wait of 0.2 ms, the mean of many.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Waking {
    /// Of a thread that sleeps until a time, in microseconds.
    pub sleep_us: f64,
    /// Of a thread that waits for another one and of the one that wakes it, together, in microseconds.
    pub wake_us: f64,
}

/// Waits, for about half a second.
pub fn watch() -> Waking {
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(ROUNDS);
    Waking { sleep_us: micros(sleeping()), wake_us: micros(waking()) }
}

/// Processor time of this thread.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn sleeping() -> Duration {
    let before = used();
    (0..ROUNDS).for_each(|_| std::thread::sleep(WAIT));
    used() - before
}

fn waking() -> Duration {
    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        let woken = scope.spawn(move || {
            let before = used();
            receiver.iter().for_each(|()| {});
            used() - before
        });
        let mut waker = Duration::ZERO;
        for _ in 0..ROUNDS {
            // Awake, so that what is measured is the other's wait.
            let begin = Instant::now();
            while begin.elapsed() < WAIT {
                std::hint::spin_loop();
            }
            let before = used();
            sender.send(()).expect("it receives until there is no sender");
            waker += used() - before;
        }
        drop(sender);
        waker + woken.join().expect("it does not panic")
    })
}

impl Display for Waking {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Waking { sleep_us, wake_us } = self;
        writeln!(
            f,
            "to sleep for 0.2 ms takes {sleep_us:.1} µs of processor time, to wake a thread that waits {wake_us:.1} µs"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_takes_some_processor_time_and_less_than_the_wait_by_far() {
        let Waking { sleep_us, wake_us } = watch();
        for found in [sleep_us, wake_us] {
            assert!((0.1..5_000.0).contains(&found), "{found} µs");
        }
    }
}

//! A queue between threads whose reader takes all that waits at once.
//!
//! One lock and at most one wake-up per turn of the reader, and no spinning: with as many busy threads as processors, a reader
//! that yields while it waits takes time from those that work. It does not limit itself; who sends looks at what waits.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(super) fn mailbox<T>() -> (Sender<T>, Receiver<T>) {
    let state =
        State { waiting: vec![], senders: 1, is_closed: false, is_read: true, is_urgent: false, is_called: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), arrived: Condvar::new(), urged: Condvar::new() });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

struct Shared<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    urged: Condvar,
}

struct State<T> {
    waiting: Vec<T>,
    senders: usize,
    is_closed: bool,
    is_read: bool,
    is_urgent: bool,
    is_called: bool,
}

impl<T> State<T> {
    fn is_open(&self) -> bool {
        self.senders > 0 && !self.is_closed
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nobody panics while holding it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        self.arrived.notify_one();
        self.urged.notify_one();
    }
}

pub(super) struct Sender<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// Gives back what cannot be delivered because the reader is gone or the mailbox closed.
    pub(super) fn send(&self, item: T) -> Result<(), T> {
        let mut state = self.0.lock();
        if !state.is_read || state.is_closed {
            return Err(item);
        }
        state.waiting.push(item);
        // Only a reader that found nothing waits.
        if state.waiting.len() == 1 {
            drop(state);
            self.0.arrived.notify_one();
        }
        Ok(())
    }

    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().waiting.is_empty()
    }

    /// Ends a [wait](Receiver::wait) of the reader, or its next one, without mail.
    pub(super) fn call(&self) {
        self.0.lock().is_called = true;
        self.0.arrived.notify_one();
    }

    /// Ends a [rest](Receiver::rest) of the reader, or its next one.
    pub(super) fn urge(&self) {
        self.0.lock().is_urgent = true;
        self.0.urged.notify_one();
    }

    /// What waits is still delivered; nothing more is taken in, whoever sends.
    pub(super) fn close(&self) {
        self.0.lock().is_closed = true;
        self.0.notify();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.lock().senders -= 1;
        self.0.notify();
    }
}

pub(super) struct Receiver<T>(Arc<Shared<T>>);

impl<T> Receiver<T> {
    /// Waits up to `time` for mail, a call, or the end.
    pub(super) fn wait(&self, time: Duration) {
        let may_wait = |s: &mut State<T>| s.waiting.is_empty() && s.is_open() && !s.is_called;
        let waited = self.0.arrived.wait_timeout_while(self.0.lock(), time, may_wait);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_called = false;
    }

    /// Moves all that waits to the end of `into`. False once the mailbox is closed, or all senders are gone, and nothing waits
    /// any more.
    pub(super) fn take(&self, into: &mut Vec<T>) -> bool {
        let mut state = self.0.lock();
        let is_open = state.is_open() || !state.waiting.is_empty();
        into.append(&mut state.waiting);
        is_open
    }
}

impl<T> Receiver<T> {
    /// Lets mail come together for up to `time`; less where something is urgent.
    pub(super) fn rest(&self, time: Duration) {
        let may_rest = |s: &mut State<T>| !s.is_urgent && s.is_open();
        let rested = self.0.urged.wait_timeout_while(self.0.lock(), time, may_rest);
        rested.unwrap_or_else(PoisonError::into_inner).0.is_urgent = false;
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_read = false;
        let undelivered = std::mem::take(&mut state.waiting);
        drop(state);
        drop(undelivered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn everything_sent_is_taken_in_order_and_then_the_end_is_told() {
        let (sender, receiver) = mailbox();
        let other = sender.clone();
        let sending = std::thread::spawn(move || {
            for i in 0..10_000 {
                let from = if i % 2 == 0 { &sender } else { &other };
                from.send(i).expect("the reader is there");
            }
        });
        let (mut taken, mut turns) = (vec![], 0);
        while receiver.take(&mut taken) {
            receiver.wait(LONG);
            turns += 1;
        }
        sending.join().expect("the sender ends well");
        assert_eq!(taken, (0..10_000).collect::<Vec<_>>());
        assert!(turns > 0);
    }

    #[test]
    fn a_closed_mailbox_delivers_what_waits_and_takes_nothing_more() {
        let (sender, receiver) = mailbox();
        let other = sender.clone();
        sender.send(1).expect("open");
        sender.close();
        assert_eq!(other.send(2), Err(2));
        let mut taken = vec![];
        receiver.wait(LONG);
        assert!(receiver.take(&mut taken));
        receiver.wait(LONG);
        assert!(!receiver.take(&mut taken));
        assert_eq!(taken, [1]);
    }

    #[test]
    fn a_reader_without_mail_goes_on_after_its_time_or_a_call_and_one_that_left_gets_none() {
        let (sender, receiver) = mailbox::<u8>();
        let mut taken = vec![];
        receiver.wait(Duration::from_millis(1));
        assert!(receiver.take(&mut taken) && taken.is_empty() && sender.is_empty());
        sender.call();
        receiver.wait(LONG);
        assert!(receiver.take(&mut taken) && taken.is_empty());
        drop(receiver);
        assert_eq!(sender.send(7), Err(7));
    }

    #[test]
    fn a_rest_ends_when_something_is_urgent_and_at_the_end() {
        let (sender, receiver) = mailbox();
        let begun = Instant::now();
        receiver.rest(Duration::from_millis(1));
        assert!(begun.elapsed() >= Duration::from_millis(1));
        sender.urge();
        receiver.rest(LONG);
        let urging = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            sender.send(1).expect("open");
            sender.urge();
            sender
        });
        receiver.rest(LONG);
        drop(urging.join().expect("it ends well"));
        receiver.rest(LONG);
        assert!(begun.elapsed() < LONG);
    }
}

//! Wakes by other threads, told once for all that come together.
//!
//! A runtime makes a system call for each task that another thread wakes: twenty for the answers of one fsync, and as many for the
//! followers of the contexts of one turn, by the threads that all wait for. Here the first of them rings, and the woken thread wakes
//! the others itself, which costs it nothing. They come behind all that is ready there; so where much is, each is woken by itself again, and
//! has the turns that the runtime keeps for what comes from outside.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Wake, Waker};
use std::thread::ThreadId;
use tokio::sync::Notify;

/// Of a thread, which is the one that [`Bell::attend`]s to it.
#[derive(Default)]
pub(super) struct Bell {
    thread: OnceLock<ThreadId>,
    woken: Mutex<Vec<Waker>>,
    rung: Notify,
    is_behind: AtomicBool,
}

/// Wakes a task of the bell's thread.
struct Rope {
    bell: Arc<Bell>,
    task: Waker,
}

impl Bell {
    /// Wakes whom others wanted to wake; never ends.
    pub(super) async fn attend(self: Arc<Bell>) {
        let _ = self.thread.set(std::thread::current().id());
        let mut woken = vec![];
        loop {
            self.rung.notified().await;
            std::mem::swap(&mut woken, &mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner));
            woken.drain(..).for_each(Waker::wake);
        }
    }

    /// Whether much is ready on the thread.
    pub(super) fn set_behind(&self, is_behind: bool) {
        self.is_behind.store(is_behind, Ordering::Relaxed);
    }

    /// `task`, on the bell's thread.
    pub(super) async fn wakes<F: Future>(self: Arc<Bell>, task: F) -> F::Output {
        let mut task = pin!(task);
        let mut rope: Option<(Waker, Waker)> = None;
        poll_fn(move |context| {
            let own = context.waker();
            let is_known = rope.as_ref().is_some_and(|(known, _)| known.will_wake(own));
            if !is_known {
                let pulled = Arc::new(Rope { bell: Arc::clone(&self), task: own.clone() });
                rope = Some((own.clone(), pulled.into()));
            }
            let (_, waker) = rope.as_ref().expect("it was made");
            task.as_mut().poll(&mut Context::from_waker(waker))
        })
        .await
    }
}

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let bell = &self.bell;
        if bell.is_behind.load(Ordering::Relaxed) || bell.thread.get() == Some(&std::thread::current().id()) {
            return self.task.wake_by_ref();
        }
        let mut woken = bell.woken.lock().unwrap_or_else(PoisonError::into_inner);
        woken.push(self.task.clone());
        let is_first = woken.len() == 1;
        drop(woken);
        if is_first {
            bell.rung.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::runtime::Builder;
    use tokio::sync::oneshot;

    #[test]
    fn every_task_that_others_wake_goes_on() {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let bell = Arc::new(Bell::default());
        runtime.spawn(Arc::clone(&bell).attend());
        for round in 0..200 {
            bell.set_behind(round % 3 == 0);
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..50).map(|_| oneshot::channel()).unzip();
            let tasks = receivers.into_iter().map(|receiver| Arc::clone(&bell).wakes(receiver));
            let tasks: Vec<_> = tasks.map(|task| runtime.spawn(task)).collect();
            let waker = std::thread::spawn(move || {
                for (n, sender) in (0..).zip(senders) {
                    if n % 7 == round % 7 {
                        std::thread::yield_now();
                    }
                    sender.send(n).expect("it is waited for");
                }
            });
            runtime.block_on(async {
                for (n, task) in (0..).zip(tasks) {
                    let told = tokio::time::timeout(Duration::from_secs(30), task).await.expect("it was woken");
                    assert_eq!(told.expect("it ends"), Ok(n));
                }
            });
            waker.join().expect("it does not panic");
        }
    }
}

//! The threads that read requests and answer them. Each serves the connections it was given, in the order in which they become ready.
//!
//! One runtime over all threads would move work between them, but what its queue of 256 has no room for waits behind all that comes
//! later, and answers, which other threads wake, wait likewise: with a thousand ready connections, some wait for ten times as long as others.

use super::bell::Bell;
use crate::config::Config;
use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Every second turn goes to what other threads woke: answers and refreshed contexts.
const WOKEN_BY_OTHERS: u32 = 2;
/// How often it is looked how long what is ready waits.
const LOOK: Duration = Duration::from_millis(5);
/// With a wait of this length or more, much is ready.
const BEHIND: Duration = Duration::from_millis(1);

thread_local! {
    static WAIT: Cell<Wait> = const { Cell::new(Wait { last: Duration::ZERO, begun: None }) };
}

#[derive(Clone, Copy)]
struct Wait {
    last: Duration,
    /// When what still waits became ready.
    begun: Option<Instant>,
}

/// How long what this thread does now has waited for its turn.
pub(super) fn wait() -> Duration {
    let Wait { last, begun } = WAIT.get();
    begun.map_or(last, |begun| last.max(begun.elapsed()))
}

/// Keeps [`wait`] up to date: a task that yields comes behind all that is ready.
async fn look(bell: Arc<Bell>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let begun = Instant::now();
        WAIT.set(Wait { begun: Some(begun), ..WAIT.get() });
        tokio::task::yield_now().await;
        let last = begun.elapsed();
        WAIT.set(Wait { last, begun: None });
        bell.set_behind(last >= BEHIND);
    }
}

/// The running threads; they end when this is dropped, with whatever they still serve.
pub(super) struct Threads(Vec<Thread>);

struct Thread {
    handle: Handle,
    bell: Arc<Bell>,
    /// One more than there are connections.
    connections: Arc<()>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Threads {
    /// As many as `server.threads` says.
    pub(super) fn start(config: &Config) -> std::io::Result<Threads> {
        (0..count(config)).map(Thread::start).collect::<Result<_, _>>().map(Threads)
    }

    /// Serves a connection on the thread that has the fewest. `serve` makes what serves it, which is to hold what it is given.
    pub(super) fn spawn<F: Future<Output = ()> + Send + 'static>(&self, serve: impl FnOnce(Arc<()>) -> F) {
        let fewest = self.0.iter().min_by_key(|thread| Arc::strong_count(&thread.connections));
        let Thread { handle, bell, connections, .. } = fewest.expect("there is at least one");
        handle.spawn(Arc::clone(bell).wakes(serve(Arc::clone(connections))));
    }
}

fn count(config: &Config) -> usize {
    match config.server.threads {
        // Partitions have threads too, but while these have little to do, requests are folded here; and where one thread reads all of
        // them, each waits for those before it.
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        given => given.into(),
    }
}

impl Thread {
    fn start(number: usize) -> std::io::Result<Thread> {
        let runtime = Builder::new_current_thread().enable_all().global_queue_interval(WOKEN_BY_OTHERS).build()?;
        let handle = runtime.handle().clone();
        let (end, ends) = oneshot::channel();
        let bell = Arc::new(Bell::default());
        let (attended, looked) = (Arc::clone(&bell).attend(), Arc::clone(&bell));
        let serve = move || {
            runtime.spawn(look(looked));
            runtime.spawn(attended);
            // It ends by being told, or by a dropped sender.
            let _ = runtime.block_on(ends);
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name(format!("http-{number}")).spawn(serve)?;
        Ok(Thread { handle, bell, connections: Arc::new(()), end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.end.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(count: u16) -> Threads {
        let mut config = Config::default();
        config.server.threads = count;
        Threads::start(&config).expect("the system starts threads")
    }

    #[test]
    fn connections_go_where_the_fewest_are() {
        let threads = threads(3);
        let counts = || threads.0.iter().map(|thread| Arc::strong_count(&thread.connections) - 1).collect::<Vec<_>>();
        let open = || {
            let (end, ended) = oneshot::channel::<()>();
            threads.spawn(|held| async move {
                // It ends by a dropped sender.
                let _ = ended.await;
                drop(held);
            });
            end
        };
        let come_to = |wanted: [usize; 3]| {
            (0..1000).any(|_| {
                std::thread::sleep(LOOK);
                counts() == wanted
            })
        };
        let mut ends: Vec<_> = (0..7).map(|_| open()).collect();
        assert_eq!(counts(), [3, 2, 2]);
        drop(ends.remove(0));
        assert!(come_to([2, 2, 2]), "{:?}", counts());
        ends.push(open());
        assert_eq!(counts(), [3, 2, 2]);
        drop(ends);
        assert!(come_to([0, 0, 0]), "{:?}", counts());
    }

    #[test]
    fn a_thread_that_is_busy_knows_how_long_what_is_ready_has_waited() {
        let threads = threads(1);
        let handle = &threads.0[0].handle;
        let busy = || async {
            let mut longest = Duration::ZERO;
            for _ in 0..10 {
                std::thread::sleep(Duration::from_millis(5));
                tokio::task::yield_now().await;
                longest = longest.max(wait());
            }
            longest
        };
        // Ten that are ready at once: each turn of one takes 5 ms, so that what becomes ready waits for 50.
        let tasks: Vec<_> = (0..10).map(|_| handle.spawn(busy())).collect();
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let longest = tasks.into_iter().map(|task| runtime.block_on(task).expect("it ends")).max();
        let longest = longest.expect("there are ten");
        assert!((Duration::from_millis(20)..Duration::from_secs(10)).contains(&longest), "{longest:?}");
        // Afterwards nothing waits, as soon as the machine lets it look.
        let now = || runtime.block_on(handle.spawn(async { wait() })).expect("it ends");
        let calm = (0..1000).any(|_| {
            std::thread::sleep(LOOK);
            now() < Duration::from_millis(20)
        });
        assert!(calm, "{:?}", now());
    }
}

//! What watches beside the load: a task on a thread and runtime of its own, until it is told to stop.

use std::io;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// A running watcher that has seen a `T` when it ends.
pub struct Background<T> {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<io::Result<T>>,
}

impl<T: Send + 'static> Background<T> {
    /// Begins; the future of `run` may hold what stays on one thread, and ends when it is told to.
    pub fn start<F>(name: &str, run: impl FnOnce(oneshot::Receiver<()>) -> F + Send + 'static) -> io::Result<Self>
    where
        F: Future<Output = io::Result<T>>,
    {
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            tokio::task::LocalSet::new().block_on(&runtime, run(stopped))
        };
        Ok(Background { stop, thread: std::thread::Builder::new().name(name.into()).spawn(run)? })
    }

    /// Tells it to stop and gives what it has seen.
    pub fn finish(self) -> io::Result<T> {
        // Fails only when it has ended by itself, which its result says.
        let _ = self.stop.send(());
        self.thread.join().expect("a watcher does not panic")
    }
}

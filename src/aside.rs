//! Threads that give way: what nobody waits for runs behind what events wait for.
//!
//! A store's worker that writes a table out is busy for a tenth of a second. With as many busy threads as processors the partition would
//! else stand aside for it at every wake-up.

/// By how much such threads are nicer than the process: a tenth of its weight, so that they go on where all processors are busy too.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Lets this thread give way, and all it starts from now on.
pub(crate) fn give_way() {
    // Elsewhere it would be the whole process. Where it is refused, the thread stays as it was.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICE);
}

/// Lets what waits for this processor go first, once: a system may leave a thread its slice, some milliseconds, however nice it is.
pub(crate) fn step_aside() {
    std::thread::yield_now();
}

/// What `open` gives, all of whose threads give way.
pub(crate) fn open<T: Send>(open: impl FnOnce() -> T + Send) -> T {
    let open = || {
        give_way();
        open()
    };
    std::thread::scope(|scope| scope.spawn(open).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// The nineteenth field of `stat`, after a name that may hold anything.
    fn nice_of(thread: &str) -> i32 {
        let stat = std::fs::read_to_string(format!("/proc/{thread}/stat")).expect("Linux has it");
        let after_name = stat.rsplit_once(')').expect("a name in brackets").1;
        after_name.split_whitespace().nth(16).and_then(|nice| nice.parse().ok()).expect("a number")
    }

    #[test]
    fn threads_that_are_started_meanwhile_give_way_and_this_one_does_not() {
        let before = nice_of("thread-self");
        let started = open(|| std::thread::spawn(|| nice_of("thread-self")));
        assert_eq!(started.join().expect("it reads a file"), before + NICE);
        assert_eq!(nice_of("thread-self"), before);
    }
}

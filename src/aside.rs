//! Threads that give way: what nobody waits for runs behind what events wait for.
//!
//! Who writes a checkpoint of millions of rows is busy for seconds. With as many busy threads as processors the partition would else stand
//! aside for it at every wake-up.

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
    fn a_thread_gives_way_with_those_it_starts_and_its_own_starter_does_not() {
        let before = nice_of("thread-self");
        let nice = std::thread::spawn(|| {
            give_way();
            std::thread::spawn(|| nice_of("thread-self")).join().expect("it reads a file")
        });
        assert_eq!(nice.join().expect("it reads a file"), before + NICE);
        assert_eq!(nice_of("thread-self"), before);
    }
}

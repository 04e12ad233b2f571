//! Open files: a connection is one, and so is each that the log and checkpoints are written to.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that connections leave to all else, beside one for each partition's checkpoint.
const FILES_KEPT: u64 = 256;
/// Without so many there is no server: the log, checkpoints and threads need some 30, and at any time.
const FILES_LEAST: u64 = 64;

/// How many connections there can be, of those that are wanted: each is an open file, and the log and checkpoints need some at any time. The
/// limit of this process is raised as far as it may be. `Err` has it, and the least there has to be.
pub(super) fn connections(wanted: u32, partitions: u16) -> Result<u32, (u64, u64)> {
    let limits = getrlimit(Resource::Nofile);
    let kept = FILES_KEPT + u64::from(partitions);
    let all = u64::from(wanted) + kept;
    let raised = limits.maximum.map_or(all, |maximum| maximum.min(all));
    let mut files = limits.current.unwrap_or(all);
    if files < raised && setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limits }).is_ok() {
        files = raised;
    }
    let least = FILES_LEAST + u64::from(partitions);
    if files < least {
        return Err((files, least));
    }
    let room = connections_of(files, kept, wanted);
    if room < wanted {
        tracing::warn!(
            files,
            connections = room,
            wanted,
            "fewer connections than server.connections_max: each is an open file (ulimit -n)"
        );
    }
    Ok(room)
}

fn connections_of(files: u64, kept: u64, wanted: u32) -> u32 {
    // Where there are hardly any files, half.
    let room = files.saturating_sub(kept).max(files / 2).max(1);
    u32::try_from(room).map_or(wanted, |room| room.min(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_to_the_log() {
        for (files, connections) in [(1_024, 768), (10_256, 10_000), (1 << 20, 10_000), (100, 50), (1, 1)] {
            assert_eq!(connections_of(files, FILES_KEPT, 10_000), connections, "{files} files");
        }
    }

    #[test]
    fn the_limit_of_files_is_raised_where_it_may_be() {
        assert_eq!(connections(1, 256), Ok(1));
        let before = getrlimit(Resource::Nofile);
        if before.maximum.is_none_or(|maximum| maximum >= 2_256 + FILES_KEPT) {
            assert_eq!(connections(2_000, 256), Ok(2_000));
            assert!(getrlimit(Resource::Nofile).current.is_none_or(|files| files >= 2_256 + FILES_KEPT));
        }
    }
}

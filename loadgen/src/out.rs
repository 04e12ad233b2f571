//! A load as a file: its events, one JSON object a line, in the order in which they would be sent.

use crate::source::{Framing, Source};
use saccade::counted::counted;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// 2026-01-15T19:00:00Z: files of the same seed are the same.
pub const EPOCH_MS: u64 = 1_768_503_600_000;

/// Writes everything that `source` gives to `path`, `-` for standard output; how many events that were. An error where `interrupt` is set
/// before all is written: what is written stays.
pub fn write(mut source: Source, path: &Path, interrupt: &AtomicBool) -> Result<u64, String> {
    let failed = |e: std::io::Error| format!("writing {}: {e}", path.display());
    let file: Box<dyn Write> = match path.as_os_str() == "-" {
        true => Box::new(std::io::stdout()),
        false => Box::new(File::create(path).map_err(failed)?),
    };
    let mut file = BufWriter::with_capacity(1 << 18, file);
    source.start_at(EPOCH_MS);
    source.frame(Framing::Lines);
    let mut written = 0;
    match write_all(&mut source, &mut file, &mut written, interrupt) {
        Ok(()) if interrupt.load(Ordering::Relaxed) => {
            let place = if path.as_os_str() == "-" { "standard output".into() } else { path.display().to_string() };
            Err(format!("interrupted after {}: {place} has no more", counted(written, "event")))
        }
        // Who reads standard output may have enough, as `head` has.
        Err(e) if e.kind() != ErrorKind::BrokenPipe || path.as_os_str() != "-" => Err(failed(e)),
        _ => Ok(written),
    }
}

fn write_all(
    source: &mut Source,
    file: &mut impl Write,
    written: &mut u64,
    interrupt: &AtomicBool,
) -> std::io::Result<()> {
    while !interrupt.load(Ordering::Relaxed)
        && let Some(request) = source.next()
    {
        file.write_all(&request.body)?;
        *written += u64::from(request.events);
        source.recycle(request);
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;
    use crate::schedule::{Arrivals, Plan, Shape};
    use crate::source::Viewers;

    #[test]
    fn a_file_has_one_event_a_line_and_is_the_same_again() {
        let profile = Profile::load("bad_network").expect("it is shipped");
        let plan = Plan {
            rate: 1_000,
            shape: Shape::Constant,
            arrivals: Arrivals::Poisson,
            batch: 1..=20,
            events: 3_000,
            seed: 4,
        };
        let folder = std::env::temp_dir().join(format!("saccade-loadgen-out-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for files of tests");
        let text = |name: &str| {
            let path = folder.join(name);
            let viewers = Viewers::new(&profile, plan.clone(), false);
            let interrupt = AtomicBool::new(false);
            let written = write(Source::Viewers(Box::new(viewers)), &path, &interrupt).expect("it can be written");
            let text = std::fs::read_to_string(path).expect("it was written");
            assert_eq!(text.lines().count() as u64, written);
            text
        };
        let (one, again) = (text("one"), text("again"));
        assert_eq!(one, again);
        // Requests that are sent again come on top.
        assert!((3_000..3_400).contains(&one.lines().count()), "{}", one.lines().count());
        one.lines().for_each(|line| _ = serde_json::from_str::<serde_json::Value>(line).expect(line));
        let (path, viewers) = (folder.join("interrupted"), Viewers::new(&profile, plan.clone(), false));
        let error = write(Source::Viewers(Box::new(viewers)), &path, &AtomicBool::new(true)).expect_err("not all");
        assert_eq!(error, format!("interrupted after 0 events: {} has no more", path.display()));
        std::fs::remove_dir_all(folder).expect("it was made here");
    }
}

//! Segments that are made ahead and dropped, beside whoever reads and starts.

use super::*;

#[test]
fn old_segments_go_by_size_and_offsets_stay() {
    let place =
        Place { settings: config::Log { retention_bytes: 2 * SMALL, ..config::Log::default() }, ..Place::new() };
    let log = place.open();
    append(&log, 0..200);
    log.reserve(0, Offset(200)).expect("the end is noted");
    let tidy = || assert!(ahead::Tidied::default().tidy(&log.files), "nobody else has it");
    let segments = || place.files().len();
    let all = segments();
    tidy();
    assert_eq!(segments(), all, "a restart needs all of it");
    log.needs(0, Offset(60));
    tidy();
    let kept_from = log.bounds(0).expect("bounds").kept_from.0;
    assert!(segments() < all && (40..=60).contains(&kept_from), "kept from {kept_from}");
    log.needs(0, Offset(200));
    tidy();
    drop(log);
    let (log, kept) = (place.open(), place.files().len() as u64);
    assert!((2..=3).contains(&kept), "{kept} segments");
    let bounds = log.bounds(0).expect("bounds");
    assert!(bounds.is_trimmed && bounds.first.0 > 150 && bounds.next.0 == 200, "{bounds:?}");
    assert_eq!(ids(&log), names(bounds.first.0..200));
    assert!(log.bytes() <= kept * SMALL);
}

#[test]
fn an_old_segment_that_cannot_be_removed_keeps_those_behind_it_until_it_can() {
    let place = Place { settings: config::Log { retention_bytes: SMALL, ..config::Log::default() }, ..Place::new() };
    append(&place.open(), 0..60);
    // Nothing is written: nobody else drops any.
    let log = place.open();
    log.files.tail().needed[0] = 60;
    let all = place.files();
    let (first, bytes) = all.iter().next().expect("a segment");
    // Nobody removes a directory as a file.
    std::fs::remove_file(first).and_then(|()| std::fs::create_dir(first)).expect("a directory in its place");
    let mut tidied = ahead::Tidied::default();
    assert!(tidied.tidy(&log.files), "nobody else has it");
    assert_eq!(segment::numbers(&place.log()).expect("a directory").len(), all.len());
    std::fs::remove_dir(first).and_then(|()| std::fs::write(first, bytes)).expect("the segment is back");
    let whole = place.of(&place.files());
    assert_eq!(ids(&whole.open()), names(0..60), "a start meanwhile finds no hole");
    assert!(tidied.tidy(&log.files), "nobody else has it");
    assert!(place.files().len() <= 3, "{} of {} segments are there", place.files().len(), all.len());
}

#[test]
fn old_segments_go_where_nothing_is_written_any_more() {
    let place = Place { settings: config::Log { retention_bytes: SMALL, ..config::Log::default() }, ..Place::new() };
    append(&place.open(), 0..60);
    let log = place.open();
    let all = place.files().len();
    log.needs(0, Offset(60));
    // One more is made ahead.
    let until = Instant::now() + Duration::from_secs(10);
    while place.files().len() > 3 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(all > 4 && place.files().len() <= 3, "{} of {all} segments are there", place.files().len());
}

#[test]
fn a_segment_that_goes_while_the_log_is_read_is_missed_behind_a_record_and_not_before_the_first() {
    let place = Place { settings: config::Log { retention_bytes: SMALL, ..config::Log::default() }, ..Place::new() };
    append(&place.open(), 0..60);
    // Nothing is written: nobody else drops any.
    let drop_before = |log: &EmbeddedLog, offset: u64| {
        log.files.tail().needed[0] = offset;
        assert!(ahead::Tidied::default().tidy(&log.files), "nobody else has it");
        log.bounds(0).expect("bounds").first.0
    };
    let mut met = vec![];
    let log = place.open();
    let begun = Reading::begin(&log.files, &[(0, Offset(0))]);
    let first = drop_before(&log, 30);
    begun
        .go_on(&log.files, &mut |_, offset, _| {
            met.push(offset.0);
            Ok(ControlFlow::Continue(()))
        })
        .expect("what was dropped was before the first record");
    assert!(first > 10 && met.iter().copied().eq(first..60), "{met:?}");
    let mut met = vec![];
    let read = log.read(0, Offset(0), &mut |offset, _| {
        if met.is_empty() {
            drop_before(&log, 60);
        }
        met.push(offset.0);
        Ok(ControlFlow::Continue(()))
    });
    assert!(matches!(read, Err(LogError::Io { .. })) && met.len() < 20, "{read:?}: {met:?}");
    // Nobody dropped it.
    let number = log.files.tail().segments[0].number;
    std::fs::remove_file(segment::path(&place.log(), number)).expect("it is there");
    assert!(super::read(&log, 0, 0).1.is_err());
}

#[test]
fn old_segments_go_by_age() {
    let minute = saccade_topology::Duration::from_secs(60);
    let settings = config::Log { retention_age: minute, ..config::Log::default() };
    let place = Place { settings, ..Place::new() };
    let log = place.open();
    append(&log, 0..60);
    let now = clock::now().0;
    let drop_old = |older: usize| {
        let mut tail = log.files.tail();
        (1..=older).for_each(|nth| tail.segments[nth].began_ms -= 60_001);
        ahead::drop_old(&mut tail, &log.files, now)
    };
    let segments = log.files.tail().segments.len();
    assert!(segments > 3);
    assert!(drop_old(0).is_empty());
    log.needs(0, Offset(60));
    // A clock that was ahead for a while keeps nothing.
    log.files.tail().segments[1].began_ms += 1_000_000;
    assert_eq!(drop_old(2), [1, 2]);
    // A segment whose file is gone meanwhile is not missed.
    for number in [1, 2] {
        std::fs::remove_file(segment::path(&place.log(), number)).expect("it is there");
    }
    assert!(log.bounds(0).expect("bounds").is_trimmed);
    // A quiet log begins segments too, so that what is in it grows old.
    log.files.tail().segments.last_mut().expect("a segment").began_ms -= 60_000 / i64::from(SEGMENTS_PER_AGE) + 1;
    let before = log.files.tail().last().number;
    append(&log, 60..61);
    assert_eq!(log.files.tail().last().number, before + 1);
}

#[test]
fn what_was_made_ahead_and_not_begun_is_not_missed() {
    let place = Place::new();
    let log = place.open();
    append(&log, 0..3);
    let number = log.files.tail().last().number + 1;
    drop(log);
    let ahead = segment::make(&place.log(), number, SMALL, 0).expect("a file is made");
    assert_eq!(ids(&place.open()), names(0..3));
    drop(ahead);
    // Where it would leave too little of the disk no room is made.
    let [with, without] = [0, u64::MAX].map(|spare| {
        let file = segment::make(&place.log(), number, SMALL, spare).expect("a file is made");
        file.metadata().expect("of an open file").len()
    });
    assert_eq!((with, without), (if cfg!(target_os = "linux") { SMALL } else { 0 }, 0));
    // The very first start was cut off; a head of many partitions is not written in one piece.
    let empty = Place::new();
    std::fs::create_dir_all(empty.log()).expect("a directory");
    std::fs::write(empty.log().join("making"), b"saccade1").expect("a file is made");
    let log = empty.try_open(Some(1000)).expect("it is made again");
    assert!(ids(&log).is_empty() && log.partitions() == 1000);
}

#[test]
fn an_error_of_a_segment_that_could_not_be_made_is_not_told_once_it_can() {
    let place = Place::new();
    let log = place.open();
    let path = segment::path(&place.log(), 2);
    // No file is made where a directory is.
    std::fs::create_dir(&path).expect("a directory in its place");
    let ahead = ahead::Ahead::spawn(Arc::clone(&log.files), 2);
    assert!(ahead.take().is_err());
    // By now the next try has failed, too.
    std::thread::sleep(Duration::from_millis(20));
    std::fs::remove_dir(&path).expect("it is empty");
    let until = Instant::now() + Duration::from_secs(10);
    while !path.exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    ahead.take().expect("there is room for it now");
}

//! The embedded log on real files: what is torn, what is damaged, and what is kept.

use super::*;
use crate::log::decode;
use saccade_topology::{Arrived, Event, EventTime, IngestTime, Record};
use std::collections::BTreeMap;
use std::time::Instant;

mod retention;

/// Small enough that a few batches fill a segment.
const SMALL: u64 = 1024;

fn batch(id: &str) -> RecordBatch {
    let mut batch = RecordBatch::default();
    let record = Record::Event(Event { session: Some("s"), ..Event::new(id, "play", EventTime(7)) });
    batch.push(&Arrived { ingest_time: IngestTime(9), record });
    batch
}

struct Place {
    data: tempfile::TempDir,
    settings: config::Log,
    segment_bytes: u64,
}

impl Place {
    fn new() -> Place {
        let data = tempfile::tempdir().expect("a temporary directory");
        Place { data, settings: config::Log::default(), segment_bytes: SMALL }
    }

    fn try_open(&self, partitions: Option<u16>) -> Result<EmbeddedLog, LogError> {
        let data = self.data.path();
        EmbeddedLog::with(lock(data)?, data, &self.settings, partitions, self.segment_bytes)
    }

    fn open(&self) -> EmbeddedLog {
        self.try_open(None).expect("the log opens")
    }

    fn log(&self) -> PathBuf {
        self.data.path().join("log")
    }

    /// Name and bytes of each segment.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let numbers = segment::numbers(&self.log()).expect("the directory can be read");
        let paths = numbers.into_iter().map(|number| segment::path(&self.log(), number));
        paths.map(|path| (path.clone(), std::fs::read(path).expect("it can be read"))).collect()
    }

    /// Another log, of these files.
    fn of(&self, files: &BTreeMap<PathBuf, Vec<u8>>) -> Place {
        let copy = Place { data: tempfile::tempdir().expect("a temporary directory"), ..Place::new() };
        std::fs::create_dir_all(copy.log()).expect("a directory");
        for (path, bytes) in files {
            let name = path.file_name().expect("a file has a name");
            std::fs::write(copy.log().join(name), bytes).expect("the copy can be written");
        }
        copy
    }
}

/// Ids of the events of a partition; an error ends them.
fn read(log: &EmbeddedLog, partition: u16, from: u64) -> (Vec<String>, Result<(), LogError>) {
    let mut ids = vec![];
    let read = log.read(partition, Offset(from), &mut |offset, bytes| {
        assert!(offset.0 >= from);
        if let Record::Event(event) = decode(bytes).expect("a whole record").record {
            ids.push(event.id.to_string());
        }
        Ok(ControlFlow::Continue(()))
    });
    (ids, read)
}

fn ids(log: &EmbeddedLog) -> Vec<String> {
    let (ids, read) = read(log, 0, 0);
    read.expect("the log is whole");
    ids
}

/// Appends batches of one event each, whose ids are the offsets.
fn append(log: &EmbeddedLog, offsets: std::ops::Range<u64>) {
    for offset in offsets {
        log.append(0, Offset(offset), &batch(&offset.to_string())).expect("the log takes a batch");
    }
}

fn names(offsets: std::ops::Range<u64>) -> Vec<String> {
    offsets.map(|offset| offset.to_string()).collect()
}

/// What retention does, to a log of one partition that is not open.
pub(crate) fn drop_records_before(data: &Path, partition: u16, first: Offset) {
    let settings = config::Log::default();
    let log = EmbeddedLog::open(data, &settings, Some(1)).expect("the log opens");
    let Bounds { next, .. } = log.bounds(partition).expect("bounds");
    let mut kept = vec![];
    let read = log.read(partition, first, &mut |offset, record| {
        let mut batch = RecordBatch::default();
        batch.push_encoded(record);
        kept.push((offset, batch));
        Ok(ControlFlow::Continue(()))
    });
    read.expect("the log is whole");
    drop(log);
    let directory = data.join("log");
    std::fs::remove_dir_all(&directory).expect("the log is closed");
    std::fs::create_dir(&directory).expect("a directory");
    recover::make(&directory, vec![Mark { origin: Some(0), next: first.0, reserved: 0 }]).expect("a log");
    let log = EmbeddedLog::open(data, &settings, None).expect("the log opens");
    kept.iter().for_each(|(offset, batch)| log.append(partition, *offset, batch).expect("the log takes a batch"));
    log.reserve(partition, next).expect("the end is noted");
}

#[test]
fn a_log_of_many_segments_gives_its_records_back_from_any_offset() {
    let place = Place::new();
    {
        let log = place.open();
        append(&log, 0..100);
        assert_eq!(ids(&log), names(0..100));
        log.reserve(0, Offset(100)).expect("the end is noted");
    }
    assert!(place.files().len() > 5);
    let log = place.open();
    for from in 0..=100 {
        assert_eq!(read(&log, 0, from).0, names(from..100));
    }
    let bounds = log.bounds(0).expect("bounds");
    assert_eq!(bounds, Bounds { first: Offset(0), kept_from: Offset(0), next: Offset(100), is_trimmed: false });
    append(&log, 100..120);
    assert_eq!(ids(&log), names(0..120));
}

#[test]
fn partitions_share_segments_and_nothing_else() {
    let place = Place::new();
    let log = place.try_open(Some(2)).expect("the log opens");
    for offset in 0..40 {
        log.append(offset as u16 % 2, Offset(offset / 2 * 3), &batch(&offset.to_string())).expect("the log takes it");
    }
    let every_other = |from: usize| names(0..40).into_iter().skip(from).step_by(2).collect::<Vec<_>>();
    drop(log);
    let log = place.open();
    for partition in 0..2 {
        assert_eq!(read(&log, partition, 0).0, every_other(partition.into()));
        // An offset that no record has.
        assert_eq!(read(&log, partition, 28).0, every_other(partition.into())[10..]);
    }
    drop(log);
    let wrong = place.try_open(Some(3));
    assert!(matches!(wrong, Err(LogError::Partitions { found: 2, wanted: 3, .. })));
}

#[test]
fn partitions_are_read_in_one_pass_each_from_its_offset_and_damage_is_told_of_the_one_that_needs_it() {
    let place = Place::new();
    let log = place.try_open(Some(3)).expect("the log opens");
    for nth in 0..90 {
        log.append(nth as u16 % 3, Offset(nth / 3), &batch(&nth.to_string())).expect("the log takes it");
    }
    (0..3).for_each(|partition| log.reserve(partition, Offset(30)).expect("the end is noted"));
    drop(log);
    let all = |log: &EmbeddedLog| {
        let mut met = vec![];
        let read = log.read_each(&[(0, Offset(28)), (2, Offset(10))], &mut |nth, offset, _| {
            met.push((nth, offset.0));
            Ok(ControlFlow::Continue(()))
        });
        (met, read)
    };
    let (met, read) = all(&place.open());
    read.expect("the log is whole");
    let expected = (10..28).map(|offset| (1, offset)).chain([(0, 28), (1, 28), (0, 29), (1, 29)]);
    assert_eq!(met, expected.collect::<Vec<_>>());
    let mut files = place.files();
    let damaged = files.values_mut().nth(place.files().len() / 2).expect("a segment in the middle");
    damaged.iter_mut().for_each(|byte| *byte ^= 1);
    let (met, read) = all(&place.of(&files).open());
    let next = met.last().expect("some are before the damage").1 + 1;
    assert!(met.len() < 18 && matches!(read, Err(LogError::Damaged { partition: 2, offset, .. }) if offset == next));
}

#[test]
fn a_data_directory_is_of_one_log_at_a_time() {
    let place = Place::new();
    let log = place.open();
    assert!(matches!(place.try_open(None), Err(LogError::InUse { .. })));
    drop(log);
    assert!(place.try_open(None).is_ok());
}

#[test]
fn offsets_go_on_where_a_proper_stop_says_and_else_behind_all_that_were_reserved() {
    let place = Place::new();
    let log = place.open();
    append(&log, 0..3);
    drop(log);
    let log = place.open();
    let next = log.bounds(0).expect("bounds").next.0;
    assert!((3 + RESERVE_BELOW..=3 + RESERVED).contains(&next), "{next}");
    // A process that began there may have stopped there.
    let reaches = |log: &EmbeddedLog| [0, 3, 4, next - 1, next, next + 1].map(|offset| log.reaches(0, Offset(offset)));
    assert_eq!(reaches(&log), [true, true, false, false, true, false]);
    append(&log, next..next + 2);
    log.reserve(0, Offset(next + 2)).expect("the end is noted");
    assert_eq!(reaches(&log), [true; 6]);
    drop(log);
    let bounds = place.open().bounds(0).expect("bounds");
    assert_eq!(bounds, Bounds { first: Offset(0), kept_from: Offset(0), next: Offset(next + 2), is_trimmed: false });
}

#[test]
fn no_offset_is_written_that_is_not_reserved_on_the_disk() {
    let place = Place { segment_bytes: SEGMENT_BYTES, ..Place::new() };
    let log = place.open();
    // Batches so large that a block of offsets is used up by a few.
    let mut many = RecordBatch::default();
    (0..RESERVED / 8).for_each(|_| many.push_encoded(b"r"));
    for nth in 0..30 {
        let first = nth * many.count();
        log.append(0, Offset(first), &many).expect("the log takes a batch");
        let durable = log.files.tail().durable_reserved[0];
        assert!(first + many.count() <= durable, "batch {nth}: reserved up to {durable}");
        // A power loss now: what was not synced is gone.
        if nth % 7 == 0 {
            log.sync().expect("the disk takes it");
        }
    }
}

/// What may be found after a power loss: what was synced, and of each file behind that any bytes or zeros.
#[test]
fn a_log_torn_anywhere_gives_the_batches_before_and_none_is_said_to_be_dropped() {
    let place = Place::new();
    let log = place.open();
    append(&log, 0..1);
    log.sync().expect("the disk takes it");
    let synced = log.files.tail().at as usize;
    append(&log, 1..3);
    let end = log.files.tail().at as usize;
    let files = place.files();
    drop(log);
    let (path, bytes) = files.iter().next().expect("there is a segment");
    for cut in synced..end {
        for (padding, is_lost) in [(0, true), (64, true), (SMALL as usize, true), (0, false)] {
            let mut torn = bytes[..end].to_vec();
            match is_lost {
                // The file ends there, or goes on with zeros.
                true => {
                    torn.truncate(cut);
                    torn.resize(cut + padding, 0);
                }
                // A sector was not written, but those behind it were.
                false => torn[cut..(cut + 16).min(end)].fill(0),
            }
            let written = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).map(|last| bytes[..=last].to_vec());
            let changed = written(&torn) != written(&bytes[..end]);
            let torn = place.of(&BTreeMap::from([(path.clone(), torn)]));
            let log = torn.open();
            let found = ids(&log);
            assert!(names(0..3).starts_with(&found), "cut at {cut}: {found:?}");
            assert!(!found.is_empty() && (!changed || padding == 0 || found.len() < 3), "cut at {cut}: {found:?}");
            let bounds = log.bounds(0).expect("bounds");
            assert!(!bounds.is_trimmed && bounds.next.0 > RESERVE_BELOW, "cut at {cut}");
            // What comes next is found behind it, also after another start.
            log.append(0, bounds.next, &batch("later")).expect("the log takes a batch");
            drop(log);
            let mut expected = found;
            expected.push("later".to_string());
            assert_eq!(ids(&torn.open()), expected, "cut at {cut}");
        }
    }
}

#[test]
fn segments_that_power_loss_took_away_end_the_log_where_none_of_them_was_durable() {
    let place = Place::new();
    let log = place.open();
    append(&log, 0..5);
    log.sync().expect("the disk takes it");
    let synced = log.files.tail().at as usize;
    append(&log, 5..60);
    let files = place.files();
    drop(log);
    assert!(files.len() > 4 && synced < SMALL as usize);
    let paths: Vec<PathBuf> = files.keys().cloned().collect();
    // The first segment lost what was not synced, or any later one all it had.
    for lost in 0..files.len() {
        let mut files = files.clone();
        let bytes = files.get_mut(&paths[lost]).expect("a segment");
        bytes[if lost == 0 { synced } else { 0 }..].fill(0);
        let torn = place.of(&files);
        let log = torn.open();
        let found = ids(&log);
        assert!(names(0..60).starts_with(&found) && found.len() >= 5, "segment {lost}: {found:?}");
        assert_eq!(found.len() == 5, lost == 0, "segment {lost}: {found:?}");
        let next = log.bounds(0).expect("bounds").next;
        log.append(0, next, &batch("later")).expect("the log takes a batch");
        drop(log);
        assert_eq!(ids(&torn.open()).last().map(String::as_str), Some("later"), "segment {lost}");
    }
}

#[test]
fn a_byte_that_changed_in_what_was_durable_is_damage_that_names_the_offset_and_leaves_what_is_before() {
    let place = Place::new();
    let log = place.open();
    let mut begins = vec![];
    for offset in 0..4 {
        begins.push(log.files.tail().at as usize);
        append(&log, offset..offset + 1);
        log.sync().expect("the disk takes it");
    }
    // It says that all before it is on the disk.
    begins.push(log.files.tail().at as usize);
    append(&log, 4..5);
    drop(log);
    let files = place.files();
    assert_eq!(files.len(), 1);
    let (path, bytes) = files.iter().next().expect("a segment");
    // The first entry of all is a reservation, behind it the first batch.
    for at in begins[1]..begins[4] {
        let entry = begins.iter().rposition(|begin| *begin <= at).expect("of an entry") as u64;
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let changed = place.of(&BTreeMap::from([(path.clone(), changed)]));
        let log = changed.open();
        let (found, end) = read(&log, 0, 0);
        // Padding is no part of an entry.
        if end.is_ok() {
            assert_eq!((found, bytes[at]), (names(0..5), 0), "byte {at}");
            continue;
        }
        // Wherever reading began.
        for end in [end, read(&log, 0, 4).1] {
            let is_there = matches!(end, Err(LogError::Damaged { partition: 0, offset, .. }) if offset == entry);
            assert!(is_there, "byte {at}: {end:?}");
        }
        assert_eq!(found, names(0..entry), "byte {at}");
        let refused = log.append(0, Offset(100_000_000), &batch("x")).expect_err("nothing is written behind it");
        assert!(refused.to_string().contains("writing the log"), "{refused}");
        drop(log);
        assert_eq!(read(&changed.open(), 0, 0).0, names(0..entry), "a second start finds the same");
    }
}

/// A log of 60 records in several segments after a proper stop, and its files.
fn stopped() -> (Place, BTreeMap<PathBuf, Vec<u8>>) {
    let place = Place::new();
    let log = place.open();
    append(&log, 0..60);
    log.reserve(0, Offset(60)).expect("the end is noted");
    drop(log);
    let files = place.files();
    (place, files)
}

/// Reads such a log up to its damage, which names the offset; what is behind can be read from there. Gives the records before it.
fn damaged_within(place: &Place) -> usize {
    let log = place.open();
    let (found, end) = read(&log, 0, 0);
    assert!(matches!(end, Err(LogError::Damaged { offset, .. }) if offset == found.len() as u64), "{end:?}");
    assert!(names(0..60).starts_with(&found));
    assert_eq!(read(&log, 0, 59).0, names(59..60));
    found.len()
}

#[test]
fn a_byte_that_changed_in_an_old_segment_is_damage_where_it_is_read() {
    let (place, files) = stopped();
    let (path, bytes) = files.iter().nth(1).expect("a second segment");
    let at = bytes.windows(4).position(|kind| kind == b"play").expect("the kind of an event");
    let mut changed = files.clone();
    changed.get_mut(path).expect("a segment")[at] ^= 1;
    damaged_within(&place.of(&changed));
    let mut gone = files.clone();
    gone.remove(path);
    assert!(damaged_within(&place.of(&gone)) > 0, "a missing segment");
}

#[test]
fn a_head_that_changed_is_damage_where_its_records_are_read() {
    let (place, files) = stopped();
    let (path, bytes) = files.iter().nth(2).expect("a third segment");
    // Magic and length, and the rest up to where an entry begins.
    for at in 0..20 {
        let mut changed = files.clone();
        changed.insert(path.clone(), bytes.iter().enumerate().map(|(i, b)| b ^ u8::from(i == at)).collect());
        assert!(damaged_within(&place.of(&changed)) > 10, "byte {at}");
    }
}

#[test]
fn after_a_write_that_failed_nothing_is_said_to_be_durable() {
    let place = Place::new();
    let log = place.open();
    append(&log, 0..3);
    // Opened for reading only: as a disk that takes nothing.
    let file = File::open(segment::path(&place.log(), 1)).expect("it can be read");
    log.files.tail().file = Arc::new(file);
    assert!(log.append(0, Offset(3), &batch("3")).is_err());
    let again = File::options().append(true).open(segment::path(&place.log(), 1)).expect("it can be written");
    log.files.tail().file = Arc::new(again);
    assert!(log.append(0, Offset(3), &batch("3")).is_err() && log.sync().is_err(), "there is room again");
    drop(log);
    assert_eq!(ids(&place.open()), names(0..3));
}

#[test]
fn a_log_of_the_first_format_is_converted_with_its_offsets() {
    let place = Place { segment_bytes: SEGMENT_BYTES, ..Place::new() };
    let db = fjall::Database::builder(place.log()).open().expect("a database");
    let keyspace = |name| db.keyspace(name, fjall::KeyspaceCreateOptions::default).expect("a keyspace");
    let meta = keyspace("meta");
    for (name, value) in
        [("partitions", 2u64), ("origin 0", 0), ("reserved 0", 500), ("origin 1", 7), ("reserved 1", 9)]
    {
        meta.insert(name, value.to_le_bytes()).expect("it takes a number");
    }
    // Partition 0 lost its beginning by retention, partition 1 did not.
    for (name, first) in [("records-0", 100u64), ("records-0", 200), ("records-1", 7)] {
        keyspace(name).insert(first.to_be_bytes(), batch(&first.to_string()).bytes()).expect("it takes a batch");
    }
    drop((meta, db));
    // An attempt that was cut off in the middle.
    std::fs::create_dir_all(place.data.path().join("converting/log")).expect("a directory");
    let open = || EmbeddedLog::open(place.data.path(), &place.settings, None).expect("the log opens");
    for _ in 0..2 {
        let log = open();
        assert_eq!(read(&log, 0, 0).0, ["100", "200"]);
        assert_eq!(read(&log, 1, 0).0, ["7"]);
        let bounds = |partition| log.bounds(partition).expect("bounds");
        assert_eq!(
            bounds(0),
            Bounds { first: Offset(100), kept_from: Offset(100), next: Offset(500), is_trimmed: true }
        );
        assert_eq!(bounds(1), Bounds { first: Offset(7), kept_from: Offset(7), next: Offset(9), is_trimmed: false });
    }
    let left = std::fs::read_dir(place.data.path()).expect("a directory").count();
    assert_eq!(left, 2, "the log and its lock");
    // Cut off between the two renamings.
    std::fs::create_dir(place.data.path().join("converting")).expect("a directory");
    std::fs::rename(place.log(), place.data.path().join("converting/log")).expect("renamed");
    std::fs::create_dir(place.data.path().join("log.fjall")).expect("a directory");
    assert_eq!(read(&open(), 0, 0).0, ["100", "200"]);
}

//! Rows of a checkpoint: only what was written is put back.

use crate::driver::*;
use proptest::prelude::*;
use saccade_topology::*;
use std::sync::Arc;

type Row = (RowKind, String, Vec<u8>);

/// Features whose words are places and bits, not only sums.
fn folding(events: &[Event<'static>]) -> Driver {
    let features = vec![
        feature("player", FeatureType::Playback),
        FeatureSpec { field: field("item"), ..feature("items", FeatureType::Distinct) },
        FeatureSpec { field: field("type"), values: list(&["play"]), ..feature("kind", FeatureType::OneHot) },
        FeatureSpec { scope: Scope::Item, ..feature("of_item", FeatureType::Count) },
        FeatureSpec { scope: Scope::Viewer, ..feature("of_viewer", FeatureType::Count) },
    ];
    let mut spec = spec(features);
    spec.dedup.events_max = 1024;
    let mut driver = Driver::new(&spec);
    events.iter().for_each(|event| driver.accept(*event));
    driver
}

fn written() -> (Topology, Vec<Row>) {
    let event = |ms, kind| Event { viewer: Some("v"), item: Some("i"), ..at(ms, kind) };
    let mut driver = folding(&[event(0, "play"), event(9000, "pause"), event(5000, "seek")]);
    let rows = driver.topology.rows();
    assert_eq!(rows.len(), 2);
    (driver.topology, rows)
}

fn restore(topology: &Topology) -> Restore {
    let globals = topology.globals(Offset(3));
    Restore::new(Arc::clone(topology.plan()), &globals, &[], &[]).expect("the same plan")
}

#[test]
fn rows_that_were_written_are_put_back_and_with_any_byte_changed_or_missing_they_are_not() {
    let (topology, rows) = written();
    let mut whole = restore(&topology);
    for (kind, key, bytes) in &rows {
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1 << (place % 8);
            assert!(restore(&topology).row(*kind, key, &changed).is_err(), "{kind:?} byte {place}");
            assert!(restore(&topology).row(*kind, key, &bytes[..place]).is_err(), "{kind:?} cut at {place}");
        }
        assert!(restore(&topology).row(*kind, "other", bytes).is_err(), "{kind:?} under another key");
        whole.row(*kind, key, bytes).expect("as it was written");
    }
    assert_eq!(whole.finish().expect("its rows are whole").rows(), rows);
}

#[test]
fn rows_of_sessions_and_of_viewers_are_written_in_turn_and_put_back_side_by_side() {
    let named = |n: i64, viewer| {
        let name: &'static str = Box::leak(format!("s{n}").into_boxed_str());
        Event { session: Some(name), viewer: Some(viewer), ..at(n, "play") }
    };
    let events = [named(0, "a"), named(1, "b"), named(2, "c"), named(3, "c"), named(4, "c")];
    let mut topology = folding(&events).topology;
    let (changed, rest) = (topology.take_changes(), topology.take_changes());
    for mut changes in [changed, topology.all_of(rest)] {
        let kinds = std::iter::from_fn(|| changes.next_place().map(|(kind, _)| kind));
        let [s, v] = [RowKind::Session, RowKind::Viewer];
        assert_eq!(kinds.collect::<Vec<_>>(), [v, s, v, s, v, s, s, s]);
    }
    let rows = topology.rows();
    let mut again = restore(&topology);
    let [sessions, others] = again.rows().map(|mut half| {
        let mut put = |(kind, key, bytes): &Row| half.row(*kind, key, bytes).expect("as it was written");
        rows.iter().filter(|row| put(row)).count()
    });
    assert_eq!((sessions, others), (5, 3));
    assert_eq!(again.finish().expect("its rows are whole").rows(), rows);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_row_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let (topology, _) = written();
        prop_assert!(restore(&topology).row(RowKind::Session, "s", &bytes).is_err());
        prop_assert!(restore(&topology).row(RowKind::Viewer, "v", &bytes).is_err());
    }
}

/// Events of one session, of one viewer with it, out of order, an hour before any is certain; the nth is at offset n + 1.
fn busy() -> Vec<Event<'static>> {
    let kinds = ["play", "pause", "seek"];
    let event = |n: usize| Event { viewer: Some("v"), ..at((n ^ 1) as i64 * 1000, kinds[n % 3]) };
    (0..40).map(event).collect()
}

/// What a checkpoint would hold of all that changed.
fn changed(topology: &mut Topology, as_of: u64) -> Vec<Row> {
    kept(topology, as_of, 0)
}

/// The same, where the log keeps its records from an offset on.
fn kept(topology: &mut Topology, as_of: u64, from: u64) -> Vec<Row> {
    let (mut changes, mut rows) = (topology.take_changes(), vec![]);
    while let Some((kind, place)) = changes.next_place() {
        let mut bytes = vec![];
        let key =
            topology.export(kind, place, Offset(as_of), Pending::ByOffset { from }, &mut bytes).map(str::to_string);
        rows.extend(key.map(|key| (kind, key, bytes)));
    }
    rows.sort();
    rows
}

/// Puts rows back, and gives them the events that they ask for out of those there are.
fn put_back(topology: &Topology, rows: &[Row], events: &[Event<'_>]) -> Result<Topology, RestoreError> {
    let mut restore = restore(topology);
    for (kind, key, bytes) in rows {
        restore.row(*kind, key, bytes).expect("as it was written");
    }
    while let Some(offset) = restore.awaits() {
        let nth = offset.0 as usize - 1;
        let Some(event) = events.get(nth) else { break };
        let id = format!("e{nth:06}");
        let record = Record::Event(Event { id: &id, ..*event });
        restore.record(offset, &Arrived { ingest_time: IngestTime(T0), record });
    }
    restore.finish()
}

#[test]
fn a_row_on_which_many_events_are_pending_names_them_and_is_given_them_from_the_log() {
    let (events, mut whole) = (busy(), folding(&busy()));
    let rows = changed(&mut whole.topology, 41);
    let by_offset: usize = rows.iter().map(|(.., bytes)| bytes.len()).sum();
    let as_they_are: usize = whole.topology.rows().iter().map(|(.., bytes)| bytes.len()).sum();
    assert!(by_offset < as_they_are / 4, "{by_offset} {as_they_are}");
    let mut again = put_back(&whole.topology, &rows, &events).expect("all events are there");
    assert_eq!(again.rows(), whole.topology.rows());

    // One that is not there is named.
    let missing = put_back(&whole.topology, &rows, &events[..30]).err();
    assert!(matches!(missing, Some(RestoreError::Record(31))), "{missing:?}");

    // Anything else is no row.
    for (kind, key, bytes) in &rows {
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1 << (place % 8);
            assert!(restore(&whole.topology).row(*kind, key, &changed).is_err(), "{kind:?} byte {place}");
            assert!(restore(&whole.topology).row(*kind, key, &bytes[..place]).is_err(), "{kind:?} cut at {place}");
        }
    }
}

#[test]
fn a_row_that_names_events_is_written_again_until_they_are_certain() {
    let (events, mut driver) = (busy(), folding(&busy()));
    let rows = changed(&mut driver.topology, 41);
    assert_eq!(changed(&mut driver.topology, 41), rows, "it still names them");
    // After a restart too.
    let mut again = put_back(&driver.topology, &rows, &events).expect("all events are there");
    assert_eq!(changed(&mut again, 41), rows);
    // Two hours later nothing is pending, and the rows stand for themselves.
    driver.tick(7_300_000);
    let rows = changed(&mut driver.topology, 42);
    let viewer = rows.iter().find(|(kind, ..)| *kind == RowKind::Viewer).expect("a viewer is remembered for long");
    put_back(&driver.topology, std::slice::from_ref(viewer), &[]).expect("it names no event");
    assert_eq!(changed(&mut driver.topology, 42), []);
}

#[test]
fn rows_say_from_where_on_the_log_has_to_keep_what_they_name() {
    let event = |n: i64| Event { viewer: Some("v"), ..at(n * 60_000, "play") };
    let mut driver = folding(&(0..100).map(event).collect::<Vec<_>>());
    assert_eq!(driver.topology.take_named_from(), None, "nothing was exported");
    let rows = changed(&mut driver.topology, 101);
    let named = driver.topology.take_named_from().expect("many events are pending");
    assert!(named > Offset(1), "the first are certain");
    let mut again = restore(&driver.topology);
    for (kind, key, bytes) in &rows {
        again.row(*kind, key, bytes).expect("as it was written");
    }
    assert_eq!(again.awaits(), Some(named));
    assert_eq!(driver.topology.take_named_from(), None, "it was taken");
    // Where the log need not keep the first of them any more, the rows hold them all, and name none.
    driver.accept(event(100));
    let Offset(first) = named;
    let rows = kept(&mut driver.topology, 102, first + 1);
    let mut whole = restore(&driver.topology);
    for (kind, key, bytes) in &rows {
        whole.row(*kind, key, bytes).expect("as it was written");
    }
    assert_eq!((whole.awaits(), driver.topology.take_named_from()), (None, None));
    assert_eq!(whole.finish().expect("nothing is awaited").rows(), driver.topology.rows());
    // A row that is whole names none.
    driver.topology.rows();
    assert_eq!(driver.topology.take_named_from(), None);
}

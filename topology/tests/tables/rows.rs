//! Rows of a checkpoint: only what was written is put back.

use crate::driver::*;
use proptest::prelude::*;
use saccade_topology::*;
use std::sync::Arc;

type Row = (RowKind, String, Vec<u8>);

/// Features whose words are places and bits, not only sums.
fn written() -> (Topology, Vec<Row>) {
    let features = vec![
        feature("player", FeatureType::Playback),
        FeatureSpec { field: field("item"), ..feature("items", FeatureType::Distinct) },
        FeatureSpec { field: field("type"), values: list(&["play"]), ..feature("kind", FeatureType::OneHot) },
        FeatureSpec { scope: Scope::Item, ..feature("of_item", FeatureType::Count) },
        FeatureSpec { scope: Scope::Viewer, ..feature("of_viewer", FeatureType::Count) },
    ];
    let event = |ms, kind| Event { viewer: Some("v"), item: Some("i"), ..at(ms, kind) };
    let mut spec = spec(features);
    spec.dedup.events_max = 1024;
    let mut driver = Driver::new(&spec);
    [event(0, "play"), event(9000, "pause"), event(5000, "seek")].iter().for_each(|event| driver.accept(*event));
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
    assert_eq!(whole.finish().rows(), rows);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_row_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let (topology, _) = written();
        prop_assert!(restore(&topology).row(RowKind::Session, "s", &bytes).is_err());
        prop_assert!(restore(&topology).row(RowKind::Viewer, "v", &bytes).is_err());
    }
}

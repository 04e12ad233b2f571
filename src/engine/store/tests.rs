use super::*;
use RowKind::{Decision, Session, Viewer};
use saccade_topology::Noted;

const NOTHING: &[(RowKind, &str, u64)] = &[];

fn place() -> (tempfile::TempDir, Store) {
    let place = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(place.path()).expect("an empty store opens");
    (place, store)
}

fn globals(offset: u64, ids: (u64, u64)) -> Globals {
    Globals { format: 0, spec: 0, offset, event_time_max: 0, ingest_time: 0, counters: Default::default(), ids }
}

fn rows(of: &[(RowKind, &str, u64)]) -> Rows {
    let mut rows = Rows::default();
    for (kind, key, as_of) in of {
        rows.value().extend_from_slice(&as_of.to_le_bytes());
        rows.close(*kind, key);
    }
    rows
}

/// Writes a checkpoint as of `offset`.
fn write(
    store: &Store,
    is_full: bool,
    offset: u64,
    of: &[(RowKind, &str, u64)],
    gone: &[(RowKind, &str, u64)],
    chain: Chain,
) -> Chain {
    let mut making = store.begin(0, is_full).expect("a file is made");
    making.rows(&rows(of)).expect("there is room");
    making.gone(&rows(gone)).expect("there is room");
    let (feedback, books) = (StoredFeedback::default(), Books::default());
    store.complete(making, &globals(offset, (0, 0)), &feedback, &books, chain).expect("there is room")
}

type Keys = Vec<(String, u64)>;

/// Rows in the order they come, and tombstones in order.
fn read(store: &Store) -> (Keys, Keys) {
    let stored = store.checkpoint(0).expect("it is whole").expect("there is one");
    let mut found = vec![];
    let gone = stored.rows(&mut |rows| {
        found.extend(rows.iter().map(|(_, key, value)| (key.to_string(), as_of(value).expect("an offset"))));
    });
    let mut gone: Vec<_> = gone.expect("it is whole").into_iter().map(|(_, key, as_of)| (key, as_of)).collect();
    gone.sort();
    (found, gone)
}

fn names(store: &Store) -> Vec<String> {
    let entries = std::fs::read_dir(&store.directory).expect("a directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("ours")).collect();
    names.retain(|name| name != ASIDE);
    names.sort();
    names
}

fn keys(of: &[(&str, u64)]) -> Keys {
    of.iter().map(|(key, as_of)| (key.to_string(), *as_of)).collect()
}

#[test]
fn of_each_key_the_newest_entry_counts() {
    let (_place, store) = place();
    assert!(store.checkpoint(0).expect("an empty store").is_none());
    let full = [(Session, "a", 1), (Session, "b", 1), (Session, "c", 1), (Viewer, "a", 1), (Session, "d", 1)];
    let chain = write(&store, true, 0, &full, NOTHING, Chain::default());
    // `b` goes, `c` goes and comes back, `e` goes before the checkpoint.
    let chain = write(
        &store,
        false,
        10,
        &[(Session, "a", 12), (Session, "c", 14)],
        &[(Session, "b", 11), (Session, "c", 13), (Session, "e", 9)],
        chain,
    );
    let (found, gone) = read(&store);
    // Newest files first: who puts them back leaves out what is there.
    assert_eq!(found, keys(&[("a", 12), ("c", 14), ("a", 1), ("a", 1), ("d", 1)]));
    assert_eq!(gone, keys(&[("b", 11)]), "what went before the checkpoint, nothing can bring back");
    // A row that was stored before its key went, within one checkpoint.
    write(&store, false, 20, &[(Session, "a", 21)], &[(Session, "a", 22)], chain);
    let (found, gone) = read(&store);
    assert_eq!(found, keys(&[("c", 14), ("a", 1), ("d", 1)]), "the viewer of that name stays");
    assert_eq!(gone, keys(&[("a", 22)]));
}

#[test]
fn what_ended_while_a_checkpoint_was_made_is_in_that_one_with_its_last_row_and_in_none_after_it() {
    let (_place, store) = place();
    let before = write(&store, true, 0, &[(Decision, "d", 1), (Decision, "f", 1)], NOTHING, Chain::default());
    let chain = write(&store, false, 10, &[(Decision, "d", 12), (Decision, "d", 15)], &[(Decision, "d", 15)], before);
    assert_eq!(read(&store), (keys(&[("d", 15), ("f", 1)]), keys(&[("d", 15)])));
    write(&store, false, 15, &[], NOTHING, chain);
    assert_eq!(read(&store), (keys(&[("f", 1)]), vec![]), "its end is before the checkpoint");
}

#[test]
fn what_is_not_whole_is_not_there_and_a_full_one_takes_the_place_of_all_before() {
    let (_place, store) = place();
    let mut making = store.begin(0, true).expect("a file is made");
    making.rows(&rows(&[(Session, "a", 1)])).expect("there is room");
    drop(making);
    assert!(store.checkpoint(0).expect("it is passed over").is_none());
    let chain = write(&store, true, 0, &[(Session, "a", 2)], NOTHING, Chain::default());
    assert_eq!(names(&store), ["00000-000000000001.full"]);
    let chain = write(&store, false, 5, &[(Session, "b", 6)], NOTHING, chain);
    let other = store.begin(1, true).expect("a file is made");
    drop(store.begin(0, true).expect("a file is made"));
    assert_eq!(read(&store).0, keys(&[("b", 6), ("a", 2)]));
    let made = [
        "00000-000000000001.full",
        "00000-000000000002.changes",
        "00000-000000000003.making",
        "00001-000000000000.making",
    ];
    assert_eq!(names(&store), made);
    write(&store, true, 9, &[(Session, "b", 9)], NOTHING, chain);
    assert_eq!(names(&store), ["00000-000000000004.full", "00001-000000000000.making"]);
    assert_eq!(read(&store).0, keys(&[("b", 9)]));
    drop(other);
    for _ in 0..2 {
        store.set_aside(0).expect("it is moved");
    }
    assert_eq!(names(&Store { directory: store.directory.join(ASIDE) }), ["00000-000000000004.full"]);
    assert!(store.checkpoint(0).expect("an empty store").is_none());
    assert_eq!(names(&store), ["00001-000000000000.making"]);
}

#[test]
fn a_full_one_is_due_when_the_others_are_as_large_and_as_a_restart_finds_them() {
    let (_place, store) = place();
    assert!(Chain::default().is_full_due());
    let many: Vec<String> = (0..1000).map(|n| format!("session {n}")).collect();
    let of = |n: usize| many[..n].iter().map(|key| (Session, key.as_str(), 1)).collect::<Vec<_>>();
    let found = |chain: Chain| {
        let stored = store.checkpoint(0).expect("it is whole").expect("there is one").chain;
        assert_eq!(format!("{chain:?}"), format!("{stored:?}"));
        chain.is_full_due()
    };
    let chain = write(&store, true, 0, &of(1000), NOTHING, Chain::default());
    assert!(!found(chain));
    let chain = write(&store, false, 0, &of(450), NOTHING, chain);
    assert!(!found(chain));
    assert!(found(write(&store, false, 0, &of(600), NOTHING, chain)), "half and more");
    let chain = write(&store, true, 0, &of(1000), NOTHING, chain);
    assert!(found(write(&store, false, 0, NOTHING, &of(400), chain)), "keys that are gone");
    let mut chain = write(&store, true, 0, &of(1000), NOTHING, chain);
    for _ in 0..CHANGES_MAX {
        assert!(!found(chain));
        chain = write(&store, false, 0, NOTHING, NOTHING, chain);
    }
    assert!(found(chain), "so many files");
}

#[test]
fn ids_go_on_from_those_of_the_files_before() {
    let (_place, store) = place();
    let put = |is_full, ids: &[(u64, u64, &[u64])], mark| {
        let mut making = store.begin(0, is_full).expect("a file is made");
        ids.iter().for_each(|(generation, at, ids)| making.ids(*generation, *at, ids).expect("there is room"));
        let rest = (StoredFeedback::default(), Books::default());
        store.complete(making, &globals(0, mark), &rest.0, &rest.1, Chain::default()).expect("there is room");
        store.checkpoint(0)
    };
    let ids = |stored: Result<Option<Stored>, StoreError>| {
        let stored = stored.expect("they are whole").expect("there is one");
        let [previous, current] = stored.ids.until(stored.globals().ids.0);
        (previous.to_vec(), current.to_vec(), stored.missing_ids())
    };
    assert_eq!(ids(put(true, &[(0, 0, &[1, 2])], (0, 2))), (vec![], vec![1, 2], 0));
    assert_eq!(ids(put(false, &[(0, 2, &[3]), (1, 0, &[4])], (1, 1))), (vec![1, 2, 3], vec![4], 0));
    // Two generations on; a place that is there already is written again.
    assert_eq!(ids(put(false, &[(2, 0, &[7, 8]), (3, 0, &[9])], (3, 1))), (vec![7, 8], vec![9], 0));
    assert_eq!(ids(put(false, &[(3, 0, &[10, 11])], (3, 3))), (vec![7, 8], vec![10, 11], 1));
    assert!(matches!(put(false, &[(3, 3, &[12])], (3, 4)), Err(StoreError::Damaged { .. })), "one between is missing");
    assert_eq!(ids(put(true, &[(3, 0, &[1]), (4, 0, &[])], (4, 0))), (vec![1], vec![], 0));
}

#[test]
fn a_file_that_is_not_as_it_was_written_is_damaged_or_has_all_the_same_rows() {
    let (_place, store) = place();
    let (mut making, of) = (store.begin(0, true).expect("a file is made"), [(Session, "a", 1), (Viewer, "b", 2)]);
    making.ids(0, 0, &[5]).expect("there is room");
    making.notes(&[Note { offset: 1, key: 2, what: Noted::Clock(-3) }]).expect("there is room");
    making.rows(&rows(&of)).expect("there is room");
    let (feedback, books) = (StoredFeedback::default(), Books::default());
    store.complete(making, &globals(0, (0, 1)), &feedback, &books, Chain::default()).expect("there is room");
    let path = store.path(0, 0, Extent::Full);
    let whole = std::fs::read(&path).expect("it is there");
    let check = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).expect("there is room");
        let read = store.checkpoint(0).and_then(|stored| stored.expect("it is there").rows(&mut |_| ()));
        match read {
            Err(StoreError::Damaged { path: named, .. }) => assert_eq!(named, path),
            other => panic!("{what}: {other:?}"),
        }
    };
    // The four bytes behind each kind have no meaning.
    let mut at = 8;
    let mut meaningless = vec![];
    while at < whole.len() {
        meaningless.extend(at + 4..at + 8);
        at += 24 + u64::from_le_bytes(whole[at + 8..at + 16].try_into().expect("eight bytes")) as usize;
    }
    for at in (0..whole.len()).filter(|at| !meaningless.contains(at)) {
        let mut other = whole.clone();
        other[at] ^= 1 << (at % 8);
        check(&other, &format!("byte {at}"));
    }
    (0..whole.len()).for_each(|len| check(&whole[..len], &format!("{len} bytes")));
}

#[test]
fn a_checkpoint_of_a_newer_program_is_told_as_that_and_an_unknown_block_of_this_one_is_damage() {
    let plan = Arc::new(Plan::compile(&crate::config::Config::default().spec()).expect("the default compiles"));
    for format in [CHECKPOINT_FORMAT, CHECKPOINT_FORMAT + 1] {
        let (_place, store) = place();
        let making = store.begin(0, true).expect("a file is made");
        let globals = Globals { format, ..globals(0, (0, 0)) };
        let (feedback, books) = (StoredFeedback::default(), Books::default());
        store.complete(making, &globals, &feedback, &books, Chain::default()).expect("there is room");
        let path = store.path(0, 0, Extent::Full);
        // An empty block of a kind that is not there yet, behind the file's eight bytes.
        let mut bytes = std::fs::read(&path).expect("it is there");
        let mut block = [0; 24];
        block[0] = 99;
        bytes.splice(8..8, block);
        std::fs::write(&path, bytes).expect("there is room");
        match store.checkpoint(0) {
            Err(StoreError::Damaged { what, .. }) if format == CHECKPOINT_FORMAT => {
                assert!(what.contains("(99)"), "{what}")
            }
            Ok(Some(stored)) => {
                let why = stored.restore(&plan).expect("it is whole").err();
                assert!(matches!(why, Some(RestoreError::Format { found }) if found == format), "{why:?}");
            }
            other => panic!("format {format}: {:?}", other.err()),
        }
    }
}

#[test]
fn a_checkpoint_from_which_a_file_was_taken_out_or_put_in_is_damaged() {
    let spoil = |change: &dyn Fn(&Store)| {
        let (_place, store) = place();
        let mut chain = write(&store, true, 0, &[(Session, "a", 1)], NOTHING, Chain::default());
        for offset in [10, 20, 30] {
            chain = write(&store, false, offset, &[(Session, "b", offset + 1)], NOTHING, chain);
        }
        assert!(store.checkpoint(0).expect("it is whole").is_some());
        change(&store);
        store.checkpoint(0).map(|stored| stored.expect("there is one").globals().offset)
    };
    let path = |store: &Store, number| store.path(0, number, Extent::Changes);
    let without_one = spoil(&|store| std::fs::remove_file(path(store, 2)).expect("it is there"));
    assert!(
        without_one
            .expect_err("it is missed")
            .to_string()
            .contains("000003.changes is damaged: the file that it goes on from")
    );
    let with_another = spoil(&|store| {
        std::fs::copy(path(store, 3), path(store, 2)).expect("it is there");
    });
    assert!(with_another.is_err());
    assert_eq!(spoil(&|store| std::fs::remove_file(path(store, 3)).expect("it is there")).expect("an older one"), 20);
}

#[test]
fn who_cannot_write_is_not_told_to_move_away_what_is_there() {
    let error = |doing| StoreError::doing(doing, Path::new("f"))(std::io::Error::other("why not")).to_string();
    assert_eq!(error("writing"), "writing f: why not");
    assert!(error(READING).starts_with("reading f: why not; ") && error(READING).contains("move f away"));
}

//! The laws of the fold, held against random histories: arrival order changes nothing, restarts change nothing.

mod common;

use common::generations;
use proptest::prelude::*;
use saccade_topology::model::Books;
use saccade_topology::*;
use std::collections::BTreeMap;
use std::iter::from_fn;
use std::sync::Arc;

/// Event time and bits of a vector.
type Published = (i64, Vec<u32>);

/// The vectors last published, by kind and key.
#[derive(Default, Clone, PartialEq, Debug)]
struct Latest(BTreeMap<(Kind, String), Published>);

impl Sink for Latest {
    fn context(&mut self, c: &ContextRef<'_>) {
        let key = if c.kind == Kind::Session { c.session } else { c.viewer };
        let bits = c.vector.iter().map(|x| x.to_bits()).collect();
        self.0.insert((c.kind, key.expect("a context has a key").to_string()), (c.event_time, bits));
    }
    fn ended(&mut self, _: &SessionEnd<'_>) {}
    fn removed(&mut self, kind: Kind, _: u32, key: &str) {
        self.0.remove(&(kind, key.to_string()));
    }
}

/// What each version was.
#[derive(Default)]
struct Contents {
    known: BTreeMap<(Kind, String, u64), Vec<u32>>,
    broken: Vec<String>,
}

impl Sink for Contents {
    fn context(&mut self, c: &ContextRef<'_>) {
        let key = if c.kind == Kind::Session { c.session } else { c.viewer };
        let key = (c.kind, key.expect("a context has a key").to_string(), c.version);
        let bits: Vec<u32> = c.vector.iter().map(|x| x.to_bits()).collect();
        let before = self.known.insert(key.clone(), bits.clone());
        if c.is_again != before.is_some() || (c.is_again && !c.is_renamed) {
            self.broken.push(format!("{key:?} told again: {}, was {before:?}, is {bits:?}", c.is_again));
        }
    }
    fn ended(&mut self, _: &SessionEnd<'_>) {}
    fn removed(&mut self, _: Kind, _: u32, _: &str) {}
}

/// A context as it is shown.
#[derive(Clone, PartialEq, Debug)]
struct Shown {
    session: Option<String>,
    viewer: Option<String>,
    version: u64,
    event_time: i64,
    vector: Vec<u32>,
}

/// What is shown at each place, by a sink that is given whole contexts, or by one that keeps them and is given what changed.
struct Places {
    shown: BTreeMap<(Kind, u32), Shown>,
    /// None where it does not keep them.
    profile_slots: Option<Vec<u32>>,
}

impl Sink for Places {
    fn keeps_contexts(&self) -> bool {
        self.profile_slots.is_some()
    }
    fn context(&mut self, c: &ContextRef<'_>) {
        let bits = c.vector.iter().map(|x| x.to_bits()).collect();
        let (session, viewer) = (c.session.map(str::to_string), c.viewer.map(str::to_string));
        let mut now = Shown { session, viewer, version: c.version, event_time: c.event_time, vector: bits };
        if let Some(profile_slots) = &self.profile_slots {
            let before = self.shown.get(&(c.kind, c.place));
            if !c.is_renamed {
                let before = before.expect("what is not renamed was shown");
                (now.session, now.viewer) = (before.session.clone(), before.viewer.clone());
            }
            if c.part == Part::Profile {
                let mut vector = before.expect("of what was shown a part may change").vector.clone();
                profile_slots.iter().zip(&now.vector).for_each(|(slot, bits)| vector[*slot as usize] = *bits);
                now.vector = vector;
            }
        }
        self.shown.insert((c.kind, c.place), now);
    }
    fn ended(&mut self, _: &SessionEnd<'_>) {}
    fn removed(&mut self, kind: Kind, place: u32, _: &str) {
        self.shown.remove(&(kind, place));
    }
}

fn feature(name: &str, kind: FeatureType) -> FeatureSpec {
    FeatureSpec {
        name: name.into(),
        kind,
        scope: Scope::Session,
        field: None,
        on: None,
        by: None,
        values: None,
        half_lives: None,
        over: None,
        outputs: None,
        size: None,
        absent: None,
        scale: None,
    }
}

/// A plan with every type of feature.
fn plan(lateness_s: i64) -> Arc<Plan> {
    plan_of(lateness_s, Spec::default().viewer.retention)
}

fn plan_of(lateness_s: i64, retention: Duration) -> Arc<Plan> {
    Arc::new(Plan::compile(&spec_of(lateness_s, retention)).expect("the test's plan compiles"))
}

fn spec_of(lateness_s: i64, retention: Duration) -> Spec {
    use FeatureType::*;
    let list = |v: &[&str]| Some(v.iter().map(|s| s.to_string()).collect::<Vec<_>>());
    let kinds = list(&["play", "pause", "scroll", "seek"]);
    let half_lives = Some(vec![Duration::from_secs(30), Duration::from_secs(600)]);
    let mut features = vec![];
    for kind in [DecayedCount, DecayedRate, DecayedSum, DecayedMean] {
        let field = matches!(kind, DecayedSum | DecayedMean).then(|| "value".to_string());
        let name = format!("{kind:?}");
        let base = FeatureSpec { half_lives: half_lives.clone(), field, ..feature(&name, kind) };
        features.push(FeatureSpec { by: Some("type".into()), values: kinds.clone(), ..base.clone() });
        features.push(FeatureSpec { name: format!("viewer_{name}"), scope: Scope::Viewer, ..base.clone() });
        features.push(FeatureSpec { name: format!("item_{name}"), scope: Scope::Item, ..base });
    }
    for kind in [Sum, Max, Min, Last, First] {
        features.push(FeatureSpec { field: Some("value".into()), ..feature(&format!("{kind:?}"), kind) });
    }
    features.push(feature("count", Count));
    features.push(feature("age", Age));
    features.push(feature("playback", Playback));
    features.push(feature("clock", LocalTime));
    features.push(FeatureSpec { on: list(&["play"]), ..feature("since", TimeSince) });
    features.push(FeatureSpec { field: Some("item".into()), ..feature("items", Distinct) });
    features.push(FeatureSpec { field: Some("type".into()), values: kinds.clone(), ..feature("kinds", Distinct) });
    features.push(FeatureSpec { on: list(&["pause"]), over: list(&["play"]), ..feature("ratio", Ratio) });
    features.push(feature("scroll", Scroll));
    features.push(FeatureSpec {
        field: Some("device".into()),
        values: list(&["tv", "web"]),
        ..feature("device", OneHot)
    });
    features.push(FeatureSpec { field: Some("item".into()), size: Some(4), ..feature("hash", Hashed) });
    features.push(FeatureSpec { field: Some("type".into()), values: kinds, ..feature("kind", Index) });
    let mut spec = Spec { features, ..Spec::default() };
    spec.time.allowed_lateness = Duration::from_secs(lateness_s);
    spec.viewer.retention = retention;
    spec.session.gap = Duration::from_secs(60);
    spec.session.max_length = Duration::from_secs(400);
    spec.session.items_max = 2;
    spec
}

#[derive(Clone, Debug)]
struct Happening {
    id: String,
    kind: usize,
    time: i64,
    session: Option<u8>,
    viewer: Option<u8>,
    item: u8,
    value: f64,
    state: Option<PlayState>,
    /// How far off the player's clock is by its own word, ms, and whether that is inferred.
    off: Option<(i64, bool)>,
}

const T0: i64 = 1_790_000_000_000;
const KINDS: [&str; 8] = ["play", "pause", "scroll", "seeking", "seeked", "waiting", "progress", "ended"];

/// Kind, tenths of seconds, session, viewer, item, value, state.
type Drawn = (usize, i64, u8, u8, u8, i32, Option<PlayState>);

fn happenings(span_s: i64) -> impl Strategy<Value = Vec<Happening>> {
    let state = prop_oneof![Just(None), Just(Some(PlayState::Paused)), Just(Some(PlayState::Playing))];
    let one = (0..KINDS.len(), 0..span_s * 10, 0..3u8, 0..4u8, 0..4u8, 0..100i32, state);
    prop::collection::vec(one, 1..160).prop_map(|rows| {
        let build = |(i, (kind, t, session, viewer, item, value, state)): (usize, Drawn)| {
            // Tenths of seconds, so that equal times are common.
            let session = (viewer != 3 || session != 0).then_some(session);
            let viewer = (viewer < 2 || session.is_none()).then_some(viewer);
            Happening {
                id: format!("e{i}"),
                kind,
                time: T0 + t * 100,
                session,
                viewer,
                item,
                value: f64::from(value),
                state,
                off: None,
            }
        };
        rows.into_iter().enumerate().map(build).collect()
    })
}

/// Session, viewer, item.
type Names = (Option<String>, Option<String>, String);

fn names(h: &Happening) -> Names {
    (h.session.map(|s| format!("s{s}")), h.viewer.map(|v| format!("v{v}")), format!("i{}", h.item))
}

fn arrived<'a>(offset: u64, h: &'a Happening, (session, viewer, item): &'a Names) -> Arrived<'a> {
    // Everything arrives well after it happened, so that arrival never limits the watermark.
    let ingest_time = IngestTime(T0 + 10_000_000 + offset as i64);
    let event = Event {
        session: session.as_deref(),
        viewer: viewer.as_deref(),
        item: Some(item),
        sent_at: h.off.map(|(off, _)| EventTime(ingest_time.0 - off)),
        sent_at_inferred: h.off.is_some_and(|(_, is_inferred)| is_inferred),
        value: Some(h.value),
        device: Some(if h.item.is_multiple_of(2) { "tv" } else { "web" }),
        timezone: Some(if h.item == 3 { "Asia/Kolkata" } else { "America/New_York" }),
        playhead_s: (h.item == 1).then_some(h.value),
        state: h.state,
        ..Event::new(&h.id, KINDS[h.kind], EventTime(h.time))
    };
    Arrived { ingest_time, record: Record::Event(event) }
}

fn feed(topology: &mut Topology, offset: u64, h: &Happening, sink: &mut dyn Sink) -> Outcome {
    topology.apply(Offset(offset), &arrived(offset, h, &names(h)), sink)
}

fn fold(plan: &Arc<Plan>, history: &[Happening]) -> (Topology, Latest) {
    let (mut topology, mut latest) = (Topology::new(Arc::clone(plan)), Latest::default());
    for (offset, h) in history.iter().enumerate() {
        assert_eq!(feed(&mut topology, offset as u64, h, &mut latest), Outcome::Accepted);
    }
    (topology, latest)
}

/// Folds for a sink that is told all, and for one that is told what changed; they must know the same after each record.
fn tell_both(plan: &Arc<Plan>, history: &[Happening]) {
    let mut sinks = [None, Some(plan.profile_slots().to_vec())]
        .map(|profile_slots| (Topology::new(Arc::clone(plan)), Places { shown: BTreeMap::new(), profile_slots }));
    for (offset, h) in (0..).zip(history) {
        sinks.iter_mut().for_each(|(topology, sink)| _ = feed(topology, offset, h, sink));
        let [(_, told_all), (_, told_changes)] = &sinks;
        assert_eq!(told_all.shown, told_changes.shown, "after {offset}");
    }
}

#[test]
fn a_viewer_at_the_place_of_one_that_is_gone_is_named() {
    let plan = plan_of(0, Duration::from_secs(60));
    let at = |(second, viewer): (i64, Option<u8>)| Happening {
        id: format!("e{second}"),
        kind: 0,
        time: T0 + 1000 * second,
        session: Some(0),
        viewer,
        item: 0,
        value: 0.0,
        state: None,
        off: None,
    };
    tell_both(&plan, &[(0, Some(0)), (50, None), (100, None), (150, Some(1)), (160, None)].map(at));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arrival_order_within_the_lateness_changes_no_bit(
        history in happenings(300),
        keys in prop::collection::vec(any::<u64>(), 160),
    ) {
        let plan = plan(3600);
        let mut shuffled: Vec<(u64, Happening)> = keys.into_iter().zip(history.iter().cloned()).collect();
        shuffled.sort_by_key(|(k, _)| *k);
        let shuffled: Vec<Happening> = shuffled.into_iter().map(|(_, h)| h).collect();
        let mut ordered = history.clone();
        ordered.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        let (_, expected) = fold(&plan, &ordered);
        // Every intermediate state is the fold of what had arrived.
        for n in [shuffled.len() / 2, shuffled.len()] {
            let mut arrived = shuffled[..n].to_vec();
            let (_, got) = fold(&plan, &arrived);
            arrived.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
            let (_, want) = fold(&plan, &arrived);
            prop_assert_eq!(&got, &want);
            if n == shuffled.len() {
                prop_assert_eq!(&got, &expected);
            }
        }
    }

    #[test]
    fn a_busy_session_is_folded_alike_in_any_order(
        mut history in prop::collection::vec(happenings(300), 4..6),
        keys in prop::collection::vec(any::<u64>(), 1000),
    ) {
        // Several hundred events of one session: far more than are folded again for one that is late by little.
        let plan = plan(3600);
        let mut busy: Vec<Happening> = history.drain(..).flatten().collect();
        for (i, h) in busy.iter_mut().enumerate() {
            (h.id, h.session, h.viewer) = (format!("b{i}"), Some(0), Some(0));
        }
        let mut shuffled: Vec<(u64, Happening)> = keys.into_iter().zip(busy.iter().cloned()).collect();
        // Mostly in order: each event is moved by a few places, some by many.
        shuffled.sort_by_key(|(k, h)| h.time + if k % 16 == 0 { (k % 200_000) as i64 } else { (k % 3000) as i64 });
        let shuffled: Vec<Happening> = shuffled.into_iter().map(|(_, h)| h).collect();
        busy.truncate(shuffled.len());
        busy.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        prop_assert_eq!(fold(&plan, &shuffled).1, fold(&plan, &busy).1);
    }

    #[test]
    fn settling_behind_a_short_horizon_gives_what_folding_everything_again_gives(history in happenings(600), jitter in prop::collection::vec(0..1900i64, 160)) {
        // Delivered by time plus jitter below out_of_orderness: never late, though the horizon follows at once.
        let mut order: Vec<(i64, Happening)> = history.iter().zip(&jitter).map(|(h, j)| (h.time + j, h.clone())).collect();
        order.sort_by_key(|(t, _)| *t);
        let (tight, loose) = (plan(0), plan(7200));
        let (mut a, mut b) = (Topology::new(tight), Topology::new(loose));
        for (offset, (_, h)) in order.iter().enumerate() {
            let (mut x, mut y) = (Latest::default(), Latest::default());
            prop_assert_eq!(feed(&mut a, offset as u64, h, &mut x), Outcome::Accepted);
            prop_assert_eq!(feed(&mut b, offset as u64, h, &mut y), Outcome::Accepted);
            let key = h.session.map(|s| (Kind::Session, format!("s{s}")));
            if let Some(key) = key {
                prop_assert_eq!(x.0.get(&key).map(|(t, v)| (*t, session_slots(&a, v))), y.0.get(&key).map(|(t, v)| (*t, session_slots(&b, v))));
            }
        }
    }

    #[test]
    fn warming_records_changes_no_bit(history in happenings(900), batch in 1..80usize, lateness in prop_oneof![Just(0i64), Just(30)]) {
        let plan = plan(lateness);
        let (mut plain, mut expected) = (Topology::new(Arc::clone(&plan)), Latest::default());
        let (mut warmed, mut got) = (Topology::new(plan), Latest::default());
        let all: Vec<Names> = history.iter().map(names).collect();
        let records = history.iter().zip(&all).enumerate();
        let records: Vec<_> = records.map(|(offset, (h, names))| (Offset(offset as u64), arrived(offset as u64, h, names))).collect();
        for group in records.chunks(batch) {
            warmed.warm(&group.iter().map(|(_, record)| record.clone()).collect::<Vec<_>>());
            for (nth, (offset, record)) in group.iter().enumerate() {
                prop_assert_eq!(plain.apply(*offset, record, &mut expected), warmed.apply_warmed(nth, *offset, record, &mut got));
            }
        }
        prop_assert_eq!(plain.digest(), warmed.digest());
        prop_assert_eq!(expected, got);
    }

    #[test]
    fn who_keeps_contexts_and_is_told_what_changed_knows_what_who_is_told_all_does(
        history in happenings(900),
        lateness in prop_oneof![Just(0i64), Just(30)],
        retention in prop_oneof![Just(60i64), Just(100_000)],
    ) {
        let plan = plan_of(lateness, Duration::from_secs(retention));
        tell_both(&plan, &history);
    }

    #[test]
    fn a_version_has_one_content_or_is_told_to_take_the_place_of_the_one_before(
        mut history in happenings(900),
        in_order: bool,
        viewers_max in prop::sample::select(vec![1, 2, 1_000_000]),
        retention in prop::sample::select(vec![60, 100_000]),
    ) {
        if in_order {
            history.sort_by_key(|h| h.time);
        }
        let mut spec = spec_of(0, Duration::from_secs(retention));
        (spec.viewer.viewers_max, spec.session.sessions_max) = (viewers_max, 3);
        let mut topology = Topology::new(Arc::new(Plan::compile(&spec).expect("the test's plan compiles")));
        let mut contents = Contents::default();
        for (offset, h) in (1..).zip(&history) {
            feed(&mut topology, offset, h, &mut contents);
        }
        prop_assert_eq!(contents.broken, Vec::<String>::new());
    }

    #[test]
    fn a_restart_at_any_record_changes_no_bit(
        history in happenings(900),
        at in 0..160usize,
        lateness in prop_oneof![Just(0i64), Just(30), Just(3600)],
        sessions_max in prop::sample::select(vec![2, 3, 1_000_000]),
        viewers_max in prop::sample::select(vec![1, 2, 1_000_000]),
        retention in prop::sample::select(vec![60, 100_000]),
    ) {
        let mut spec = spec_of(lateness, Duration::from_secs(retention));
        (spec.session.sessions_max, spec.viewer.viewers_max) = (sessions_max, viewers_max);
        let plan = Arc::new(Plan::compile(&spec).expect("the test's plan compiles"));
        let (mut straight, mut expected) = (Topology::new(Arc::clone(&plan)), Latest::default());
        let mut restarted = Topology::new(Arc::clone(&plan));
        let mut got = Latest::default();
        for (offset, h) in history.iter().enumerate() {
            let a = feed(&mut straight, offset as u64, h, &mut expected);
            if offset == at {
                restarted = restart(&mut restarted, &history[..offset]);
            }
            let b = feed(&mut restarted, offset as u64, h, &mut got);
            prop_assert_eq!(a, b);
        }
        prop_assert_eq!(straight.digest(), restarted.digest());
        prop_assert_eq!(expected, got);
    }

    #[test]
    fn rows_written_at_different_offsets_catch_up_to_the_same_state(
        mut history in happenings(900),
        in_order: bool,
        clocks_are_off: bool,
        pending_max in prop::sample::select(vec![1, 4, 1024]),
        spread in prop::collection::vec(0..160usize, 12),
        all: bool,
        sessions_max in prop::sample::select(vec![2, 4, 1_000_000]),
        viewers_max in prop::sample::select(vec![1, 2, 1_000_000]),
        retention in prop::sample::select(vec![60, 100_000]),
    ) {
        if in_order {
            history.sort_by_key(|h| h.time);
        }
        if clocks_are_off {
            let off = |h: &Happening| 20_000 * (h.value as i64 % 5 - 2);
            history.iter_mut().filter(|h| h.kind < 4).for_each(|h| h.off = Some((off(h), h.item < 2)));
        }
        let mut spec = spec_of(30, Duration::from_secs(retention));
        (spec.session.sessions_max, spec.viewer.viewers_max, spec.session.pending_max) = (sessions_max, viewers_max, pending_max);
        let plan = Arc::new(Plan::compile(&spec).expect("the test's plan compiles"));
        let mut straight = Topology::new(Arc::clone(&plan));
        // A first checkpoint is made at a sixth. The second begins at a third, and goes on from the first or has all that there is; each row is
        // written at its own later record, as a trickling writer would.
        let begin = history.len() / 3;
        let last = (begin + spread.iter().max().copied().unwrap_or(0)).min(history.len() - 1);
        let mut rows: BTreeMap<(RowKind, String), Vec<u8>> = BTreeMap::new();
        let mut globals = None;
        let (mut ids, mut pending) = ((vec![], vec![]), vec![]);
        let (mut notes, mut tombstones) = (vec![], BTreeMap::new());
        let mut second = straight.take_changes();
        for (offset, h) in history.iter().enumerate() {
            if offset == begin / 2 {
                let mut changes = straight.take_changes();
                from_fn(|| changes.next_place()).for_each(|(kind, place)| write_row(&mut straight, kind, place, offset as u64, &mut rows));
            }
            if offset == begin {
                straight.take_notes();
                globals = Some(straight.globals(Offset(offset as u64)));
                ids = generations(&straight);
                let mut changes = straight.take_changes();
                from_fn(|| changes.next_removed()).for_each(|(kind, gone)| drop(rows.remove(&(kind, gone.key.to_string()))));
                if all {
                    changes = straight.all_of(changes);
                    rows.clear();
                }
                pending = from_fn(|| changes.next_place()).enumerate().map(|(i, p)| (offset + spread[i % 12], p)).collect();
            }
            let due: Vec<_> = pending.extract_if(.., |(when, _)| (*when).min(last) <= offset).collect();
            for (_, (kind, place)) in due {
                write_row(&mut straight, kind, place, offset as u64, &mut rows);
            }
            feed(&mut straight, offset as u64, h, &mut Ignore);
            if (begin..last).contains(&offset) {
                notes.append(&mut straight.take_notes());
                straight.add_removed(&mut second);
                while let Some((kind, tombstone)) = second.next_removed() {
                    rows.remove(&(kind, tombstone.key.to_string()));
                    tombstones.insert((kind, tombstone.key.to_string()), tombstone.as_of);
                }
            }
        }
        let Some(globals) = globals else { return Ok(()) };
        let mut restore = Restore::new(plan, &globals, &ids.0, &ids.1).expect("the same plan");
        for ((kind, key), bytes) in &rows {
            restore.row(*kind, key, bytes).expect("a whole row");
        }
        restore.notes(&notes);
        // It is complete then.
        restore.books(Books { as_of: last as u64, ..Books::default() }, &[], &[]).expect("there are no models");
        for ((kind, key), as_of) in tombstones.iter().filter(|(at, _)| !rows.contains_key(at)) {
            restore.tombstone(*kind, key, Offset(*as_of));
        }
        let mut restored = finish(restore, &history);
        for (offset, h) in history.iter().enumerate().skip(begin) {
            feed(&mut restored, offset as u64, h, &mut Ignore);
        }
        restored.caught_up();
        prop_assert_eq!(straight.globals(Offset(0)), restored.globals(Offset(0)));
        // The first words of each row are easier to read in a failure than all of them.
        let heads = |rows: Vec<(RowKind, String, Vec<u8>)>| -> Vec<(RowKind, String, Vec<u64>)> {
            let words = |b: Vec<u8>| b.as_chunks::<8>().0.iter().take(10).map(|c| u64::from_le_bytes(*c)).collect();
            rows.into_iter().map(|(k, key, bytes)| (k, key, words(bytes))).collect()
        };
        prop_assert_eq!(heads(straight.rows()), heads(restored.rows()));
        prop_assert_eq!(straight.digest(), restored.digest());
    }
}

/// The session's own slots; viewer and item slots are compared by the other laws.
fn session_slots(topology: &Topology, bits: &[u32]) -> Vec<(String, u32)> {
    let slots = topology.plan().slots().iter().zip(bits);
    slots.filter(|(s, _)| s.scope != Scope::Viewer).map(|(s, b)| (s.name.clone(), *b)).collect()
}

fn write_row(t: &mut Topology, kind: RowKind, place: u32, as_of: u64, rows: &mut BTreeMap<(RowKind, String), Vec<u8>>) {
    let mut bytes = vec![];
    if let Some(key) = t.export(kind, place, Offset(as_of), Pending::ByOffset { from: 0 }, &mut bytes) {
        rows.insert((kind, key.to_string()), bytes);
    }
}

/// Gives the rows what they wait for.
fn finish(mut restore: Restore, log: &[Happening]) -> Topology {
    while let Some(offset) = restore.awaits() {
        let h = &log[offset.0 as usize];
        restore.record(offset, &arrived(offset.0, h, &names(h)));
    }
    restore.finish().expect("all that is awaited is in the log")
}

fn restart(topology: &mut Topology, log: &[Happening]) -> Topology {
    let offset = log.len() as u64;
    let globals = topology.globals(Offset(offset));
    let (previous, current) = generations(topology);
    let mut rows = BTreeMap::new();
    let mut changes = topology.take_changes();
    while let Some((kind, place)) = changes.next_place() {
        write_row(topology, kind, place, offset, &mut rows);
    }
    let mut restore = Restore::new(Arc::clone(topology.plan()), &globals, &previous, &current).expect("the same plan");
    for ((kind, key), bytes) in &rows {
        restore.row(*kind, key, bytes).expect("a whole row");
    }
    let mut topology = finish(restore, log);
    topology.caught_up();
    topology
}

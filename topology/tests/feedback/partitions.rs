//! Several partitions: what is told of a decision ends in one bucket of one of them, wherever it arrived and whatever is sent twice.

use crate::checkpoint::restart;
use crate::history::*;
use proptest::prelude::*;
use saccade_topology::decision::*;
use saccade_topology::model::RewardEnd;
use saccade_topology::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const COUNT: usize = 3;

/// Partitions, and what the process around them knows and carries.
struct World {
    folds: Vec<Topology>,
    next: Vec<u64>,
    /// Where decisions are, by key.
    places: BTreeMap<u64, u16>,
    /// Letters: (to, record), and what is confirmed to whom once all before it are there.
    post: Vec<Letter>,
    now: i64,
}

enum Letter {
    Passed { to: u16, encoded: Vec<u8> },
    Landed { to: u16, until: u64 },
}

#[derive(Default)]
struct Seen {
    keys: Vec<u64>,
    away: Vec<(u16, u64, Vec<u8>)>,
    from: u16,
}

impl Sink for Seen {
    fn context(&mut self, _: &ContextRef<'_>) {}
    fn ended(&mut self, _: &SessionEnd<'_>) {}
    fn removed(&mut self, _: Kind, _: u32, _: &str) {}
    fn decided(&mut self, id: &str, _: &Arc<[u8]>) {
        self.keys.push(decision_key(id));
    }
    fn decision_late(&mut self, id: &str) {
        self.keys.push(decision_key(id));
    }
    fn left(&mut self, away: &Away<'_>) {
        let passed = Passed { from: self.from, offset: away.offset, event_time: away.event_time, told: away.told };
        let bytes = postcard::to_extend(&passed, vec![]).expect("memory takes any record");
        self.away.push((away.to, away.left, bytes));
    }
}

impl World {
    fn new() -> World {
        let plan = plan(model(|_| {}));
        let mut folds: Vec<_> = (0..COUNT).map(|_| Topology::new(Arc::clone(&plan))).collect();
        let next = folds.iter_mut().map(|fold| begin(fold, &mut Ignore)).collect();
        World { folds, next, places: BTreeMap::new(), post: vec![], now: 0 }
    }

    fn with(&mut self, place: usize, apply: impl FnOnce(&mut Topology, u64, &mut Seen) -> Outcome) -> Outcome {
        let mut seen = Seen { from: place as u16, ..Seen::default() };
        let outcome = apply(&mut self.folds[place], self.next[place], &mut seen);
        if matches!(outcome, Outcome::Accepted | Outcome::Late(_) | Outcome::Ticked) {
            self.next[place] += 1;
        }
        self.places.extend(seen.keys.iter().map(|key| (*key, place as u16)));
        self.send(place, seen.away);
        outcome
    }

    fn send(&mut self, from: usize, away: Vec<(u16, u64, Vec<u8>)>) {
        let Some(until) = away.iter().map(|(_, left, _)| *left).max() else { return };
        self.post.extend(away.into_iter().map(|(to, _, encoded)| Letter::Passed { to, encoded }));
        self.post.push(Letter::Landed { to: from as u16, until });
    }

    fn feed(&mut self, place: usize, h: &Happening) -> Outcome {
        self.now = h.at + h.delay;
        self.with(place, |fold, offset, seen| feed(fold, offset, h, seen))
    }

    fn tell(&mut self, place: usize, record: Record<'_>) -> Outcome {
        let arrived = Arrived { ingest_time: IngestTime(T0 + self.now), record };
        self.with(place, |fold, offset, seen| fold.apply(Offset(offset), &arrived, seen))
    }

    fn home(&self, id: usize) -> usize {
        self.places.get(&decision_key(&format!("d{id}"))).map_or(id % COUNT, |place| usize::from(*place))
    }

    /// What waits for decisions of other partitions is let go.
    fn look(&mut self, place: usize) {
        let elsewhere = |key| self.places.get(&key).copied().filter(|to| usize::from(*to) != place);
        for (id, to) in self.folds[place].awaited(u64::MAX, &elsewhere) {
            self.tell(place, Record::Leaving(Leaving { decision: &id, to }));
        }
    }

    /// Delivers the first letters, some twice.
    fn deliver(&mut self, count: usize, twice: bool) {
        let count = count.min(self.post.len());
        for letter in self.post.drain(..count).collect::<Vec<_>>() {
            match letter {
                Letter::Landed { to, until } => {
                    self.tell(usize::from(to), Record::Landed(Landed { until }));
                }
                Letter::Passed { to, encoded } => {
                    let passed: Passed<'_> = postcard::from_bytes(&encoded).expect("as encoded");
                    self.tell(usize::from(to), Record::Passed(Box::new(passed)));
                    if twice {
                        let outcome = self.tell(usize::from(to), Record::Passed(Box::new(passed)));
                        assert_eq!(outcome, Outcome::Duplicate);
                    }
                }
            }
        }
    }

    /// All partitions begin again from checkpoints; letters are lost, those of what is away are written anew.
    fn restart(&mut self) {
        self.post.clear();
        for place in 0..COUNT {
            let fold = &mut self.folds[place];
            let mut restored = restart(fold, self.next[place]);
            assert_eq!(restored.digest(), fold.digest());
            *fold = restored;
            let mut seen = Seen { from: place as u16, ..Seen::default() };
            fold.emit_away(&mut seen);
            self.send(place, seen.away);
        }
        let known = self.folds.iter().zip(0..).flat_map(|(fold, place)| fold.over().map(move |(_, key)| (key, place)));
        let known: BTreeMap<u64, u16> = known.collect();
        for (key, place) in &self.places {
            assert!(known.get(key).is_none_or(|known| known == place), "a decision ends where it was made");
        }
    }

    fn ended(&self, end: RewardEnd) -> u64 {
        self.folds.iter().map(|fold| fold.reward_ends()[end as usize]).sum()
    }
}

fn reward<'a>(decision: &'a str, id: &'a str) -> Record<'a> {
    let event_time = Some(EventTime(T0 + 2_000));
    Record::Reward(ExplicitReward { decision, id: Some(id), item: None, position: None, value: 4.0, event_time })
}

fn decided(n: usize, viewer: u8) -> Happening {
    let what = What::Decision { id: n, viewer, items: vec![0], is_deferred: false, served: Served::Policy };
    Happening { at: 1_000, delay: 0, what }
}

#[test]
fn a_reward_that_came_before_its_decision_reaches_it_in_another_partition_once() {
    let mut w = World::new();
    w.now = 1_000;
    assert_eq!(w.tell(0, reward("d1", "r")), Outcome::Accepted);
    w.look(0);
    assert_eq!((w.folds[0].open_decisions(), w.folds[0].away()), ((0, 1), 0), "nobody knows where it belongs");
    w.feed(2, &decided(1, 2));
    w.look(0);
    assert_eq!((w.folds[0].open_decisions(), w.folds[0].away()), ((0, 0), 1));
    w.restart();
    w.deliver(1, true);
    w.restart();
    w.deliver(9, false);
    assert_eq!((w.folds[0].away(), w.ended(RewardEnd::Joined)), (0, 1));
    assert_eq!(w.tell(2, reward("d1", "r")), Outcome::Duplicate, "told again where the decision is");
    let view = w.folds[2].decision_view("d1").expect("the decision is open");
    assert_eq!(view.picks[0].rewards[0].reward, Some(4.0));
}

#[test]
fn one_told_again_while_it_is_on_its_way_counts_once() {
    let mut w = World::new();
    w.now = 1_000;
    w.tell(0, reward("d1", "r"));
    w.feed(2, &decided(1, 2));
    w.look(0);
    assert_eq!(w.tell(2, reward("d1", "r")), Outcome::Accepted);
    w.deliver(9, true);
    assert_eq!((w.ended(RewardEnd::Joined), w.ended(RewardEnd::Duplicate)), (1, 1));
}

#[test]
fn what_is_told_of_a_decision_that_is_over_is_late_wherever_it_arrives() {
    let mut w = World::new();
    w.feed(2, &decided(1, 2));
    w.now = 4 * 3_600_000;
    w.tell(2, Record::Tick);
    assert_eq!(w.folds[2].open_decisions(), (0, 0));
    w.tell(0, Record::Tick);
    w.tell(0, reward("d1", "r"));
    w.look(0);
    w.deliver(9, true);
    assert_eq!(w.tell(2, reward("d1", "s")), Outcome::Accepted);
    assert_eq!(w.ended(RewardEnd::Late), 2);
}

#[test]
fn an_event_that_is_late_where_it_arrives_counts_for_the_open_decision_of_another_partition() {
    let mut w = World::new();
    w.feed(2, &decided(1, 2));
    let event = |n: usize, at: i64, delay: i64, decision: Option<usize>| {
        let what = What::Event { n, viewer: 0, item: 0, kind: "click", value: 1.0, decision };
        Happening { at, delay, what }
    };
    for place in [0, 2] {
        w.feed(place, &event(7, 20 * 60_000, 0, None));
    }
    for (n, decision) in [(1, 1), (2, 8)] {
        assert!(matches!(w.feed(0, &event(n, 2_000, 20 * 60_000, Some(decision))), Outcome::Late(_)));
    }
    w.feed(0, &event(3, 20 * 60_000 + 10_000, 0, None));
    assert_eq!(w.folds[0].open_decisions(), (0, 2), "both wait for who knows where their decisions are");
    w.look(0);
    w.deliver(9, true);
    let view = w.folds[2].decision_view("d1").expect("the decision is open");
    assert_eq!((view.picks[0].rewards[0].reward, w.ended(RewardEnd::Joined)), (Some(10.0), 1));
    w.feed(0, &event(9, 22 * 60_000, 0, None));
    assert_eq!((w.ended(RewardEnd::Dangling), w.ended(RewardEnd::Late)), (1, 0), "nobody has heard of the other");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_reward_ends_in_one_bucket_of_one_partition(
        history in history(200, 4_000, 60_000),
        // Where an event arrives, whether the place of its decision is asked for first, what is delivered after it.
        chance in prop::collection::vec((0..COUNT, 0..3usize, 0..4usize, any::<bool>()), 200),
        stops in prop::collection::vec(0..200usize, 0..3),
    ) {
        let (mut w, mut told) = (World::new(), 0);
        for (i, (h, (place, look, letters, twice))) in arrivals(&history).iter().zip(&chance).enumerate() {
            let (place, is_told) = match &h.what {
                What::Decision { id, viewer, .. } => {
                    // The process sees to it that one id is asked for in one partition.
                    let known = w.places.get(&decision_key(&format!("d{id}"))).copied();
                    (known.map_or(usize::from(*viewer) % COUNT, usize::from), false)
                }
                What::Activation { id } => (w.home(*id), false),
                // What is in flight does not know yet where its decision is.
                What::Reward { id, .. } => (if *twice { w.home(*id) } else { id % COUNT }, true),
                // Events that name none may be joined, or not: they would not add up.
                What::Event { decision, kind, .. } if decision.is_some() => (*place, *kind != "scroll"),
                _ => continue,
            };
            let outcome = w.feed(place, h);
            told += u64::from(is_told && matches!(outcome, Outcome::Accepted | Outcome::Late(_)));
            (0..*look).for_each(|place| w.look(place));
            w.deliver(*letters, *twice);
            if stops.contains(&i) {
                w.restart();
            }
        }
        (0..COUNT).for_each(|place| w.look(place));
        w.deliver(usize::MAX, false);
        w.now += 10 * 3_600_000;
        for place in 0..COUNT {
            w.tell(place, Record::Tick);
            prop_assert_eq!((w.folds[place].open_decisions(), w.folds[place].away()), ((0, 0), 0));
        }
        let ends: u64 = w.folds.iter().flat_map(|fold| fold.reward_ends()).sum();
        prop_assert_eq!(ends, told);
    }
}

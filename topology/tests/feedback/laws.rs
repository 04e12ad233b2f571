//! Arrival order changes no reward, restarts change no bit, everything ends in one bucket.

use crate::checkpoint::{Checkpoint, restart};
use crate::history::*;
use proptest::prelude::*;
use saccade_topology::model::{Attribute, Books, Earned};
use saccade_topology::*;
use std::collections::BTreeMap;
use std::iter::from_fn;
use std::sync::Arc;

/// What is known of each decision, but for its offset.
fn views(topology: &Topology, count: usize) -> BTreeMap<String, DecisionView> {
    let ids = (0..count).map(|n| format!("d{n}"));
    let views = ids.filter_map(|id| topology.decision_view(&id).map(|view| (id, DecisionView { offset: 0, ..view })));
    views.collect()
}

fn run(plan: &Arc<Plan>, history: &[Happening]) -> (Topology, u64) {
    let mut topology = Topology::new(Arc::clone(plan));
    let first = begin_with_all(&mut topology, &mut Ignore);
    for (offset, h) in (first..).zip(history) {
        feed(&mut topology, offset, h, &mut Ignore);
    }
    let next = first + history.len() as u64;
    (topology, next)
}

/// Of one spec and way of serving: decisions, picks whose windows are over, their average and its error in millionths, rewards known
/// and their sum in millionths.
type Served = (u64, u64, [Option<i64>; 2], u64, i64);

/// Ends of decisions, rewards that were joined and that were not, and what was earned, to rounding.
fn ends(books: &Books) -> (Vec<u64>, [u64; 2], Vec<Served>) {
    let home = &books.models[0];
    let [joined, rest @ ..] = books.rewards;
    let millionths = |x: f64| (x * 1e6).round() as i64;
    let served = |earned: &Earned| {
        let average = earned.average();
        let told = [average.map(|average| average.value), average.and_then(|average| average.standard_error)];
        let so_far = earned.so_far;
        (
            earned.decisions,
            earned.matured().picks,
            told.map(|x| x.map(millionths)),
            so_far.picks,
            millionths(so_far.sum()),
        )
    };
    let mut books: Vec<_> = home.specs.iter().collect();
    books.sort_by_key(|book| book.version);
    let earned = books.into_iter().flat_map(|book| book.in_force.iter().chain(&book.in_shadow)).map(served);
    // A reward of a decision that is not activated yet is late or dangling, by whether the activation comes while it waits.
    (home.ends.to_vec(), [joined, rest.iter().sum()], earned.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn arrival_order_within_the_lateness_changes_no_signal_and_no_reward(
        history in history(160, 4000, 25_000),
        other in prop::collection::vec(0..25_000i64, 160),
        earliest: bool,
        tolerance in prop::sample::select(vec![0, 2_000, 15_000]),
    ) {
        let plan = plan(model(|model| {
            model.attribute = if earliest { Attribute::Earliest } else { Attribute::Last };
            model.attribution_tolerance = Duration(tolerance);
        }));
        let shuffled = history.iter().zip(other).map(|(h, delay)| Happening { delay, ..h.clone() });
        // A decision is answered before it can be shown.
        let shown = |h: Happening| match h.what {
            What::Activation { .. } => Happening { delay: 25_000, ..h },
            _ => h,
        };
        let shuffled: Vec<_> = shuffled.map(shown).collect();
        let history: Vec<_> = history.into_iter().map(shown).collect();
        let (mut one, next) = run(&plan, &arrivals(&history));
        let (mut two, _) = run(&plan, &arrivals(&shuffled));
        // What comes last brings both to the same time.
        let end = history.last().map_or(0, |h| h.at) + 60_000;
        let what = What::Event { n: 1000, viewer: 99, item: 99, kind: "scroll", value: 0.0, decision: None };
        let last = Happening { at: end, delay: 0, what };
        feed(&mut one, next, &last, &mut Ignore);
        feed(&mut two, next, &last, &mut Ignore);
        let (views, others) = (views(&one, 160), views(&two, 160));
        for id in views.keys().chain(others.keys()) {
            prop_assert_eq!(views.get(id), others.get(id), "{}", id);
        }
        for topology in [&mut one, &mut two] {
            pass(topology, next + 1, end + 3 * 3_600_000, &mut Ignore);
        }
        prop_assert_eq!(ends(&one.books(Offset(0))), ends(&two.books(Offset(0))));
    }

    #[test]
    fn every_decision_and_reward_ends_in_exactly_one_bucket(history in history_among(200, 30_000, 90_000), max in 1..40u32) {
        let plan = plan(model(|model| model.decisions_max = max));
        let mut topology = Topology::new(Arc::clone(&plan));
        let first = begin_with_all(&mut topology, &mut Ignore);
        let (mut decisions, mut named, mut landed) = (0, 0, 0);
        for (offset, h) in (first..).zip(&arrivals(&history)) {
            let before = topology.away();
            let outcome = feed(&mut topology, offset, h, &mut Ignore);
            let is_in = matches!(outcome, Outcome::Accepted | Outcome::Late(_));
            decisions += u64::from(is_in && matches!(h.what, What::Decision { .. }));
            let is_named = match &h.what {
                What::Reward { .. } | What::Passed { .. } => true,
                // Of the type that all specs look at.
                What::Event { decision, kind, .. } => decision.is_some() && *kind == "click",
                _ => false,
            };
            named += u64::from(is_in && is_named);
            if matches!(h.what, What::Landed { .. }) {
                landed += before - topology.away();
            }
            let (open, waiting) = topology.open_decisions();
            let books = topology.books(Offset(0));
            prop_assert_eq!(books.models[0].decisions, decisions);
            prop_assert_eq!(books.models[0].ends.iter().sum::<u64>() + open as u64, decisions);
            prop_assert!(open as u32 <= max);
            // Events that were matched by item count as well.
            prop_assert!(books.rewards.iter().sum::<u64>() + (waiting + topology.away() + landed) as u64 >= named);
        }
        let next = first + history.len() as u64;
        pass(&mut topology, next, history.last().map_or(0, |h| h.at) + 4 * 3_600_000, &mut Ignore);
        prop_assert_eq!(topology.open_decisions(), (0, 0));
        prop_assert_eq!(topology.books(Offset(0)).models[0].ends.iter().sum::<u64>(), decisions);
    }

    #[test]
    fn a_restart_at_any_record_changes_no_bit(history in history_among(200, 20_000, 40_000), at in 0..200usize) {
        let plan = attribute(Attribute::Last);
        let (mut straight, mut restarted) = (Topology::new(Arc::clone(&plan)), Topology::new(Arc::clone(&plan)));
        let first = begin_with_all(&mut straight, &mut Ignore);
        begin_with_all(&mut restarted, &mut Ignore);
        for (i, h) in arrivals(&history).iter().enumerate() {
            let offset = first + i as u64;
            if i == at {
                restarted = restart(&mut restarted, offset);
            }
            prop_assert_eq!(feed(&mut straight, offset, h, &mut Ignore), feed(&mut restarted, offset, h, &mut Ignore));
        }
        prop_assert_eq!(views(&straight, 200), views(&restarted, 200));
        prop_assert_eq!(straight.digest(), restarted.digest());
    }

    #[test]
    fn rows_written_at_different_offsets_catch_up_to_the_same_state(
        history in history_among(240, 20_000, 40_000),
        spread in prop::collection::vec(0..80usize, 12),
        weighted: bool,
        all: bool,
        earliest: bool,
        max in prop::sample::select(vec![4, 12, 1_000]),
        tolerance in prop::sample::select(vec![0, 15_000]),
    ) {
        let plan = plan(model(|model| {
            model.provisional = if weighted { learn::Provisional::Weighted } else { learn::Provisional::Predicted };
            model.actions_max = 3;
            model.attribute = if earliest { Attribute::Earliest } else { Attribute::Last };
            model.decisions_max = max;
            model.attribution_tolerance = Duration(tolerance);
        }));
        let history = arrivals(&history);
        let mut straight = Topology::new(Arc::clone(&plan));
        let first = begin_with_all(&mut straight, &mut Ignore) as usize;
        let start = history.len() / 3;
        let last = spread.iter().max().copied().unwrap_or(0) + start;
        let (mut checkpoint, mut pending, mut left) = (Checkpoint::default(), vec![], None);
        for (i, h) in history.iter().enumerate() {
            let offset = (first + i) as u64;
            // As in the law of sessions: a first checkpoint, and one that goes on from it or has all there is.
            if i == start / 2 {
                let mut changes = straight.take_changes();
                checkpoint.rows(&mut straight, &mut changes, offset);
                straight.end_changes();
            }
            if i == start {
                straight.take_notes();
                let mut changes = straight.take_changes();
                checkpoint.left(&mut changes);
                if all {
                    (changes, checkpoint) = (straight.all_of(changes), Checkpoint::default());
                }
                checkpoint.begin(&straight, offset);
                pending = from_fn(|| changes.next_place()).enumerate().map(|(n, place)| (i + spread[n % 12], place)).collect();
                checkpoint.items(&straight, &mut changes, offset);
                left = Some(changes);
            }
            let due: Vec<_> = pending.extract_if(.., |(when, _)| *when <= i).collect();
            due.into_iter().for_each(|(_, (kind, place))| checkpoint.row(&mut straight, kind, place, offset));
            if i == last {
                checkpoint.complete(&mut straight, offset);
            }
            feed(&mut straight, offset, h, &mut Ignore);
            if i >= start {
                checkpoint.notes.append(&mut straight.take_notes());
            }
            // Until the checkpoint is complete, what leaves is added to it; after it, that belongs to the next.
            if let Some(changes) = left.as_mut().filter(|_| i < last) {
                straight.add_removed(changes);
                checkpoint.left(changes);
            }
        }
        let (mut restored, from) = checkpoint.restore(&plan);
        for (i, h) in history.iter().enumerate().skip(from as usize - first) {
            feed(&mut restored, (first + i) as u64, h, &mut Ignore);
        }
        restored.caught_up();
        // By itself, as all of them at once would fill pages.
        let (ours, theirs) = (views(&straight, 240), views(&restored, 240));
        for id in ours.keys().chain(theirs.keys()) {
            prop_assert_eq!(ours.get(id), theirs.get(id), "{}", id);
        }
        prop_assert_eq!(ends(&straight.books(Offset(0))), ends(&restored.books(Offset(0))));
        let (rows, others) = (straight.rows(), restored.rows());
        for (row, other) in rows.iter().zip(&others) {
            let key = (row.0, &row.1);
            prop_assert_eq!(key, (other.0, &other.1));
            prop_assert_eq!(&row.2, &other.2, "{:?} {:?} {:?}", key, straight.decision_view(&row.1), restored.decision_view(&row.1));
        }
        prop_assert_eq!(rows.len(), others.len());
        prop_assert_eq!(straight.digest(), restored.digest());
    }
}

//! Restarts from checkpoints during which decisions ended: single cases.

use crate::checkpoint::Checkpoint;
use crate::history::*;
use saccade_topology::decision::*;
use saccade_topology::model::{Attribute, RewardEnd};
use saccade_topology::*;
use std::iter::from_fn;
use std::sync::Arc;

fn decision_of(id: usize, at: i64) -> Happening {
    let what = What::Decision { id, viewer: 0, items: vec![0], is_deferred: false, served: Served::Policy };
    Happening { at, delay: 0, what }
}

fn event(n: usize, viewer: u8, at: i64, delay: i64) -> Happening {
    Happening { at, delay, what: What::Event { n, viewer, item: 0, kind: "click", value: 1.0, decision: None } }
}

fn control(version: u32, action: Act) -> Happening {
    Happening { at: 0, delay: 0, what: What::Control { version, action, is_other: false } }
}

fn named(n: usize, id: usize, at: i64) -> Happening {
    let what = What::Event { n, viewer: 9, item: 0, kind: "click", value: 1.0, decision: Some(id) };
    Happening { at, delay: 0, what }
}

/// Feeds what happens before, while and after a checkpoint is made, whose rows are written when it begins, but for those of `later`, if they
/// are still there when it ends; then the state of a restart from it has to be the straight run's, of which it is given.
fn restarted(plan: &Arc<Plan>, parts: [&[Happening]; 3], later: &[&str]) -> Topology {
    let mut straight = Topology::new(Arc::clone(plan));
    let mut next = begin(&mut straight, &mut Ignore);
    let mut checkpoint = Checkpoint::default();
    for h in parts[0] {
        feed(&mut straight, next, h, &mut Ignore);
        next += 1;
    }
    checkpoint.begin(&straight, next);
    let mut changes = straight.take_changes();
    let mut unwritten = vec![];
    for (kind, place) in from_fn(|| changes.next_place()) {
        let key = straight.export(kind, place, Offset(next), Pending::Whole, &mut vec![]);
        match key.is_some_and(|key| later.contains(&key)) {
            true => unwritten.push((kind, place)),
            false => checkpoint.row(&mut straight, kind, place, next),
        }
    }
    for h in parts[1] {
        feed(&mut straight, next, h, &mut Ignore);
        next += 1;
    }
    straight.add_removed(&mut changes);
    checkpoint.left(&mut changes);
    unwritten.into_iter().for_each(|(kind, place)| checkpoint.row(&mut straight, kind, place, next));
    checkpoint.notes.append(&mut straight.take_notes());
    checkpoint.complete(&mut straight, next);
    let (mut restored, from) = checkpoint.restore(plan);
    let begun = next - parts[1].len() as u64;
    assert_eq!(from, begun);
    for (offset, h) in (begun..).zip(parts[1]) {
        feed(&mut restored, offset, h, &mut Ignore);
    }
    restored.caught_up();
    for (offset, h) in (next..).zip(parts[2]) {
        feed(&mut straight, offset, h, &mut Ignore);
        feed(&mut restored, offset, h, &mut Ignore);
    }
    assert_eq!(straight.books(Offset(0)).rewards, restored.books(Offset(0)).rewards);
    assert_eq!(straight.decision_view("d2"), restored.decision_view("d2"));
    assert!(straight.rows() == restored.rows());
    assert_eq!(straight.digest(), restored.digest());
    restored
}

#[test]
fn what_a_decision_claimed_that_ended_before_its_row_was_written_is_no_others() {
    let plan = attribute(Attribute::Earliest);
    // Their windows are two minutes, and the lateness half of one.
    let before = [control(2, Act::Activate), control(1, Act::Retire), decision_of(1, 0), decision_of(2, 10_000)];
    let during = [event(0, 9, 138_000, 0), event(1, 0, 115_000, 25_000), event(2, 9, 155_000, 0)];
    let restored = restarted(&plan, [&before, &during, &[]], &["d1"]);
    assert!(restored.decision_view("d1").is_none(), "it is over");
    let other = restored.decision_view("d2").expect("it is open");
    assert!(other.picks.iter().flat_map(|pick| &pick.rewards).all(|reward| reward.delay_ms.is_none()), "{other:?}");
    assert_eq!(restored.reward_ends()[RewardEnd::Joined as usize], 1);
}

#[test]
fn what_a_decision_claimed_that_had_to_make_room_is_no_others() {
    let plan = plan(model(|model| (model.attribute, model.decisions_max) = (Attribute::Earliest, 2)));
    let before = [decision_of(1, 0), decision_of(2, 1_000)];
    let during = [event(1, 0, 2_000, 0), decision_of(3, 3_000), event(2, 0, 4_000, 0), decision_of(4, 5_000)];
    let restored = restarted(&plan, [&before, &during, &[event(3, 0, 6_000, 0)]], &["d1"]);
    assert_eq!(restored.open_decisions().0, 2);
    assert!(["d3", "d4"].iter().all(|id| restored.decision_view(id).is_some()));
}

#[test]
fn what_names_a_decision_whose_id_only_the_longer_memory_has_is_late_also_while_catching_up() {
    let plan = plan_with(model(|_| {}), |spec| spec.dedup.events_max = 1024);
    let hour = 3_600_000;
    let mut before = vec![control(2, Act::Activate), control(1, Act::Retire), decision_of(1, 0)];
    before.extend((0..2_000).map(|n| event(n, 9, hour + n as i64, 0)));
    let what = What::Reward { n: 1, id: 1, value: 1.0 };
    let during = [Happening { at: hour + 2_000, delay: 0, what }, event(2_000, 9, hour + 2_001, 0)];
    let restored = restarted(&plan, [&before, &during, &[event(2_001, 9, 2 * hour, 0)]], &[]);
    assert_eq!(restored.reward_ends()[RewardEnd::Late as usize], 1);
    assert_eq!(restored.reward_ends()[RewardEnd::Dangling as usize], 0);
}

#[test]
fn what_named_a_deferred_decision_before_it_was_shown_takes_its_room_also_while_catching_up() {
    let plan = plan(model(|_| {}));
    let what = What::Decision { id: 1, viewer: 0, items: vec![0], is_deferred: true, served: Served::Policy };
    let mut before = vec![Happening { at: 0, delay: 0, what }];
    // As many as can wait, for decisions that never come.
    before.extend((0..4096).map(|n| named(n, 1_000 + n, 1_000 + n as i64)));
    let shown = Happening { at: 5_999, delay: 0, what: What::Activation { id: 1 } };
    let restored =
        restarted(&plan, [&before, &[named(5_000, 1, 6_000), shown], &[event(5_001, 9, 10_800_000, 0)]], &["d1"]);
    let ends = restored.reward_ends();
    let counted = [RewardEnd::Evicted, RewardEnd::Joined, RewardEnd::Dangling].map(|end| ends[end as usize]);
    assert_eq!(counted, [1, 1, 4095]);
}

//! Additions: any order, any partition count, exact corrections, very long times.

use crate::learner::*;
use proptest::prelude::*;
use saccade_topology::learn::*;

const HALF_LIVES: [HalfLife; 3] =
    [HalfLife::None, HalfLife::Decisions(100), HalfLife::Duration(saccade_topology::Duration(50_000))];

/// All numbers of the sums, with weights as at `now`, and the size of what was added.
fn numbers(sums: &Sums, now: Stamp) -> Vec<f64> {
    let (outer, rewards, settled, scale) = sums.at(now);
    let numbers = outer.iter().chain(rewards).chain(settled).map(|sum| sum * scale);
    numbers.chain(sums.moments(now)).collect()
}

fn assert_equal_to_rounding(a: &Sums, b: &Sums, now: Stamp) {
    for (a, b) in numbers(a, now).iter().zip(numbers(b, now)) {
        assert!(close(*a, b, 1000.0), "{a} is not {b}");
    }
}

/// x, reward and round of some decisions.
fn decisions() -> impl Strategy<Value = Vec<(Vec<f64>, f64, i64)>> {
    let x = prop::collection::vec(-3.0..3.0_f64, 3);
    prop::collection::vec((x, -5.0..5.0_f64, 0..2000_i64), 1..60)
}

proptest! {
    #[test]
    fn any_order_and_any_partition_count_give_the_same_sums(
        all in decisions(), parts in 1..6_usize, turn in 0..60_usize, half_life in 0..3_usize,
    ) {
        let half_life = HALF_LIVES[half_life];
        let mut straight = Sums::new(3);
        all.iter().for_each(|(x, r, n)| straight.add(x, *r, half_life.stamp(at(*n))));
        let mut workers = vec![Sums::new(3); parts];
        for (i, (x, r, n)) in all.iter().rev().enumerate() {
            workers[(i + turn) % parts].add(x, *r, half_life.stamp(at(*n)));
        }
        workers.rotate_left(turn % parts);
        let mut merged = Sums::new(3);
        workers.iter().for_each(|worker| merged.merge(worker));
        assert_equal_to_rounding(&straight, &merged, half_life.stamp(at(2000)));
        prop_assert_eq!(straight.counts(), merged.counts());
    }

    #[test]
    fn a_corrected_reward_counts_as_if_learnt_once(
        all in decisions(), to in -5.0..5.0_f64, which in 0..60_usize, half_life in 0..3_usize,
    ) {
        let half_life = HALF_LIVES[half_life];
        let which = which % all.len();
        let (mut once, mut corrected) = (Sums::new(3), Sums::new(3));
        for (i, (x, r, n)) in all.iter().enumerate() {
            once.add(x, if i == which { to } else { *r }, half_life.stamp(at(*n)));
            corrected.add(x, *r, half_life.stamp(at(*n)));
        }
        let (x, from, n) = &all[which];
        corrected.correct(x, *from, to, half_life.stamp(at(*n)));
        assert_equal_to_rounding(&once, &corrected, half_life.stamp(at(2000)));
    }

    #[test]
    fn a_decision_entered_early_and_settled_late_counts_as_if_added(
        all in decisions(), guess in -5.0..5.0_f64, half_life in 0..3_usize,
    ) {
        let half_life = HALF_LIVES[half_life];
        let (mut added, mut settled) = (Sums::new(3), Sums::new(3));
        for (x, r, n) in &all {
            added.add(x, *r, half_life.stamp(at(*n)));
            settled.enter(x, guess, half_life.stamp(at(*n)));
        }
        for (x, r, n) in all.iter().rev() {
            settled.settle(x, guess, *r, half_life.stamp(at(*n)));
        }
        let now = half_life.stamp(at(2000));
        assert_equal_to_rounding(&added, &settled, now);
        for (x, r, n) in &all {
            settled.enter(x, *r, half_life.stamp(at(*n)));
            settled.withdraw(x, *r, half_life.stamp(at(*n)));
        }
        assert_equal_to_rounding(&added, &settled, now);
    }
}

#[test]
fn weights_halve_with_each_half_life() {
    let half_life = HalfLife::Decisions(100);
    let mut sums = Sums::new(1);
    sums.add(&[1.0], 1.0, half_life.stamp(at(0)));
    sums.add(&[1.0], 1.0, half_life.stamp(at(100)));
    assert_eq!(sums.moments(half_life.stamp(at(200)))[0], 0.75);
    assert!((sums.moments(half_life.stamp(at(250)))[0] - 0.75 / 2.0_f64.sqrt()).abs() < 1e-12);
}

#[test]
fn sums_neither_overflow_nor_lose_the_present_over_very_long_times() {
    let half_life = HalfLife::Duration(saccade_topology::Duration(60_000));
    let year = 365 * 86_400_000;
    let mut sums = Sums::new(2);
    let mut n = 0;
    for round in 0..20_000 {
        n += if round % 1000 == 0 { year } else { 1000 };
        sums.add(&[1.0, -1e6], -1e6, half_life.stamp(At { event_time: n, ordinal: 0 }));
    }
    let now = half_life.stamp(At { event_time: n, ordinal: 0 });
    assert!(numbers(&sums, now).iter().all(|sum| sum.is_finite()));
    let weight = sums.moments(now)[0];
    // 1 / (1 − 2^(−1/60)): one a second, at a half-life of a minute.
    let forever = 87.063_6;
    assert!((weight / forever - 1.0).abs() < 1e-4, "{weight} {forever}");
    sums.add(&[1.0, 1.0], 1.0, half_life.stamp(At { event_time: n - 100 * year, ordinal: 0 }));
    assert!((sums.moments(now)[0] - weight).abs() < 1e-9);
}

#[test]
fn evidence_of_partitions_merges_to_the_model_of_one() {
    // What depends on when a frame was revised is told.
    let learning = plain(3);
    let mut source = Source::new(3);
    let mut straight = Evidence::new(&learning);
    let mut partitions = vec![Evidence::new(&learning); 3];
    for n in 0..600 {
        let x = source.normals(3);
        let entry = entry(n as u32 % 4, &x, n);
        let reward = x[0] * (n % 4) as f64 + source.normal();
        for evidence in [&mut straight, &mut partitions[(n * 7 % 3) as usize]] {
            evidence.decide(&entry);
            evidence.outcome(&entry, reward);
        }
    }
    let parts: Vec<Option<&Evidence>> = partitions.iter().map(Some).collect();
    let (mut together, _) = Evidence::together(&parts, 4, None).expect("something was learnt");
    for action in 0..4 {
        let share = |(evidence, whose)| Share { evidence, action, whose };
        together.put(action, partitions.iter().zip(0..).map(share));
    }
    let (one, many) = (Model::cut(&straight), Model::cut(&together));
    assert_eq!(one.counts(), many.counts());
    for action in 0..4 {
        for (a, b) in one.action(action).weights().iter().zip(many.action(action).weights()) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
    }
}

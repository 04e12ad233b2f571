use crate::driver::*;
use saccade_topology::Fields;
use saccade_topology::reward::*;

const ALL: [Aggregation; 6] = [
    Aggregation::Earliest,
    Aggregation::Average,
    Aggregation::Median,
    Aggregation::Sum,
    Aggregation::Min,
    Aggregation::Max,
];

/// What the told values, one a second, are worth under each of [`ALL`].
fn worths(values: &[f64], clip: Option<[f64; 2]>) -> [f64; 6] {
    ALL.map(|aggregation| {
        let mut spec = spec("clicked", &[r#"clicked = { fold = "any", on = ["click"] }"#]);
        (spec.aggregation, spec.clip) = (aggregation, clip);
        let reward = Reward::compile(&spec).expect("a spec that compiles");
        let mut forward = Observed::default();
        let mut backward = Observed::default();
        let told = || values.iter().enumerate().map(|(i, value)| (T0 + 1000 * i as i64, i as u64, *value));
        told().for_each(|(time, ordinal, value)| forward.tell(time, ordinal, value));
        told().rev().for_each(|(time, ordinal, value)| backward.tell(time, ordinal, value));
        let worth = forward.value(&reward, T0, Fields::default()).expect("something was told");
        assert_eq!(Some(worth), backward.value(&reward, T0, Fields::default()), "any order");
        assert!(!worth.failed);
        worth.reward
    })
}

#[test]
fn every_aggregation_is_right_for_negative_rewards() {
    assert_eq!(worths(&[-3.0, -1.0, -2.0, -6.0], None), [-3.0, -3.0, -2.5, -12.0, -6.0, -1.0]);
    assert_eq!(worths(&[-1.0], None), [-1.0; 6]);
    assert_eq!(worths(&[2.0, -4.0, 1.0], None), [2.0, -1.0 / 3.0, 1.0, -1.0, -4.0, 2.0]);
    assert_eq!(worths(&[0.5, -4.0, 3.0], Some([-1.0, 1.0])), [0.5, -0.5 / 3.0, 0.5, -0.5, -1.0, 1.0]);
}

#[test]
fn beyond_the_limit_only_the_median_stays_with_the_first() {
    let values: Vec<f64> = (0..100).map(|i| -f64::from(i)).collect();
    assert_eq!(worths(&values, None), [0.0, -49.5, -31.5, -4950.0, -99.0, 0.0]);
    let same = [-2.0; 200];
    assert_eq!(worths(&same, None), [-2.0, -2.0, -2.0, -400.0, -2.0, -2.0]);
}

#[test]
fn explicit_rewards_go_before_the_expression_and_are_shown() {
    let reward = compile("clicked", &[r#"clicked = { fold = "any", on = ["click"] }"#]);
    let mut observed = Observed::default();
    assert!(take(&mut observed, &reward, &at(1, "a", "click")));
    observed.tell(T0 + 10, 2, 0.25);
    observed.tell(T0 + 10, 1, 0.5);
    observed.tell(T0, 0, f64::NAN);
    let worth = observed.value(&reward, T0, Fields::default());
    assert_eq!(worth, Some(Worth { reward: 0.5, failed: false }), "of equal times the least ordinal");
    assert_eq!(observed.signals(&reward, T0), [("clicked".to_string(), 1.0), ("explicit".to_string(), 0.5)]);
}

#[test]
fn a_sum_that_is_not_finite_is_the_default() {
    let mut spec = spec("1", &[]);
    (spec.aggregation, spec.default_reward) = (Aggregation::Sum, 0.125);
    let reward = Reward::compile(&spec).unwrap();
    let mut observed = Observed::default();
    (0..2).for_each(|i| observed.tell(T0, i, f64::MAX));
    assert_eq!(observed.value(&reward, T0, Fields::default()), Some(Worth { reward: 0.125, failed: true }));
}

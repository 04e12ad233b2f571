use super::*;
use crate::span::Span;
use proptest::prelude::*;
use std::time::Duration;

fn plan(rate: u64, batch: RangeInclusive<u32>, events: u64) -> Plan {
    Plan { rate, shape: Shape::Constant, arrivals: Arrivals::Even, batch, events, seed: 1 }
}

#[test]
fn single_events_are_due_at_exact_integer_times() {
    let due: Vec<u64> = plan(3, 1..=1, 7).requests().map(|d| d.due_ns).collect();
    assert_eq!(due, [0, 333_333_333, 666_666_666, 1_000_000_000, 1_333_333_333, 1_666_666_666, 2_000_000_000]);
}

#[test]
fn the_rate_does_not_drift_in_a_year() {
    let plan = plan(20_000, 1..=1, u64::MAX);
    let year = 31_536_000;
    assert_eq!(plan.event_due_ns(20_000 * year), year * 1_000_000_000);
}

#[test]
fn batches_cover_every_event_once_and_are_due_with_their_last_event() {
    for events in [0, 1, 19, 20, 21, 10_000] {
        let plan = plan(20_000, 1..=20, events);
        let mut next = 0;
        for due in plan.requests() {
            assert_eq!(due.first, next);
            assert!((1..=20).contains(&due.len));
            next += u64::from(due.len);
            assert_eq!(due.due_ns, plan.event_due_ns(next - 1));
        }
        assert_eq!(next, events);
    }
}

#[test]
fn batch_sizes_are_spread_over_their_range() {
    let mut seen = [0u32; 21];
    plan(1, 1..=20, 100_000).requests().for_each(|d| seen[d.len as usize] += 1);
    let requests: u32 = seen.iter().sum();
    for (len, n) in seen.iter().enumerate().skip(1) {
        assert!((requests / 30..requests / 13).contains(n), "{n} of {requests} batches have {len} events");
    }
}

#[test]
fn the_seed_decides_the_schedule() {
    for arrivals in [Arrivals::Even, Arrivals::Poisson] {
        let plan = Plan { arrivals, ..plan(1000, 1..=20, 1000) };
        let one: Vec<Due> = plan.requests().collect();
        let again: Vec<Due> = plan.requests().collect();
        let other: Vec<Due> = Plan { seed: 2, ..plan }.requests().collect();
        assert_eq!(one, again);
        assert_ne!(one, other);
    }
}

#[test]
fn gaps_of_poisson_arrivals_are_exponential() {
    let mut table = Timetable::new(Plan { arrivals: Arrivals::Poisson, ..plan(1_000, 1..=1, 0) });
    let due: Vec<f64> = (0..200_000).map(|i| table.due_ns(i) as f64 / 1e6).collect();
    let gaps: Vec<f64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let longer = |ms: f64| gaps.iter().filter(|gap| **gap > ms).count() as f64 / gaps.len() as f64;
    for ms in [0.1f64, 0.5, 1.0, 2.0, 4.0] {
        assert!((longer(ms) - (-ms).exp()).abs() < 0.005, "{} of the gaps are above {ms} ms", longer(ms));
    }
    // Counts in windows much longer than a gap and much shorter than a block vary as much as they should.
    let mut counts = vec![0.0; 20_000];
    due.iter().take_while(|ms| **ms < 200_000.0).for_each(|ms| counts[(*ms / 10.0) as usize] += 1.0);
    let variance = counts.iter().map(|n: &f64| (n - 10.0) * (n - 10.0)).sum::<f64>() / counts.len() as f64;
    assert!((9.0..11.0).contains(&variance), "{variance}");
}

fn span(seconds: u64) -> Span {
    Span(Duration::from_secs(seconds))
}

fn shapes() -> impl Strategy<Value = Shape> {
    let factor = || 0.01f64..8.0;
    prop_oneof![
        Just(Shape::Constant),
        (factor(), factor(), 1u64..600).prop_map(|(from, to, over)| Shape::Ramp { from, to, over: span(over) }),
        (1u64..60, factor(), 1u32..20).prop_map(|(every, by, steps)| Shape::Step { every: span(every), by, steps }),
        (1u64..1200, 0.01f64..1.0).prop_map(|(period, low)| Shape::Sine { period: span(period), low }),
        (1u64..60, 1u64..60, factor()).prop_map(|(at, lasts, times)| Shape::Spike {
            at: span(at),
            lasts: span(lasts),
            times
        }),
        (1u64..60, prop::collection::vec(factor(), 1..30))
            .prop_map(|(every, of)| Shape::Levels(Levels::new(span(every), of))),
    ]
}

proptest! {
    #[test]
    fn the_integral_and_its_inverse_belong_together(shape in shapes(), t in 0.0f64..5_000.0) {
        let back = shape.reaches(shape.integral(t));
        prop_assert!((back - t).abs() < 1e-6, "{shape}: {t} came back as {back}");
    }

    #[test]
    fn the_integral_is_the_sum_of_the_factors(shape in shapes(), end in 1.0f64..200.0) {
        let steps = 20_000;
        let width = end / f64::from(steps);
        let sum: f64 = (0..steps).map(|k| shape.factor((f64::from(k) + 0.5) * width) * width).sum();
        let integral = shape.integral(end);
        prop_assert!((sum - integral).abs() < 1e-3 * integral.max(1.0) + 10.0 * width, "{shape}: {sum} for {integral}");
    }

    #[test]
    fn due_times_are_in_order_and_their_number_is_the_integral(
        shape in shapes(), rate in 1u64..5_000, seconds in 1u64..20, poisson in any::<bool>(), seed in any::<u64>(),
    ) {
        let arrivals = if poisson { Arrivals::Poisson } else { Arrivals::Even };
        let events = Plan::events_in(rate, &shape, seconds * 1_000_000_000);
        let mut table = Timetable::new(Plan { rate, shape, arrivals, batch: 1..=1, events, seed });
        let mut last = 0;
        for i in 0..events {
            let due = table.due_ns(i);
            prop_assert!(due >= last, "event {i}");
            last = due;
        }
        let end_ns = seconds * 1_000_000_000;
        prop_assert!(last <= end_ns);
        if !poisson {
            prop_assert!(table.due_ns(events + 1) + 1_000 >= end_ns);
        }
        // Blocks of Poisson arrivals end where those of even ones do.
        let mut table = Timetable::new(Plan { events: u64::MAX, ..table.plan });
        let (mut even, block) = (Timetable::new(Plan { arrivals: Arrivals::Even, ..table.plan.clone() }), 1024 * 5);
        prop_assert!(table.due_ns(block) >= even.due_ns(block) && table.due_ns(block - 1) <= even.due_ns(block));
    }
}

#[test]
fn levels_begin_again_after_the_last_and_do_not_drift_in_a_year() {
    let shape = Shape::parse("levels:every=100ms,of=0.7/0.1/2.2x2").expect("a shape");
    // Four levels of 5.2 in all: 0.52 a round, 1.3 a second.
    let (rate, year) = (1_000, 31_536_000);
    assert_eq!(Plan::events_in(rate, &shape, year * 1_000_000_000).abs_diff(1_300 * year), 0);
    let mut table = Timetable::new(Plan { shape, ..plan(rate, 1..=1, u64::MAX) });
    for round in [0, 1, 2, 10 * year / 4 - 1, 10 * year / 4] {
        let due = [0, 70, 80, 300, 520].map(|i| table.due_ns(520 * round + i));
        for (due, expected) in due.into_iter().zip([0, 100, 200, 300, 400]) {
            assert!(due.abs_diff((round * 400 + expected) * 1_000_000) < 1_000, "{due} in round {round}");
        }
        let all: Vec<_> = (0..520).map(|i| table.due_ns(520 * round + i)).collect();
        assert!(all.is_sorted(), "round {round}");
    }
}

#[test]
fn what_a_run_is_too_short_for_is_told() {
    let beyond = |shape: &str, length: &str| {
        let length = crate::span::Span::parse(length).expect("a span");
        Shape::parse(shape).expect("a shape").beyond(length)
    };
    let told = beyond("spike:at=60s,for=5s,times=4", "10s");
    assert!(told.is_some_and(|told| told.contains("spike begins 60 s after the start") && told.contains("after 10s")));
    for (shape, fits, short) in [
        ("spike:at=10s,for=5s,times=4", "11s", "10s"),
        ("ramp:from=0.1,to=1,over=60s", "60s", "59s"),
        ("step:every=10s,by=0.5,steps=6", "11s", "10s"),
        ("sine:period=10m,low=0.2", "6m", "5m"),
        ("levels:every=10s,of=1x2/3", "21s", "20s"),
    ] {
        assert_eq!((beyond(shape, fits), beyond(shape, short).is_some()), (None, true), "{shape}");
    }
    assert_eq!(beyond("constant", "1ms"), None);
}

#[test]
fn the_largest_factor_is_reached_and_not_passed() {
    for (shape, most) in [
        ("constant", 1.0),
        ("ramp:from=0.1,to=3,over=60s", 3.0),
        ("step:every=10s,by=0.5,steps=6", 4.0),
        ("sine:period=10m,low=0.2", 1.0),
        ("spike:at=10s,for=5s,times=4", 4.0),
        ("spike:at=10s,for=5s,times=0.5", 1.0),
        ("levels:every=10s,of=0.5x6/2.5/1x3", 2.5),
    ] {
        let shape = Shape::parse(shape).expect("a shape");
        let highest = (0..=900).map(|t| shape.factor(f64::from(t))).fold(0.0, f64::max);
        assert_eq!((shape.most(), highest), (most, most), "{shape}");
    }
}

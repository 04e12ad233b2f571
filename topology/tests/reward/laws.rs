//! Neither the order of arrival nor the moment of settling changes a bit.

use crate::driver::*;
use proptest::prelude::*;
use saccade_topology::reward::*;
use saccade_topology::*;

/// All folds, on all events and on some.
fn reward() -> Reward {
    let mut lines = vec![];
    for (suffix, on) in [("", ""), ("_rate", ", on = [\"rate\", \"seek\"]")] {
        for fold in ["any", "count", "unique_seconds", "time_until"] {
            lines.push(format!("{fold}{suffix}_ = {{ fold = \"{fold}\"{on} }}"));
        }
        for fold in ["sum", "max", "min", "first", "last"] {
            lines.push(format!("{fold}{suffix}_ = {{ fold = \"{fold}\", field = \"value\"{on} }}"));
        }
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    compile("sum_ * 0.1 + sum_rate_ / 3 - unique_seconds_ + first_ * last_rate_ + time_until_", &lines)
}

#[derive(Clone, Debug)]
struct Happening {
    id: String,
    ms: i64,
    kind: &'static str,
    value: Option<f64>,
    playhead_s: Option<f64>,
}

impl Happening {
    fn event(&self) -> Event<'_> {
        Event { value: self.value, playhead_s: self.playhead_s, ..at(self.ms, &self.id, self.kind) }
    }
}

fn happenings(count: usize) -> impl Strategy<Value = Vec<Happening>> {
    let kind = prop::sample::select(vec!["rate", "seek", "progress"]);
    let value = prop::option::of(prop_oneof![-1e3..1e3, Just(0.0), Just(-0.0), Just(f64::NAN), Just(1e16)]);
    let one = (0i64..400, kind, value, prop::option::of(0.0..60.0f64), any::<bool>());
    prop::collection::vec(one, 1..count).prop_map(|all| {
        let happening = |(i, (slot, kind, value, playhead_s, is_long)): (usize, (i64, _, _, _, bool))| {
            let id = if is_long { format!("{}{i}", "i".repeat(60)) } else { format!("{}", i * 7919 % 1000) };
            Happening { id, ms: slot * 250, kind, value, playhead_s }
        };
        all.into_iter().enumerate().map(happening).collect()
    })
}

/// The bits of all signals and of the worth.
fn bits(observed: &Observed, reward: &Reward) -> (Vec<u64>, Option<(u64, bool)>) {
    let worth = observed.value(reward, T0, Fields::default()).map(|worth| (worth.reward.to_bits(), worth.failed));
    (observed.signals(reward, T0).iter().map(|(_, value)| value.to_bits()).collect(), worth)
}

fn sorted(history: &[Happening]) -> Vec<Happening> {
    let mut sorted = history.to_vec();
    sorted.sort_by(|a, b| (a.ms, &a.id).cmp(&(b.ms, &b.id)));
    sorted
}

/// The signals by their definitions, from the whole history; unique seconds as the union of all that was played.
fn recomputed(history: &[Happening], on: &[&str]) -> Vec<(&'static str, f64)> {
    let events: Vec<Happening> = sorted(history).into_iter().filter(|h| on.contains(&h.kind)).collect();
    let values: Vec<f64> = events.iter().filter_map(|h| h.value).filter(|x| x.is_finite()).collect();
    let heads: Vec<(i64, f64)> = events.iter().filter_map(|h| Some((h.ms, h.playhead_s?))).collect();
    let played = heads.windows(2).filter(|w| w[1].1 - w[0].1 <= 1.0 + (w[1].0 - w[0].0) as f64 / 500.0);
    let mut played: Vec<(f64, f64)> = played.map(|w| (w[0].1, w[1].1)).filter(|(from, to)| from < to).collect();
    played.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut unique_s, mut until) = (0.0, 0.0);
    for (from, to) in played {
        unique_s += (to - from.max(until)).max(0.0);
        until = to.max(until);
    }
    vec![
        ("any", if events.is_empty() { 0.0 } else { 1.0 }),
        ("count", events.len() as f64),
        ("sum", values.iter().sum()),
        ("max", values.iter().copied().reduce(f64::max).unwrap_or(0.0)),
        ("min", values.iter().copied().reduce(f64::min).unwrap_or(0.0)),
        ("first", values.first().copied().unwrap_or(0.0)),
        ("last", values.last().copied().unwrap_or(0.0)),
        ("unique_seconds", unique_s),
        ("time_until", events.first().map_or(1800.0, |h| h.ms as f64 / 1000.0)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arrival_order_changes_no_bit(history in happenings(200), keys in prop::collection::vec(any::<u64>(), 200)) {
        let reward = reward();
        let mut shuffled: Vec<_> = keys.into_iter().zip(&history).collect();
        shuffled.sort_by_key(|(key, _)| *key);
        let (mut straight, mut mixed) = (Observed::default(), Observed::default());
        for happening in &history {
            take(&mut straight, &reward, &happening.event());
        }
        for (_, happening) in &shuffled {
            take(&mut mixed, &reward, &happening.event());
        }
        prop_assert_eq!(&straight, &mixed);
        prop_assert_eq!(bits(&straight, &reward), bits(&mixed, &reward));
    }

    #[test]
    fn signals_are_what_their_definitions_give(history in happenings(60)) {
        // Ids of more than 40 bytes are ordered by their hash.
        let short = |h: Happening| Happening { id: h.id.trim_start_matches('i').to_string() + &h.id[..1], ..h };
        let history: Vec<Happening> = history.into_iter().map(short).collect();
        let reward = reward();
        let mut observed = Observed::default();
        for happening in &history {
            take(&mut observed, &reward, &happening.event());
        }
        let signals = observed.signals(&reward, T0);
        for (suffix, on) in [("_", &["rate", "seek", "progress"][..]), ("_rate_", &["rate", "seek"])] {
            for (fold, expected) in recomputed(&history, on) {
                let name = format!("{fold}{suffix}");
                let (_, value) = signals.iter().find(|(known, _)| *known == name).expect("all folds are there");
                prop_assert!((value - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{name}: {value}, not {expected}");
            }
        }
    }

    #[test]
    fn settling_and_restarting_are_invisible(
        history in happenings(200),
        lateness in 0usize..40,
        settles in prop::collection::vec(any::<u8>(), 200),
    ) {
        let reward = reward();
        let history = sorted(&history);
        let (mut plain, mut settled) = (Observed::default(), Observed::default());
        // Blocks arrive backwards; what is before a block has come when the block begins.
        for (block, settle) in history.chunks(lateness + 1).zip(settles) {
            let horizon = T0 + block[0].ms;
            match settle % 4 {
                0 => settled.settle(&reward, horizon),
                1 => settled = postcard::from_bytes(&postcard::to_stdvec(&settled).unwrap()).unwrap(),
                _ => {}
            }
            for happening in block.iter().rev() {
                let event = happening.event();
                prop_assert_eq!(take(&mut plain, &reward, &event), take(&mut settled, &reward, &event));
                prop_assert_eq!(bits(&plain, &reward), bits(&settled, &reward));
            }
        }
        settled.settle(&reward, i64::MAX);
        prop_assert_eq!(bits(&plain, &reward), bits(&settled, &reward));
    }

    #[test]
    fn settling_early_at_the_limit_is_invisible_in_order(history in happenings(700)) {
        let reward = reward();
        let (mut limited, mut settled) = (Observed::default(), Observed::default());
        for happening in sorted(&history) {
            take(&mut limited, &reward, &happening.event());
            take(&mut settled, &reward, &happening.event());
            settled.settle(&reward, T0 + happening.ms);
        }
        prop_assert_eq!(bits(&limited, &reward), bits(&settled, &reward));
    }

    #[test]
    fn what_is_late_gives_the_signals_it_would_have_given_in_time(
        history in happenings(120),
        late in prop::collection::vec(0u8..4, 120),
        order in prop::collection::vec(any::<u64>(), 120),
    ) {
        let reward = reward();
        let mut history = sorted(&history);
        history.dedup_by_key(|happening| happening.ms);
        let (mut straight, mut kept) = (Observed::default(), Observed::default());
        history.iter().for_each(|happening| assert!(take(&mut straight, &reward, &happening.event())));
        let (mut in_time, mut after) = (vec![], vec![]);
        for (happening, (late, key)) in history.iter().zip(late.iter().zip(order)) {
            if *late == 0 { after.push((key, happening)) } else { in_time.push(happening) }
        }
        in_time.iter().for_each(|happening| assert!(take(&mut kept, &reward, &happening.event())));
        kept.settle(&reward, i64::MAX);
        after.sort_by_key(|(key, _)| *key);
        for (_, happening) in after {
            let event = happening.event();
            prop_assert!(kept.late(&reward, T0, event.event_time.0, &event));
        }
        let size: f64 = history.iter().filter_map(|h| h.value).filter(|x| x.is_finite()).map(f64::abs).sum();
        for ((name, expected), (_, value)) in straight.signals(&reward, T0).into_iter().zip(kept.signals(&reward, T0)) {
            let is_same = (value - expected).abs() <= 1e-9 * size.max(1.0);
            prop_assert!(is_same || name.starts_with("unique_seconds"), "{name}: {value}, not {expected}");
        }
        prop_assert_eq!(straight.first(), kept.first());
    }

    #[test]
    fn what_a_player_kept_and_sends_late_is_watched_all_the_same(history in happenings(60)) {
        let reward = reward();
        let mut history = sorted(&history);
        // No two further apart than a minute.
        history.iter_mut().for_each(|happening| happening.ms /= 2);
        history.dedup_by_key(|happening| happening.ms);
        let (mut straight, mut kept) = (Observed::default(), Observed::default());
        for happening in &history {
            let event = happening.event();
            let is_taken = take(&mut straight, &reward, &event);
            prop_assert_eq!(kept.late(&reward, T0, event.event_time.0, &event), is_taken);
        }
        straight.settle(&reward, i64::MAX);
        prop_assert_eq!(bits(&straight, &reward), bits(&kept, &reward));
    }
}

//! Times the steps of the hot path: `cargo bench --bench paths`. For ratios between versions, `bench/instructions.py` is steadier.

mod work;

use divan::Bencher;
use divan::counter::ItemsCount;
use saccade_topology::learn::{At, CutScratch, Entry, Estimator, Evidence, HalfLife, Key, Learning, Model, Stream};

/// Operations of one sample, and samples.
const OPERATIONS: usize = 2_000;
const SAMPLES: u32 = 50;

fn main() {
    divan::main();
}

#[divan::bench(args = work::STEPS.map(|(name, ..)| name), sample_count = SAMPLES, sample_size = 1)]
fn step(bencher: Bencher<'_, '_>, step: &str) {
    // One sample more than is timed: divan warms up with it.
    let mut work = work::step(step, OPERATIONS * (SAMPLES as usize + 1));
    bencher.counter(ItemsCount::new(OPERATIONS)).bench_local(|| work(OPERATIONS));
}

/// Items with estimates of their own, beside weights that all share.
const ITEMS: u32 = 2_000;

/// A hybrid model brought up to one more decision, by its joint features; its context has 14.
#[divan::bench(args = [42, 84], sample_count = SAMPLES, sample_size = 1)]
fn refresh_hybrid(bencher: Bencher<'_, '_>, joint: usize) {
    let learning =
        Learning { estimator: Estimator::Hybrid, context: 14, joint, half_life: HalfLife::None, ..Learning::default() };
    let (mut evidence, key, mut scratch) = (Evidence::new(&learning), Key::new(1, b"benches"), CutScratch::default());
    let mut n = 0;
    let mut decide = |evidence: &mut Evidence| {
        n += 1;
        let normals =
            |count: usize| (0..count).map(|i| key.normal(Stream::Choice, n << 16 | i as u64)).collect::<Vec<f64>>();
        let (context, joint) = (normals(14), normals(joint));
        let at = At { event_time: n as i64 * 1000, ordinal: n as i64 };
        let action = (n * 7 % u64::from(ITEMS)) as u32;
        let entry = Entry { action: Some(action), context: &context, joint: &joint, at, expected: 0.0, deviation: 0.0 };
        evidence.decide(&entry);
        evidence.outcome(&entry, context[0]);
    };
    (0..8 * ITEMS).for_each(|_| decide(&mut evidence));
    let (mut model, mut shown) = (Model::cut(&evidence), evidence.clone());
    bencher.bench_local(|| {
        decide(&mut evidence);
        model = model.clone();
        model.refresh(&evidence, Some(&shown), &mut scratch);
        shown = evidence.clone();
    });
}

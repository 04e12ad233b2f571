//! Times the steps of the hot path: `cargo bench --bench paths`. For ratios between versions, `bench/instructions.py` is steadier.

mod work;

use divan::Bencher;
use divan::counter::ItemsCount;

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

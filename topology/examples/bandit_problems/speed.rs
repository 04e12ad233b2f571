//! CPU per decision: choose, enter and settle one decision, 32 features, reward at once.

use crate::player::{Player, Setup, Source};

/// CPU time of this thread, ns.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts CPU time per thread");
    text.split(' ').next().and_then(|word| word.parse().ok()).expect("the first field is CPU time")
}

/// Microseconds for 10 and 50 actions.
pub fn line(setup: &Setup) -> String {
    let figures = [10, 50].map(|actions| format!("K = {actions}: {:.2} µs", per_decision(setup, actions)));
    figures.join(", ")
}

fn per_decision(setup: &Setup, actions: usize) -> f64 {
    let mut source = Source::new(1, "speed");
    let xs: Vec<Vec<f64>> = (0..1000).map(|_| (0..32).map(|_| source.normal()).collect()).collect();
    let theta: Vec<Vec<f64>> = (0..actions).map(|_| (0..32).map(|_| source.normal()).collect()).collect();
    let mut player = Player::new(setup, 32, actions, 1);
    let mut round = |x: &[f64]| {
        let mut pending = player.choose(x);
        pending.reward = x.iter().zip(&theta[pending.action]).map(|(x, w)| x * w).sum::<f64>() + 0.2 * x[1];
        player.learn(&pending);
    };
    (0..5000).for_each(|i| round(&xs[i % xs.len()]));
    let begun = cpu_ns();
    let rounds = 50_000;
    (0..rounds).for_each(|i| round(&xs[i % xs.len()]));
    (cpu_ns() - begun) as f64 / rounds as f64 / 1000.0
}

//! The problems: linear rewards that come late, the same with a switch, classification, and headlines with rare clicks.

use crate::player::{Pending, Player, Setup, Source};
use std::collections::VecDeque;
use std::path::Path;

const ROUNDS: usize = 50_000;
const DIMENSION: usize = 32;
/// Mean of the geometric delay, in rounds.
const DELAY: f64 = 200.0;

fn unit(source: &mut Source, first: f64) -> Vec<f64> {
    let mut x: Vec<f64> = (0..DIMENSION).map(|_| source.normal()).collect();
    let norm = x[1..].iter().map(|v| v * v).sum::<f64>().sqrt();
    x[1..].iter_mut().for_each(|v| *v /= norm);
    x[0] = first;
    x
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Regret of linear rewards x·θ_a + 0.2·normal that come after a geometric delay; θ is drawn anew at half time where it switches.
pub fn linear(setup: &Setup, actions: usize, switches: bool, seeds: u64) -> String {
    let regrets: Vec<f64> = (0..seeds).map(|seed| linear_regret(setup, actions, switches, seed)).collect();
    summary(&regrets, 0)
}

fn linear_regret(setup: &Setup, actions: usize, switches: bool, seed: u64) -> f64 {
    let mut source = Source::new(seed, "linear");
    let mut player = Player::new(setup, DIMENSION, actions, seed);
    let thetas = |source: &mut Source| -> Vec<Vec<f64>> {
        (0..actions)
            .map(|_| {
                let first = 0.5 + 0.05 * source.normal();
                unit(source, first)
            })
            .collect()
    };
    let mut theta = thetas(&mut source);
    let mut due: Vec<Vec<Pending>> = (0..ROUNDS).map(|_| Vec::new()).collect();
    let mut regret = 0.0;
    for round in 0..ROUNDS {
        if switches && round == ROUNDS / 2 {
            theta = thetas(&mut source);
        }
        for pending in std::mem::take(&mut due[round]) {
            player.learn(&pending);
        }
        let x = unit(&mut source, 1.0);
        let means: Vec<f64> = theta.iter().map(|theta| product(theta, &x)).collect();
        let mut pending = player.choose(&x);
        let mean = means[pending.action];
        regret += means.iter().copied().fold(f64::MIN, f64::max) - mean;
        pending.reward = mean + 0.2 * source.normal();
        let delay = 1 + (source.uniform().ln() / (1.0 - 1.0 / DELAY).ln()) as usize;
        if let Some(due) = due.get_mut(round + delay) {
            due.push(pending);
        }
        player.lean(due[round + 1..].iter_mut().flatten());
    }
    regret
}

/// Share of wrong classes over one pass, reward 1 for the right class; features as in the file, with a constant before them.
pub fn supervised(setup: &Setup, directory: &Path, seeds: u64) -> String {
    let mut files: Vec<_> =
        std::fs::read_dir(directory).into_iter().flatten().flatten().map(|file| file.path()).collect();
    files.sort();
    let mut line = String::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "csv")) {
        let rows = read(file);
        let losses: Vec<f64> = (0..seeds).map(|seed| loss(setup, &rows, seed)).collect();
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        line += &format!("{name} {}  ", summary(&losses, 3));
    }
    line
}

type Row = (Vec<f64>, usize);

fn read(file: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(file).expect("the file can be read");
    let row = |line: &str| {
        let mut x = vec![1.0];
        x.extend(line.split(',').map(|word| word.trim().parse::<f64>().expect("fields are numbers")));
        let label = x.pop().expect("a row ends with its label");
        (x, label as usize)
    };
    text.lines().map(row).collect()
}

fn loss(setup: &Setup, rows: &[Row], seed: u64) -> f64 {
    let mut source = Source::new(seed, "shuffle");
    let mut order: Vec<usize> = (0..rows.len()).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, source.below(i + 1));
    }
    let actions = rows.iter().map(|(_, label)| label + 1).max().unwrap_or(1);
    let mut player = Player::new(setup, rows[0].0.len(), actions, seed);
    let mut wrong = 0.0;
    for i in order {
        let (x, label) = &rows[i];
        let mut pending = player.choose(x);
        pending.reward = f64::from(u8::from(pending.action == *label));
        wrong += 1.0 - pending.reward;
        player.learn(&pending);
    }
    wrong / rows.len() as f64
}

/// Clicks lost, as a share of what choosing evenly loses: 2 to 14 headlines, about 1 % clicks, 10,000 readers, 200 rounds late. Rates are
/// such that known policies lose what they do on real tests: choosing evenly 43 clicks, of which Beta-Bernoulli Thompson sampling loses .47.
pub fn headlines(setup: &Setup, tests: u64) -> String {
    let (mut lost, mut evenly) = (0.0, 0.0);
    for seed in 0..tests {
        let (test_lost, test_evenly) = headline_test(setup, seed);
        lost += test_lost;
        evenly += test_evenly;
    }
    format!("{:.3} (evenly: {:.1} clicks a test)", lost / evenly, evenly / tests as f64)
}

fn headline_test(setup: &Setup, seed: u64) -> (f64, f64) {
    let mut source = Source::new(seed, "headlines");
    let actions = 2 + (source.uniform() * source.uniform() * 13.0) as usize;
    let base = 0.0096 * (0.6 * source.normal()).exp();
    let rates: Vec<f64> = (0..actions).map(|_| (base * (0.305 * source.normal()).exp()).min(0.2)).collect();
    let best = rates.iter().copied().fold(0.0, f64::max);
    let mut player = Player::new(setup, 1, actions, seed);
    let mut under_way: VecDeque<Pending> = VecDeque::new();
    let mut lost = 0.0;
    for round in 0..10_000 {
        if round >= 200 {
            player.learn(&under_way.pop_front().expect("200 rewards are under way"));
        }
        let mut pending = player.choose(&[1.0]);
        lost += best - rates[pending.action];
        pending.reward = f64::from(u8::from(source.uniform() < rates[pending.action]));
        under_way.push_back(pending);
        player.lean(under_way.iter_mut());
    }
    (lost, 10_000.0 * (best - rates.iter().sum::<f64>() / actions as f64))
}

/// Clicks lost where tastes change at half-time: 8 features, 10 actions, clicked with a probability of 5 % to 60 % that is linear in the
/// features, rewards 200 rounds late. After the change alone, and of all.
pub fn clicks(setup: &Setup, seeds: u64) -> String {
    let losses: Vec<(f64, f64)> = (0..seeds).map(|seed| clicks_lost(setup, seed)).collect();
    let of = |part: fn(&(f64, f64)) -> f64| summary(&losses.iter().map(part).collect::<Vec<_>>(), 0);
    format!("before {}, after {}", of(|loss| loss.0), of(|loss| loss.1))
}

fn clicks_lost(setup: &Setup, seed: u64) -> (f64, f64) {
    const FEATURES: usize = 8;
    let mut source = Source::new(seed, "clicks");
    let unit = |source: &mut Source| -> Vec<f64> {
        let x: Vec<f64> = (0..FEATURES).map(|_| source.normal()).collect();
        let norm = x.iter().map(|v| v * v).sum::<f64>().sqrt();
        x.iter().map(|v| v / norm).collect()
    };
    let mut player = Player::new(setup, FEATURES + 1, 10, seed);
    let mut under_way: VecDeque<Pending> = VecDeque::new();
    let (mut theta, mut lost) = (vec![], [0.0; 2]);
    for round in 0..40_000 {
        if round % 20_000 == 0 {
            theta = (0..10).map(|_| unit(&mut source)).collect();
        }
        if round >= 200 {
            player.learn(&under_way.pop_front().expect("200 rewards are under way"));
        }
        let features = unit(&mut source);
        let rates: Vec<f64> =
            theta.iter().map(|theta| (0.2 + 0.3 * product(theta, &features)).clamp(0.05, 0.6)).collect();
        let mut pending = player.choose(&[&[1.0], &features[..]].concat());
        lost[round / 20_000] += rates.iter().copied().fold(0.0, f64::max) - rates[pending.action];
        pending.reward = f64::from(u8::from(source.uniform() < rates[pending.action]));
        under_way.push_back(pending);
        player.lean(under_way.iter_mut());
    }
    (lost[0], lost[1])
}

/// Share of seeds that forget after 6,000 rounds in which nothing changes, and of all rounds: 4 features, 2 actions, rewards at once.
pub fn steady(setup: &Setup, seeds: u64) -> String {
    let (last, all): (Vec<f64>, Vec<f64>) = (0..seeds).map(|seed| forgetting(setup, seed)).unzip();
    format!("forget at the end {}, of the time {}", summary(&last, 3), summary(&all, 3))
}

fn forgetting(setup: &Setup, seed: u64) -> (f64, f64) {
    const STEADY_ROUNDS: usize = 6000;
    let mut source = Source::new(seed, "steady");
    let mut player = Player::new(setup, 4, 2, seed);
    let mut forgetting = 0;
    for _ in 0..STEADY_ROUNDS {
        let x: Vec<f64> = (0..4).map(|_| source.normal()).collect();
        let mut pending = player.choose(&x);
        let mean = if pending.action == 1 { x[0] } else { x[1] - x[2] };
        pending.reward = mean + 0.3 * source.normal();
        player.learn(&pending);
        forgetting += usize::from(player.forgets());
    }
    (f64::from(u8::from(player.forgets())), forgetting as f64 / STEADY_ROUNDS as f64)
}

/// Mean and standard error.
fn summary(values: &[f64], digits: usize) -> String {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0).max(1.0);
    format!("{mean:.digits$} ±{:.digits$}", (variance / n).sqrt())
}

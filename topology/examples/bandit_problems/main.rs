//! Bandit problems of known value: regret of each policy, and CPU per decision.
//!
//! `cargo run --release -p saccade-topology --example bandit_problems -- [--seeds N] [--tests N] [--data DIR] [--learning JSON]
//! [--policy JSON]… [lin_delay|lin_switch|clicks|steady|supervised|headlines|speed]…`
//!
//! `--data` names a directory of CSV files without a header, label last, for `supervised`. Everything is drawn from seeds, so a
//! table is the same on every machine, but for `speed`.

#![expect(
    clippy::disallowed_methods,
    reason = "an example reads arguments and data and measures time; the fold does not"
)]

mod player;
mod problems;
mod speed;

use player::Setup;
use saccade_topology::learn::{Learning, Policy, Provisional, Setting};
use std::path::PathBuf;

struct Arguments {
    seeds: u64,
    tests: u64,
    data: Option<PathBuf>,
    setups: Vec<Setup>,
    problems: Vec<String>,
}

fn main() {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}");
            std::process::exit(2);
        }
    };
    for problem in &arguments.problems {
        println!("{problem}");
        for setup in &arguments.setups {
            let line = match problem.as_str() {
                "lin_delay" => problems::linear(setup, 50, false, arguments.seeds),
                "lin_switch" => problems::linear(setup, 10, true, arguments.seeds),
                "headlines" => problems::headlines(setup, arguments.tests),
                "clicks" => problems::clicks(setup, arguments.seeds),
                "steady" => problems::steady(setup, arguments.seeds),
                "speed" => speed::line(setup),
                _ => match &arguments.data {
                    Some(directory) => problems::supervised(setup, directory, arguments.seeds),
                    None => "needs --data DIR".to_owned(),
                },
            };
            println!("  {:<40} {line}", setup.name);
        }
    }
}

fn parse() -> Result<Arguments, String> {
    let mut arguments = Arguments { seeds: 3, tests: 200, data: None, setups: Vec::new(), problems: Vec::new() };
    let (mut learning, mut policies) = (Learning::default(), Vec::new());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
        match word.as_str() {
            "--seeds" => arguments.seeds = value()?.parse().map_err(|e| format!("--seeds: {e}"))?,
            "--tests" => arguments.tests = value()?.parse().map_err(|e| format!("--tests: {e}"))?,
            "--data" => arguments.data = Some(value()?.into()),
            "--learning" => learning = serde_json::from_str(&value()?).map_err(|e| format!("--learning: {e}"))?,
            "--policy" => {
                let text = value()?;
                let policy: Policy = serde_json::from_str(&text).map_err(|e| format!("--policy: {e}"))?;
                policy.check()?;
                policies.push((text, policy));
            }
            "lin_delay" | "lin_switch" | "clicks" | "steady" | "supervised" | "headlines" | "speed" => {
                arguments.problems.push(word)
            }
            _ => return Err(format!("`{word}` is neither an option nor a problem")),
        }
    }
    if arguments.problems.is_empty() {
        arguments.problems = ["lin_delay", "lin_switch", "clicks", "steady", "supervised", "headlines", "speed"]
            .map(str::to_owned)
            .into();
    }
    arguments.setups = if policies.is_empty() {
        table(&learning)
    } else {
        policies.into_iter().map(|(name, policy)| Setup { name, policy, learning: learning.clone() }).collect()
    };
    Ok(arguments)
}

/// Each policy with its defaults, and the default policy with each way to treat delays.
fn table(learning: &Learning) -> Vec<Setup> {
    let floor = 0.001;
    let policies = [
        ("default", Policy::default()),
        ("thompson", Policy::Thompson { scale: Setting::Auto, draws: 16, floor }),
        ("square_cb", Policy::SquareCb { gamma: 1.0 }),
        ("softmax, temperature 0.1", Policy::Softmax { temperature: 0.1, floor }),
        ("epsilon_greedy, 0.05", Policy::EpsilonGreedy { epsilon: 0.05 }),
        ("uniform", Policy::Uniform),
    ];
    let mut setups: Vec<_> = policies
        .into_iter()
        .map(|(name, policy)| Setup { name: name.to_owned(), policy, learning: learning.clone() })
        .collect();
    for provisional in [Provisional::Closed, Provisional::Weighted] {
        let learning = Learning { provisional, ..learning.clone() };
        setups.push(Setup { name: format!("default, {provisional:?}"), policy: Policy::default(), learning });
    }
    setups
}

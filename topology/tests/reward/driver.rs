//! Specs, events and items by hand.

use saccade_topology::reward::*;
use saccade_topology::*;

/// Zero of the window in these tests.
pub const T0: i64 = 1_790_553_600_000;

/// A spec with this expression and these lines of signals, as in a TOML file: `clicked = { fold = "any", on = ["click"] }`.
pub fn spec(expression: &str, signals: &[&str]) -> RewardSpec {
    let quoted = toml::Value::String(expression.into()).to_string();
    toml::from_str(&format!("version = 1\nexpression = {quoted}\n[signals]\n{}", signals.join("\n")))
        .expect("a spec that can be read")
}

pub fn compile(expression: &str, signals: &[&str]) -> Reward {
    Reward::compile(&spec(expression, signals)).expect("a spec that compiles")
}

/// The error of a spec.
pub fn refused(spec: &RewardSpec) -> RewardError {
    Reward::compile(spec).map(|_| ()).expect_err("this spec should be refused")
}

/// An event `ms` after [`T0`].
pub fn at<'a>(ms: i64, id: &'a str, kind: &'a str) -> Event<'a> {
    Event::new(id, kind, EventTime(T0 + ms))
}

pub fn take(observed: &mut Observed, reward: &Reward, event: &Event<'_>) -> bool {
    observed.event(reward, T0, event.event_time.0, event)
}

/// What the signals are after these events.
pub fn signals(reward: &Reward, events: &[Event<'_>]) -> Vec<f64> {
    let mut observed = Observed::default();
    events.iter().for_each(|event| assert!(take(&mut observed, reward, event)));
    observed.signals(reward, T0).into_iter().map(|(_, value)| value).collect()
}

/// The bytes of an item's fields.
pub fn item(fields: &[(&str, Value<'_>)]) -> Vec<u8> {
    let mut bytes = vec![];
    fields.iter().for_each(|(name, value)| Fields::push(&mut bytes, name, *value));
    bytes
}
